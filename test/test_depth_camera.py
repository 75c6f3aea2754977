# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A camera of distances beside one of colours: what a policy sees, learns and is judged by."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from arm_recordings import ARM, CAMERA, PERIOD, arm_policy, write_arm
from test_depth_image import RANGE, raw

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import read_messages, read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.bags.observation_replay import StreamTopics
from ros2_gridsampler.datasets.episodes import ActionTopics, EpisodeConfig, store_episodes
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.training.batches import jitter

DEPTH = '/wrist/depth/image_rect_raw'


def both_cameras():
    """A policy that looks through a colour camera and a depth camera."""
    config = arm_policy().config
    return Policy(
        dataclasses.replace(config, cameras=('front', 'wrist'), depth={'wrist': RANGE})
    ).eval()


@pytest.fixture
def bag(tmp_path):
    """The recorded arm with a second camera that measures how far a plane is."""
    write_arm(tmp_path / 'colours')
    with BagWriter(tmp_path / 'bag') as writer:
        for recorded in read_messages(tmp_path / 'colours'):
            writer.write(recorded.topic, recorded.message, recorded.time)
            if recorded.topic != CAMERA:
                continue
            stamp = recorded.message.header.stamp
            time = stamp.sec + 1e-9 * stamp.nanosec
            slope = np.linspace(0.3, 1.2, 96)[None] + 0.001 * np.arange(72)[:, None]
            image = raw(slope + 0.05 * np.sin(3 * time), '16UC1')
            message = build(
                'sensor_msgs/msg/Image',
                **{**vars(image), 'data': np.frombuffer(image.data, np.uint8)},
                header=build_header(time, 'wrist'),
            )
            writer.write(DEPTH, message, recorded.time)
    return tmp_path / 'bag'


def test_a_checkpoint_keeps_the_range_of_its_depth_camera_and_older_ones_have_none(tmp_path):
    save_checkpoint(both_cameras(), tmp_path / 'policy', training={}, results={})
    assert load_checkpoint(tmp_path / 'policy')[0].config.depth == {'wrist': RANGE}
    with pytest.raises(ValueError, match='depth names the cameras .*side'):
        dataclasses.replace(arm_policy().config, depth={'side': RANGE})


def test_a_recording_with_a_depth_camera_is_evaluated(bag):
    policy = both_cameras()
    seen = []
    topics = map_topics(
        read_topics(bag),
        policy.config,
        TopicChoice(action='/arm/joint_trajectory'),
        depth={DEPTH},
    )
    assert topics.streams.cameras == {'front': CAMERA, 'wrist': DEPTH}
    listener = SimpleNamespace(
        message=lambda recorded: None,
        prediction=lambda now, observation, predictions: seen.append(observation),
    )
    evaluation = evaluate_bag(
        bag,
        [Contestant('both', policy, policy.config, {})],
        topics,
        load_arm(ARM),
        EvaluationConfig(),
        clock=lambda: 0.0,
        listeners=[listener],
    )
    report = evaluation.report
    assert report['frames'] > 70
    assert report['frames_dark'] == 0
    assert not [text for text in report['problems'] if 'wrist' in text or 'depth' in text]
    row = seen[10].images['wrist'][32, :, 0].astype(int)
    # The plane goes away from left to right, and so gets darker.
    assert row[0] > 200
    assert row[-1] < 80
    assert (np.diff(row) <= 0).all()


def test_training_reads_distances_and_no_light_changes_them(bag, tmp_path):
    policy = both_cameras()
    config = EpisodeConfig(
        observation=policy.config.observation,
        topics=StreamTopics({'front': CAMERA, 'wrist': DEPTH}),
        labels=ActionTopics('/arm/joint_trajectory'),
        action_space=policy.config.action_space,
        steps=5,
        period=PERIOD,
    )
    store = store_episodes([bag], config, tmp_path / 'cache')
    images = store.images(np.arange(8))
    changed = jitter(images, np.random.default_rng(0), 0.5, depth=[1])
    np.testing.assert_array_equal(changed[:, 1], images[:, 1])
    assert (changed[:, 0] != images[:, 0]).any()


def test_the_live_node_follows_a_policy_with_a_depth_camera(start_node, tmp_path, watcher):
    from geometry_msgs.msg import TwistStamped
    from policies import tiny_policy
    from ros_watcher import FakeArm
    from sensor_msgs.msg import Image

    from ros2_gridsampler.nodes.topics import STATE

    policy = Policy(dataclasses.replace(tiny_policy().config, depth={'wrist': RANGE})).eval()
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    arm = FakeArm(watcher, cameras=('front',))
    publisher = watcher.node.create_publisher(Image, '/wrist/depth', STATE)

    def publish():
        distances = np.linspace(0.3, 1.2, 96)[None] + np.zeros((72, 1)) + 0.001 * arm.frames % 0.1
        message = Image()
        for name, value in vars(raw(distances, '16UC1')).items():
            setattr(message, name, value)
        message.header.stamp = arm.now()
        publisher.publish(message)

    watcher.node.create_timer(0.05, publish)
    twists = watcher.collect(TwistStamped, '/policy_node/twist_command')
    node = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *('-r', '~/instruction:=/instruction'),
        policy=tmp_path / 'policy',
        arm='panda',
        camera_topics='[/front/image, /wrist/depth]',
        gripper_joints='[finger]',
        backend='eager',
    )
    arm.say('Lift the cup.')
    watcher.until(lambda: '-> FOLLOW' in node.text, node)
    watcher.until(lambda: len(twists) > 20, node)
    assert 'cannot be used' not in node.text
    assert node.end() == 0
