# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording played to the policy node, on the recording's own time; no arm moves."""

import importlib.util
import os

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import ThisLaunchFileDir

# What the launch files share; see there why it is not imported.
_specification = importlib.util.spec_from_file_location(
    'package_node', os.path.join(os.path.dirname(__file__), 'package_node.py')
)
shared = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(shared)
# See `declare`.
ARGUMENTS = (
    ('bag', None, 'Bag folder, or an .mcap or .db3 file'),
    *((name, None, shared.OF_POLICY[name]) for name in ('policy', 'arm', 'camera_topics')),
    *((name, '', shared.OF_POLICY[name]) for name in ('encoder', 'backend', 'device', 'output')),
    ('instruction_topic', '/instruction', 'Recorded topic with the sentence'),
    ('joint_states_topic', '/joint_states', 'Recorded JointState'),
    ('pose_topic', '/end_effector_pose', 'Recorded PoseStamped of the end effector'),
    ('topics', '', 'Topics to play, separated by commas; by default what the policy reads'),
    ('rate', '', 'Speed; 1 is as recorded'),
    ('loop', '', 'true: begin anew at the end'),
    ('lockstep', '', 'true: before each picture wait for the answer to the one before'),
)


def camera_info(topic):
    return topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'


def start(context):
    given = context.launch_configurations
    shared.refuse_missing(('rosbags', 'mcap', 'rclpy'), 'full')
    cameras = shared.words(given['camera_topics'])
    replay = {
        'bag': shared.existing(given, 'bag'),
        'pace_topic': cameras[0],
        # No recorded command: an arm may listen.
        'topics': shared.words(given['topics']) if given['topics'] else cameras,
        **{name: shared.truth(given, name) for name in ('loop', 'lockstep') if given[name]},
        # Configuring may build an engine first.
        'patience': 120.0,
        'expect_answers': True,
    }
    if given['rate']:
        replay['rate'] = shared.number(given, 'rate')
    if not given['topics']:
        others = ('joint_states_topic', 'pose_topic', 'instruction_topic')
        replay['optional_topics'] = [
            *map(camera_info, cameras),
            *(given[name] for name in others),
        ]
    player = shared.package_node('replay_node', [replay])
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
    return LaunchDescription([*shared.declare(ARGUMENTS), OpaqueFunction(function=start)])
