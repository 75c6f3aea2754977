# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Admissible command -> the message that the arm's controller takes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..acting.action_chunk import ActionSpace
from ..acting.command_message import (
    fill_joint_trajectory,
    fill_pose,
    fill_twist,
)
from .gripper_message import GripperMessage
from .output_topics import CommandOutput, Numbers, numbers_message


class HandOutput(CommandOutput):
    """The hand on a topic of its own, the gripper (`GripperMessage`) on `~/gripper_command`."""

    def __init__(
        self, node: Any, space: ActionSpace, gripper: GripperMessage, hand: dict[str, Any]
    ) -> None:
        super().__init__(node, {**hand, '~/gripper_command': gripper.kind})
        self._frame = space.frame
        self._gripper = gripper

    def _send(self, message: Any, values: Numbers, time: float) -> None:
        self._publishers[0].publish(message)
        self._publishers[1].publish(self._gripper.make(values[6:], time))


class TwistOutput(HandOutput):
    """TwistStamped on `~/twist_command`."""

    def __init__(
        self, node: Any, space: ActionSpace, period: float, gripper: GripperMessage
    ) -> None:
        super().__init__(node, space, gripper, {'~/twist_command': TwistStamped})

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        message = TwistStamped()
        fill_twist(message, values[:6], self._frame, time)
        self._send(message, values, time)


class PoseOutput(HandOutput):
    """PoseStamped on `~/pose_command`."""

    leads = True

    def __init__(
        self, node: Any, space: ActionSpace, period: float, gripper: GripperMessage
    ) -> None:
        super().__init__(node, space, gripper, {'~/pose_command': PoseStamped})

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        if pose is None:
            raise RuntimeError('A pose is commanded before the end effector was measured.')
        message = PoseStamped()
        fill_pose(message, pose, self._frame, time)
        self._send(message, values, time)


class JointTrajectoryOutput(CommandOutput):
    """JointTrajectory on `~/joint_trajectory`: one point, due after one period.

    It is due later where the arm is so far away that it would have to be faster than it may be: a
    controller that was inactive, or restarted, goes there from wherever the arm is.
    """

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        super().__init__(node, {'~/joint_trajectory': JointTrajectory})
        self.joints = {self.topics[0]: space.names}
        self._names = space.names
        self._period = period

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        message = JointTrajectory()
        due = np.array([max(self._period, reach_time)])
        # Without a stamp it starts on arrival; a late one with a stamp would be over, and refused.
        fill_joint_trajectory(message, JointTrajectoryPoint, self._names, values[None], due)
        self._publishers[0].publish(message)


class JointPositionArrayOutput(CommandOutput):
    """Float64MultiArray on `~/joint_positions`, in the order of the checkpoint's joints."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        super().__init__(node, {'~/joint_positions': Float64MultiArray})
        self.joints = {self.topics[0]: space.names}

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        self._publishers[0].publish(numbers_message(values))


OUTPUTS: dict[str, Callable[..., CommandOutput]] = {
    'twist': TwistOutput,
    'pose': PoseOutput,
    'joint_trajectory': JointTrajectoryOutput,
    'joint_position_array': JointPositionArrayOutput,
}
"""Name -> how actions are sent; `ActionKind.outputs` says which kinds can be sent so."""


def choose_output(name: str, space: ActionSpace) -> str:
    """The output of that name; the natural one where it is empty.

    Raises:
        ValueError: The actions cannot be sent that way.
    """
    possible = space.means.outputs
    if name and name not in possible:
        raise ValueError(
            f'The checkpoint commands {space.kind}, which cannot be sent as {name!r}; choose one '
            f"of {list(possible)}, or '' for {possible[0]!r}."
        )
    return name or possible[0]


def make_output(
    node: Any,
    name: str,
    space: ActionSpace,
    period: float,
    separate: Sequence[str] = (),
    gripper: GripperMessage | None = None,
) -> CommandOutput:
    """Advertise the topics of an output that `choose_output` gave.

    Args:
        node: Owns the publishers.
        name: Name of the output.
        space: Action space of the commands.
        period: Time between two commands [s].
        separate: See `SeparateJointsOutput`; none for a twist, whose gripper is separate anyway.
        gripper: How `~/gripper_command` is written; as an array by default.

    Raises:
        ValueError: These joints cannot be separated.
    """
    make, gripper = OUTPUTS[name], gripper or GripperMessage()
    if not space.means.of_joints and not separate:
        return make(node, space, period, gripper)
    if not separate:
        return make(node, space, period)
    if not space.means.of_joints:
        raise ValueError(
            f'separate_joints is {list(separate)}, but the checkpoint commands {space.kind}, '
            'whose gripper has a topic of its own; leave it empty.'
        )
    return SeparateJointsOutput(
        node, lambda rest: make(node, rest, period), space, separate, gripper
    )


class SeparateJointsOutput(CommandOutput):
    """Some joints on `~/gripper_command` [rad], [m], the others by another output.

    ros2_control's controllers own joints, and refuse those of another one.

    Args:
        node: Owns the publishers.
        others: Is told to send the joints that stay; makes its output.
        space: Action space of all joints.
        separate: Names of the joints on `~/gripper_command`, in the order of that message.
        gripper: How that is written.

    Raises:
        ValueError: They are not commanded, or nobody else is.
    """

    def __init__(
        self,
        node: Any,
        others: Callable[[ActionSpace], CommandOutput],
        space: ActionSpace,
        separate: Sequence[str],
        gripper: GripperMessage,
    ) -> None:
        rest = tuple(name for name in space.names if name not in separate)
        unknown = [name for name in separate if name not in space.names]
        if unknown or not rest or len(set(separate)) != len(separate):
            raise ValueError(
                f'separate_joints is {list(separate)}; name each once, and some but not all of '
                f'the joints that the checkpoint commands: {list(space.names)}.'
            )
        self._separate = [space.names.index(name) for name in separate]
        self._rest = [space.names.index(name) for name in rest]
        self._gripper = gripper
        super().__init__(node, {'~/gripper_command': gripper.kind})
        try:
            self._others = others(replace(space, names=rest))
        except Exception:
            self.destroy()
            raise
        apart = self.topics[0]
        self._publishers = [*self._others.publishers, *self._publishers]
        self.joints = {**self._others.joints, apart: separate}

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        self._others.publish(values[self._rest], pose, time, reach_time)
        self._publishers[-1].publish(self._gripper.make(values[self._separate], time))
