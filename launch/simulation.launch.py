# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A LIBERO task as a robot, and the policy node that drives it over its topics."""

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
# Name, default, what it is. What is empty stays as the nodes have it.
ARGUMENTS = (
    ('policy', 'libero_spatial', 'Checkpoint folder, or the name of one under models/'),
    ('arm', 'panda', 'YAML with the limits of the arm, or the name of one in calibration/'),
    ('encoder', '', "Encoder folder; empty for the checkpoint's own"),
    ('backend', '', 'Engine: automatic, tensorrt, openvino, onnxruntime or eager'),
    ('device', '', 'Where the engine computes: auto, cpu, cuda or cuda:1'),
    ('output', 'twist', 'The simulated arm takes twists'),
    ('suite', '', 'LIBERO suite'),
    ('tasks', '0,1,2', 'Task numbers, separated by commas'),
    ('episodes_per_task', '', 'Episodes of each task'),
    ('placements', '', 'official or widened (by 5 cm)'),
    ('rendering', '', 'simplified or original'),
    ('image_transport', 'compressed', 'compressed or raw'),
)


def integers(given, name):
    try:
        return [int(word) for word in given[name].strip(' []').split(',')]
    except ValueError:
        raise ValueError(f'{name} is {given[name]!r}; write whole numbers.') from None


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
    refuse_missing(('mujoco', 'robosuite', 'libero', 'rosbags', 'rclpy'), 'full,sim')
    suffix = '/compressed' if given['image_transport'] == 'compressed' else ''
    cameras = ','.join(f'/{camera}/image_raw{suffix}' for camera in ('agentview', 'wrist'))
    simulation = {
        name: given[name]
        for name in ('suite', 'placements', 'rendering', 'image_transport')
        if given[name]
    }
    simulation['tasks'] = integers(given, 'tasks')
    if given['episodes_per_task']:
        (simulation['episodes_per_task'],) = integers(given, 'episodes_per_task')
    own = ('policy', 'arm', 'encoder', 'backend', 'device', 'output')
    passed = {name: given[name] for name in own}
    topics = {
        'camera_topics': cameras,
        'instruction_topic': '/instruction',
        'twist_topic': '/arm/twist_command',
        'gripper_topic': '/arm/gripper_command',
    }
    return [
        Node(
            executable=PYTHON,
            arguments=['-m', 'ros2_gridsampler.nodes.simulated_arm_node'],
            parameters=[simulation],
            # Mesa's own threads would fight those of the policy.
            additional_env={'LP_NUM_THREADS': '1'},
            output='screen',
            on_exit=ended,
        ),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/policy.launch.py']),
            launch_arguments={**passed, **topics}.items(),
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
