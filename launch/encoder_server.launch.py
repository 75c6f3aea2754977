# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders for a fleet: ros2 launch ros2_gridsampler encoder_server.launch.py folder:=..."""

import os
import sys

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction
from launch.events import Shutdown
from launch_ros.actions import Node

# The ros2 command itself is the system's, though an environment with the dependencies is active.
PYTHON = (
    os.path.join(os.environ['VIRTUAL_ENV'], 'bin', 'python')
    if os.environ.get('VIRTUAL_ENV')
    else sys.executable
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
    return [
        # As a module: found alike in a colcon workspace and in a virtual environment.
        Node(
            executable=PYTHON,
            name=given['name'],
            namespace=given['namespace'] or None,
            arguments=['-m', 'ros2_gridsampler.nodes.encoder_server_node'],
            parameters=[{'folder': given['folder'], 'active': given['active']}],
            output='screen',
            on_exit=ended,
        )
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument('folder', description='Folder of encoder folders'),
            DeclareLaunchArgument(
                'active',
                default_value='',
                description="Encoder that the fleet uses; empty for each policy's own",
            ),
            DeclareLaunchArgument('namespace', default_value='', description='Of the node'),
            DeclareLaunchArgument('name', default_value='encoder_server', description='Likewise'),
            OpaqueFunction(function=start),
        ]
    )
