# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The judge sees what exceeds a limit; the filters pass it whatever they are given."""

from pathlib import Path

import numpy as np
import pytest

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.benchmarks.limit_excess import HardwareExcess, JointExcess, TwistExcess
from ros2_gridsampler.benchmarks.limit_stress import stress_joints, stress_twists

PANDA = load_arm(Path(__file__).parents[1] / 'calibration/panda.yaml')
REST = np.array([0.0, 0.0, 0.0, -1.5, 0.0, 1.5, 0.0])
PERIOD = 0.02


def judge():
    made = JointExcess(PANDA.joints, PERIOD)
    made.begin(REST)
    return made


@pytest.mark.parametrize(
    ('offsets', 'limit'),
    [
        ([0.0, 0.0], ''),
        ([9.0], 'acceleration'),
        ([0.03, 0.1], 'acceleration'),
        ([np.nan], 'finite'),
    ],
)
def test_an_excess_is_seen_and_named(offsets, limit):
    made = judge()
    for offset in offsets:
        made.add(REST + offset)
    assert made.worst.limit.startswith(limit) if limit else made.worst.share == 0
    assert (made.worst.share > 0) == bool(limit)


def test_a_position_beyond_its_limit_is_seen_however_slowly_it_is_reached():
    made = JointExcess(PANDA.joints, PERIOD)
    made.begin(PANDA.joints.max_position)
    made.add(PANDA.joints.max_position + 1e-4)
    assert made.worst.limit == 'position'


def test_commands_that_were_not_seen_are_no_excess():
    made, speed = judge(), PANDA.joints.max_velocity[0] * 0.5
    made.add(REST + 5 * PERIOD * speed, lost=4)
    assert made.worst.share == 0
    made.add(REST + 5 * PERIOD * speed + 3 * PERIOD * speed, lost=0)
    assert made.worst.limit == 'velocity'


def test_a_twist_that_starts_too_hard_is_seen():
    made = TwistExcess(PANDA.end_effector, PANDA.gripper, PERIOD)
    made.begin()
    made.add(np.array([1.0, 0, 0, 0, 0, 0]))
    assert made.worst.limit == 'acceleration'


@pytest.mark.parametrize(
    ('openings', 'limit'),
    [([0.04, 0.0405, 0.041], ''), ([0.0, 0.08], 'gripper speed'), ([0.09], 'opening')],
)
def test_the_way_of_the_gripper_is_judged(openings, limit):
    made = TwistExcess(PANDA.end_effector, PANDA.gripper, PERIOD)
    made.begin()
    for opening in openings:
        made.add_opening(opening)
    assert made.worst.limit == limit


@pytest.mark.parametrize(('stress', 'steps'), [(stress_joints, 20_000), (stress_twists, 1_000)])
def test_no_wild_target_gets_through_the_filters(stress, steps):
    found = stress(steps, seed=1)
    assert found.steps == steps
    assert found.not_finite > 0
    assert found.max_limit_excess <= 0, found


def test_an_arm_without_limits_for_a_twist_cannot_be_stressed_by_twists():
    with pytest.raises(ValueError, match='ur5e has no limits for a twist'):
        stress_twists(10, seed=1, arm='ur5e')


SPEEDS = PANDA.joints.max_velocity


def hardware(kind='joints'):
    made = HardwareExcess(kind, SPEEDS[:7], PERIOD, lag=0.03)
    made.activate(REST)
    return made


@pytest.mark.parametrize(
    ('away', 'due', 'limit'),
    [
        (0.02, 0.02, ''),
        (0.5, 0.5 / SPEEDS.min(), ''),
        (0.5, 0.02, 'hardware velocity, from the arm'),
    ],
)
def test_a_trajectory_is_judged_from_the_measured_arm(away, due, limit):
    made = hardware()
    made.add(REST + away, due, REST, 1.0, lost=False)
    assert made.worst.limit.startswith(limit) if limit else made.worst.share == 0
    assert (made.worst.share > 0) == bool(limit)


def test_a_command_near_the_arm_is_seen_that_is_far_from_what_the_controller_wanted():
    made = hardware()
    made.add(REST + 1.0, 1.0, REST, 1.0, lost=False)
    # The arm hung behind; now it is commanded to where it is, at once.
    made.add(REST, PERIOD, REST, 1.5, lost=False)
    assert made.worst.limit == 'hardware velocity, from the last wanted'
    assert made.worst.share == pytest.approx(0.5 / PERIOD / SPEEDS[:7].min() - 1)


def test_positions_in_steps_are_no_excess_and_a_controller_that_is_back_elsewhere_is():
    made, goal = hardware('positions'), REST
    for step in range(50):
        goal = goal + 0.95 * SPEEDS[:7].min() * PERIOD
        made.add(goal, 0.0, REST, step * PERIOD, lost=False)
    assert made.worst.share == 0
    made.activate(REST)
    made.add(goal, 0.0, REST, 1.0, lost=False)
    assert made.worst.limit == 'velocity of the arm'
