# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An arm is what its files say, or the difference is named: order, signs, limits, delay."""

import dataclasses
import json
import re

import numpy as np
import pytest
from arm_recordings import write_arm
from test_camera_calibration import run

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.calibrating.arm_check import (
    check_signs,
    compare_limits,
    compare_state,
    draft_limits,
)
from ros2_gridsampler.calibrating.arm_motion import (
    ArmMotion,
    explain_responses,
    largest_rates,
    measure_responses,
    summarise_delay,
)
from ros2_gridsampler.calibrating.calibration_recording import read_states
from ros2_gridsampler.calibrating.urdf import load_urdf

NAMES = ('shoulder', 'elbow', 'slide')
# The joints stand in the file in another order than on the arm.
URDF = """<robot name="planar">
  <link name="base"/><link name="upper"/><link name="lower"/><link name="hand"/>
  <joint name="slide" type="prismatic"><parent link="lower"/><child link="hand"/>
    <origin xyz="0.3 0 0"/><axis xyz="1 0 0"/><limit lower="0" upper="0.2" velocity="0.5"/></joint>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <axis xyz="0 0 1"/><limit lower="-2" upper="2" velocity="1.5"/></joint>
  <joint name="elbow" type="revolute"><parent link="upper"/><child link="lower"/>
    <origin xyz="0.5 0 0" rpy="1.5707963 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" velocity="2"/></joint>
</robot>"""
LIMITS = """name: planar
base_frame: base
source: made up
end_effector: null
gripper: null
joints:
  shoulder: {unit: rad, min_position: -2, max_position: 2, max_velocity: 1.5,
    max_acceleration: 5, max_jerk: 50}
  elbow: {unit: rad, min_position: -1, max_position: 1, max_velocity: 1.0,
    max_acceleration: 5, max_jerk: 50}
  slide: {unit: m, min_position: 0, max_position: 0.2, max_velocity: 0.5,
    max_acceleration: 5, max_jerk: 50}
"""


@pytest.fixture
def urdf_file(tmp_path):
    path = tmp_path / 'planar.urdf'
    path.write_text(URDF)
    return path


@pytest.fixture
def limits_file(tmp_path):
    path = tmp_path / 'planar.yaml'
    path.write_text(LIMITS)
    return path


def wave(times):
    """Each joint in its own rhythm, inside its limits."""
    angles = np.outer(times, (1.1, 1.7, 2.3)) + np.arange(3)
    return np.sin(angles) * [0.8, 0.6, 0.08] + [0, 0, 0.1]


def motion(delay=0.12, change=lambda states: states):
    commands, states = np.arange(0, 12, 0.05), np.arange(0.01, 12, 0.01)
    return ArmMotion(NAMES, commands, wave(commands), states, change(wave(states - delay)))


def test_the_hand_is_where_geometry_says(urdf_file):
    urdf = load_urdf(urdf_file)
    assert urdf.movable == NAMES
    turn, lift, slide = 0.4, 0.3, 0.1
    hand = urdf.pose({'shoulder': turn, 'elbow': lift, 'slide': slide}, 'base', 'hand')
    # The elbow's axis is y of a frame turned by 90 degrees about x: the base's z.
    x = 0.5 * np.cos(turn) + (0.3 + slide) * np.cos(turn + lift)
    y = 0.5 * np.sin(turn) + (0.3 + slide) * np.sin(turn + lift)
    np.testing.assert_allclose(hand[:3, 3], [x, y, 0], atol=1e-6)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('<robot', '<model', 'planar.urdf'),
        ('</robot>', '', 'planar.urdf'),
        ('type="revolute"', 'type="screw"', "type 'screw'"),
        ('type="revolute"', 'type="fixed"', None),
        ('<axis xyz="0 0 1"/>', '<axis xyz="0 0 0"/>', 'axis of length 0'),
        ('xyz="0.5 0 0"', 'xyz="0.5 0"', 'three finite numbers'),
        ('<limit lower="-1" upper="1" velocity="2"/>', '', "'elbow' is revolute and needs"),
        ('<link name="base"/>', '<xacro/>', 'run `xacro'),
        ('lower="0" upper="0.2"', 'lower="x" upper="0.2"', "'slide': 'x' must be a finite number"),
        ('upper="2" velocity="1.5"', 'upper="nan" velocity="1.5"', "'shoulder': 'nan' must be"),
        ('lower="0" upper="0.2"', 'lower="0.2" upper="0"', 'limits 0.2 to 0; swap them'),
        ('<parent link="base"/>', '<parent link="hand"/>', 'part of a ring of links'),
        ('name="slide"', 'name="elbow"', 'same name or the same child'),
    ],
)
def test_a_urdf_that_cannot_be_used_is_refused(urdf_file, old, new, words):
    urdf_file.write_text(URDF.replace(old, new))
    if words is None:
        assert load_urdf(urdf_file).movable == ('slide',)
        return
    with pytest.raises(ValueError, match=words):
        load_urdf(urdf_file)


def test_a_chain_that_is_not_there_is_named(urdf_file):
    with pytest.raises(ValueError, match="no chain from 'base' to 'tool0'; its links are"):
        load_urdf(urdf_file).pose({}, 'base', 'tool0')


def test_limits_inside_the_urdf_agree_and_others_are_named(urdf_file, limits_file):
    urdf = load_urdf(urdf_file)
    assert compare_limits(load_arm(limits_file), urdf) == []
    text = LIMITS.replace('max_position: 1,', 'max_position: 1.5,')
    limits_file.write_text(text.replace('max_velocity: 1.5', 'max_velocity: 3'))
    problems = compare_limits(load_arm(limits_file), urdf)
    assert len(problems) == 2
    assert 'shoulder: max_velocity 3 is beyond the 1.5' in problems[0]
    assert 'elbow: max_position 1.5 is beyond the 1 ' in problems[1]
    limits_file.write_text(LIMITS.replace('unit: m,', 'unit: rad,').replace('elbow:', 'knee:'))
    problems = ' '.join(compare_limits(load_arm(limits_file), urdf))
    assert "Not in the URDF: ['knee']" in problems
    assert 'slide: unit is rad, by the URDF it is m' in problems


def test_a_state_outside_the_limits_is_named(limits_file):
    arm = load_arm(limits_file)
    states = wave(np.arange(0, 6, 0.1))
    assert compare_state(arm, NAMES, states) == []
    degrees = states * [180 / np.pi, 1, 1]
    assert 'these are degrees' in compare_state(arm, NAMES, degrees)[0]
    assert (
        'zero, sign or unit differ' in compare_state(arm, NAMES, states + np.array([0, 0, 0.5]))[0]
    )
    assert "does not publish ['slide']" in compare_state(arm, NAMES[:2], states[:, :2])[0]


@pytest.mark.parametrize('delay', [0.0, 0.034, 0.12, 0.41])
def test_the_delay_is_measured_to_a_few_milliseconds(delay):
    responses = measure_responses(motion(delay))
    assert [each.follows for each in responses] == list(NAMES)
    median, spread = summarise_delay(responses)
    assert median == pytest.approx(delay, abs=0.01)
    assert spread < 0.01
    assert explain_responses(responses) == []


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: s * [1, -1, 1], r"'elbow' moves against its command \(gain -1"),
        (lambda s: s[:, [1, 0, 2]], "'shoulder' follows the command for 'elbow'"),
        (lambda s: s * [57.3, 1, 1], "'shoulder' moves 57.* times .*degrees and radians"),
        (lambda s: s * [1, 0.3, 1], "'elbow' moves 0.3 times its command"),
    ],
)
def test_a_wrong_sign_order_or_unit_is_named(change, words):
    problems = explain_responses(measure_responses(motion(change=change)))
    assert any(re.search(words, each) for each in problems)


@pytest.mark.parametrize('jitter', [0.0, 0.002, 0.005])
def test_rates_are_those_of_the_commands_and_not_of_the_recorder(jitter):
    generator = np.random.default_rng(0)
    even = motion()
    rates = largest_rates(even)
    uneven = even.command_times + jitter * generator.normal(size=len(even.command_times))
    # A lost command leaves a gap of two periods.
    kept = np.arange(len(uneven)) % 50 != 7
    lossy = dataclasses.replace(even, command_times=uneven[kept], commands=even.commands[kept])
    for joint, amplitude, pace in zip(NAMES, (0.8, 0.6, 0.08), (1.1, 1.7, 2.3), strict=True):
        np.testing.assert_allclose(rates[joint], amplitude * pace ** np.arange(1, 4), rtol=0.02)
        np.testing.assert_allclose(largest_rates(lossy)[joint], rates[joint], rtol=0.1)


def test_commands_at_uneven_times_tell_no_jerk():
    even = motion()
    shifted = even.command_times + 0.02 * np.random.default_rng(0).normal(size=240)
    with pytest.raises(ValueError, match='give or take 37%; at most 15% tell'):
        largest_rates(dataclasses.replace(even, command_times=np.sort(shifted)))


def test_too_short_or_idle_recordings_are_refused():
    moving = motion()
    short = dataclasses.replace(
        moving, command_times=moving.command_times[:40], commands=moving.commands[:40]
    )
    with pytest.raises(ValueError, match='record at least 3 s'):
        measure_responses(short)
    idle = dataclasses.replace(moving, commands=0 * moving.commands)
    with pytest.raises(ValueError, match='No command changed'):
        measure_responses(idle)
    stuck = dataclasses.replace(moving, states=0 * moving.states)
    with pytest.raises(ValueError, match='No joint follows its own command'):
        summarise_delay(measure_responses(stuck))


@pytest.mark.parametrize(
    ('factors', 'words'),
    [
        ((1, 1, 1), ''),
        ((1, -1, 1), 'elbow: .* -1 times .* its sign is turned round.$'),
        ((1, 1.5, 1), 'elbow: .* unit or order differ'),
        ((1, 1, 0), 'slide did not move'),
    ],
)
def test_the_pose_of_the_hand_shows_signs_and_units(urdf_file, factors, words):
    urdf = load_urdf(urdf_file)
    truth = wave(np.arange(0, 6, 0.05))
    if factors[2] == 0:
        truth[:, 2] = 0.1
    poses = np.stack(
        [urdf.pose(dict(zip(NAMES, row, strict=True)), 'base', 'hand') for row in truth]
    )
    said = truth * np.where(factors, factors, 1)
    problems = check_signs(urdf, NAMES, said, poses, 'base', 'hand')
    if not words:
        assert problems == []
    else:
        assert re.search(words, ' '.join(problems))


def test_a_draft_is_the_narrower_of_both_and_has_no_default(urdf_file, limits_file):
    urdf, arm = load_urdf(urdf_file), load_arm(limits_file)
    draft = draft_limits(urdf, NAMES, None, arm)
    assert draft['elbow']['max_velocity'] == 1.0
    assert draft['slide']['unit'] == 'm'
    with pytest.raises(ValueError, match="how fast 'shoulder' may accelerate"):
        draft_limits(urdf, NAMES, None, None)
    seen = draft_limits(urdf, NAMES, motion(), None)
    # Peak acceleration of 0.8 sin(1.1 t), widened by half.
    assert seen['shoulder']['max_acceleration'] == pytest.approx(1.5 * 0.8 * 1.1**2, rel=0.1)


def test_the_command_writes_a_file_that_loads(urdf_file, limits_file, tmp_path):
    out = tmp_path / 'calibration/planar.yaml'
    result = run('arm', 'planar', '--urdf', urdf_file, '--limits', limits_file, '--out', out)
    assert result.returncode == 0, result.stderr
    assert 'Not checked: order of the joints and delay (--bag and --command-topic); signs' in (
        result.stdout
    )
    assert load_arm(out).joints.names == NAMES
    nothing = run('arm', 'planar')
    assert nothing.returncode == 1
    assert 'Give --urdf, --bag or both' in nothing.stderr


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('--states-topic', '/instruction'), 'no JointState on .* is a std_msgs/msg/String'),
        (('--command-topic', '/instruction'), r"on \['/arm/joint_trajectory'\]"),
        (('--command-topic', '/nowhere'), "'/nowhere', which is not there"),
    ],
)
def test_a_topic_that_carries_something_else_is_named_with_those_that_fit(
    tmp_path, arguments, words
):
    result = run('arm', 'so101', '--bag', write_arm(tmp_path / 'bag'), *arguments)
    assert result.returncode == 1
    assert re.search(words, result.stderr)
    assert 'Traceback' not in result.stderr


def test_a_driver_that_publishes_no_numbers_is_named(tmp_path):
    nothing = np.empty(0)
    with BagWriter(tmp_path / 'bag') as writer:
        state = build(
            'sensor_msgs/msg/JointState',
            header=build_header(1.0, ''),
            name=list(NAMES),
            position=np.array([0.1, np.nan, 0.2]),
            velocity=nothing,
            effort=nothing,
        )
        writer.write('/joint_states', state, 1.0)
    with pytest.raises(ValueError, match=r'/joint_states needs a finite position .* 3 joints'):
        read_states(tmp_path / 'bag')


def test_a_real_robot_follows_its_own_commands(shared_bag, tmp_path):
    topic = '/joint_trajectory_controller/joint_trajectory'
    bag, out = shared_bag('g1_real_bottle_010'), tmp_path / 'g1.json'
    arguments = ('--limits', 'g1', '--command-topic', topic, '--json', out)
    result = run('arm', 'g1', '--bag', bag, *arguments)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found['findings'] == []
    # The right arm does the task; its drives answer sooner than those of the fingers.
    arm = [v['delay_s'] for k, v in found['joints'].items() if k.startswith('kRight')][:7]
    hand = [v['delay_s'] for k, v in found['joints'].items() if k.startswith('kRightHand')]
    assert 0.05 < np.median(arm) < 0.2 < np.median(hand) < 0.5
