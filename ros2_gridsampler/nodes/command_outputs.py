# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Admissible command -> the message that the arm's controller takes."""

import math
from collections.abc import Callable, Sequence
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
    integrate_twist,
)
from .output_topics import CommandOutput, Numbers, numbers_message
from .separate_joints import SeparateJointsOutput


class TwistOutput(CommandOutput):
    """TwistStamped on `~/twist_command`, the opening [m] on `~/gripper_command`."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topics."""
        topics = {'~/twist_command': TwistStamped, '~/gripper_command': Float64MultiArray}
        super().__init__(node, topics)
        self._frame = space.frame

    @property
    def places(self) -> bool:
        """See `CommandOutput`."""
        return False

    def publish(self, values: Numbers, time: float, reach_time: float = 0.0) -> None:
        """See `CommandOutput`."""
        message = TwistStamped()
        fill_twist(message, values[:6], self._frame, time)
        self._publishers[0].publish(message)
        self._publishers[1].publish(numbers_message(values[6:]))


class PoseOutput(CommandOutput):
    """PoseStamped on `~/pose_command`, the opening [m] on `~/gripper_command`.

    The pose is where the twists lead from where the end effector was at the start, so it is this
    pose, and not the arm that follows it, which has to stay in the workspace.
    """

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topics."""
        topics = {'~/pose_command': PoseStamped, '~/gripper_command': Float64MultiArray}
        super().__init__(node, topics)
        self._frame = space.frame
        self._period = period
        self._pose: Numbers | None = None

    def start(self, pose: Numbers | None) -> None:
        """See `CommandOutput`."""
        self._pose = pose

    def start_again(self, pose: Numbers | None, near: float) -> None:
        """See `CommandOutput`."""
        if pose is None or self._pose is None:
            self.start(pose)
            return
        away, turned = self.gap(pose)
        position, rotation = (pose if gap > near else self._pose for gap in (away, turned))
        self._pose = np.array([*position[:3], *rotation[3:]])

    @property
    def pose(self) -> Numbers | None:
        """See `CommandOutput`."""
        return self._pose

    def state(self, measured: Numbers) -> Numbers:
        """The commanded position, and the gripper as measured."""
        return measured if self._pose is None else np.array([*self._pose[:3], *measured[3:]])

    def gap(self, pose: Numbers) -> tuple[float, float]:
        """See `CommandOutput`."""
        if self._pose is None:
            return 0.0, 0.0
        return pose_difference(self._pose, pose)

    def publish(self, values: Numbers, time: float, reach_time: float = 0.0) -> None:
        """See `CommandOutput`."""
        if self._pose is None:
            raise RuntimeError('A pose is commanded before the end effector was measured.')
        self._pose = integrate_twist(self._pose, values[:6], self._period)
        message = PoseStamped()
        fill_pose(message, self._pose, self._frame, time)
        self._publishers[0].publish(message)
        self._publishers[1].publish(numbers_message(values[6:]))


class JointTrajectoryOutput(CommandOutput):
    """JointTrajectory on `~/joint_trajectory`: one point, due after one period.

    It is due later where the arm is so far away that it would have to be faster than it may be: a
    controller that was inactive, or restarted, goes there from wherever the arm is.
    """

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topic."""
        super().__init__(node, {'~/joint_trajectory': JointTrajectory})
        self._names = space.names
        self._period = period

    def publish(self, values: Numbers, time: float, reach_time: float = 0.0) -> None:
        """See `CommandOutput`."""
        message = JointTrajectory()
        due = np.array([max(self._period, reach_time)])
        # Without a stamp it starts on arrival; a late one with a stamp would be over, and refused.
        fill_joint_trajectory(message, JointTrajectoryPoint, self._names, values[None], due)
        self._publishers[0].publish(message)


class JointPositionArrayOutput(CommandOutput):
    """Float64MultiArray on `~/joint_positions`, in the order of the checkpoint's joints."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topic."""
        super().__init__(node, {'~/joint_positions': Float64MultiArray})

    def publish(self, values: Numbers, time: float, reach_time: float = 0.0) -> None:
        """See `CommandOutput`."""
        self._publishers[0].publish(numbers_message(values))


# The first of each is the natural one.
_OUTPUTS: dict[str, dict[str, Callable[[Any, ActionSpace, float], CommandOutput]]] = {
    'end_effector_twist': {'twist': TwistOutput, 'pose': PoseOutput},
    'joint_position': {
        'joint_trajectory': JointTrajectoryOutput,
        'joint_position_array': JointPositionArrayOutput,
    },
}


def pose_difference(one: Numbers, other: Numbers) -> tuple[float, float]:
    """How far apart two poses, x y z and a unit quaternion, are [m], [rad]."""
    # q and -q are the same rotation.
    cosine = min(abs(float(one[3:] @ other[3:])), 1.0)
    return math.dist(one[:3], other[:3]), 2 * math.acos(cosine)


def choose_output(name: str, space: ActionSpace) -> str:
    """The output of that name; the natural one where it is empty.

    Raises:
        ValueError: The actions cannot be sent that way.
    """
    possible = _OUTPUTS[space.kind]
    if name and name not in possible:
        raise ValueError(
            f'The checkpoint commands {space.kind}, which cannot be sent as {name!r}; choose one '
            f"of {list(possible)}, or '' for {next(iter(possible))!r}."
        )
    return name or next(iter(possible))


def make_output(
    node: Any, name: str, space: ActionSpace, period: float, separate: Sequence[str] = ()
) -> CommandOutput:
    """Advertise the topics of an output that `choose_output` gave.

    Args:
        node: Owns the publishers.
        name: Of the output.
        space: Of the commands.
        period: Between two of them [s].
        separate: See `SeparateJointsOutput`; none for a twist, whose gripper is separate anyway.

    Raises:
        ValueError: These joints cannot be separated.
    """
    make = _OUTPUTS[space.kind][name]
    if not separate:
        return make(node, space, period)
    if space.kind != 'joint_position':
        raise ValueError(
            f'separate_joints is {list(separate)}, but the checkpoint commands {space.kind}, '
            'whose gripper has a topic of its own; leave it empty.'
        )
    return SeparateJointsOutput(node, lambda rest: make(node, rest, period), space, separate)
