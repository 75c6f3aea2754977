# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A small arm and its operator, recorded: what is known of it is known exactly."""

import dataclasses
from pathlib import Path

import numpy as np
from policies import tiny_policy

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import Statistics
from ros2_gridsampler.seeing.camera_message import encode_jpeg

JOINTS = ('shoulder_pan', 'elbow_flex', 'gripper')
ARM = Path(__file__).parents[1] / 'calibration/so101.yaml'
CAMERA = '/front/image_raw/compressed'
PERIOD, STEPS, FRAMES = 0.05, 5, 80
START = 100.0


def wanted(times):
    """What the operator commanded: two slow swings, and a gripper that closes at 2 s."""
    t = np.asarray(times, float) - START
    swing = np.stack([0.3 * np.sin(t), -0.5 + 0.2 * np.cos(t)], -1)
    gripper = 1.2 * (1 - np.clip((t - 2.0) / 0.6, 0, 1))
    return np.concatenate([swing, gripper[..., None]], -1)


def write_arm(path, frames=FRAMES, *, begin=START):
    """A bag of an arm that follows its operator with a lag of 0.1 s."""
    generator = np.random.default_rng(0)
    rgb = generator.integers(0, 255, (72, 96, 3), np.uint8)
    with BagWriter(path) as writer:
        sentence = build('std_msgs/msg/String', data='close the gripper')
        writer.write('/instruction', sentence, begin, latched=True)
        for index in range(frames):
            time = begin + index * PERIOD
            rgb = np.roll(rgb, 1, axis=1)
            picture = build(
                'sensor_msgs/msg/CompressedImage',
                header=build_header(time, 'front'),
                format='rgb8; jpeg compressed bgr8',
                data=np.frombuffer(encode_jpeg(rgb), np.uint8),
            )
            writer.write(CAMERA, picture, time + 0.003)
            joints = build(
                'sensor_msgs/msg/JointState',
                header=build_header(time, ''),
                name=list(JOINTS),
                position=wanted(time - 0.1),
                velocity=np.empty(0),
                effort=np.empty(0),
            )
            writer.write('/joint_states', joints, time + 0.004)
            point = build(
                'trajectory_msgs/msg/JointTrajectoryPoint',
                positions=wanted(time),
                velocities=np.empty(0),
                accelerations=np.empty(0),
                effort=np.empty(0),
                time_from_start=build('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
            )
            action = build(
                'trajectory_msgs/msg/JointTrajectory',
                header=build_header(time, ''),
                joint_names=list(JOINTS),
                points=[point],
            )
            writer.write('/arm/joint_trajectory', action, time + 0.005)
    return path


def arm_policy(seed=0, **options):
    """Random weights for that arm."""
    mean = tuple(wanted(START))
    return Policy(
        dataclasses.replace(
            tiny_policy(seed=seed, **options).config,
            cameras=('front',),
            resolution=(96, 72),
            joints=JOINTS,
            uses_pose=False,
            action_space=ActionSpace('joint_position', JOINTS),
            steps=STEPS,
            period=PERIOD,
            proprioception_statistics=Statistics(mean, (0.3,) * 3),
            action_statistics=Statistics(mean, (0.3, 0.3, 0.3)),
        )
    ).eval()


def run_command(bags, policy, out, **options):
    """Exit status of `gridsampler evaluate`; what configures it is taken from the options."""
    from ros2_gridsampler.command_line.evaluation_commands import evaluate as command
    from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig, EvaluationTask
    from ros2_gridsampler.evaluating.topic_choice import TopicChoice

    def made(kind):
        names = {field.name for field in dataclasses.fields(kind)} & set(options)
        return kind(**{name: options.pop(name) for name in names})

    judged = {'config': made(EvaluationConfig), 'topic': made(TopicChoice)}
    options = {'policy': str(policy), 'arm': str(ARM), 'film': False, **judged, **options}
    try:
        command(bags, out, made(EvaluationTask), **options)
    except SystemExit as end:
        return end.code
    return 0
