# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wanted twist and gripper -> the nearest that keep the end effector slow and in its box."""

import copy
from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .arm_limits import EndEffectorLimits, GripperLimits
from .safety_filter import Numbers, SafeCommand, check_period, finite
from .stopping import admissible_accelerations, largest_rate

_NOWHERE: Numbers = np.full(3, np.inf)
# So many commands are remembered; a position that is older than them is refused before.
_REMEMBERED = 2000


@dataclass(frozen=True)
class _Step:
    """A velocity for one period, and what had to be changed for it."""

    velocity: Numbers
    shortened: bool
    walled: NDArray[np.bool_]
    too_hard: bool
    too_abrupt: bool


class _VelocityFilter:
    """Bounds speed, acceleration and jerk of a velocity [3], and the way that it leads.

    The norms are bounded: each axis gets 1/sqrt(3) of acceleration and jerk, so that all can
    brake at once, and the velocities that the axes have now and once their accelerations are
    let go, taken at their larger ones, stay within the largest speed together. Braking each axis
    makes none of these larger, so it is always possible; everything else is tried against it.
    """

    def __init__(self, max_speed: float, max_acceleration: float, max_jerk: float) -> None:
        self._max_speed = max_speed
        self._acceleration_limit = np.full(3, max_acceleration / np.sqrt(3))
        self._jerk_limit = np.full(3, max_jerk / np.sqrt(3))
        self.rest()

    def rest(self) -> None:
        """The velocity is zero, and has been."""
        self.velocity: Numbers = np.zeros(3)
        self._acceleration: Numbers = np.zeros(3)
        self._tracking = True

    @property
    def at_rest(self) -> bool:
        """Neither a velocity nor an acceleration is left."""
        return not (self.velocity.any() or self._acceleration.any())

    def towards(self, target: Numbers, room: tuple[Numbers, Numbers], period: float) -> _Step:
        """One period nearer to `target`, with `room` behind and ahead along each axis."""
        wanted, shortened = _shorten(target, self._max_speed)
        direct = (wanted - self.velocity) / period
        low, high = self._bounds(room, period)
        most = np.minimum(self._acceleration_limit, self._jerk_limit * period)
        # The error of a difference of velocities over the period, and a trace of the limits.
        slack = 1e-10 * most + 4 * np.spacing(np.abs(wanted) + np.abs(self.velocity)) / period
        within = ((low - slack <= direct) & (direct <= high + slack)).all()
        # A target that jumped is taken only where its acceleration can be let go in one period.
        soft = (np.abs(direct) <= most + slack).all()
        if within and (self._tracking or soft) and self._fits(wanted, direct):
            self._go_on(wanted, direct)
            return _Step(wanted, shortened, np.full(3, False), False, False)
        # As hard as can still be let go when the target velocity is reached.
        rate = largest_rate(np.abs(wanted - self.velocity), self._jerk_limit, period)
        chase = np.clip(np.sign(direct) * rate, low, high)
        free = self._bounds((_NOWHERE, _NOWHERE), period)
        walled = chase != np.clip(np.sign(direct) * rate, *free)
        self._apply(self._as_far_as_fits(chase, (low, high), period), period)
        self._tracking = False
        hard = (np.abs(direct) > self._acceleration_limit + slack) & ~walled
        abrupt = np.abs(direct - self._acceleration) > self._jerk_limit * period + slack
        return _Step(self.velocity, shortened, walled, bool(hard.any()), bool(abrupt.any()))

    def brake(self, period: float) -> None:
        """One period of the stop."""
        low, high = self._bounds((_NOWHERE, _NOWHERE), period)
        self._apply(self._braking((low, high), period), period)
        # What is left is below all that could be measured.
        near = np.abs(self.velocity) <= 1e-9 * self._max_speed
        if (near & (np.abs(self._acceleration) <= 1e-6 * self._acceleration_limit)).all():
            self.rest()
        self._tracking = True

    def _bounds(self, room: tuple[Numbers, Numbers], period: float) -> tuple[Numbers, Numbers]:
        limits = (np.full(3, self._max_speed), self._acceleration_limit, self._jerk_limit)
        low, high = admissible_accelerations(
            room, self.velocity, self._acceleration, limits, period
        )
        # Outside the box not even a swing outwards is allowed that would lead back.
        back = largest_rate(self.velocity, self._jerk_limit, period)
        low = np.where(room[0] > 0, low, np.minimum(np.maximum(low, -back), high))
        back = largest_rate(-self.velocity, self._jerk_limit, period)
        high = np.where(room[1] > 0, high, np.maximum(np.minimum(high, back), low))
        return low, high

    def _braking(self, between: tuple[Numbers, Numbers], period: float) -> Numbers:
        rate = largest_rate(np.abs(self.velocity), self._jerk_limit, period)
        return np.clip(-np.sign(self.velocity) * rate, *between)

    def _fits(self, velocity: Numbers, acceleration: Numbers) -> bool:
        """Whether the speed stays within its limit while all accelerations are let go."""
        released = velocity + acceleration * np.abs(acceleration) / (2 * self._jerk_limit)
        largest = np.maximum(np.abs(velocity), np.abs(released))
        return bool(np.linalg.norm(largest) <= self._max_speed * (1 + 1e-12))

    def _as_far_as_fits(
        self, chase: Numbers, between: tuple[Numbers, Numbers], period: float
    ) -> Numbers:
        """Returns what of the way from braking to `chase` still fits, as an acceleration."""
        if self._fits(self.velocity + chase * period, chase):
            return chase
        brake = self._braking(between, period)
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = (low + high) / 2
            between_them = brake + middle * (chase - brake)
            if self._fits(self.velocity + between_them * period, between_them):
                low = middle
            else:
                high = middle
        return np.asarray(brake + low * (chase - brake))

    def _apply(self, acceleration: Numbers, period: float) -> None:
        velocity = self.velocity + acceleration * period
        self._go_on(velocity, acceleration)

    def _go_on(self, velocity: Numbers, acceleration: Numbers) -> None:
        self.velocity, self._acceleration = velocity, acceleration
        self._tracking = True


class TwistSafetyFilter:
    """Bounds the end effector's box, speed, acceleration, jerk and rotation, and the gripper.

    The norms of linear and angular velocity, acceleration and jerk are bounded. The commanded
    twist, followed for a period, leaves the end effector where it can still stop in the box.

    Args:
        end_effector: Limits of the motion.
        gripper: Limits of the opening.
    """

    def __init__(self, end_effector: EndEffectorLimits, gripper: GripperLimits) -> None:
        limits = self._limits = end_effector
        self._gripper = gripper
        self._opening: float | None = None
        self._sent: deque[tuple[Numbers, float]] = deque(maxlen=_REMEMBERED)
        self._linear = _VelocityFilter(limits.max_speed, limits.max_acceleration, limits.max_jerk)
        self._angular = _VelocityFilter(
            limits.max_rotation_rate, limits.max_rotation_acceleration, limits.max_rotation_jerk
        )

    def reset(self, gripper_opening: float | None = None) -> None:
        """Starts at rest.

        Args:
            gripper_opening: As measured [m]. None keeps the one commanded last, so that a
                gripper which holds something goes on squeezing it.

        Raises:
            ValueError: None, and nothing has been commanded yet.
        """
        if gripper_opening is not None:
            opening = finite(np.array([gripper_opening]), ('gripper',))
            self._opening = float(np.clip(opening[0], 0.0, self._gripper.max_opening))
        elif self._opening is None:
            raise ValueError(
                'The filter does not know how far the gripper is open; reset it with the '
                'measured opening.'
            )
        self._linear.rest()
        self._angular.rest()
        self._sent.clear()

    def copy(self) -> 'TwistSafetyFilter':
        """Returns another filter in the same state; arrays are replaced here, never written."""
        clone = copy.copy(self)
        clone._linear, clone._angular = copy.copy(self._linear), copy.copy(self._angular)
        clone._sent = self._sent.copy()
        return clone

    def filter(
        self,
        target: Float[np.ndarray, '7'],
        position: Float[np.ndarray, '3'],
        period: float,
        lag: float = 0.0,
        since: float = 0.0,
    ) -> SafeCommand:
        """The twist and gripper opening nearest to `target` that may be sent now.

        Args:
            target: Linear [m/s], angular [rad/s], gripper opening [m].
            position: Where the end effector was measured, in the base frame [m].
            period: For how long the twist is followed [s].
            lag: The commands of the last so many seconds do not show in the position yet: its
                age, and the time from a command until the arm moves.
            since: The previous command was followed for so long, where that was longer than its
                period [s].

        Raises:
            NonFiniteTarget: There is a NaN or infinity in target or position.
            ValueError: Wrong size, no proper period, or no reset yet.
        """
        opening = self._known_opening(period)
        target = finite(target, ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper'))
        position = finite(position, ('position.x', 'position.y', 'position.z'))
        if self._sent and since > self._sent[-1][1]:
            self._sent[-1] = (self._sent[-1][0], since)
        # The arm may not have followed, so both places count, on each side the one farther out.
        led = position + self._way(lag)
        # A measured position may jump out of the box; then only the way back is open.
        behind = np.maximum(np.minimum(position, led) - self._limits.workspace_min, 0)
        ahead = np.maximum(self._limits.workspace_max - np.maximum(position, led), 0)
        linear = self._linear.towards(target[:3], (behind, ahead), period)
        angular = self._angular.towards(target[3:6], (_NOWHERE, _NOWHERE), period)
        step = self._gripper.max_speed * period
        wanted = float(np.clip(target[6], 0.0, self._gripper.max_opening))
        self._opening = float(np.clip(wanted, opening - step, opening + step))
        reasons = {
            'speed': linear.shortened,
            **{f'workspace:{axis}': hit for axis, hit in zip('xyz', linear.walled, strict=True)},
            'acceleration': linear.too_hard,
            'jerk': linear.too_abrupt,
            'rotation_rate': angular.shortened,
            'rotation_acceleration': angular.too_hard,
            'rotation_jerk': angular.too_abrupt,
            'gripper': self._opening != target[6],
        }
        return self._command(tuple(name for name, holds in reasons.items() if holds), period)

    def stop(self, period: float) -> SafeCommand:
        """One step of the stop; call it every `period` [s] until the command is at rest.

        The gripper stays as it is.

        Raises:
            ValueError: No proper period, or no reset yet.
        """
        self._known_opening(period)
        self._linear.brake(period)
        self._angular.brake(period)
        return self._command((), period)

    def _way(self, lag: float) -> Numbers:
        """Where the commands of the last `lag` [s] lead [m]."""
        way = np.zeros(3)
        for velocity, period in reversed(self._sent):
            if lag <= 0:
                break
            way += velocity * min(period, lag)
            lag -= period
        return way

    def _known_opening(self, period: float) -> float:
        check_period(period)
        if self._opening is None:
            raise ValueError('The filter does not know the gripper opening; call reset first.')
        return self._opening

    def _command(self, interventions: tuple[str, ...], period: float) -> SafeCommand:
        self._sent.append((self._linear.velocity, period))
        values = np.array(
            [*self._linear.velocity, *self._angular.velocity, self._opening], np.float64
        )
        return SafeCommand(values, interventions, self._linear.at_rest and self._angular.at_rest)


def _shorten(vector: Numbers, longest: float) -> tuple[Numbers, bool]:
    scale = max(float(np.abs(vector).max()), longest)  # squares of huge numbers overflow
    length = float(np.linalg.norm(vector / scale)) * scale
    if length <= longest * (1 + 1e-12):
        return vector, False
    return vector / scale * (longest / (length / scale)), True
