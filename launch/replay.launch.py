# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording played to the policy node, on the recording's own time; no arm moves."""

import os
import subprocess
import sys

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import ThisLaunchFileDir
from launch_ros.actions import Node

# The ros2 command itself is the system's, though an environment with the dependencies is active.
PYTHON = (
    os.path.join(os.environ['VIRTUAL_ENV'], 'bin', 'python')
    if os.environ.get('VIRTUAL_ENV')
    else sys.executable
)
# Name, default (None: must be given), what it is. What is empty stays as the nodes have it.
ARGUMENTS = (
    ('bag', None, 'Bag folder, or an .mcap or .db3 file'),
    ('policy', None, 'Checkpoint folder, or the name of one under models/'),
    ('arm', None, 'YAML with the limits of the arm, or the name of one in calibration/'),
    ('camera_topics', None, 'One topic per camera of the checkpoint, separated by commas'),
    ('encoder', '', "Encoder folder; empty for the checkpoint's own"),
    ('backend', '', 'Engine: automatic, tensorrt, openvino, onnxruntime or eager'),
    ('device', '', 'Where the engine computes: auto, cpu, cuda or cuda:1'),
    ('output', '', "twist, pose, joint_trajectory or joint_position_array; '' suits the policy"),
    ('instruction_topic', '/instruction', 'Recorded topic with the sentence'),
    ('joint_states_topic', '/joint_states', 'Recorded JointState'),
    ('pose_topic', '/end_effector_pose', 'Recorded PoseStamped of the end effector'),
    ('topics', '', 'Topics to play, separated by commas; by default what the policy reads'),
    ('rate', '', 'Speed; 1 is as recorded'),
    ('loop', '', 'true: begin anew at the end'),
    ('lockstep', '', 'true: before each picture wait for the answer to the one before'),
)


def words(text):
    """Words between commas, with or without the brackets and quotes of a YAML list."""
    return [word.strip(' \'"') for word in text.strip(' []').split(',')]


def camera_info(topic):
    return topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'


def truth(given, name):
    """Of an argument; what is neither true nor false must not switch a check off."""
    known = {'true': True, '1': True, 'false': False, '0': False}
    if given[name].lower() not in known:
        raise ValueError(f'{name} is {given[name]!r}; write true or false.')
    return known[given[name].lower()]


def number(given, name):
    try:
        return float(given[name])
    except ValueError:
        raise ValueError(f'{name} is {given[name]!r}; write a number.') from None


def refuse_missing(modules, extra):
    """Before anything starts: what the environment of the nodes lacks, and how it is installed."""
    code = (
        'import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])'
    )
    command = [PYTHON, '-c', code, *modules]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    if missing := asked.stdout.split():
        raise RuntimeError(
            f"{PYTHON} has no {', '.join(missing)}: pip install '.[{extra}]' there, or activate "
            'the environment that has it before ros2 launch.'
        )


def ended(event, context):
    """The launch ends with a node, and with an error where the node did."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'{event.process_name} ended with {event.returncode}; its last line says why.'
        )
    return [EmitEvent(event=Shutdown(reason=f'{event.process_name} ended'))]


def start(context):
    given = context.launch_configurations
    refuse_missing(('rosbags', 'mcap', 'rclpy'), 'full')
    if not os.path.exists(os.path.expanduser(given['bag'])):
        raise ValueError(f'bag is {given["bag"]!r}, and there is no such file; check its path.')
    cameras = words(given['camera_topics'])
    replay = {
        'bag': given['bag'],
        'pace_topic': cameras[0],
        # No recorded command: an arm may listen.
        'topics': words(given['topics']) if given['topics'] else cameras,
        **{name: truth(given, name) for name in ('loop', 'lockstep') if given[name]},
        # Configuring may build an engine first.
        'patience': 120.0,
        'expect_answers': True,
    }
    if given['rate']:
        replay['rate'] = number(given, 'rate')
    if not given['topics']:
        others = ('joint_states_topic', 'pose_topic', 'instruction_topic')
        replay['optional_topics'] = [
            *map(camera_info, cameras),
            *(given[name] for name in others),
        ]
    player = Node(
        executable=PYTHON,
        arguments=['-m', 'ros2_gridsampler.nodes.replay_node'],
        parameters=[replay],
        output='screen',
        on_exit=ended,
    )
    own = ('bag', 'rate', 'loop', 'lockstep', 'topics')
    passed = {name: given[name] for name, _, _ in ARGUMENTS if name not in own}
    return [
        player,
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/policy.launch.py']),
            launch_arguments={
                **passed,
                'use_sim_time': 'true',
                # Nothing that was recorded gets lost on the way.
                'reliable_streams': 'true',
                # Where the cameras were is what it is, and the recorded arm obeys nobody.
                'check_mounts': 'false',
                'check_following': 'false',
            }.items(),
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
