# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that is particular to one kind of action: names, units, filter, messages.

To add a kind of action, write its class and name it in `KINDS`; nobody else asks which it is.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .arm_limits import ArmLimits
from .command_message import read_float64_multi_array, read_joint_trajectory, read_twist
from .commanded_motion import CommandedMotion, JointMotion, TwistMotion

Numbers = NDArray[np.float64]
TWIST_NAMES = (
    'linear.x',
    'linear.y',
    'linear.z',
    'angular.x',
    'angular.y',
    'angular.z',
    'gripper',
)
_NUMBERS = 'std_msgs/msg/Float64MultiArray'
_TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
_TWIST = 'geometry_msgs/msg/TwistStamped'


class ActionKind(abc.ABC):
    """What the entries of an action are, and what follows from that."""

    name: ClassVar[str]
    """What manifests and recipes call it."""
    of_joints: ClassVar[bool]
    """Whether the entries are joints of the arm, by their names, which robots may call otherwise.
    If not, they are of the hand and end with the gripper's opening [m], which has a topic of its
    own; the arm is then measured by the position of the hand and that opening."""
    velocities: ClassVar[bool]
    """Whether an arm stands when its entries, but for a gripper's opening, are 0."""
    outputs: ClassVar[tuple[str, ...]]
    """How they can be sent, by the names of `nodes.command_outputs`; the first is the natural."""
    messages: ClassVar[tuple[str, ...]]
    """Message types from which they are read in recordings; the first is that of training."""

    @property
    def jerk_order(self) -> int:
        """How often an entry has to be differentiated to be a jerk."""
        return 2 if self.velocities else 3

    def check(self, names: Sequence[str], frame: str) -> None:  # noqa: B027 - joints: any names
        """Checks the names of the entries and the frame.

        Raises:
            ValueError: Nobody could interpret them.
        """

    @abc.abstractmethod
    def motion(
        self, names: Sequence[str], frame: str, limits: ArmLimits, max_excess: float
    ) -> CommandedMotion:
        """Returns what judges, admits and stops such commands.

        Args:
            names: Names of the entries.
            frame: Frame of a twist.
            limits: Limits of the arm.
            max_excess: See `Controller`.

        Raises:
            ValueError: The arm has no limits for them.
        """

    @abc.abstractmethod
    def scale(self, names: Sequence[str], limits: ArmLimits) -> Float[np.ndarray, ' actions']:
        """Returns one unit of each entry; see `action_scale`.

        Raises:
            ValueError: The arm has no limits for them.
        """

    @abc.abstractmethod
    def units(self, names: Sequence[str], limits: ArmLimits) -> tuple[str, ...]:
        """Returns the unit of each entry, for people; '' for a share of a range."""

    def believable(self, names: Sequence[str], limits: ArmLimits) -> tuple[Numbers, Numbers]:
        """Returns the lowest and highest entries that an arm in these units could be told.

        They are wide: what is outside of them is in other units, or of another arm.
        """
        return np.full(len(names), -np.inf), np.full(len(names), np.inf)

    @abc.abstractmethod
    def read(
        self, message: Any, message_type: str, names: Sequence[str], frame: str
    ) -> Float[np.ndarray, ' entries']:
        """Returns the entries of a recorded command, but for the opening of a gripper beside it.

        Args:
            message: One of the types in `messages`.
            message_type: Its type.
            names: What the recorded robot calls the entries.
            frame: Frame of a twist.

        Raises:
            ValueError: It does not hold them.
        """

    @abc.abstractmethod
    def standing(self, measured: Float[np.ndarray, ' numbers']) -> Float[np.ndarray, ' actions']:
        """Returns the action that keeps an arm where it is.

        Args:
            measured: The joints that were measured, in their order; those of the gripper are
                one number, its opening.
        """


class JointPositions(ActionKind):
    """Where joints shall be [rad], [m] for prismatic ones."""

    name = 'joint_position'
    of_joints = True
    velocities = False
    outputs = ('joint_trajectory', 'joint_position_array')
    messages = (_TRAJECTORY, _NUMBERS)

    def motion(
        self, names: Sequence[str], frame: str, limits: ArmLimits, max_excess: float
    ) -> CommandedMotion:
        """See `ActionKind`."""
        return JointMotion(limits.joints.select(names), max_excess)

    def scale(self, names: Sequence[str], limits: ArmLimits) -> Float[np.ndarray, ' actions']:
        """Returns the way that each joint goes at its top speed in a second [rad], [m]."""
        return limits.joints.select(names).max_velocity

    def units(self, names: Sequence[str], limits: ArmLimits) -> tuple[str, ...]:
        """See `ActionKind`."""
        units = limits.joints.select(names).units
        return tuple('' if unit == 'fraction' else unit for unit in units)

    def believable(self, names: Sequence[str], limits: ArmLimits) -> tuple[Numbers, Numbers]:
        """See `ActionKind`; a whole range farther on both sides."""
        return limits.joints.select(names).position_range(1.0)

    def read(
        self, message: Any, message_type: str, names: Sequence[str], frame: str
    ) -> Float[np.ndarray, ' entries']:
        """See `ActionKind`."""
        if message_type == _NUMBERS:
            return read_float64_multi_array(message, len(names))
        return np.asarray(read_joint_trajectory(message, names)[0])

    def standing(self, measured: Float[np.ndarray, ' numbers']) -> Float[np.ndarray, ' actions']:
        """See `ActionKind`."""
        return measured


class EndEffectorTwist(ActionKind):
    """Velocities of the hand [m/s], [rad/s] in the base frame, and the gripper's opening [m]."""

    name = 'end_effector_twist'
    of_joints = False
    velocities = True
    outputs = ('twist', 'pose')
    messages = (_TWIST,)

    def check(self, names: Sequence[str], frame: str) -> None:
        """See `ActionKind`."""
        if tuple(names) != TWIST_NAMES:
            raise ValueError(f'A twist action has the entries {TWIST_NAMES}, got {tuple(names)}.')
        if not frame:
            raise ValueError('A twist action needs the frame that it is expressed in.')

    def motion(
        self, names: Sequence[str], frame: str, limits: ArmLimits, max_excess: float
    ) -> CommandedMotion:
        """See `ActionKind`."""
        if limits.end_effector is None or limits.gripper is None:
            raise ValueError(
                f'The checkpoint commands a twist and a gripper, but {limits.name} has no limits '
                "for both; add end_effector and gripper to the arm's calibration file."
            )
        if frame != limits.base_frame:
            raise ValueError(
                f'The checkpoint commands a twist in {frame!r}, the limits of {limits.name} '
                f'are in {limits.base_frame!r}; use the calibration file of its arm.'
            )
        return TwistMotion(limits.end_effector, limits.gripper, max_excess)

    def scale(self, names: Sequence[str], limits: ArmLimits) -> Float[np.ndarray, ' actions']:
        """Returns top speed, top rate and the whole opening."""
        hand, gripper = limits.end_effector, limits.gripper
        if hand is None or gripper is None:
            raise ValueError(
                f'The policy commands a twist and a gripper, but {limits.name} has no limits for '
                'both; name the calibration file of its arm with --arm.'
            )
        speeds = [hand.max_speed] * 3 + [hand.max_rotation_rate] * 3
        return np.array([*speeds, gripper.max_opening], np.float64)

    def units(self, names: Sequence[str], limits: ArmLimits) -> tuple[str, ...]:
        """See `ActionKind`."""
        return ('m/s',) * 3 + ('rad/s',) * 3 + ('m',)

    def believable(self, names: Sequence[str], limits: ArmLimits) -> tuple[Numbers, Numbers]:
        """See `ActionKind`; ten times the speeds, twice the opening."""
        scale = self.scale(names, limits) * np.array([10.0] * 6 + [2.0])
        return -scale, scale

    def read(
        self, message: Any, message_type: str, names: Sequence[str], frame: str
    ) -> Float[np.ndarray, ' entries']:
        """See `ActionKind`."""
        return read_twist(message, frame)

    def standing(self, measured: Float[np.ndarray, ' numbers']) -> Float[np.ndarray, ' actions']:
        """See `ActionKind`."""
        return np.array([*np.zeros(6), *measured])


KINDS: Mapping[str, ActionKind] = {
    kind.name: kind for kind in (JointPositions(), EndEffectorTwist())
}
"""Name -> the kind of action."""
