# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node on an arm: ros2 launch ros2_gridsampler policy.launch.py policy:=... arm:=..."""

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
# Name, default (None: must be given), what it is. What is empty stays as the node has it.
ARGUMENTS = (
    ('policy', None, 'Checkpoint folder, or the name of one under models/'),
    ('arm', None, 'YAML with the limits of the arm, or the name of one in calibration/'),
    ('camera_topics', None, 'One topic per camera of the checkpoint, separated by commas'),
    ('namespace', '', 'Of the node; with another one for each arm, several share a domain'),
    ('name', 'policy_node', 'Of the node'),
    ('encoder', '', "Encoder folder or name; empty for the checkpoint's own"),
    ('encoder_server', '', 'Node whose active encoder is followed, like /encoder_server'),
    ('allow_unvalidated_encoder', '', 'true: take encoders never measured with this policy'),
    ('instruction', '', 'Sentence to obey until another comes on instruction_topic'),
    ('backend', '', 'Engine: automatic, tensorrt, openvino, onnxruntime or eager'),
    ('device', '', 'Where the engine computes: auto, cpu, cuda or cuda:1'),
    ('output', '', "twist, pose, joint_trajectory or joint_position_array; '' suits the policy"),
    ('command_rate', '', 'Commands per second [Hz]'),
    ('joint_states_topic', '', 'JointState of the arm, in its namespace'),
    ('gripper_state_topic', '', 'State of a gripper with a topic of its own; empty for none'),
    ('gripper_state_type', '', 'Of that topic: joint_state or float64'),
    ('gripper_command_type', '', 'float64_multi_array, float64, joint_state or gripper_command'),
    ('joint_names', '', 'Joints of policy=robot, like elbow=elbow_joint; commas between'),
    ('joint_prefix', '', "Before every joint of the robot, like 'left_'"),
    ('pose_topic', '', 'PoseStamped of the hand, in its namespace'),
    ('gripper_joints', '', 'Joints that add up to the opening of the gripper; commas between'),
    ('separate_joints', '', 'Commanded joints of another controller, on gripper_topic; commas'),
    ('camera_calibrations', '', 'camera_info file of each camera; commas between, empty for none'),
    ('check_mounts', '', 'Whether a camera that has moved since the training is refused'),
    ('check_following', '', 'Hold an arm that does not follow; false for a recording only'),
    ('reliable_streams', '', 'true: subscribe reliably to cameras, joints and pose'),
    ('use_sim_time', '', 'true: take the time from /clock'),
    ('autostart', '', 'Whether to configure and activate without a lifecycle manager'),
    ('actuation_delay', '', 'From command to motion, see gridsampler calibrate arm [s]'),
    ('parameters_file', '', 'YAML with more parameters of the node (ros2 param describe)'),
    ('log_level', 'info', 'debug, info, warn or error'),
)
# Argument -> topic of the node that it renames.
TOPICS = {
    'instruction_topic': '~/instruction',
    'twist_topic': '~/twist_command',
    'gripper_topic': '~/gripper_command',
    'pose_command_topic': '~/pose_command',
    'joint_trajectory_topic': '~/joint_trajectory',
    'joint_positions_topic': '~/joint_positions',
}
# Argument -> parameter of the node.
SWITCHES = {
    'check_mounts': 'cameras.check_mounts',
    'check_following': 'check_following',
    'reliable_streams': 'reliable_streams',
    'use_sim_time': 'use_sim_time',
    'autostart': 'autostart',
    'allow_unvalidated_encoder': 'swap.allow_unvalidated',
}
NUMBERS = {'command_rate': 'command_rate', 'actuation_delay': 'schedule.actuation_delay'}


def words(text):
    """Words between commas, with or without the brackets and quotes of a YAML list."""
    return [word.strip(' \'"') for word in text.strip(' []').split(',')]


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


def ended(event, context):
    """The launch ends with a node, and with an error where the node did."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'{event.process_name} ended with {event.returncode}; its last line says why.'
        )
    return [EmitEvent(event=Shutdown(reason=f'{event.process_name} ended'))]


def start(context):
    given = context.launch_configurations
    parameters = {
        name: given[name]
        for name in (
            'policy',
            'arm',
            'encoder',
            'encoder_server',
            'instruction',
            'backend',
            'device',
            'output',
            'joint_states_topic',
            'gripper_state_topic',
            'gripper_state_type',
            'gripper_command_type',
            'joint_prefix',
            'pose_topic',
        )
        if given[name]
    }
    for name in ('camera_topics', 'gripper_joints', 'separate_joints', 'joint_names'):
        if given[name]:
            parameters[name] = words(given[name])
    if given['camera_calibrations']:
        parameters['cameras.calibrations'] = words(given['camera_calibrations'])
    for name, parameter in SWITCHES.items():
        if given[name]:
            parameters[parameter] = truth(given, name)
    for name, parameter in NUMBERS.items():
        if given[name]:
            parameters[parameter] = number(given, name)
    more = given['parameters_file']
    if more and not os.path.isfile(more):
        raise ValueError(
            f'parameters_file is {more!r}, and there is no such file; check its path.'
        )
    return [
        # As a module: found alike in a colcon workspace and in a virtual environment.
        Node(
            executable=PYTHON,
            name=given['name'],
            namespace=given['namespace'] or None,
            arguments=[
                '-m',
                'ros2_gridsampler.nodes.policy_node',
                '--ros-args',
                '--log-level',
                given['log_level'],
            ],
            parameters=[parameters, *filter(None, [more])],
            remappings=[(topic, given[name]) for name, topic in TOPICS.items()],
            output='screen',
            on_exit=ended,
        )
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in ARGUMENTS
            ),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=f'Instead of {topic}')
                for name, topic in TOPICS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
