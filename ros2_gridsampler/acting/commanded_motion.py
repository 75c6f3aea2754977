# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An action space and an arm's limits -> what judges, admits and stops its commands."""

import copy
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from .action_chunk import ActionSpace
from .arm_limits import ArmLimits, EndEffectorLimits, GripperLimits, JointLimits
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
            lag: From the measurement until the command moves the arm [s].
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


def commanded_motion(space: ActionSpace, limits: ArmLimits, max_excess: float) -> CommandedMotion:
    """What commands this arm in this action space.

    Args:
        space: What an action means.
        limits: Of the arm.
        max_excess: See `Controller`.

    Raises:
        ValueError: The arm has no limits for it.
    """
    if space.kind == 'joint_position':
        return _JointMotion(limits.joints.select(space.names), max_excess)
    if limits.end_effector is None or limits.gripper is None:
        raise ValueError(
            f'The checkpoint commands a twist and a gripper, but {limits.name} has no limits '
            "for both; add end_effector and gripper to the arm's calibration file."
        )
    if space.frame != limits.base_frame:
        raise ValueError(
            f'The checkpoint commands a twist in {space.frame!r}, the limits of {limits.name} '
            f'are in {limits.base_frame!r}; use the calibration file of its arm.'
        )
    return _TwistMotion(limits.end_effector, limits.gripper, max_excess)


class _JointMotion:
    """Positions of joints: each command goes on from the one before, wherever the arm is."""

    def __init__(self, limits: JointLimits, max_excess: float) -> None:
        """Know the limits."""
        self._filter = JointSafetyFilter(limits)
        self.watched = ~np.array(limits.grips)
        grips = np.flatnonzero(limits.grips)
        self.grips = GripWatch(grips, grips, (limits.max_position - limits.min_position)[grips])
        self._low, self._high = limits.position_range(max_excess)
        self.parts = joint_parts(limits)

    def plausible(self, targets: Numbers) -> bool:
        return bool(((targets >= self._low) & (targets <= self._high)).all())

    def reset(self, state: Numbers) -> None:
        self._filter.reset(state)

    def admit(
        self, target: Numbers, state: Numbers, period: float, lag: float, since: float
    ) -> SafeCommand:
        return self._filter.filter(target, period)

    def stop(self, period: float) -> SafeCommand:
        return self._filter.stop(period)

    def copy(self) -> '_JointMotion':
        clone = copy.copy(self)
        clone._filter = self._filter.copy()
        return clone

    def travel_time(self, values: Numbers, state: Numbers, from_rest: bool = False) -> float:
        return travel_time(self.parts, np.abs(values - state).tolist(), from_rest)


class _TwistMotion:
    """Velocities of the hand, from wherever it is, and the opening of the gripper."""

    def __init__(self, hand: EndEffectorLimits, gripper: GripperLimits, max_excess: float) -> None:
        """Know the limits."""
        self._filter = TwistSafetyFilter(hand, gripper)
        self.watched = np.zeros(0, bool)
        # The opening is the last of an action and of a state.
        self.grips = GripWatch(np.array([6]), np.array([3]), np.array([gripper.max_opening]))
        bounds = np.array([hand.max_speed, hand.max_rotation_rate, gripper.max_opening])
        self._bounds = bounds * (1 + max_excess)
        self.parts = hand_parts(hand, gripper)

    def plausible(self, targets: Numbers) -> bool:
        speed, rate = np.linalg.norm(targets[:, :6].reshape(-1, 2, 3), axis=2).T
        sizes = np.stack([speed, rate, np.abs(targets[:, 6])], 1)
        return bool((sizes <= self._bounds).all())

    def reset(self, state: Numbers) -> None:
        self._filter.reset(state[3])

    def admit(
        self, target: Numbers, state: Numbers, period: float, lag: float, since: float
    ) -> SafeCommand:
        return self._filter.filter(target, state[:3], period, lag, since)

    def stop(self, period: float) -> SafeCommand:
        return self._filter.stop(period)

    def copy(self) -> '_TwistMotion':
        clone = copy.copy(self)
        clone._filter = self._filter.copy()
        return clone

    def travel_time(self, values: Numbers, state: Numbers, from_rest: bool = False) -> float:
        return travel_time(self.parts[1:2], [abs(values[6] - state[3])], from_rest)
