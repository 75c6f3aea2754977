# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""No command breaks a limit, every state can be stopped in, admissible motion is left alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.acting.arm_limits import JointLimits, load_arm
from ros2_gridsampler.acting.safety_filter import JointSafetyFilter, NonFiniteTarget
from ros2_gridsampler.acting.stopping import largest_rate, stopping_distance

FOLDER = Path(__file__).parents[1] / 'calibration'
BAGS = FOLDER.parents[1] / 'shared' / 'data' / 'bags'
JOINTS = 4


def make_limits(low, high, velocity, acceleration, jerk):
    names = tuple(f'joint{i}' for i in range(len(low)))
    arrays = (np.array(x, np.float64) for x in (low, high, velocity, acceleration, jerk))
    return JointLimits(names, ('rad',) * len(names), (False,) * len(names), *arrays)


def one_joint(jerk=200.0):
    return make_limits([-1], [1], [2], [10], [jerk])


class Motion:
    """A random arm, random targets (wild jumps, creeping, holding), and jittering periods."""

    def __init__(self, seed, period, jitter, steps=40):
        rng = self.rng = np.random.default_rng(seed)
        velocity = np.exp(rng.uniform(-3, 2, JOINTS))
        acceleration = velocity * np.exp(rng.uniform(-1, 4, JOINTS))
        jerk = acceleration * np.exp(rng.uniform(0, 6, JOINTS))
        middle, span = rng.uniform(-3, 3, JOINTS), np.exp(rng.uniform(-4, 2, JOINTS))
        self.limits = make_limits(middle - span, middle + span, velocity, acceleration, jerk)
        self.start = middle + span * rng.uniform(-1, 1, JOINTS)
        self.periods = period * (1 + jitter * rng.uniform(-1, 1, steps))
        target, self.targets = self.start, []
        for moment in self.periods:
            kind = rng.integers(0, 3, JOINTS)
            wild = middle + 3 * span * rng.normal(size=JOINTS)
            creeping = target + velocity * moment * rng.normal(size=JOINTS)
            target = np.choose(kind, [wild, creeping, target])
            self.targets.append(target)

    def filter(self):
        made = JointSafetyFilter(self.limits)
        made.reset(self.start)
        return made

    def commands(self, made):
        return [
            made.filter(target, period)
            for target, period in zip(self.targets, self.periods, strict=True)
        ]

    def stop(self, made):
        """The commands of a stop and their periods."""
        commands, periods = [], []
        while not (commands and commands[-1].at_rest):
            assert len(commands) < 20_000, 'the stop does not end'
            periods.append(self.periods[len(commands) % len(self.periods)])
            commands.append(made.stop(periods[-1]))
        return commands, periods


motions = st.builds(
    Motion,
    seed=st.integers(0, 2**32 - 1),
    period=st.floats(2e-3, 0.1),
    jitter=st.sampled_from([0.0, 0.1, 0.9]),
)


def assert_within(limits, start, commands, periods):
    """Check positions and their three differences, as exactly as float64 holds them."""
    positions = np.array([start, *(command.values for command in commands)])
    assert (positions >= limits.min_position).all()
    assert (positions <= limits.max_position).all()
    h = np.array(periods)[:, None]
    shortest = np.minimum(h, np.minimum(np.roll(h, 1, 0), np.roll(h, 2, 0)))
    rate, rounding = positions, np.spacing(np.abs(positions).max())
    for limit in (limits.max_velocity, limits.max_acceleration, limits.max_jerk):
        before = rate[:1] if rate is positions else np.zeros_like(rate[:1])
        rate = np.diff(rate if rate is positions else np.vstack([before, rate]), axis=0) / h
        rounding = 4 * rounding / shortest
        assert (np.abs(rate) <= limit * (1 + 1e-9) + rounding).all()


@settings(max_examples=12)
@given(motions)
def test_no_command_breaks_a_limit_and_every_motion_can_be_stopped_within_them(motion):
    made = motion.filter()
    commands = motion.commands(made)
    stopping, periods = motion.stop(made)
    assert_within(motion.limits, motion.start, commands + stopping, [*motion.periods, *periods])


@settings(max_examples=12)
@given(motions)
def test_filtering_twice_is_filtering_once(motion):
    once = motion.commands(motion.filter())
    motion.targets = [command.values for command in once]
    for first, second in zip(once, motion.commands(motion.filter()), strict=True):
        np.testing.assert_array_equal(first.values, second.values)
        assert second.interventions == ()


@settings(max_examples=12)
@given(
    period=st.floats(1e-3, 0.05),
    fraction=st.floats(0.01, 0.9),
    frequency=st.floats(0.1, 2.0),
)
def test_admissible_motion_passes_bit_for_bit(period, fraction, frequency):
    # A swing within each limit, begun and ended softly enough.
    limits = one_joint(jerk=2000.0)
    omega = 2 * np.pi * frequency
    amplitude = fraction * min(1, 2 / omega, 10 / omega**2) * 0.25
    times = np.arange(period, 2 / frequency, period)[:200]
    swing = amplitude * np.sin(omega * times) ** 3
    made = JointSafetyFilter(limits)
    made.reset(np.zeros(1))
    for target in swing:
        command = made.filter(np.array([target]), period)
        assert command.values[0] == target
        assert command.interventions == ()


@given(
    seed=st.integers(0, 2**32 - 1),
    period=st.floats(1e-4, 10.0),
)
def test_a_step_of_a_stop_leaves_enough_room_for_the_rest_of_it(seed, period):
    # What makes the filter's promise hold for ever, whatever the periods: see stopping_distance.
    rng = np.random.default_rng(seed)
    velocity, acceleration = rng.normal(size=(2, 1000))
    most, jerk = np.exp(rng.uniform(0, 3, 1000)), np.exp(rng.uniform(-3, 6, 1000))
    acceleration = np.clip(acceleration, -most, most)
    braking = -np.sign(velocity) * largest_rate(np.abs(velocity), jerk, period)
    step = jerk * period
    now = np.clip(np.clip(braking, acceleration - step, acceleration + step), -most, most)
    way = (velocity + now * period) * period
    for side in (1, -1):
        needed = stopping_distance(side * velocity, side * acceleration, most, jerk)
        left = stopping_distance(side * (velocity + now * period), side * now, most, jerk)
        assert (side * way + left <= needed + 1e-9 * (1 + np.abs(way))).all()


@pytest.mark.parametrize(
    ('velocity', 'acceleration'),
    [(1.0, 0.0), (0.2, 3.0), (-0.1, 5.0), (1.5, -4.0), (0.01, -8.0), (-0.5, 2.0)],
)
def test_a_stopping_distance_is_as_far_as_the_stop_goes(velocity, acceleration):
    step, most, jerk = 1e-4, np.array(10.0), np.array(100.0)
    v, a, way = np.array(velocity), np.array(acceleration), [0.0]
    while abs(v) > 1e-6 or abs(a) > 0.1:
        rate = -np.sign(v) * largest_rate(np.abs(v), jerk, step)
        a = np.clip(np.clip(rate, a - jerk * step, a + jerk * step), -most, most)
        v = v + a * step
        way.append(way[-1] + v * step)
    needed = stopping_distance(np.array(velocity), np.array(acceleration), most, jerk)
    assert needed == pytest.approx(max(way), abs=2e-3)


@pytest.mark.parametrize('jerk', [20.0, 200.0, 1e6])
@pytest.mark.parametrize('distance', [1e-3, 0.05, 0.9])
def test_a_jump_is_reached_without_passing_it_and_held(distance, jerk):
    made = JointSafetyFilter(one_joint(jerk))
    made.reset(np.array([-0.1]))
    target = np.array([-0.1 + distance])
    commands = [made.filter(target, 0.01) for _ in range(300)]
    assert max(command.values[0] for command in commands) <= target[0] + 1e-12
    assert commands[-1].values == target
    assert commands[-1].at_rest
    assert commands[-1].interventions == ()


def test_a_moving_target_is_caught_up_with():
    made = JointSafetyFilter(one_joint())
    made.reset(np.array([-0.9]))
    targets = -0.3 + 1.0 * 0.01 * np.arange(110)
    commands = [made.filter(target[None], 0.01) for target in targets]
    assert commands[0].values < targets[0] - 0.5
    assert commands[-1].values == targets[-1]


def test_the_reason_of_an_intervention_is_named():
    def first_reason(target):
        made = JointSafetyFilter(one_joint())
        made.reset(np.zeros(1))
        return made.filter(np.array([target]), 0.01).interventions

    assert first_reason(5.0) == ('position:joint0',)
    assert first_reason(0.5) == ('velocity:joint0',)
    assert first_reason(0.01) == ('acceleration:joint0',)
    assert first_reason(0.0009) == ('jerk:joint0',)
    assert first_reason(0.0001) == ()


def test_a_joint_brakes_before_its_end_and_says_why():
    made = JointSafetyFilter(one_joint(jerk=1e4))
    made.reset(np.zeros(1))
    speeds = np.minimum(5.0 * 0.01 * np.arange(1, 100), 1.5)
    targets = np.minimum(np.cumsum(speeds * 0.01), 1.0)
    reasons = [made.filter(target[None], 0.01).interventions for target in targets]
    assert set(reasons[:60]) == {()}
    assert ('stopping:joint0',) in reasons


@settings(max_examples=5)
@given(motions, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_target_that_is_not_finite_changes_nothing(motion, bad):
    disturbed, calm = motion.filter(), motion.filter()
    for target, period in zip(motion.targets, motion.periods, strict=True):
        spoilt = target.copy()
        spoilt[1] = bad
        with pytest.raises(NonFiniteTarget, match=r"'joint1': -?(nan|inf)"):
            disturbed.filter(spoilt, period)
        expected = calm.filter(target, period)
        np.testing.assert_array_equal(disturbed.filter(target, period).values, expected.values)


@settings(max_examples=12)
@given(motions)
def test_a_joint_that_starts_outside_moves_back_in_and_never_farther_out(motion):
    limits = motion.limits
    width = limits.max_position - limits.min_position
    motion.start = limits.max_position + width * motion.rng.uniform(0, 0.5, JOINTS)
    made = motion.filter()
    highest = np.maximum.accumulate(
        np.array([command.values for command in motion.commands(made)])[::-1]
    )[::-1]
    assert (highest <= motion.start).all()


def test_a_joint_that_came_back_in_stays_within_its_limits():
    made = JointSafetyFilter(one_joint())
    made.reset(np.array([1.5]))
    assert made.filter(np.array([9.0]), 0.01).values == 1.5
    for _ in range(200):
        made.filter(np.array([0.5]), 0.01)
    farthest = max(made.filter(np.array([9.0]), 0.01).values[0] for _ in range(200))
    assert 0.999 < farthest <= 1.0


def test_what_the_caller_does_with_a_command_does_not_reach_the_filter():
    made = JointSafetyFilter(one_joint())
    made.reset(np.zeros(1))
    made.filter(np.zeros(1), 0.01).values[0] = 9.0
    assert made.filter(np.zeros(1), 0.01).values == 0.0


def test_a_filter_that_was_not_reset_moves_nothing():
    made = JointSafetyFilter(one_joint())
    with pytest.raises(ValueError, match='call reset first'):
        made.filter(np.zeros(1), 0.01)
    with pytest.raises(ValueError, match='call reset first'):
        made.stop(0.01)


@pytest.mark.parametrize('period', [0.0, -0.01, np.nan, np.inf])
def test_a_period_that_is_no_time_is_refused(period):
    made = JointSafetyFilter(one_joint())
    made.reset(np.zeros(1))
    with pytest.raises(ValueError, match='period between commands'):
        made.filter(np.zeros(1), period)
    with pytest.raises(ValueError, match='period between commands'):
        made.stop(period)


def test_a_target_for_another_number_of_joints_is_refused():
    made = JointSafetyFilter(one_joint())
    with pytest.raises(ValueError, match=r"one number for each of \['joint0'\], got \(2,\)"):
        made.reset(np.zeros(2))


def test_what_an_operator_of_a_real_g1_commanded_is_left_alone():
    bag = BAGS / 'g1_real_bottle_020'
    if not bag.exists():
        pytest.skip('needs ../shared/data')
    highlevel = pytest.importorskip('rosbags.highlevel')
    limits = load_arm(FOLDER / 'g1.yaml').joints
    with highlevel.AnyReader([bag]) as reader:
        commanded = [
            np.array(reader.deserialize(raw, connection.msgtype).points[0].positions)
            for connection, _, raw in reader.messages()
            if connection.topic.endswith('joint_trajectory')
        ]
    arms = np.array([unit == 'rad' for unit in limits.units])
    made = JointSafetyFilter(limits)
    made.reset(commanded[0])
    for target in commanded[1:]:
        values = made.filter(target, 1 / 30).values
        np.testing.assert_array_equal(values[arms], target[arms])
        # The operator's fingers hit their ends at full speed; the filter's brake.
        np.testing.assert_allclose(values, target, atol=1e-4)
