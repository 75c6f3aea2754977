# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders for a fleet: ros2 launch ros2_gridsampler encoder_server.launch.py folder:=..."""

import importlib.util
import os

from launch import LaunchDescription
from launch.actions import OpaqueFunction

# What the launch files share; see there why it is not imported.
_specification = importlib.util.spec_from_file_location(
    'package_node', os.path.join(os.path.dirname(__file__), 'package_node.py')
)
shared = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(shared)
# See `declare`.
ARGUMENTS = (
    ('folder', None, 'Folder of encoder folders'),
    ('active', '', "Encoder that the fleet uses; empty for each policy's own"),
    ('namespace', '', 'Namespace of the node'),
    ('name', 'encoder_server', 'Name of the node'),
)


def start(context):
    given = context.launch_configurations
    return [
        shared.package_node(
            'encoder_server_node',
            [{'folder': given['folder'], 'active': given['active']}],
            name=given['name'],
            namespace=given['namespace'] or None,
        )
    ]


def generate_launch_description():
    return LaunchDescription([*shared.declare(ARGUMENTS), OpaqueFunction(function=start)])
