# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""URDF, limits and the driver's state -> what does not agree, in words; a draft of the limits."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from ..acting.arm_limits import ArmLimits
from .arm_motion import ArmMotion, largest_rates
from .urdf import Urdf

# How far a limit of ours may be beyond that of the URDF: rounding in either file.
_TOLERANCE = 1e-3
# What was seen is widened by this, as in calibration/g1.yaml.
_WIDENING = 1.5
# A joint must have turned by so much to be judged by the pose [rad], [m].
_MIN_TURN = 0.05
# For derivatives [rad], [m].
_NUDGE = 1e-4
_ROUNDS = 3


def compare_limits(arm: ArmLimits, urdf: Urdf) -> list[str]:
    """Returns the places where the arm's file is not inside the URDF, or lacks a joint of it."""
    problems = []
    limits = arm.joints
    shared = [name for name in limits.names if name in urdf.movable]
    unknown = [name for name in limits.names if name not in urdf.movable]
    if unknown:
        problems.append(f'Not in the URDF: {unknown}; it has {list(urdf.movable)}.')
    order = [name for name in urdf.movable if name in shared]
    if order != shared:
        problems.append(
            f'The file lists the joints as {shared}, the URDF as {order}; nothing here depends on '
            'it, but a controller that takes bare arrays does.'
        )
    for name in shared:
        row, joint = limits.names.index(name), urdf.joints[name]
        unit = 'm' if joint.kind == 'prismatic' else 'rad'
        if limits.units[row] != unit:
            problems.append(f'{name}: unit is {limits.units[row]}, by the URDF it is {unit}.')
            continue
        for key, ours, theirs, beyond in (
            ('min_position', limits.min_position[row], joint.min_position, -1),
            ('max_position', limits.max_position[row], joint.max_position, 1),
            ('max_velocity', limits.max_velocity[row], joint.max_velocity, 1),
        ):
            if beyond * (ours - theirs) > _TOLERANCE:
                problems.append(
                    f'{name}: {key} {ours:.4g} is beyond the {theirs:.4g} of the URDF.'
                )
    return problems


def compare_state(
    arm: ArmLimits, names: Sequence[str], states: Float[np.ndarray, 'times joints']
) -> list[str]:
    """Returns the places where the driver's state does not fit the arm's file.

    Args:
        arm: Its limits.
        names: As the driver publishes them.
        states: Positions [rad], [m] or fractions.
    """
    problems = []
    missing = [name for name in arm.joints.names if name not in names]
    if missing:
        problems.append(f'The driver does not publish {missing}; it publishes {list(names)}.')
    for name in set(names) & set(arm.joints.names):
        row = arm.joints.names.index(name)
        seen = states[:, list(names).index(name)]
        low, high = arm.joints.min_position[row], arm.joints.max_position[row]
        beyond = max(low - seen.min(), seen.max() - high)
        # Encoders and soft stops: a hundredth of the range.
        if beyond > 0.01 * (high - low):
            unit = arm.joints.units[row]
            degrees = unit == 'rad' and np.abs(seen).max() > 4 * math.pi
            problems.append(
                f'{name} was at {seen.min():.3f} to {seen.max():.3f}, its limits are {low:.3f} to '
                f'{high:.3f} {unit}'
                + ('; these are degrees.' if degrees else '; zero, sign or unit differ.')
            )
    return sorted(problems)


def check_signs(
    urdf: Urdf,
    names: Sequence[str],
    states: Float[np.ndarray, 'times joints'],
    poses: Float[np.ndarray, 'times 4 4'],
    base: str,
    tip: str,
) -> list[str]:
    """Compares the driver's joints with where the driver says the hand is.

    To first order a small motion of the hand is the sum of the joints' motions, each times a
    factor that must be 1: -1 is a sign, 0.017 is degrees, near 0 is another joint's state.

    Args:
        urdf: The arm.
        names: Joint names of the states' columns.
        states: Positions [rad], [m].
        poses: `tip` in `base` at the same times, by another source than this URDF.
        base: Link in whose frame the poses are.
        tip: Link whose poses they are.
    """
    moving = [joint for joint in urdf.chain(base, tip) if joint.kind != 'fixed']
    missing = [joint.name for joint in moving if joint.name not in names]
    if missing:
        return [f'The driver does not publish {missing}, which move {tip!r} in the URDF.']
    columns = [list(names).index(joint.name) for joint in moving]
    signs = np.ones(len(names))
    factors = np.ones(len(moving))
    # A joint with the wrong sign spoils the geometry for the others: turn it round, look again.
    for _ in range(_ROUNDS):
        found = _fit_factors(urdf, names, states * signs, poses, (base, tip))
        factors = found * signs[columns]
        if (found > 0).all():
            break
        signs[columns] *= np.where(found < 0, -1, 1)
    problems = []
    for joint, column, factor in zip(moving, columns, factors.tolist(), strict=True):
        if np.ptp(states[:, column]) < _MIN_TURN:
            problems.append(f'{joint.name} did not move, so its sign is not checked.')
        elif not 0.8 < factor < 1.25:
            hint = 'its sign is turned round' if -1.25 < factor < -0.8 else 'unit or order differ'
            problems.append(
                f'{joint.name}: by the pose of {tip!r} it moves {factor:.3g} times what its state '
                f'says; {hint}.'
            )
    return problems


def _fit_factors(
    urdf: Urdf,
    names: Sequence[str],
    states: Float[np.ndarray, 'times joints'],
    poses: Float[np.ndarray, 'times 4 4'],
    links: tuple[str, str],
) -> Float[np.ndarray, ' moving']:
    """Returns by how much the hand moved for what each joint of the chain says that it moved."""
    moving = [joint.name for joint in urdf.chain(*links) if joint.kind != 'fixed']
    equations, right = [], []
    for before, after, state, change in zip(
        poses[:-1], poses[1:], states[:-1], np.diff(states, axis=0), strict=True
    ):
        positions = dict(zip(names, state.tolist(), strict=True))
        here = urdf.pose(positions, *links)
        effects = []
        for name in moving:
            there = urdf.pose({**positions, name: positions[name] + _NUDGE}, *links)
            effects.append(_motion(here, there) / _NUDGE * change[list(names).index(name)])
        equations.append(np.stack(effects, -1))
        right.append(_motion(before, after))
    return np.linalg.lstsq(np.concatenate(equations), np.concatenate(right), rcond=None)[0]


def draft_limits(
    urdf: Urdf, names: Sequence[str], motion: ArmMotion | None, known: ArmLimits | None
) -> Mapping[str, Mapping[str, float | str]]:
    """Returns the entries of an arm's file by joint.

    Positions and velocities are the URDF's, or those of `known` where they are narrower;
    accelerations and jerks, which a URDF lacks, those of `known`, or the largest that the
    recorded commands had, widened by half.

    Raises:
        ValueError: A number is known from nowhere; there is no default.
    """
    seen = largest_rates(motion) if motion is not None else {}
    drafts: dict[str, Mapping[str, float | str]] = {}
    for name in names:
        if name not in urdf.movable:
            raise ValueError(f'The URDF has no joint {name!r} that moves, only {urdf.movable}.')
        joint = urdf.joints[name]
        row = known.joints.names.index(name) if known and name in known.joints.names else None
        if row is not None and known is not None:
            rates = [known.joints.max_acceleration[row], known.joints.max_jerk[row]]
            turn = known.joints.max_position[row], known.joints.min_position[row]
            fastest = min(joint.max_velocity, float(known.joints.max_velocity[row]))
        elif name in seen and seen[name].min() > 0:
            rates = [_round_up(_WIDENING * value) for value in seen[name][1:]]
            turn = 2 * math.pi, -2 * math.pi
            fastest = joint.max_velocity
        else:
            raise ValueError(
                f'Nothing says how fast {name!r} may accelerate: a URDF does not, so give the '
                "arm's present file with --limits, or a bag with --bag in which it is commanded."
            )
        if not joint.max_velocity > 0:
            raise ValueError(f'The URDF gives no velocity limit for {name!r}; add it there.')
        drafts[name] = {
            'unit': 'm' if joint.kind == 'prismatic' else 'rad',
            'min_position': float(max(joint.min_position, turn[1])),
            'max_position': float(min(joint.max_position, turn[0])),
            'max_velocity': fastest,
            'max_acceleration': float(rates[0]),
            'max_jerk': float(rates[1]),
        }
    return drafts


def _motion(
    before: Float[np.ndarray, '4 4'], after: Float[np.ndarray, '4 4']
) -> Float[np.ndarray, '6']:
    """Returns the displacement [m] and rotation vector [rad], in the base."""
    turn = Rotation.from_matrix(after[:3, :3] @ before[:3, :3].T).as_rotvec()
    return np.concatenate([after[:3, 3] - before[:3, 3], turn])


def _round_up(value: float) -> float:
    """Rounds up to two significant digits."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return float(f'{math.ceil(value / step) * step:.12g}')
