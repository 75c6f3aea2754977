# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Admissible command -> the message that the arm's controller takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..action_chunk import ActionSpace
from ..command_message import (
    fill_float64_multi_array,
    fill_joint_trajectory,
    fill_pose,
    fill_twist,
    integrate_twist,
)
from .topics import NEWEST_RELIABLE

Numbers = NDArray[np.float64]


class CommandOutput:
    """One way to command an arm.

    Args:
        node: Owns the publishers.
        topics: Topic -> message class.
    """

    def __init__(self, node: Any, topics: dict[str, Any]) -> None:
        """Advertise the topics."""
        self._node = node
        self._publishers: list[Any] = []
        try:
            for topic, kind in topics.items():
                publisher = node.create_publisher(kind, topic, NEWEST_RELIABLE)
                self._publishers.append(publisher)
        except Exception:
            self.destroy()
            raise

    @property
    def publishers(self) -> list[Any]:
        """One per topic."""
        return self._publishers

    @property
    def topics(self) -> list[str]:
        """Names in the graph."""
        return [str(publisher.topic_name) for publisher in self._publishers]

    @property
    def unheard(self) -> list[str]:
        """Those that nobody subscribes with a QoS that fits."""
        return [str(p.topic_name) for p in self._publishers if not p.get_subscription_count()]

    def start(self, pose: Numbers | None) -> None:
        """Commanding begins with the end effector at `pose`; None where nobody measures it."""

    def start_again(self, pose: Numbers | None, near: float) -> None:
        """Commanding begins anew; what is within `near` [m], [rad] of its command goes on."""
        self.start(pose)

    def state(self, measured: Numbers) -> Numbers:
        """What the next command builds on, given where the arm is; see `Controller.measure`."""
        return measured

    @property
    def pose(self) -> Numbers | None:
        """The commanded pose of the end effector; None where none is."""
        return None

    def gap(self, pose: Numbers) -> tuple[float, float]:
        """How far the end effector is from the commanded pose [m], [rad]; 0 where none is."""
        return 0.0, 0.0

    def publish(self, values: Numbers, time: float) -> None:
        """Send a command; `time` is now [s]."""
        raise NotImplementedError

    def wait_until_received(self) -> None:
        """Return when reliable subscribers have the last command, or after half a second."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(Duration(seconds=0.5))

    def destroy(self) -> None:
        """Take the topics back."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)


class TwistOutput(CommandOutput):
    """TwistStamped on `~/twist_command`, the opening [m] on `~/gripper_command`."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topics."""
        topics = {'~/twist_command': TwistStamped, '~/gripper_command': Float64MultiArray}
        super().__init__(node, topics)
        self._frame = space.frame

    def publish(self, values: Numbers, time: float) -> None:
        """See `CommandOutput`."""
        message = TwistStamped()
        fill_twist(message, values[:6], self._frame, time)
        self._publishers[0].publish(message)
        self._publishers[1].publish(_numbers(values[6:]))


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

    def publish(self, values: Numbers, time: float) -> None:
        """See `CommandOutput`."""
        if self._pose is None:
            raise RuntimeError('A pose is commanded before the end effector was measured.')
        self._pose = integrate_twist(self._pose, values[:6], self._period)
        message = PoseStamped()
        fill_pose(message, self._pose, self._frame, time)
        self._publishers[0].publish(message)
        self._publishers[1].publish(_numbers(values[6:]))


class JointTrajectoryOutput(CommandOutput):
    """JointTrajectory on `~/joint_trajectory`: one point, to be reached within one period."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topic."""
        super().__init__(node, {'~/joint_trajectory': JointTrajectory})
        self._names = space.names
        self._period = period

    def publish(self, values: Numbers, time: float) -> None:
        """See `CommandOutput`."""
        message = JointTrajectory()
        due = np.array([self._period])
        # Without a stamp it starts on arrival; a late one with a stamp would be over, and refused.
        fill_joint_trajectory(message, JointTrajectoryPoint, self._names, values[None], due)
        self._publishers[0].publish(message)


class JointPositionArrayOutput(CommandOutput):
    """Float64MultiArray on `~/joint_positions`, in the order of the checkpoint's joints."""

    def __init__(self, node: Any, space: ActionSpace, period: float) -> None:
        """Advertise the topic."""
        super().__init__(node, {'~/joint_positions': Float64MultiArray})

    def publish(self, values: Numbers, time: float) -> None:
        """See `CommandOutput`."""
        self._publishers[0].publish(_numbers(values))


class SeparateJointsOutput(CommandOutput):
    """Some joints on `~/gripper_command` [rad], [m], the others by another output.

    ros2_control's controllers own joints, and refuse those of another one.

    Args:
        node: Owns the publishers.
        others: Is told to send the joints that stay; makes its output.
        space: Of all joints.
        separate: Names of the joints on `~/gripper_command`, in the order of that array.

    Raises:
        ValueError: They are not commanded, or nobody else is.
    """

    def __init__(
        self,
        node: Any,
        others: Callable[[ActionSpace], CommandOutput],
        space: ActionSpace,
        separate: Sequence[str],
    ) -> None:
        """Advertise the topics."""
        rest = tuple(name for name in space.names if name not in separate)
        unknown = [name for name in separate if name not in space.names]
        if unknown or not rest or len(set(separate)) != len(separate):
            raise ValueError(
                f'separate_joints is {list(separate)}; name each once, and some but not all of '
                f'the joints that the checkpoint commands: {list(space.names)}.'
            )
        self._separate = [space.names.index(name) for name in separate]
        self._rest = [space.names.index(name) for name in rest]
        super().__init__(node, {'~/gripper_command': Float64MultiArray})
        try:
            self._others = others(replace(space, names=rest))
        except Exception:
            self.destroy()
            raise
        self._publishers = [*self._others.publishers, *self._publishers]

    def publish(self, values: Numbers, time: float) -> None:
        """See `CommandOutput`."""
        self._others.publish(values[self._rest], time)
        self._publishers[-1].publish(_numbers(values[self._separate]))


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


def _numbers(values: Numbers) -> Any:
    message = Float64MultiArray()
    fill_float64_multi_array(message, values)
    return message
