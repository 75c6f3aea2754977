# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording played to the policy node, on the recording's own time; no arm moves."""

import os
import sys

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
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


def start(context):
    given = context.launch_configurations
    cameras = words(given['camera_topics'])
    replay = {
        'bag': given['bag'],
        'pace_topic': cameras[0],
        # No recorded command: an arm may listen.
        'topics': words(given['topics']) if given['topics'] else cameras,
        **{name: truth(given, name) for name in ('loop', 'lockstep') if given[name]},
    }
    if given['rate']:
        replay['rate'] = float(given['rate'])
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
        RegisterEventHandler(
            OnProcessExit(target_action=player, on_exit=[EmitEvent(event=Shutdown())])
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
