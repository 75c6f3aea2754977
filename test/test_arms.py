# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arms that people own: their folders agree with themselves, with the limits and the docs."""

import re
from pathlib import Path

import numpy as np
import pytest
from launch_parts import ARMS, controllers, of_arm, parts_of

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.files import find, read_yaml
from ros2_gridsampler.training.recipe import load_recipe

ROOT = Path(__file__).parents[1]
ROBOTS = sorted(path.name for path in ARMS.iterdir())
# The others are commanded by their hands, by controllers that are not ours.
BY_JOINTS = [name for name in ROBOTS if (ARMS / name / 'controllers.yaml').exists()]
GIVEN = {'policy': 'p', 'camera_topics': '/front,/wrist'}


@pytest.fixture
def limits(robot):
    return load_arm(find('calibration', of_arm(robot, 'launch.yaml')['arm'], '.yaml'))


@pytest.fixture
def launch(monkeypatch):
    return parts_of(monkeypatch)


def started(launch, robot, **given):
    """The policy node of an arm."""
    return launch('policy', robot=str(ARMS / robot), **GIVEN, **given)[-1]


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_limits_name_their_public_source(limits):
    assert 'https://github.com/' in limits.source


def test_a_recipe_has_what_it_extends_but_for_its_own_and_refuses_what_is_none(tmp_path):
    own = load_recipe(ARMS / 'so101' / 'recipe.yaml')
    base = read_yaml(ROOT / 'models/recipes/arm.yaml')
    assert own.episodes.period == base['episodes']['period']
    assert own.episodes.topics.cameras == base['episodes']['topics']['cameras']
    assert own.episodes.topics.joint_states != base['episodes']['topics']['joint_states']
    recipe = tmp_path / 'recipe.yaml'
    for extended, wrong in (('nobody.yaml', 'is no file'), ('recipe.yaml', 'extends it')):
        recipe.write_text(f'extends: {extended}\n')
        with pytest.raises(ValueError, match=f'{extended}, which {wrong}; name another recipe'):
            load_recipe(recipe)


@pytest.mark.parametrize('robot', BY_JOINTS)
def test_every_joint_that_is_commanded_has_limits_and_one_controller(launch, robot, limits):
    node = started(launch, robot)
    policy = load_recipe(ARMS / robot / 'recipe.yaml').episodes.action_space.names
    assert set(policy) <= set(limits.joints.names)
    apart = set(node.parameters[0].get('separate_joints', ()))
    topics = dict(node.remappings)
    sent = {topics['~/joint_trajectory']: set(policy) - apart, topics['~/gripper_command']: apart}
    for name, parameters in controllers(robot).items():
        owned = parameters['joints']
        assert len(set(owned)) == len(owned)
        kind = 'joint_trajectory' if 'state_interfaces' in parameters else 'commands'
        (topic,) = [each for each in sent if each.endswith(f'{name}/{kind}')]
        assert sent.pop(topic) == set(owned)
    assert not any(sent.values()), 'somebody obeys every joint'


@pytest.mark.parametrize('robot', BY_JOINTS)
def test_a_trajectory_controller_begins_at_its_last_command(robot):
    for parameters in controllers(robot).values():
        if 'state_interfaces' in parameters:
            assert parameters['interpolate_from_desired_state'] is True
            assert parameters.get('allow_partial_joints_goal', False) is False


@pytest.mark.parametrize('robot', BY_JOINTS)
def test_a_start_pose_is_inside_the_limits_and_slow_from_anywhere(robot, limits):
    start = of_arm(robot, 'start.yaml')
    (point,) = start['points']
    joints = limits.joints.select(start['joint_names'])
    positions = np.array(point['positions'])
    assert (joints.min_position < positions).all()
    assert (positions < joints.max_position).all()
    farthest = np.maximum(positions - joints.min_position, joints.max_position - positions)
    assert (farthest / point['time_from_start']['sec'] < 0.5 * joints.max_velocity).all()
    owners = [c for c in controllers(robot).values() if set(c['joints']) == set(joints.names)]
    assert owners, 'one controller takes the whole message'


@pytest.mark.parametrize('robot', [name for name in ROBOTS if name not in BY_JOINTS])
def test_servo_is_not_slower_than_the_limits_and_takes_speeds(launch, robot, limits):
    servo = of_arm(robot, 'servo.yaml')['servo_node']['ros__parameters']['moveit_servo']
    assert servo['command_in_type'] == 'speed_units'
    assert servo['scale']['linear'] >= limits.end_effector.max_speed
    assert servo['scale']['rotational'] >= limits.end_effector.max_rotation_rate
    episodes = load_recipe(ARMS / robot / 'recipe.yaml').episodes
    assert episodes.action_space.frame == limits.base_frame
    node = started(launch, robot)
    assert node.parameters[0]['gripper_joints'] == list(episodes.observation.joints)
    assert f'/{node.parameters[0]["pose_topic"]}' == episodes.topics.pose
    assert limits.gripper is not None


def test_a_pose_from_tf_is_that_of_the_same_arm_on_the_topic_that_the_policy_reads(launch):
    poses, policy = launch(
        'policy',
        **GIVEN,
        arm='xarm6',
        pose_from_tf='link_eef',
        namespace='left',
        pose_topic='hand',
    )
    assert poses.arguments[1].endswith('pose_from_tf_node')
    assert poses.parameters == [{'arm': 'xarm6', 'pose_topic': 'hand', 'frame': 'link_eef'}]
    assert (poses.namespace, policy.parameters[0]['pose_topic']) == ('left', 'hand')


@pytest.mark.parametrize('robot', ROBOTS)
def test_what_is_given_is_taken_and_the_rest_comes_from_the_robot(launch, robot):
    expected = of_arm(robot, 'launch.yaml')
    node = started(launch, robot)
    assert node.parameters[0]['arm'] == expected['arm']
    other = started(launch, robot, arm='mine', joint_trajectory_topic='/other')
    assert other.parameters[0]['arm'] == 'mine'
    assert set(other.parameters[0]) == set(node.parameters[0])
    assert dict(other.remappings)['~/joint_trajectory'] == '/other'


def test_a_robot_is_found_by_its_name_and_an_unknown_one_is_refused(launch, tmp_path):
    by_name = launch('policy', robot=ROBOTS[0], **GIVEN)[-1]
    assert by_name.parameters == started(launch, ROBOTS[0]).parameters
    with pytest.raises(ValueError, match=rf"robot is 'nobody'; name one of \['{ROBOTS[0]}'"):
        launch('policy', robot='nobody', **GIVEN)
    (tmp_path / 'launch.yaml').write_text('joint_topic: /joint_states')
    with pytest.raises(ValueError, match=r"launch.yaml has \['joint_topic'\]; it may have"):
        launch('policy', robot=str(tmp_path), **GIVEN)
    (tmp_path / 'launch.yaml').write_text('')
    with pytest.raises(ValueError, match=r'launch.yaml must have arguments and values, got None'):
        launch('policy', robot=str(tmp_path), **GIVEN)
    (tmp_path / 'launch.yaml').write_text('arm: [ur5e')
    with pytest.raises(ValueError, match=r'launch.yaml cannot be read: .*Copy the folder again'):
        launch('policy', robot=str(tmp_path), **GIVEN)


def test_a_folder_beside_the_user_does_not_hide_a_robot(launch, tmp_path, monkeypatch):
    (tmp_path / ROBOTS[0]).mkdir()
    monkeypatch.chdir(tmp_path)
    by_name = launch('policy', robot=ROBOTS[0], **GIVEN)[-1]
    assert by_name.parameters == started(launch, ROBOTS[0]).parameters


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_page_of_an_arm_says_what_was_not_tried_and_names_what_its_folder_has(robot):
    page = (ROOT / 'docs' / 'arms' / f'{robot}.md').read_text()
    assert 'No real arm was at hand' in page
    for name in controllers(robot) if robot in BY_JOINTS else ():
        assert name in page
    assert f'robot:={robot}' in page
    for path in re.findall(rf'arms/{robot}/[\w.]+', page):
        assert (ROOT / path).is_file()
