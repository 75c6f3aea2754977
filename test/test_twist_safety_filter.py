# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The end effector stays slow and in its box; admissible motion is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.acting.arm_limits import EndEffectorLimits, GripperLimits
from ros2_gridsampler.acting.safety_filter import NonFiniteTarget
from ros2_gridsampler.acting.twist_safety_filter import TwistSafetyFilter

GRIPPER = GripperLimits(0.08, 0.1)


def make_limits(speed=1.0, acceleration=5.0, low=(0.0, -1.0, 0.0), high=(1.0, 1.0, 1.0), jerk=1e3):
    return EndEffectorLimits(
        np.array(low), np.array(high), speed, acceleration, jerk, 2.0, 10.0, 10 * jerk
    )


class Motion:
    """A random arm, random targets and jittering periods; the end effector follows exactly."""

    def __init__(self, seed, period, jitter, steps=80):
        rng = np.random.default_rng(seed)
        speed = np.exp(rng.uniform(-2, 1))
        low, size = rng.uniform(-1, 1, 3), np.exp(rng.uniform(-3, 1, 3))
        acceleration = speed * np.exp(rng.uniform(0, 4))
        jerk = acceleration * np.exp(rng.uniform(0, 6))
        self.limits = make_limits(speed, acceleration, low, low + size, jerk)
        self.position = self.start = low + size * rng.uniform(0, 1, 3)
        self.periods = period * (1 + jitter * rng.uniform(-1, 1, steps))
        held = rng.normal(size=(steps, 7)) * np.array([speed] * 3 + [3] * 3 + [0.1])
        self.targets = held[np.arange(steps) // rng.integers(1, 20)]
        self.filter = TwistSafetyFilter(self.limits, GRIPPER)
        self.filter.reset(0.04)
        self.commands, self.positions, self.used = [], [self.start], []

    def follow(self, command, period):
        self.position = self.position + command.values[:3] * period
        self.commands.append(command)
        self.positions.append(self.position)
        self.used.append(period)

    def run(self):
        for target, period in zip(self.targets, self.periods, strict=True):
            self.follow(self.filter.filter(target, self.position, period), period)

    def stop(self):
        while not self.commands[-1].at_rest:
            assert len(self.commands) < 20_000, 'the stop does not end'
            period = self.periods[len(self.commands) % len(self.periods)]
            self.follow(self.filter.stop(period), period)


motions = st.builds(
    Motion,
    seed=st.integers(0, 2**32 - 1),
    period=st.floats(1e-3, 0.1),
    jitter=st.sampled_from([0.0, 0.1, 0.9]),
)


@settings(max_examples=15)
@given(motions)
def test_no_command_breaks_a_limit_and_every_motion_can_be_stopped_in_the_box(motion):
    motion.run()
    motion.stop()
    limits = motion.limits
    values = np.array([command.values for command in motion.commands])
    periods = np.array(motion.used)
    for part, *most in (
        (values[:, :3], limits.max_speed, limits.max_acceleration, limits.max_jerk),
        (
            values[:, 3:6],
            limits.max_rotation_rate,
            limits.max_rotation_acceleration,
            limits.max_rotation_jerk,
        ),
    ):
        rate, rounding = part, np.spacing(most[0])
        for limit in most:
            assert (np.linalg.norm(rate, axis=1) <= limit * (1 + 1e-9) + 4 * rounding).all()
            rate = np.diff(rate, axis=0, prepend=np.zeros((1, 3))) / periods[:, None]
            rounding = 4 * rounding / periods.min()
    positions = np.array(motion.positions)
    assert (positions >= limits.workspace_min - 1e-9).all()
    assert (positions <= limits.workspace_max + 1e-9).all()
    openings = np.concatenate([[0.04], values[:, 6]])
    assert (openings >= 0).all()
    assert (openings <= GRIPPER.max_opening).all()
    assert (np.abs(np.diff(openings)) <= GRIPPER.max_speed * periods * (1 + 1e-9)).all()
    assert not values[-1, :6].any()


@settings(max_examples=15)
@given(motions)
def test_filtering_twice_is_filtering_once(motion):
    motion.run()
    motion.filter.reset(0.04)
    for command, position, period in zip(
        motion.commands, motion.positions, motion.used, strict=False
    ):
        again = motion.filter.filter(command.values, position, period)
        np.testing.assert_array_equal(again.values, command.values)
        assert again.interventions == ()


@settings(max_examples=15)
@given(motions, st.floats(0.01, 1.0))
def test_outside_the_box_only_the_way_back_is_open(motion, depth):
    outside = motion.limits.workspace_max + depth
    for target, period in zip(motion.targets, motion.periods, strict=True):
        values = motion.filter.filter(target, outside, period).values
        assert (values[:3] <= 0).all()


class LateHand:
    """Moves some time after it was told to, and is seen some time after that, for sure."""

    def __init__(self, position, period, delay, age):
        self.velocities, self.positions = [], [np.array(position, float)]
        self.period, self.delay, self.age = period, round(delay / period), round(age / period)

    def follow(self, velocity):
        self.velocities.append(velocity)
        moves = self.velocities[-1 - self.delay] if len(self.velocities) > self.delay else 0.0
        self.positions.append(self.positions[-1] + np.multiply(moves, self.period))

    @property
    def seen(self):
        return self.positions[max(len(self.positions) - 1 - self.age, 0)]


@pytest.mark.parametrize(('delay', 'age'), [(0.0, 0.24), (0.24, 0.0), (0.1, 0.14)])
def test_a_hand_that_is_seen_late_does_not_overshoot_the_floor(delay, age):
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    hand = LateHand([0.5, 0.0, 0.8], 0.02, delay, age)
    down = np.array([0, 0, -1.0, 0, 0, 0, 0.04])
    for _ in range(200):
        hand.follow(made.filter(down, hand.seen, 0.02, delay + age).values[:3])
    assert min(position[2] for position in hand.positions) > -1e-9
    assert hand.positions[-1][2] < 0.02, 'it gets down all the same'


def test_a_hand_that_is_seen_late_outside_the_box_gets_back_in_and_no_farther_out():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    hand = LateHand([0.5, 0.0, -0.1], 0.02, 0.1, 0.14)
    rng = np.random.default_rng(0)
    for _ in range(200):
        target = np.array([*rng.normal(size=2), -1.0, 0, 0, 0, 0.04])
        hand.follow(made.filter(target, hand.seen, 0.02, 0.24).values[:3])
    assert min(position[2] for position in hand.positions) >= -0.1
    for _ in range(100):
        up = np.array([0, 0, 0.3, 0, 0, 0, 0.04])
        hand.follow(made.filter(up, hand.seen, 0.02, 0.24).values[:3])
    assert hand.positions[-1][2] > 0.1


def test_what_a_late_position_is_led_on_by_ends_with_what_was_commanded():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    up = np.array([0, 0, 0.1, 0, 0, 0, 0.04])
    values = [made.filter(up, np.array([0.5, 0, 0.5]), 0.02, 60.0).values for _ in range(50)]
    np.testing.assert_allclose(values[-1][:3], up[:3])


def test_a_wall_stops_the_way_to_it_and_not_the_way_along_it():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    target = np.array([0.3, 0.3, 0, 0, 0, 0, 0.04])
    commands = [made.filter(target, np.array([1.0, 0.0, 0.5]), 0.05) for _ in range(5)]
    np.testing.assert_allclose(commands[-1].values[:3], [0, 0.3, 0], atol=1e-9)
    assert commands[-1].interventions == ('workspace:x',)


def test_a_measured_position_that_jumps_is_braked_for_within_the_acceleration():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    target = np.array([0.9, 0, 0, 0, 0, 0, 0.04])
    for _ in range(20):
        made.filter(target, np.array([0.1, 0, 0.5]), 0.05)
    speeds = [made.filter(target, np.array([1.1, 0, 0.5]), 0.05).values[0] for _ in range(8)]
    braking = 5.0 / np.sqrt(3) * 0.05
    np.testing.assert_allclose(speeds[:3], 0.9 - braking * np.arange(1, 4))
    assert speeds[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ('target', 'reason'),
    [
        ([0.1, 0, 0, 0, 0, 0, 0.04], ()),
        ([2.0, 0, 0, 0, 0, 0, 0.04], ('speed', 'acceleration')),
        ([0, 0.5, 0, 0, 0, 0, 0.04], ('acceleration',)),
        ([0, 0, 0, 0, 3.0, 0, 0.04], ('rotation_rate', 'rotation_acceleration')),
        ([0, 0, 0, 0, 0, 1.0, 0.04], ('rotation_acceleration',)),
        ([0, 0, 0, 0, 0, 0, 0.08], ('gripper',)),
        ([1e200, 1e200, 0, 0, 0, 0, 0.04], ('speed', 'acceleration')),
    ],
)
def test_the_reason_of_an_intervention_is_named(target, reason):
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    command = made.filter(np.array(target), np.array([0.5, 0, 0.5]), 0.05)
    assert command.interventions == reason
    assert np.isfinite(command.values).all()


def test_a_shortened_velocity_keeps_its_direction():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    for _ in range(20):
        command = made.filter(np.array([3, 0, 4, 0, 0, 0, 0.04]), np.array([0, 0, 0.0]), 0.05)
    np.testing.assert_allclose(command.values[:3], [0.6, 0, 0.8])


def test_the_gripper_stays_as_it_is_while_the_arm_stops():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    made.filter(np.array([0.2, 0, 0, 0, 0, 0, 0.0]), np.array([0.5, 0, 0.5]), 0.05)
    assert made.stop(0.05).values[6] == pytest.approx(0.035)
    made.reset()
    assert made.stop(0.05).values[6] == pytest.approx(0.035)


def test_without_the_gripper_opening_nothing_is_sent():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    for call in (made.reset, lambda: made.stop(0.05)):
        with pytest.raises(ValueError, match='gripper'):
            call()


@pytest.mark.parametrize('entry', range(10))
def test_a_target_or_position_that_is_not_finite_changes_nothing(entry):
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    good = np.array([0.1, 0, 0, 0, 0, 0, 0.04, 0.5, 0, 0.5])
    bad = good.copy()
    bad[entry] = np.nan
    with pytest.raises(NonFiniteTarget, match='nan'):
        made.filter(bad[:7], bad[7:], 0.05)
    np.testing.assert_array_equal(made.filter(good[:7], good[7:], 0.05).values, good[:7])


def test_a_period_that_is_no_time_is_refused():
    made = TwistSafetyFilter(make_limits(), GRIPPER)
    made.reset(0.04)
    with pytest.raises(ValueError, match='period between commands'):
        made.filter(np.zeros(7), np.zeros(3), 0.0)
    with pytest.raises(ValueError, match='period between commands'):
        made.stop(0.0)
