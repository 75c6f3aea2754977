# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Twists and where the end effector began -> the pose that it is commanded to, or may be at."""

import math
from collections import deque

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .command_message import integrate_twist

Numbers = NDArray[np.float64]


class LedPose:
    """The pose to which twists lead from where the end effector was at the start.

    It is this pose, and not the arm that follows it, which has to stay in the workspace.

    Args:
        period: Between two twists [s].
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.pose: Numbers | None = None
        """x y z [m] and a unit quaternion x y z w; None before `start`."""

    def start(self, pose: Float[np.ndarray, '7'] | None) -> None:
        """Begins with the end effector at `pose`; None where it is not measured."""
        self.pose = pose

    def start_again(self, pose: Float[np.ndarray, '7'] | None, near: float) -> None:
        """Begins anew; what is within `near` [m], [rad] of its command goes on."""
        if pose is None or self.pose is None:
            self.start(pose)
            return
        away, turned = self.gap(pose)
        position, rotation = (pose if gap > near else self.pose for gap in (away, turned))
        self.pose = np.array([*position[:3], *rotation[3:]])

    def gap(self, pose: Float[np.ndarray, '7']) -> tuple[float, float]:
        """Returns how far the end effector is from the commanded pose [m], [rad]."""
        return (0.0, 0.0) if self.pose is None else pose_difference(self.pose, pose)

    def advance(self, twist: Float[np.ndarray, '6']) -> None:
        """Follows a twist for one period.

        Raises:
            RuntimeError: The end effector was not measured yet.
        """
        if self.pose is None:
            raise RuntimeError('A pose is commanded before the end effector was measured.')
        self.pose = integrate_twist(self.pose, twist, self._period)


class ReckonedPose:
    """Where twists may have led an end effector since it was last believed to be measured.

    Args:
        period: Between two twists [s].
        lag: The twists of the last so many seconds may not show in a measurement yet.
    """

    def __init__(self, period: float, lag: float) -> None:
        self._period = period
        self._recent: deque[Numbers] = deque(maxlen=math.ceil(lag / period))
        self.pose: Numbers | None = None
        """x y z [m] and a quaternion x y z w; None while measurements are believed."""

    def begin(self) -> None:
        """Forgets everything."""
        self._recent.clear()
        self.pose = None

    def lose(self, pose: Float[np.ndarray, '7']) -> None:
        """It was last believed at `pose`, and is not believed now."""
        if self.pose is None:
            self.pose = pose
            for twist in self._recent:
                self.pose = integrate_twist(self.pose, twist, self._period)

    def advance(self, twist: Float[np.ndarray, '6']) -> None:
        """A twist was sent."""
        self._recent.append(twist)
        if self.pose is not None:
            self.pose = integrate_twist(self.pose, twist, self._period)


def pose_difference(one: Numbers, other: Numbers) -> tuple[float, float]:
    """Returns how far apart two poses, x y z and a unit quaternion, are [m], [rad]."""
    return math.dist(one[:3], other[:3]), rotation_angle(one[3:], other[3:])


def rotation_angle(one: Float[np.ndarray, '4'], other: Float[np.ndarray, '4']) -> float:
    """Returns the angle between two rotations [rad], quaternions of about unit length.

    Drivers round them: a length that is off by 1e-3 would look like an angle of 0.09 rad.
    """
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    # q and -q are the same rotation.
    return 2 * math.acos(min(abs(float(one @ other)) / lengths, 1.0))
