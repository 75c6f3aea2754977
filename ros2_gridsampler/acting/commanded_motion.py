# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An arm's limits -> what judges, admits and stops commands of joints and of twists."""

import copy
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from .arm_limits import EndEffectorLimits, GripperLimits, JointLimits
from .grip_watch import GripWatch
from .safety_filter import JointSafetyFilter, SafeCommand
from .state_belief import StatePart, hand_parts, joint_parts, travel_time
from .twist_safety_filter import TwistSafetyFilter

Numbers = NDArray[np.float64]


class CommandedMotion(Protocol):
    """One safety filter, and what it has to be told of the arm.

    A state is what `Controller.measure` takes: joint positions, or the position of the end
    effector and the gripper's opening.

    Attributes:
        grips: Knows what the joints that hold things are squeezing.
        watched: Which joints are commanded to positions and hold nothing; empty for velocities.
        parts: Numbers of a state that move together, and how fast they can.
    """

    grips: GripWatch
    watched: Bool[np.ndarray, ' joints']
    parts: tuple[StatePart, ...]

    def plausible(self, targets: Float[np.ndarray, 'steps actions']) -> bool:
        """Whether a chunk is not beyond the limits by far."""

    def reset(self, state: Float[np.ndarray, ' numbers']) -> None:
        """The arm stands there."""

    def admit(
        self,
        target: Float[np.ndarray, ' actions'],
        state: Float[np.ndarray, ' numbers'],
        period: float,
        lag: float,
        since: float,
    ) -> SafeCommand:
        """The command nearest to the target that the limits allow.

        Args:
            target: What is wanted.
            state: Where the arm was measured.
            period: Until the next command [s].
            lag: Time from the measurement until the command moves the arm [s].
            since: Since the command before [s].

        Raises:
            NonFiniteTarget: The target is not finite; nothing changes.
        """

    def stop(self, period: float) -> SafeCommand:
        """One step of deceleration [s]."""

    def copy(self) -> 'CommandedMotion':
        """Returns another one in the same state, to stop the arm by."""

    def travel_time(
        self,
        values: Float[np.ndarray, ' actions'],
        state: Float[np.ndarray, ' numbers'],
        from_rest: bool = False,
    ) -> float:
        """Returns how long the way between a state and commanded positions takes [s].

        Args:
            values: Commanded; velocities in it begin from wherever the arm is.
            state: Measured.
            from_rest: Whether speeding up and braking count too, by an upper bound.
        """


class JointMotion:
    """Positions of joints: each command goes on from the one before, wherever the arm is."""

    def __init__(self, limits: JointLimits, max_excess: float) -> None:
        """Keeps to `limits`; a chunk may exceed them by `max_excess` of their span."""
        self._filter = JointSafetyFilter(limits)
        self.watched = ~np.array(limits.grips)
        grips = np.flatnonzero(limits.grips)
        self.grips = GripWatch(grips, grips, (limits.max_position - limits.min_position)[grips])
        self._low, self._high = limits.position_range(max_excess)
        self.parts = joint_parts(limits)

    def plausible(self, targets: Numbers) -> bool:
        """See `CommandedMotion`."""
        return bool(((targets >= self._low) & (targets <= self._high)).all())

    def reset(self, state: Numbers) -> None:
        """See `CommandedMotion`."""
        self._filter.reset(state)

    def admit(
        self, target: Numbers, state: Numbers, period: float, lag: float, since: float
    ) -> SafeCommand:
        """See `CommandedMotion`."""
        return self._filter.filter(target, period)

    def stop(self, period: float) -> SafeCommand:
        """See `CommandedMotion`."""
        return self._filter.stop(period)

    def copy(self) -> 'JointMotion':
        """See `CommandedMotion`."""
        clone = copy.copy(self)
        clone._filter = self._filter.copy()
        return clone

    def travel_time(self, values: Numbers, state: Numbers, from_rest: bool = False) -> float:
        """See `CommandedMotion`."""
        return travel_time(self.parts, np.abs(values - state).tolist(), from_rest)


class TwistMotion:
    """Velocities of the hand, from wherever it is, and the opening of the gripper."""

    def __init__(self, hand: EndEffectorLimits, gripper: GripperLimits, max_excess: float) -> None:
        """Keeps to the limits; a chunk may exceed them by `max_excess` of their span."""
        self._filter = TwistSafetyFilter(hand, gripper)
        self.watched = np.zeros(0, bool)
        # The opening is the last of an action and of a state.
        self.grips = GripWatch(np.array([6]), np.array([3]), np.array([gripper.max_opening]))
        bounds = np.array([hand.max_speed, hand.max_rotation_rate, gripper.max_opening])
        self._bounds = bounds * (1 + max_excess)
        self.parts = hand_parts(hand, gripper)

    def plausible(self, targets: Numbers) -> bool:
        """See `CommandedMotion`."""
        speed, rate = np.linalg.norm(targets[:, :6].reshape(-1, 2, 3), axis=2).T
        sizes = np.stack([speed, rate, np.abs(targets[:, 6])], 1)
        return bool((sizes <= self._bounds).all())

    def reset(self, state: Numbers) -> None:
        """See `CommandedMotion`."""
        self._filter.reset(state[3])

    def admit(
        self, target: Numbers, state: Numbers, period: float, lag: float, since: float
    ) -> SafeCommand:
        """See `CommandedMotion`."""
        return self._filter.filter(target, state[:3], period, lag, since)

    def stop(self, period: float) -> SafeCommand:
        """See `CommandedMotion`."""
        return self._filter.stop(period)

    def copy(self) -> 'TwistMotion':
        """See `CommandedMotion`."""
        clone = copy.copy(self)
        clone._filter = self._filter.copy()
        return clone

    def travel_time(self, values: Numbers, state: Numbers, from_rest: bool = False) -> float:
        """See `CommandedMotion`."""
        return travel_time(self.parts[1:2], [abs(values[6] - state[3])], from_rest)
