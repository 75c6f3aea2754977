# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node on an arm: ros2 launch ros2_gridsampler policy.launch.py robot:=ur5e ..."""

import importlib.util
import os

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

# What the launch files share; see there why it is not imported.
_specification = importlib.util.spec_from_file_location(
    'package_node', os.path.join(os.path.dirname(__file__), 'package_node.py')
)
shared = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(shared)
# See `declare`.
ARGUMENTS = (
    *((name, None, shared.OF_POLICY[name]) for name in ('policy', 'camera_topics')),
    ('robot', '', 'Name in arms/, or folder: its launch.yaml has the arguments not given here'),
    *((name, '', shared.OF_POLICY[name]) for name in ('arm', 'encoder', 'backend', 'device')),
    ('output', '', shared.OF_POLICY['output']),
    ('namespace', '', 'Namespace of the node; several arms share a domain by one each'),
    ('name', 'policy_node', 'Name of the node'),
    ('remote_robot', '', 'YAML of the robot for a policy at ws://HOST:PORT; docs/howto/remote.md'),
    ('encoder_server', '', 'Node whose active encoder is followed, like /encoder_server'),
    ('allow_unvalidated_encoder', '', 'true: take encoders never measured with this policy'),
    ('instruction', '', 'Sentence to obey until another comes on instruction_topic'),
    ('command_rate', '', 'Commands per second [Hz]'),
    ('joint_states_topic', '', 'JointState of the arm, in its namespace'),
    ('gripper_state_topic', '', 'State of a gripper with a topic of its own; empty for none'),
    ('gripper_state_type', '', 'Message on gripper_state_topic: joint_state or float64'),
    ('gripper_command_type', '', 'float64_multi_array, float64, joint_state or gripper_command'),
    ('joint_names', '', 'Joints of policy=robot, like elbow=elbow_joint; commas between'),
    ('joint_prefix', '', "Before every joint of the robot, like 'left_'"),
    ('pose_topic', '', 'PoseStamped of the hand, in its namespace'),
    ('pose_from_tf', '', 'Frame of the hand on /tf: pose_topic is published from that too'),
    ('gripper_joints', '', 'Joints that add up to the opening of the gripper; commas between'),
    ('separate_joints', '', 'Commanded joints of another controller, on gripper_topic; commas'),
    ('camera_calibrations', '', 'camera_info file of each camera; commas between, empty for none'),
    ('check_mounts', '', 'Whether a camera that has moved since the training is refused'),
    ('check_following', '', 'Hold an arm that does not follow; false for a recording only'),
    ('reliable_streams', '', 'true: subscribe reliably to cameras, joints and pose'),
    ('use_sim_time', '', 'true: take the time from /clock'),
    ('autostart', '', 'Whether to configure and activate without a lifecycle manager'),
    ('actuation_delay', '', 'From command to motion, see gridsampler calibrate delay [s]'),
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


def with_robot(given):
    """The arguments, where one was not given that of the robot's launch.yaml."""
    if not given['robot']:
        return given
    arms = os.path.join(os.path.dirname(__file__), os.pardir, 'arms')
    folders = (os.path.expanduser(given['robot']), os.path.join(arms, given['robot']))
    paths = [os.path.join(folder, 'launch.yaml') for folder in folders]
    path = next(filter(os.path.isfile, paths), None)
    if path is None:
        raise ValueError(
            f'robot is {given["robot"]!r}; name one of {sorted(os.listdir(arms))}, or a folder '
            'with a launch.yaml.'
        )
    try:
        with open(path, encoding='utf-8') as file:
            of_robot = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = ' '.join(str(error).split())
        raise ValueError(f'{path} cannot be read: {said}. Copy the folder again.') from error
    if not isinstance(of_robot, dict):
        raise ValueError(f'{path} must have arguments and values, got {of_robot!r}.')
    defaults = {**{name: default or '' for name, default, _ in ARGUMENTS}, **TOPICS}
    if unknown := sorted(set(of_robot) - set(defaults) | {'robot'} & set(of_robot)):
        raise ValueError(f'{path} has {unknown}; it may have the arguments {sorted(defaults)}.')
    # Both have every argument as text.
    own = {name: shared.as_argument(value) for name, value in of_robot.items()}
    return {**given, **{name: own[name] for name in own if given[name] == defaults[name]}}


def pose_from_tf(given):
    """The node that says where the hand is by TF, where that is asked for."""
    if not given['pose_from_tf']:
        return []
    parameters = {name: given[name] for name in ('arm', 'pose_topic') if given[name]}
    if given['use_sim_time']:
        parameters['use_sim_time'] = shared.truth(given, 'use_sim_time')
    return [
        shared.package_node(
            'pose_from_tf_node',
            [{**parameters, 'frame': given['pose_from_tf']}],
            name='pose_from_tf',
            namespace=given['namespace'] or None,
        )
    ]


def start(context):
    given = with_robot(context.launch_configurations)
    parameters = {
        name: given[name]
        for name in (
            'policy',
            'remote_robot',
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
            parameters[name] = shared.words(given[name])
    if given['camera_calibrations']:
        parameters['cameras.calibrations'] = shared.words(given['camera_calibrations'])
    for name, parameter in SWITCHES.items():
        if given[name]:
            parameters[parameter] = shared.truth(given, name)
    for name, parameter in NUMBERS.items():
        if given[name]:
            parameters[parameter] = shared.number(given, name)
    more = shared.existing(given, 'parameters_file') if given['parameters_file'] else ''
    return [
        *pose_from_tf(given),
        shared.package_node(
            'policy_node',
            [parameters, *filter(None, [more])],
            name=given['name'],
            namespace=given['namespace'] or None,
            arguments=['--ros-args', '--log-level', given['log_level']],
            remappings=[(topic, given[name]) for name, topic in TOPICS.items()],
        ),
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            *shared.declare(ARGUMENTS),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=f'Instead of {topic}')
                for name, topic in TOPICS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
