# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands as a controller receives them -> by how much they exceed the limits of the arm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..acting.arm_limits import EndEffectorLimits, GripperLimits, JointLimits

Numbers = NDArray[np.float64]
# A hardware velocity is judged by when messages were sent, which is not exactly when they were
# meant to be, and by an arm that has moved on since the node has seen it.
_TOLERANCE = 0.1


@dataclass(frozen=True)
class Excess:
    """How far beyond a limit, as a share of it (0: within), and which."""

    share: float
    limit: str


class JointExcess:
    """Positions, velocities, accelerations and jerks of a stream of joint positions.

    The differences are taken over the nominal period, not over the times of arrival: that is
    how a controller executes them.

    Args:
        limits: In the order of the commands.
        period: Between two commands [s].
    """

    def __init__(self, limits: JointLimits, period: float) -> None:
        self._limits = limits
        self._period = period
        self.worst = Excess(0.0, '')
        self._history: list[Numbers] = []

    def begin(self, positions: Float[np.ndarray, ' joints']) -> None:
        """The arm stands at `positions` [rad], [m]."""
        self._history = [positions] * 4

    def is_one_step(
        self, before: Float[np.ndarray, ' joints'], after: Float[np.ndarray, ' joints']
    ) -> bool:
        """Whether the arm may go from one to the other in a period."""
        most = self._limits.max_velocity * self._period
        return bool((np.abs(after - before) <= most).all())

    def add(self, positions: Float[np.ndarray, ' joints'], lost: int = 0) -> None:
        """One command more, after `lost` that were not seen."""
        limits = self._limits
        if not np.isfinite(positions).all():
            self._note('finite', np.array([np.inf]), np.ones(1), 0.0)
            return
        span = limits.max_position - limits.min_position
        outside = np.maximum(limits.min_position - positions, positions - limits.max_position)
        self._note('position', outside / span + 1, np.ones(1), 1e-12)
        self._history = [*self._history[-3:], positions]
        if lost:
            # Over a gap only the mean velocity is known.
            rate = (positions - self._history[-2]) / (self._period * (lost + 1))
            self._note('velocity', rate, limits.max_velocity, 1e-12)
            self._history = [positions]
            return
        rate, rounding = np.array(self._history), float(np.spacing(np.abs(positions).max()))
        for name, most in (
            ('velocity', limits.max_velocity),
            ('acceleration', limits.max_acceleration),
            ('jerk', limits.max_jerk),
        ):
            if len(rate) < 2:
                return
            rate = np.diff(rate, axis=0) / self._period
            rounding *= 4 / self._period
            self._note(name, rate[-1], most, rounding)

    def _note(self, limit: str, values: Numbers, most: Numbers, rounding: float) -> None:
        share = float(np.max((np.abs(values) - rounding) / most)) - 1 - 1e-9
        if share > self.worst.share:
            self.worst = Excess(share, limit)


class TwistExcess:
    """Speed, acceleration and jerk of a stream of twists, and the way of the gripper.

    Args:
        limits: Limits of the end effector.
        gripper: Limits of the gripper.
        period: Between two commands [s].
    """

    def __init__(self, limits: EndEffectorLimits, gripper: GripperLimits, period: float) -> None:
        self._most = (
            np.array([limits.max_speed, limits.max_rotation_rate]),
            np.array([limits.max_acceleration, limits.max_rotation_acceleration]),
            np.array([limits.max_jerk, limits.max_rotation_jerk]),
        )
        self._gripper = gripper
        self._period = period
        self._opening: float | None = None
        self.worst = Excess(0.0, '')
        self._history: list[Numbers] = []

    def begin(self) -> None:
        """The end effector stands; the gripper is as it is commanded next."""
        self._history = [np.zeros(6)] * 3
        self._opening = None

    def add_opening(self, opening: float) -> None:
        """One opening of the gripper [m] more, none between it and the last."""
        limits, before = self._gripper, self._opening
        self._opening = opening
        shares = {'opening': max(opening / limits.max_opening - 1, -opening / limits.max_opening)}
        if before is not None:
            speed = abs(opening - before) / self._period
            shares['gripper speed'] = speed / limits.max_speed - 1
        for name, share in shares.items():
            if not share <= max(self.worst.share, 1e-9):
                self.worst = Excess(share, name)

    def forget(self) -> None:
        """The command before was a mean over some time; the next one is compared with none."""
        self._history = []

    def add(self, twist: Float[np.ndarray, '6'], lost: int = 0) -> None:
        """One command more, after `lost` that were not seen."""
        if not np.isfinite(twist).all():
            self.worst = Excess(np.inf, 'finite')
            return
        self._history = [twist] if lost else [*self._history[-2:], twist]
        rate, rounding = np.array(self._history), float(np.spacing(np.abs(twist).max()))
        for name, most in zip(('speed', 'acceleration', 'jerk'), self._most, strict=True):
            if not len(rate):
                return
            norms = np.linalg.norm(rate[-1].reshape(2, 3), axis=1)
            share = float(np.max((norms - rounding) / most)) - 1 - 1e-9
            if share > self.worst.share:
                self.worst = Excess(share, name)
            rate = np.diff(rate, axis=0) / self._period
            rounding *= 4 / self._period


class HardwareExcess:
    """How fast controllers would make the hardware go with each command, from where the arm is.

    Trajectories are judged twice: by the straight way from the arm as it is, on which a
    joint_trajectory_controller sends it by default; and by that from where such a controller is
    which goes on from what it wanted last. Positions and poses without a time are written at once,
    and an arm goes there as fast as its drives let it: what counts is its mean speed over one
    period, of an arm with the time constant `lag` that has done what was commanded before.

    Args:
        kind: Kind of commands: 'joints', 'positions' or 'pose'.
        max_velocity: Speed of each joint [rad/s], or of the hand [m/s].
        period: Between two commands [s].
        lag: Lag of the arm [s].
    """

    def __init__(
        self, kind: str, max_velocity: Float[np.ndarray, ' parts'], period: float, lag: float
    ) -> None:
        self._kind = kind
        self._most = max_velocity
        self._period = period
        self._reaction = 1 - np.exp(-period / lag)
        self._active = False
        self.worst = Excess(0.0, '')

    def activate(self, place: Float[np.ndarray, ' numbers']) -> None:
        """A controller begins, with the arm at `place`."""
        self._active = True
        self._start = self._goal = place
        self._since, self._duration = -np.inf, 1.0

    def add(
        self,
        goal: Float[np.ndarray, ' numbers'],
        duration: float,
        place: Float[np.ndarray, ' numbers'],
        time: float,
        lost: bool,
    ) -> None:
        """Counts a command more.

        Args:
            goal: Commanded positions.
            duration: Until they are to be reached [s]; 0 without a time.
            place: Where the arm is.
            time: When the command was sent [s].
            lost: Whether others before it were not seen.
        """
        if not self._active:
            self.activate(place)
        if self._kind == 'joints':
            self._note('hardware velocity, from the arm', (goal - place) / duration)
            share = min((time - self._since) / self._duration, 1.0)
            wanted = self._start + share * (self._goal - self._start)
            if not lost:
                name = 'hardware velocity, from the last wanted'
                self._note(name, (goal - wanted) / duration)
            self._start, self._goal, self._since, self._duration = wanted, goal, time, duration
            return
        way = (goal - self._start) * self._reaction
        if not lost:
            self._note('velocity of the arm', way / self._period)
        self._start = self._start + way

    def _note(self, limit: str, velocity: Numbers) -> None:
        sizes = (
            np.abs(velocity) if len(self._most) > 1 else np.linalg.norm(velocity, keepdims=True)
        )
        share = float(np.max(sizes / self._most)) - 1
        if not share <= max(self.worst.share, _TOLERANCE):
            self.worst = Excess(share, limit)
