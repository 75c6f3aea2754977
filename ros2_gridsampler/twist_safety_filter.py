# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wanted twist and gripper -> the nearest that keep the end effector slow and in its box."""

import numpy as np
from jaxtyping import Float

from .arm_limits import EndEffectorLimits, GripperLimits
from .safety_filter import Numbers, SafeCommand, check_period, finite
from .stopping import largest_rate


class TwistSafetyFilter:
    """Bounds the end effector's box, speed, acceleration and rotation, and the gripper.

    The norms of linear and angular velocity and acceleration are bounded. The commanded twist,
    followed for a period, leaves the end effector where it can still stop in the box; each
    wall gets 1/sqrt(3) of the acceleration for that, so that all can be braked for at once.

    `max_jerk` and `max_rotation_jerk` are NOT enforced here. Accelerations that stay within
    their limit keep the jerk within 2 max_acceleration / period, so it holds by itself for
    periods from 2 max_acceleration / max_jerk on (Panda: 4 ms); for shorter ones, or softer
    arms, leave it to the arm's controller.

    Args:
        end_effector: Limits of the motion.
        gripper: Limits of the opening.
    """

    def __init__(self, end_effector: EndEffectorLimits, gripper: GripperLimits) -> None:
        """Know the limits; `reset` comes before the first command."""
        self._limits = end_effector
        self._gripper = gripper
        self._opening: float | None = None
        self._linear: Numbers = np.zeros(3)
        self._angular: Numbers = np.zeros(3)

    def reset(self, gripper_opening: float | None = None) -> None:
        """Start at rest.

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
        self._linear = np.zeros(3)
        self._angular = np.zeros(3)

    def filter(
        self, target: Float[np.ndarray, '7'], position: Float[np.ndarray, '3'], period: float
    ) -> SafeCommand:
        """The twist and gripper opening nearest to `target` that may be sent now.

        Args:
            target: Linear [m/s], angular [rad/s], gripper opening [m].
            position: Where the end effector is, in the base frame [m].
            period: For how long the twist is followed [s].

        Raises:
            NonFiniteTarget: There is a NaN or infinity in target or position.
            ValueError: Wrong size, no proper period, or no reset yet.
        """
        opening = self._known_opening(period)
        target = finite(target, ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper'))
        position = finite(position, ('position.x', 'position.y', 'position.z'))
        limits = self._limits
        linear, too_fast = _shorten(target[:3], limits.max_speed)
        angular, too_quick = _shorten(target[3:6], limits.max_rotation_rate)
        low, high = self._walls(position, period)
        walled = (linear < low - 1e-12 * limits.max_speed) | (
            linear > high + 1e-12 * limits.max_speed
        )
        linear = np.where(walled, np.clip(linear, low, high), linear)
        anchor = np.clip(self._linear, low, high)
        linear, too_hard = _walk(self._linear, anchor, linear, limits.max_acceleration * period)
        angular, too_abrupt = _walk(
            self._angular, self._angular, angular, limits.max_rotation_acceleration * period
        )
        step = self._gripper.max_speed * period
        wanted = float(np.clip(target[6], 0.0, self._gripper.max_opening))
        self._opening = float(np.clip(wanted, opening - step, opening + step))
        self._linear, self._angular = linear, angular
        reasons = {
            'speed': too_fast,
            **{f'workspace:{axis}': hit for axis, hit in zip('xyz', walled, strict=True)},
            'acceleration': too_hard,
            'rotation_rate': too_quick,
            'rotation_acceleration': too_abrupt,
            'gripper': self._opening != target[6],
        }
        return self._command(tuple(name for name, holds in reasons.items() if holds))

    def stop(self, period: float) -> SafeCommand:
        """One step of the stop; call it every `period` [s] until the command is at rest.

        The gripper stays as it is.

        Raises:
            ValueError: No proper period, or no reset yet.
        """
        self._known_opening(period)
        reach = self._limits.max_acceleration * period
        # First what every wall may need, then what is left of the acceleration.
        slower = np.maximum(np.abs(self._linear) - reach / np.sqrt(3), 0) * np.sign(self._linear)
        self._linear, _ = _walk(self._linear, slower, np.zeros(3), reach)
        reach = self._limits.max_rotation_acceleration * period
        self._angular, _ = _walk(self._angular, self._angular, np.zeros(3), reach)
        return self._command(())

    def _known_opening(self, period: float) -> float:
        check_period(period)
        if self._opening is None:
            raise ValueError('The filter does not know the gripper opening; call reset first.')
        return self._opening

    def _walls(self, position: Numbers, period: float) -> tuple[Numbers, Numbers]:
        """Smallest and largest velocity along each axis [m/s]; zero lies between them."""
        braking = np.full(3, self._limits.max_acceleration / np.sqrt(3))
        ahead = np.maximum(self._limits.workspace_max - position, 0)
        behind = np.maximum(position - self._limits.workspace_min, 0)
        # A measured position may jump: the acceleration limit comes before the wall.
        high = np.maximum(largest_rate(ahead, braking, period), self._linear - braking * period)
        low = np.minimum(-largest_rate(behind, braking, period), self._linear + braking * period)
        return low, high

    def _command(self, interventions: tuple[str, ...]) -> SafeCommand:
        moving = bool(self._linear.any() or self._angular.any())
        values = np.array([*self._linear, *self._angular, self._opening], np.float64)
        return SafeCommand(values, interventions, not moving)


def _shorten(vector: Numbers, longest: float) -> tuple[Numbers, bool]:
    scale = max(float(np.abs(vector).max()), longest)  # squares of huge numbers overflow
    length = float(np.linalg.norm(vector / scale)) * scale
    if length <= longest * (1 + 1e-12):
        return vector, False
    return vector / scale * (longest / (length / scale)), True


def _walk(origin: Numbers, anchor: Numbers, goal: Numbers, reach: float) -> tuple[Numbers, bool]:
    """Go from `anchor` towards `goal` as long as that is within `reach` of `origin`."""
    if np.linalg.norm(goal - origin) <= reach * (1 + 1e-12):
        return goal, False
    offset, way = anchor - origin, goal - anchor
    across = float(offset @ way)
    rest = float(way @ way) * (float(offset @ offset) - reach**2)
    fraction = (np.sqrt(max(across**2 - rest, 0.0)) - across) / max(float(way @ way), 1e-300)
    return anchor + float(np.clip(fraction, 0.0, 1.0)) * way, True
