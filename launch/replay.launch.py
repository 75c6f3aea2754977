# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording played to the policy node, on the recording's own time; no arm moves."""

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

# Name, default (None: must be given), what it is.
ARGUMENTS = (
    ('bag', None, 'Bag folder, or an .mcap or .db3 file'),
    ('policy', None, 'Checkpoint folder, or the name of one under models/'),
    ('arm', None, 'YAML with the limits of the arm, or the name of one in calibration/'),
    ('camera_topics', None, 'One topic per camera of the checkpoint, separated by commas'),
    ('encoder', '', "Encoder folder; empty for the checkpoint's own"),
    ('backend', 'automatic', 'Engine: automatic, tensorrt, openvino, onnxruntime or eager'),
    ('output', '', "twist, pose, joint_trajectory or joint_position_array; '' suits the policy"),
    ('instruction_topic', '/instruction', 'Recorded topic with the sentence'),
    ('joint_states_topic', '/joint_states', 'Recorded JointState'),
    ('pose_topic', '/end_effector_pose', 'Recorded PoseStamped of the end effector'),
    ('topics', '', 'Topics to play, separated by commas; by default what a policy reads'),
    ('rate', '1.0', 'Speed; 1 is as recorded'),
    ('loop', 'false', 'Begin anew at the end'),
    ('lockstep', 'false', 'Before each picture wait for the answer to the one before'),
)


def start(context):
    given = context.launch_configurations
    replay = {
        'bag': given['bag'],
        'rate': float(given['rate']),
        'pace_topic': given['camera_topics'].split(',')[0],
        **{name: given[name].lower() == 'true' for name in ('loop', 'lockstep')},
    }
    if given['topics']:
        replay['topics'] = given['topics'].split(',')
    player = Node(
        executable=sys.executable,
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
                # Where the cameras were is what it is.
                'check_mounts': 'false',
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
