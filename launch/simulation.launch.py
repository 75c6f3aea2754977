# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A LIBERO task as a robot, and the policy node that drives it over its topics."""

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
    ('policy', 'libero_spatial', shared.OF_POLICY['policy']),
    ('arm', 'panda', shared.OF_POLICY['arm']),
    *((name, '', shared.OF_POLICY[name]) for name in ('encoder', 'backend', 'device')),
    ('output', 'twist', 'The simulated arm takes twists'),
    ('suite', '', 'LIBERO suite'),
    ('tasks', '0,1,2', 'Task numbers, separated by commas'),
    ('episodes_per_task', '', 'Episodes of each task'),
    ('placements', '', 'official, widened (by 5 cm) or anywhere (on the table)'),
    ('rendering', '', 'simplified or original'),
    ('image_transport', 'compressed', 'compressed or raw'),
    (
        'use_sim_time',
        'true',
        'The arm publishes /clock and waits for the policy; false: real time',
    ),
)


def start(context):
    given = context.launch_configurations
    shared.refuse_missing(('mujoco', 'robosuite', 'libero', 'rosbags', 'rclpy'), 'full,sim')
    suffix = '/compressed' if given['image_transport'] == 'compressed' else ''
    cameras = ','.join(f'/{camera}/image_raw{suffix}' for camera in ('agentview', 'wrist'))
    simulation = {
        name: given[name]
        for name in ('suite', 'placements', 'rendering', 'image_transport')
        if given[name]
    }
    simulation['publish_clock'] = shared.truth(given, 'use_sim_time')
    simulation['tasks'] = shared.integers(given, 'tasks')
    if given['episodes_per_task']:
        (simulation['episodes_per_task'],) = shared.integers(given, 'episodes_per_task')
    own = ('policy', 'arm', 'encoder', 'backend', 'device', 'output', 'use_sim_time')
    passed = {name: given[name] for name in own}
    topics = {
        'camera_topics': cameras,
        'instruction_topic': '/instruction',
        'twist_topic': '/arm/twist_command',
        'gripper_topic': '/arm/gripper_command',
    }
    return [
        shared.package_node(
            'simulated_arm_node',
            [simulation],
            # Mesa's own threads would fight those of the policy.
            additional_env={'LP_NUM_THREADS': '1'},
        ),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/policy.launch.py']),
            launch_arguments={**passed, **topics}.items(),
        ),
    ]


def generate_launch_description():
    return LaunchDescription([*shared.declare(ARGUMENTS), OpaqueFunction(function=start)])
