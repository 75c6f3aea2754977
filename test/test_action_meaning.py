# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the entries of an action are: their units, what they may be, how they are read."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.acting.action_kinds import KINDS, TWIST_NAMES, ActionKind
from ros2_gridsampler.acting.arm_limits import GripperLimits, load_arm
from ros2_gridsampler.seeing.joint_states import JointNames

CALIBRATION = Path(__file__).parents[1] / 'calibration'
PANDA, G1, UR5E = (load_arm(CALIBRATION / f'{name}.yaml') for name in ('panda', 'g1', 'ur5e'))
POSITIONS, TWIST = KINDS['joint_position'], KINDS['end_effector_twist']
ARM = PANDA.joints.names


def lies(values, bounds):
    low, high = bounds
    return bool(((low <= values) & (values <= high)).all())


@given(st.lists(st.floats(0, 1), min_size=len(ARM), max_size=len(ARM)))
def test_all_that_the_limits_allow_joints_is_believable_and_degrees_are_not(shares):
    low, high = PANDA.joints.position_range(0.0)
    values = low + np.array(shares) * (high - low)
    bounds = POSITIONS.believable(ARM, PANDA)
    assert lies(values, bounds)
    assert not lies(np.degrees(high), bounds)
    assert POSITIONS.standing(values).tolist() == values.tolist()


@given(st.lists(st.floats(-1, 1), min_size=7, max_size=7))
def test_all_that_the_limits_allow_a_hand_is_believable_and_millimetres_are_not(shares):
    scale = TWIST.scale(TWIST_NAMES, PANDA)
    bounds = TWIST.believable(TWIST_NAMES, PANDA)
    assert lies(np.array(shares) * scale, bounds)
    assert not lies(1000 * scale, bounds)


def test_a_kind_that_says_nothing_of_it_believes_any_number():
    low, high = ActionKind.believable(TWIST, TWIST_NAMES, PANDA)
    assert (np.isneginf(low) & np.isposinf(high)).all()
    assert len(low) == len(TWIST_NAMES)


def test_each_entry_has_its_unit_and_a_share_of_a_range_has_none():
    assert TWIST.units(TWIST_NAMES, PANDA) == (*['m/s'] * 3, *['rad/s'] * 3, 'm')
    assert set(POSITIONS.units(ARM, PANDA)) == {'rad'}
    told = dict(zip(G1.joints.names, POSITIONS.units(G1.joints.names, G1), strict=True))
    shares = {name for name, unit in told.items() if not unit}
    units = zip(G1.joints.names, G1.joints.units, strict=True)
    assert shares == {name for name, unit in units if unit == 'fraction'}
    assert 0 < len(shares) < len(told)


def test_a_hand_stands_with_its_gripper_as_it_is():
    assert TWIST.standing(np.array([0.03])).tolist() == [0, 0, 0, 0, 0, 0, 0.03]
    assert TWIST.jerk_order != POSITIONS.jerk_order, 'a velocity is a derivative already'


def test_a_hand_without_limits_has_no_scale_and_the_sentence_says_which_file():
    with pytest.raises(ValueError, match='ur5e has no limits for both; name the calibration'):
        TWIST.scale(TWIST_NAMES, UR5E)
    assert POSITIONS.scale(UR5E.joints.names, UR5E).tolist() == UR5E.joints.max_velocity.tolist()


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=2), st.booleans())
def test_positions_are_read_from_a_trajectory_by_name_and_from_numbers_by_place(values, turned):
    order = [1, 0] if turned else [0, 1]
    names = [ARM[i] for i in order]
    point = SimpleNamespace(positions=[values[i] for i in order], velocities=[])
    trajectory = SimpleNamespace(joint_names=names, points=[point])
    kind = 'trajectory_msgs/msg/JointTrajectory'
    assert POSITIONS.read(trajectory, kind, ARM[:2], '').tolist() == values
    numbers, kind = SimpleNamespace(data=values), 'std_msgs/msg/Float64MultiArray'
    assert POSITIONS.read(numbers, kind, ARM[:2], '').tolist() == values
    with pytest.raises(ValueError, match='must have the shape'):
        POSITIONS.read(numbers, kind, ARM[:3], '')


def test_a_twist_is_read_in_its_own_frame_only():
    x, y = (SimpleNamespace(x=a, y=a + 1, z=a + 2) for a in (1.0, 4.0))
    message = SimpleNamespace(
        header=SimpleNamespace(frame_id='base'), twist=SimpleNamespace(linear=x, angular=y)
    )
    kind = 'geometry_msgs/msg/TwistStamped'
    assert TWIST.read(message, kind, TWIST_NAMES, 'base').tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="frame 'tool', got 'base'"):
        TWIST.read(message, kind, TWIST_NAMES, 'tool')


def test_a_robot_has_names_of_its_own_for_joints_and_none_for_a_hand():
    names = JointNames({ARM[0]: 'shoulder'}, 'left_')
    called = ActionSpace('joint_position', ARM).called(names)
    assert called.names == ('left_shoulder', *(f'left_{name}' for name in ARM[1:]))
    hand = ActionSpace('end_effector_twist', TWIST_NAMES, 'base')
    assert hand.called(names) == hand
    with pytest.raises(ValueError, match='needs the frame'):
        ActionSpace('end_effector_twist', TWIST_NAMES)


@given(st.floats(0, 0.1), st.floats(0.01, 2), st.sampled_from([-1, 1]))
def test_the_joint_that_makes_an_opening_makes_that_opening(opening, size, sign):
    scale = sign * size
    gripper = GripperLimits(max_opening=0.1, max_speed=0.1, scale=scale, offset=0.05)
    joint = gripper.joint(np.array([opening]))
    assert gripper.opening(joint) == pytest.approx(opening, abs=1e-9)
