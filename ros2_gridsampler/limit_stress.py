# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wild targets by the million -> the worst that the safety filters let through."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from .arm_limits import EndEffectorLimits, GripperLimits, JointLimits, load_arm
from .installed_files import find
from .limit_excess import JointExcess, TwistExcess
from .safety_filter import JointSafetyFilter, NonFiniteTarget
from .twist_safety_filter import TwistSafetyFilter

# So many arms at once: the filter is computed for all joints together.
_ARMS = 500
_PERIOD = 0.02
# One step of a twist takes as long as one of all these arms.
_TWIST_SHARE = 100


@dataclass(frozen=True)
class Stress:
    """What came out.

    Attributes:
        joint_steps: Steps of arms commanded by joints.
        twist_steps: Steps of arms commanded by twists.
        not_finite: Targets that held a NaN or an infinity.
        worst: The worst excess over a limit, as a share of it; must be 0.
        limit: Which.
    """

    joint_steps: int
    twist_steps: int
    not_finite: int
    worst: float
    limit: str

    def as_dict(self) -> Mapping[str, object]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        excess = 'no limit exceeded' if self.worst <= 0 else f'{self.worst:.3g}x {self.limit}'
        return (
            f'{self.joint_steps} joint steps, {self.twist_steps} twist steps, of these '
            f'{self.not_finite} targets not finite: {excess}.'
        )


def stress_filters(steps: int, seed: int, arm: str = 'panda') -> Stress:
    """Filter random targets and measure the results as a controller would.

    Targets jump, creep, stand still, are NaN, infinite or huge; arms stop in between.

    Args:
        steps: Of arms commanded by joints; of twists a hundredth of that.
        seed: Of the targets.
        arm: Whose limits.
    """
    limits = load_arm(find('calibration', arm, '.yaml'))
    rng = np.random.default_rng(seed)
    rounds = -(-steps // _ARMS)
    worst, not_finite = _stress_joints(limits.joints, rounds, rng)
    twists = steps // _TWIST_SHARE
    if limits.end_effector is not None and limits.gripper is not None:
        found, more = _stress_twists(limits.end_effector, limits.gripper, twists, rng)
        worst, not_finite = max(worst, found), not_finite + more
    return Stress(rounds * _ARMS, twists, not_finite, *worst)


def _stress_joints(
    joints: JointLimits, rounds: int, rng: np.random.Generator
) -> tuple[tuple[float, str], int]:
    many = joints.select(joints.names)
    wide = JointLimits(
        tuple(f'{name} {i}' for i in range(_ARMS) for name in many.names),
        many.units * _ARMS,
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
    return (judge.worst.share, judge.worst.limit), not_finite


def _stress_twists(
    hand: EndEffectorLimits,
    gripper: GripperLimits,
    steps: int,
    rng: np.random.Generator,
) -> tuple[tuple[float, str], int]:
    made = TwistSafetyFilter(hand, gripper)
    judge, not_finite = TwistExcess(hand, gripper, _PERIOD), 0
    made.reset(0.0)
    judge.begin()
    middle = (hand.workspace_min + hand.workspace_max) / 2
    position, target, outside = middle, np.zeros(7), 0.0
    size = np.array([hand.max_speed] * 3 + [hand.max_rotation_rate] * 3 + [gripper.max_opening])
    for _ in range(steps):
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
        position = position + safe.values[:3] * _PERIOD
        outside = max(
            outside,
            float((hand.workspace_min - position).max()),
            float((position - hand.workspace_max).max()),
        )
    worst = (judge.worst.share, judge.worst.limit)
    return (max(worst, (outside, 'workspace')) if outside > 1e-9 else worst), not_finite
