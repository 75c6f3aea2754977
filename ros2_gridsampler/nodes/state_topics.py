# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of joints and end-effector pose -> where the arm is, each joint as of its own stamp."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from ..acting.arm_limits import GripperLimits
from ..acting.command_message import read_pose
from ..seeing.camera_message import stamp_seconds
from ..seeing.joint_states import JointNames, NewestJoints
from .causes import Arrival
from .policy_parameters import PolicyParameters
from .rclpy_repairs import subscribe_to_all
from .silent_topics import ListenedTopic, Listener
from .topics import EVERY, STATE

# What a message is called, and its type in the graph.
_ITEMS = {
    JointState: ('joint state', 'sensor_msgs/msg/JointState'),
    Float64: ('position', 'std_msgs/msg/Float64'),
    PoseStamped: ('pose', 'geometry_msgs/msg/PoseStamped'),
}

# So long a message that could not be used is told of [s].
_RECENT = 1.5
# Whoever publishes nonsense must not fill the memory with it.
_MOST_NAMES = 1000


@dataclass(frozen=True)
class Measured:
    """Where the arm is.

    Attributes:
        values: Positions of the joints that were asked for, or the opening of the gripper that
            they make; or the end-effector pose.
        time: Capture time of the oldest of them [s].
        times: Capture time of each of `values` [s].
    """

    values: NDArray[np.float64]
    time: float
    times: NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredArm:
    """What has to be known of where the arm is, besides what the policy reads.

    Attributes:
        names: What the robot calls the joints of the policy.
        joints: Joints whose positions the safety filter has to know.
        gripper: Gripper that these joints open; then the end-effector pose has to be known too.
        base_frame: Frame that poses must be in.
    """

    names: JointNames
    joints: Sequence[str]
    gripper: GripperLimits | None
    base_frame: str


class StateTopics:
    """The subscriptions that say where the arm is.

    Args:
        listener: What they need.
        arm: What has to be known of the arm.
    """

    def __init__(self, listener: Listener, arm: MeasuredArm) -> None:
        self._node = listener.node
        self._config = config = listener.config
        self._base_frame = arm.base_frame
        self._listener = listener
        self._steady = listener.steady
        self._gripper = arm.gripper
        self._joints = NewestJoints(arm.names.of_robot(arm.joints))
        self._seen: set[str] = set()
        self._destroyed = False
        self._measured: Measured | None = None
        self.measured_pose: Measured | None = None
        """The newest pose of the end effector; None before one came."""
        self._topics: list[ListenedTopic] = []
        self._unusable: dict[str, tuple[str, float]] = {}
        self._stamps: dict[str, float] = {}
        self._joint_topics: tuple[ListenedTopic, ...] = ()
        robot = arm.names.of_robot(config.joints)
        self._read = tuple(dict.fromkeys((*robot, *self._joints.names)))
        try:
            if self._read:
                self._listen_to_joints(listener.parameters, arm.names)
            if config.uses_pose or arm.gripper is not None:
                topic = listener.parameters.pose_topic
                self._listen('End-effector pose', 'pose_topic', PoseStamped, topic, self._add_pose)
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Takes the subscriptions back."""
        self._destroyed = True
        for topic in self._topics:
            self._node.destroy_subscription(topic.subscription)

    @property
    def needed(self) -> str:
        """What `measured` waits for, with the names of the topics."""
        parts = []
        for topic in self._topics:
            what = topic.what[0].lower() + topic.what[1:]
            if topic in self._joint_topics and topic.received and self._joints.missing:
                what = f'{what} of {self._joints.missing}'
            parts.append(f'{what} on {topic.name}')
        return ' and '.join(parts)

    def measured(self) -> Measured | None:
        """Returns what the safety filter has to know of the arm; None before all has come.

        Joint positions; or the hand's x y z and the gripper's opening [m].
        """
        joints, pose = self._measured, self.measured_pose
        if joints is None or self._gripper is None:
            return joints
        if pose is None:
            return None
        values = np.array([*pose.values[:3], *joints.values])
        times = np.array([*pose.times[:3], *joints.times])
        return Measured(values, min(pose.time, joints.time), times)

    def silent(self) -> list[str]:
        """Returns what is wrong with each topic from which nothing has come for a while.

        A topic that comes without some of the joints is named with them and with those it has.
        """
        wrong = [said for _, said in self._listener.silent(self._topics)]
        lacking = [name for name in self._read if name not in self._seen]
        joints = [topic for topic in self._joint_topics if topic.received]
        if len(joints) == len(self._joint_topics) > 0 and lacking:
            names = ' and '.join(topic.name for topic in joints)
            wrong.append(
                f'Joint states: no position of {lacking} has come on {names}, where there are '
                f'{sorted(self._seen)}; start the driver that publishes them, set '
                'joint_states_topic, gripper_joints, joint_names or joint_prefix, or use a '
                'checkpoint for this arm.'
            )
        return wrong

    def unusable(self) -> list[str]:
        """Returns why messages that came in the last moments could not be used."""
        recent = self._steady() - _RECENT
        return [text for text, time in self._unusable.values() if time > recent]

    def arrivals(self) -> list[Arrival]:
        """Returns the newest stamp of each topic, and how long ago it came."""
        now = self._steady()
        return [
            Arrival(topic.what, _ITEMS[topic.subscription.msg_type][0], stamp, now - topic.heard)
            for topic in self._topics
            if (stamp := self._stamps.get(topic.what)) is not None
        ]

    def publishers(self) -> list[str]:
        """Returns who says where the arm is: 'TOPIC by NODE', each node of each topic."""
        return [
            f'{topic.name} by {info.node_namespace.rstrip("/")}/{info.node_name}'
            for topic in self._topics
            for info in self._node.get_publishers_info_by_topic(topic.name)
        ]

    def _refuse(self, name: str, text: str) -> None:
        self._unusable[name] = (text, self._steady())
        self._listener.problems.report(name, text)

    def _listen_to_joints(self, parameters: PolicyParameters, joint_names: JointNames) -> None:
        """The arm, and a gripper where that has a topic of its own.

        Raises:
            ValueError: It is not known which joint the number on the gripper's topic is.
        """
        topic, own = parameters.joint_states_topic, parameters.gripper_state_topic
        self._listen('Joint states', 'joint_states_topic', JointState, topic, self._add_joints)
        if own and parameters.gripper_state_type == 'joint_state':
            name = 'gripper_state_topic'
            self._listen('Gripper state', name, JointState, own, self._add_joints)
        elif own:
            twist = self._gripper is not None
            joints = parameters.gripper_joints if twist else parameters.separate_joints
            if len(joints) != 1:
                raise ValueError(
                    f'gripper_state_type is float64, one number, but '
                    f'{"gripper_joints" if twist else "separate_joints"} is {list(joints)}; name '
                    'the one joint that the number is, or publish a JointState.'
                )
            robot = joint_names.of_robot(joints)

            def add(message: Any) -> None:
                # Without a stamp: it is as old as its arrival.
                now = self._node.get_clock().now().nanoseconds * 1e-9
                self._take_joints(robot, [message.data], now)

            self._listen('Gripper state', 'gripper_state_topic', Float64, own, add)
        self._joint_topics = tuple(self._topics)

    def _listen(
        self, what: str, parameter: str, kind: Any, name: str, add: Callable[[Any], None]
    ) -> None:
        item, message = _ITEMS[kind]
        topic = ListenedTopic(what, parameter, item, (message,), None, self._steady())

        def take(message: Any) -> None:
            topic.count(self._steady())
            if hasattr(message, 'header'):
                self._stamps[what] = stamp_seconds(message.header.stamp)
            add(message)

        qos = STATE if self._listener.parameters.reliable_streams else EVERY
        topic.subscription = subscribe_to_all(
            self._node, kind, name, take, qos, lambda: not self._destroyed
        )
        self._topics.append(topic)

    def _add_joints(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        self._take_joints(message.name, message.position, time)

    def _take_joints(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        if len(self._seen) < _MOST_NAMES:
            self._seen.update(names)
        try:
            if self._config.joints:
                self._listener.inference.add_joints(names, positions, time)
            if self._joints.names and self._joints.add(names, positions, time):
                self._measured = self._where(self._joints.positions, self._joints.times)
        except ValueError as error:
            self._refuse('joint_states', str(error))

    def _where(self, positions: NDArray[np.float64], times: NDArray[np.float64]) -> Measured:
        oldest = float(times.min())
        if self._gripper is not None:
            positions = np.array([self._gripper.opening(positions)])
            times = np.array([oldest])
        return Measured(positions, oldest, times)

    def _add_pose(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        try:
            pose = read_pose(message, self._base_frame)
            self._listener.inference.add_pose(pose[:3].tolist(), pose[3:].tolist(), time)
        except ValueError as error:
            self._refuse('pose', str(error))
        else:
            self.measured_pose = Measured(pose, time, np.full(pose.shape, time))
