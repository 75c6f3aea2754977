# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wild targets by the million -> the worst that the safety filters let through."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..acting.arm_limits import EndEffectorLimits, GripperLimits, JointLimits, load_arm
from ..acting.safety_filter import JointSafetyFilter, NonFiniteTarget
from ..acting.twist_safety_filter import TwistSafetyFilter
from ..files import find
from .limit_excess import JointExcess, TwistExcess

# So many arms at once: the filter is computed for all joints together.
_ARMS = 500
_PERIOD = 0.02
_TOLD = 1000


@dataclass(frozen=True)
class Stress:
    """What came out of one filter.

    Attributes:
        steps: Number of steps of an arm, each with a target.
        not_finite: Targets that held a NaN or an infinity.
        max_limit_excess: The worst excess over a limit, as a share of it; must be 0.
        limit: Which; empty for none.
    """

    steps: int
    not_finite: int
    max_limit_excess: float
    limit: str

    def __str__(self) -> str:
        share = self.max_limit_excess
        excess = 'no limit exceeded' if share <= 0 else f'{share:.3g}x {self.limit}'
        return f'{self.steps} steps, {self.not_finite} of them not finite: {excess}'


def stress_joints(steps: int, seed: int, arm: str = 'panda') -> Stress:
    """Filter random joint targets and measure the results as a controller would.

    Targets jump, creep, stand still, are NaN, infinite or huge; arms stop in between.

    Args:
        steps: Number of steps of arms; rounded up to whole rounds of many arms.
        seed: Seed of the targets.
        arm: Arm with the limits.
    """
    limits = load_arm(find('calibration', arm, '.yaml'))
    rounds = -(-steps // _ARMS)
    return _stress_joints(limits.joints, rounds, np.random.default_rng(seed))


def stress_twists(
    steps: int,
    seed: int,
    arm: str = 'panda',
    progress: Callable[[int], object] = lambda steps: None,
) -> Stress:
    """Stresses twists, the gripper, and the box that the hand must not leave.

    Args:
        steps: Number of steps of an arm.
        seed: Seed of the targets.
        arm: Arm with the limits.
        progress: Told after every thousand steps that so many more are done.

    Raises:
        ValueError: The arm has no limits for a twist.
    """
    limits = load_arm(find('calibration', arm, '.yaml'))
    if limits.end_effector is None or limits.gripper is None:
        raise ValueError(f'{limits.name} has no limits for a twist; choose another arm.')
    rng = np.random.default_rng(seed)
    return _stress_twists(limits.end_effector, limits.gripper, steps, rng, progress)


def _stress_joints(joints: JointLimits, rounds: int, rng: np.random.Generator) -> Stress:
    many = joints.select(joints.names)
    wide = JointLimits(
        tuple(f'{name} {i}' for i in range(_ARMS) for name in many.names),
        many.units * _ARMS,
        many.grips * _ARMS,
        *(
            np.tile(values, _ARMS)
            for values in (
                many.min_position,
                many.max_position,
                many.max_velocity,
                many.max_acceleration,
                many.max_jerk,
            )
        ),
    )
    span = wide.max_position - wide.min_position
    target = wide.min_position + span * rng.uniform(size=span.shape)
    made, judge, not_finite = JointSafetyFilter(wide), JointExcess(wide, _PERIOD), 0
    made.reset(target)
    judge.begin(target)
    for step in range(rounds):
        kind = rng.integers(0, 4, span.shape)
        wild = wide.min_position + span * rng.normal(size=span.shape)
        creeping = target + wide.max_velocity * _PERIOD * rng.normal(size=span.shape)
        huge = rng.choice([-1e300, 1e300, 1e9], size=span.shape)
        held = step // 20 % 3 == 0
        target = target if held else np.choose(kind, [wild, creeping, target, huge])
        given = target.copy()
        if rng.uniform() < 0.1:
            given[rng.integers(given.size)] = rng.choice([np.nan, np.inf, -np.inf])
        try:
            safe = made.filter(given, _PERIOD)
        except NonFiniteTarget:
            not_finite += 1
            safe = made.stop(_PERIOD)
        judge.add(safe.values)
    return Stress(rounds * _ARMS, not_finite, judge.worst.share, judge.worst.limit)


def _stress_twists(
    hand: EndEffectorLimits,
    gripper: GripperLimits,
    steps: int,
    rng: np.random.Generator,
    progress: Callable[[int], object],
) -> Stress:
    made = TwistSafetyFilter(hand, gripper)
    judge, not_finite = TwistExcess(hand, gripper, _PERIOD), 0
    made.reset(0.0)
    judge.begin()
    middle = (hand.workspace_min + hand.workspace_max) / 2
    position, target, outside = middle, np.zeros(7), 0.0
    size = np.array([hand.max_speed] * 3 + [hand.max_rotation_rate] * 3 + [gripper.max_opening])
    for step in range(steps):
        if step % _TOLD == _TOLD - 1:
            progress(_TOLD)
        kind = rng.choice(4, p=[0.15, 0.05, 0.75, 0.05])
        if kind == 0:
            target = size * rng.normal(size=7)
        elif kind == 1:
            target = 1e200 * rng.normal(size=7)
        given = target.copy()
        if kind == 3:
            given[rng.integers(7)] = rng.choice([np.nan, np.inf, -np.inf])
        try:
            safe = made.filter(given, position, _PERIOD)
        except NonFiniteTarget:
            not_finite += 1
            safe = made.stop(_PERIOD)
        judge.add(safe.values[:6])
        judge.add_opening(float(safe.values[6]))
        position = position + safe.values[:3] * _PERIOD
        outside = max(
            outside,
            float((hand.workspace_min - position).max()),
            float((position - hand.workspace_max).max()),
        )
    worst = (judge.worst.share, judge.worst.limit)
    if outside > 1e-9:  # more than rounding can do [m]
        side = float((hand.workspace_max - hand.workspace_min).min())
        worst = max(worst, (outside / side, 'workspace'))
    return Stress(steps, not_finite, *worst)
