# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wanted joint positions -> the nearest ones that the arm may follow and can still stop after."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .arm_limits import JointLimits
from .stopping import (
    admissible_accelerations,
    admits,
    largest_acceleration,
    largest_rate,
    stopping_distance,
)

Numbers = NDArray[np.float64]


class NonFiniteTarget(ValueError):
    """A target is NaN or infinite; nothing was passed on and the filter's state is as before."""


@dataclass(frozen=True, eq=False)
class SafeCommand:
    """What may be sent.

    Attributes:
        values: Like the target: joint positions, or a twist and the gripper opening.
        interventions: What had to be changed and why, like 'velocity:panda_joint1'.
        at_rest: Whether the arm stands still once this is done.
    """

    values: Float[np.ndarray, ' actions']
    interventions: tuple[str, ...]
    at_rest: bool


class JointSafetyFilter:
    """Bounds position, velocity, acceleration and jerk of every joint.

    Velocity, acceleration and jerk are differences of successive commands over the period that
    is passed with each. From every state that it reaches, a joint can stop inside all of its
    limits, whatever the later periods are. A target that can be met like that is passed on bit
    for bit; any other one is approached as fast as still allows to stop on it (or, where it
    moves, to join it).

    Args:
        limits: The limits of the joints, in the order of the targets.
    """

    def __init__(self, limits: JointLimits) -> None:
        self._limits = limits
        self._motion = (limits.max_velocity, limits.max_acceleration, limits.max_jerk)
        self._position: Numbers = np.empty(0)

    def reset(self, positions: Float[np.ndarray, ' joints']) -> None:
        """Starts at rest at `positions` [rad], [m].

        A joint that starts outside its limits may move back in, but no farther out.
        """
        position = finite(positions, self._limits.names)
        self._position = self._wanted = position
        self._tracking = np.full(position.shape, True)
        self._velocity = np.zeros_like(position)
        self._acceleration = np.zeros_like(position)
        self._lowest = np.minimum(self._limits.min_position, position)
        self._highest = np.maximum(self._limits.max_position, position)

    def copy(self) -> 'JointSafetyFilter':
        """Returns another filter in the same state; arrays are replaced here, never written."""
        return copy.copy(self)

    def filter(self, target: Float[np.ndarray, ' joints'], period: float) -> SafeCommand:
        """The command to send for `target` [rad], [m], `period` [s] after the last one.

        Raises:
            NonFiniteTarget: There is a NaN or infinity in it.
            ValueError: Wrong number of joints, no proper period, or no reset yet.
        """
        position = self._known_position(period)
        target = finite(target, self._limits.names)
        max_velocity, max_acceleration, max_jerk = self._motion
        wanted = np.clip(target, self._lowest, self._highest)
        velocity = (wanted - position) / period
        acceleration = (velocity - self._velocity) / period
        jerk = (acceleration - self._acceleration) / period
        # Positions are as exact as float64 holds them, and their second difference less so.
        rounding = 4 * np.spacing(np.abs(position) + np.abs(wanted)) / period**2
        slack = 1e-10 * np.minimum(max_acceleration, max_jerk * period) + rounding
        state = (self._room(position), self._velocity, self._acceleration, self._motion, period)
        target_velocity = np.clip((wanted - self._wanted) / period, -max_velocity, max_velocity)
        # After a detour, a target is taken only where the joint can stay on it in the next step.
        staying = (target_velocity - velocity) / period
        stays = np.abs(staying) <= np.minimum(max_acceleration, max_jerk * period)
        stays &= np.abs(staying - acceleration) <= max_jerk * period
        met = admits(acceleration, slack, *state) & (stays | self._tracking)
        command = wanted
        if not met.all():
            between = admissible_accelerations(*state)
            pursuit = self._pursuit(wanted, target_velocity, between, period)
            command = position + (self._velocity + pursuit * period) * period
            command = np.where(met, wanted, command)
        reasons = {
            'position': target != wanted,
            'velocity': ~met & (np.abs(velocity) > max_velocity),
            'acceleration': ~met & (np.abs(acceleration) > max_acceleration),
            'jerk': ~met & (np.abs(jerk) > max_jerk),
            'stopping': ~met,
        }
        self._wanted, self._tracking = wanted, met
        self._advance(command, position, period)
        return self._command(_first_reasons(reasons, self._limits.names))

    def stop(self, period: float) -> SafeCommand:
        """One step of the stop; call it every `period` [s] until the command is at rest.

        Raises:
            ValueError: No proper period, or no reset yet.
        """
        position = self._known_position(period)
        # Not harder than can be let go of by the time the joint stands.
        rate = largest_rate(np.abs(self._velocity), self._limits.max_jerk, period)
        state = (self._room(position), self._velocity, self._acceleration, self._motion, period)
        acceleration = np.clip(-np.sign(self._velocity) * rate, *admissible_accelerations(*state))
        self._advance(
            position + (self._velocity + acceleration * period) * period, position, period
        )
        command = self._command(())
        self._wanted, self._tracking = command.values, np.full(position.shape, True)
        if command.at_rest:
            self._velocity = np.zeros_like(position)
            self._acceleration = np.zeros_like(position)
        return command

    def _known_position(self, period: float) -> Numbers:
        check_period(period)
        if not self._position.size:
            raise ValueError('The filter does not know where the arm is; call reset first.')
        return self._position

    def _room(self, position: Numbers) -> tuple[Numbers, Numbers]:
        return position - self._lowest, self._highest - position

    def _pursuit(
        self,
        wanted: Numbers,
        target_velocity: Numbers,
        between: tuple[Numbers, Numbers],
        period: float,
    ) -> Numbers:
        """The hardest acceleration towards a target that is out of reach in one period.

        Going for it at full speed would overshoot by as much as it was away, back and forth.
        """
        room = wanted - self._position - target_velocity * period
        velocity = self._velocity - target_velocity
        low, high = between
        ahead = room >= 0
        side: Numbers = np.where(ahead, 1.0, -1.0)
        mirrored: tuple[Numbers, Numbers] = (
            np.where(ahead, low, -high),
            np.where(ahead, high, -low),
        )
        stop = (self._limits.max_acceleration, self._limits.max_jerk, period)
        return np.asarray(
            side * largest_acceleration(side * room, side * velocity, mirrored, *stop)
        )

    def _advance(self, command: Numbers, position: Numbers, period: float) -> None:
        """Makes the command the state."""
        command = np.clip(command, self._lowest, self._highest)
        velocity = (command - position) / period
        self._acceleration = (velocity - self._velocity) / period
        self._position, self._velocity = command, velocity
        # A joint that started outside its limits gives up the way that it has come back.
        stop = (self._limits.max_acceleration, self._limits.max_jerk)
        ahead = command + stopping_distance(velocity, self._acceleration, *stop)
        behind = command - stopping_distance(-velocity, -self._acceleration, *stop)
        self._highest = np.clip(ahead, self._limits.max_position, self._highest)
        self._lowest = np.clip(behind, self._lowest, self._limits.min_position)

    def _command(self, interventions: tuple[str, ...]) -> SafeCommand:
        still = (np.abs(self._velocity) <= 1e-9 * self._limits.max_velocity) & (
            np.abs(self._acceleration) <= 1e-9 * self._limits.max_acceleration
        )
        return SafeCommand(self._position.copy(), interventions, bool(still.all()))


def check_period(period: float) -> None:
    """Refuses a time between commands over which float64 positions hold no acceleration.

    Raises:
        ValueError: It is below 10 microseconds, or not finite.
    """
    if not (np.isfinite(period) and period >= 1e-5):
        raise ValueError(f'The period between commands must be at least 1e-05 s, got {period} s.')


def finite(values: Numbers, names: Sequence[str]) -> Numbers:
    """Copy `values`, one for each of `names`.

    Raises:
        NonFiniteTarget: There is a NaN or infinity.
        ValueError: Wrong number of values.
    """
    values = np.array(values, np.float64)
    if values.shape != (len(names),):
        raise ValueError(f'Expected one number for each of {list(names)}, got {values.shape}.')
    if not np.isfinite(values).all():
        bad = {n: float(v) for n, v in zip(names, values, strict=True) if not np.isfinite(v)}
        raise NonFiniteTarget(f'Positions and targets must be finite, got {bad}; nothing is sent.')
    return values


def _first_reasons(
    reasons: Mapping[str, NDArray[np.bool_]], names: Sequence[str]
) -> tuple[str, ...]:
    return tuple(
        next(f'{reason}:{name}' for reason, joints in reasons.items() if joints[i])
        for i, name in enumerate(names)
        if any(joints[i] for joints in reasons.values())
    )
