# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file starts, and that it says what each of its arguments means."""

import ast
import collections
import dataclasses
import importlib.util
import sys
from types import SimpleNamespace

import pytest
from launch_parts import FOLDER, load, parts_of

FILES = sorted(FOLDER.glob('*.launch.py'))
HAS_ROS = importlib.util.find_spec('launch_ros') is not None


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
@pytest.mark.skipif(not HAS_ROS, reason='launch_ros comes with a ROS 2 installation only')
def test_a_launch_file_documents_its_arguments(path):
    arguments = load(path).generate_launch_description().get_launch_arguments()
    assert arguments
    assert all(argument.description.strip() for argument in arguments)


@pytest.fixture
def start(monkeypatch):
    """The parts that a launch file gives for some arguments, without a ROS installation."""
    return parts_of(monkeypatch)


@pytest.mark.parametrize(
    'cameras',
    ['/front,/wrist', '/front, /wrist', "['/front', '/wrist']", '[/front, /wrist]'],
)
def test_topics_may_be_given_as_words_or_as_a_list(start, cameras):
    (node,) = start('policy', policy='p', arm='panda', camera_topics=cameras)
    assert node.parameters[0]['camera_topics'] == ['/front', '/wrist']
    assert 'gripper_joints' not in node.parameters[0]


def test_two_arms_get_nodes_of_their_own(start):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}
    (alone,) = start('policy', **given)
    assert (alone.name, alone.namespace) == ('policy_node', None)
    (left,) = start('policy', **given, namespace='left', name='policy')
    assert (left.name, left.namespace) == ('policy', 'left')


def test_a_camera_may_be_without_a_calibration(start):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a,/b'}
    (node,) = start('policy', **given, camera_calibrations=',wrist', actuation_delay='0.08')
    assert node.parameters[0]['cameras.calibrations'] == ['', 'wrist']
    assert node.parameters[0]['schedule.actuation_delay'] == 0.08
    assert len(node.parameters) == 1
    (node,) = start('policy', **given, parameters_file=__file__)
    assert node.parameters[1] == __file__
    with pytest.raises(ValueError, match=r"'more\.yaml', and there is no such file"):
        start('policy', **given, parameters_file='more.yaml')


def test_a_check_is_switched_off_by_true_and_false_only(start):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}
    for text, expected in (('True', True), ('1', True), ('false', False), ('0', False)):
        (node,) = start('policy', **given, check_mounts=text, separate_joints='jaw, thumb')
        assert node.parameters[0]['cameras.check_mounts'] is expected
        assert 'check_following' not in node.parameters[0]
        assert node.parameters[0]['separate_joints'] == ['jaw', 'thumb']
    with pytest.raises(ValueError, match="check_mounts is 'yes'; write true or false"):
        start('policy', **given, check_mounts='yes')


def test_a_recorded_arm_is_not_watched_for_following(start):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}
    included = start('replay', **given)[1].launch_arguments
    assert dict(included)['check_following'] == 'false'
    assert dict(included)['use_sim_time'] == 'true'


def test_a_replay_plays_what_the_policy_reads_and_no_command(start):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a/image_raw, /b/image'}
    player = start('replay', **given)[0]
    (played,) = player.parameters
    assert played['topics'] == ['/a/image_raw', '/b/image']
    assert played['pace_topic'] == '/a/image_raw'
    assert played['optional_topics'] == [
        '/a/camera_info',
        '/b/camera_info',
        '/joint_states',
        '/end_effector_pose',
        '/instruction',
    ]
    player = start('replay', **given, topics='/x, /y')[0]
    assert player.parameters[0]['topics'] == ['/x', '/y']
    assert 'optional_topics' not in player.parameters[0]


def test_the_nodes_run_in_the_active_environment(start, monkeypatch):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}
    monkeypatch.setenv('VIRTUAL_ENV', '/environment')
    assert start('policy', **given)[0].executable == '/environment/bin/python'
    monkeypatch.delenv('VIRTUAL_ENV')
    assert start('policy', **given)[0].executable == sys.executable


def test_what_two_launch_files_need_stands_in_one_place():
    said = collections.Counter()
    for path in FOLDER.glob('*.py'):
        tree = ast.parse(path.read_text())
        said.update({node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)})
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        said.update(text for text in texts if isinstance(text, str) and text.count(' ') > 3)
    assert said['package_node'] == 1
    repeated = {text for text, count in said.items() if count > 1}
    assert repeated == {'start', 'generate_launch_description'}


def _defaults(kind, prefix=''):
    """Parameter of a node -> what it is by default."""
    found = {}
    for field in dataclasses.fields(kind):
        default = field.default_factory if field.default is dataclasses.MISSING else field.default
        if dataclasses.is_dataclass(default):
            found |= _defaults(default, f'{prefix}{field.name}.')
        else:
            found[prefix + field.name] = default
    return found


# The launch file itself names topics by them.
OWN_USE = {('replay', 'joint_states_topic'), ('replay', 'pose_topic')}
OWN_USE |= {('simulation', 'image_transport'), ('simulation', 'arm'), ('simulation', 'policy')}


@pytest.mark.parametrize('name', ['policy', 'replay', 'simulation'])
def test_no_launch_file_repeats_the_default_of_a_parameter(start, name):
    pytest.importorskip('rclpy')
    from ros2_gridsampler.nodes.policy_parameters import PolicyParameters
    from ros2_gridsampler.nodes.replay_node import ReplayParameters
    from ros2_gridsampler.nodes.simulation_parameters import SimulationParameters

    known = {}
    for kind in (PolicyParameters, ReplayParameters, SimulationParameters):
        known |= _defaults(kind)
    module = load(FOLDER / f'{name}.launch.py')
    renamed = {**getattr(module, 'SWITCHES', {}), **getattr(module, 'NUMBERS', {})}
    seen = 0
    for argument, default, _ in module.ARGUMENTS:
        parameter = renamed.get(argument, argument)
        if parameter in known and (name, argument) not in OWN_USE:
            seen += 1
            told = str(known[parameter]).lower()
            assert default in ('', None) or default.lower() != told, f'{argument} is told twice'
    assert seen > 3


def test_what_is_not_given_is_left_to_the_node(start):
    (node,) = start('policy', policy='p', arm='panda', camera_topics='/a')
    assert node.parameters == [{'policy': 'p', 'arm': 'panda', 'camera_topics': ['/a']}]
    (node,) = start('policy', policy='p', arm='a', camera_topics='/a', device='cuda:1')
    assert node.parameters[0]['device'] == 'cuda:1'
    simulated = start('simulation')[0]
    given = {'image_transport': 'compressed', 'tasks': [0, 1, 2], 'publish_clock': True}
    assert simulated.parameters == [given]


def test_what_is_missing_or_no_number_is_said_before_anything_starts(start, monkeypatch, tmp_path):
    given = {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}
    with pytest.raises(ValueError, match="command_rate is 'fast'; write a number"):
        start('policy', **given, command_rate='fast')
    with pytest.raises(ValueError, match="bag is '/nowhere', and there is no such file"):
        start('replay', **given, bag='/nowhere')
    bare = tmp_path / 'bin'
    bare.mkdir()
    (bare / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    (bare / 'python').chmod(0o755)
    monkeypatch.setenv('VIRTUAL_ENV', str(tmp_path))
    with pytest.raises(RuntimeError, match=r"has no mujoco, .*pip install '\.\[full,sim\]'"):
        start('simulation')
    with pytest.raises(RuntimeError, match=r"has no rosbags, .*pip install '\.\[full\]'"):
        start('replay', **given)


@pytest.mark.parametrize(
    ('name', 'given'),
    [
        ('policy', {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}),
        ('encoder_server', {'folder': 'f'}),
        ('replay', {'policy': 'p', 'arm': 'panda', 'camera_topics': '/a'}),
        ('simulation', {}),
    ],
)
def test_a_launch_ends_with_its_node_and_with_an_error_where_the_node_did(start, name, given):
    node = start(name, **given)[0]
    running = SimpleNamespace(is_shutdown=False)
    (shutdown,) = node.on_exit(SimpleNamespace(returncode=0, process_name='n'), running)
    assert shutdown.event.reason == 'n ended'
    with pytest.raises(RuntimeError, match='n ended with 1; its last line says why'):
        node.on_exit(SimpleNamespace(returncode=1, process_name='n'), running)
    # After Ctrl-C that is no news.
    over = SimpleNamespace(is_shutdown=True)
    assert node.on_exit(SimpleNamespace(returncode=-2, process_name='n'), over)
