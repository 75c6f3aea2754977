# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, joint, pose and instruction topics -> the buffer of the inference thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from ..camera_message import stamp_seconds
from ..command_message import read_pose
from ..instruction import tokenise
from ..observation import ObservationConfig
from .inference_thread import InferenceThread
from .node_setup import FAST_DDS_PROFILE
from .policy_parameters import PolicyParameters
from .problems import Problems
from .topics import EVERY, LATCHED, NEWEST, NEWEST_RELIABLE, STATE


@dataclass
class CameraTopic:
    """A camera and what has come from it; `heard` is steady time [s]."""

    name: str
    subscription: Any
    heard: float
    received: int = 0


@dataclass(frozen=True)
class Measured:
    """Where the arm is.

    Attributes:
        values: Positions of the joints that were asked for, or the end-effector pose.
        time: Capture time [s].
    """

    values: NDArray[np.float64]
    time: float


class InputTopics:
    """The subscriptions of the policy node.

    Args:
        node: Owns the subscriptions.
        parameters: Topics and QoS.
        config: What the policy reads.
        measured_joints: Joints whose positions the safety filter has to know.
        needs_pose: Whether the safety filter has to know the end-effector pose.
        base_frame: Frame that poses must be in.
        inference: Gets everything.
        problems: Gets what cannot be used.
        steady: Steady time [s].
        on_instruction: Called with every new, usable sentence, or '' for an unusable one.
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        *,
        config: ObservationConfig,
        measured_joints: Sequence[str],
        needs_pose: bool,
        base_frame: str,
        inference: InferenceThread,
        problems: Problems,
        steady: Callable[[], float],
        on_instruction: Callable[[str], None],
    ) -> None:
        """Subscribe."""
        self._node = node
        self._config = config
        self._needed_joints = measured_joints
        self._base_frame = base_frame
        self._inference = inference
        self._problems = problems
        self._steady = steady
        self._on_instruction = on_instruction
        self._silence = parameters.camera_silence_timeout
        self._reliable = parameters.reliable_streams
        self._needs_pose = needs_pose
        self._measured_joints: Measured | None = None
        self.measured_pose: Measured | None = None
        self.cameras = [
            self._camera(name, topic)
            for name, topic in zip(config.cameras, parameters.camera_topics, strict=True)
        ]
        samples = STATE if self._reliable else EVERY
        wanted: list[tuple[Any, str, Callable[[Any], None], Any]] = [
            (String, '~/instruction', self._set_instruction, LATCHED)
        ]
        if config.joints or measured_joints:
            topic = parameters.joint_states_topic
            wanted.append((JointState, topic, self._add_joints, samples))
        if config.uses_pose or needs_pose:
            wanted.append((PoseStamped, parameters.pose_topic, self._add_pose, samples))
        self._subscriptions = [self._subscribe(*each) for each in wanted]

    def destroy(self) -> None:
        """Unsubscribe."""
        cameras = [camera.subscription for camera in self.cameras]
        for subscription in (*cameras, *self._subscriptions):
            self._node.destroy_subscription(subscription)

    @property
    def needed(self) -> str:
        """What `measured` waits for."""
        return 'joint states and end-effector pose' if self._needs_pose else 'joint states'

    def measured(self) -> Measured | None:
        """What the safety filter has to know of the arm; None before all of it has come.

        Joint positions; or the hand's x y z and the gripper's opening [m].
        """
        joints, pose = self._measured_joints, self.measured_pose
        if joints is None or not self._needs_pose:
            return joints
        if pose is None:
            return None
        state = np.array([*pose.values[:3], joints.values.sum()])
        return Measured(state, min(pose.time, joints.time))

    def silent_cameras(self) -> list[str]:
        """What is wrong with each camera from which nothing has come for a while."""
        silent = [c for c in self.cameras if self._steady() - c.heard >= self._silence]
        return [self._why_silent(camera) for camera in silent]

    def _why_silent(self, camera: CameraTopic) -> str:
        topic = camera.subscription.topic_name
        publishers = self._node.get_publishers_info_by_topic(topic)
        types = {info.topic_type for info in publishers}
        wanted = 'CompressedImage' if camera.subscription.msg_type is CompressedImage else 'Image'
        if not publishers:
            return (
                f'Camera {camera.name!r}: nobody publishes {topic}; start the driver or set '
                f'camera_topics. Camera topics here: {self._camera_topics() or "none"}.'
            )
        if f'sensor_msgs/msg/{wanted}' not in types:
            return (
                f'Camera {camera.name!r}: {topic} has the type {sorted(types)}, expected '
                f'{wanted}; a topic of CompressedImage must end in /compressed.'
            )
        offers = {info.qos_profile.reliability for info in publishers}
        if self._reliable and ReliabilityPolicy.RELIABLE not in offers:
            return (
                f'Camera {camera.name!r}: {topic} is published best effort, but reliable_streams '
                'asks for reliable; set it to false.'
            )
        silence = f'no picture has come for {self._steady() - camera.heard:.1f} s'
        if camera.received:
            return f'Camera {camera.name!r}: {silence} on {topic}; look after the driver.'
        return (
            f'Camera {camera.name!r}: {topic} has {len(publishers)} publisher(s), but {silence}. '
            'Fast DDS loses best-effort pictures over 512 KiB: publish CompressedImage, or '
            'publish reliably and set reliable_streams, or start the DRIVER with '
            f'FASTRTPS_DEFAULT_PROFILES_FILE={FAST_DDS_PROFILE}.'
        )

    def _camera_topics(self) -> str:
        types = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
        topics = self._node.get_topic_names_and_types()
        published = [
            name
            for name, kinds in topics
            if types & set(kinds) and self._node.count_publishers(name)
        ]
        return ', '.join(sorted(published))

    def _camera(self, name: str, topic: str) -> CameraTopic:
        kind = CompressedImage if topic.endswith('/compressed') else Image
        qos = NEWEST_RELIABLE if self._reliable else NEWEST

        def add(message: Any) -> None:
            camera.heard = self._steady()
            camera.received += 1
            self._inference.add_image(name, message, stamp_seconds(message.header.stamp))

        subscription = self._node.create_subscription(kind, topic, add, qos)
        camera = CameraTopic(name, subscription, self._steady())
        return camera

    def _subscribe(self, kind: Any, topic: str, add: Callable[[Any], None], qos: Any) -> Any:
        """Take all that waits at once.

        The executor takes one message each time that it looks, which costs more than the message:
        on a busy machine it would fall behind, and the state of the arm with it.
        """

        def take(message: Any) -> None:
            add(message)
            with subscription.handle:
                for _ in range(qos.depth):
                    taken = subscription.handle.take_message(kind, False)
                    if taken is None:
                        return
                    add(taken[0])

        subscription = self._node.create_subscription(kind, topic, take, qos)
        return subscription

    def _add_joints(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        try:
            if self._config.joints:
                self._inference.add_joints(message.name, message.position, time)
            if self._needed_joints:
                positions = order_positions(message.name, message.position, self._needed_joints)
                self._measured_joints = Measured(positions, time)
        except ValueError as error:
            self._problems.report('joint_states', str(error))

    def _add_pose(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        try:
            pose = read_pose(message, self._base_frame)
            self._inference.add_pose(pose[:3].tolist(), pose[3:].tolist(), time)
        except ValueError as error:
            self._problems.report('pose', str(error))
        else:
            self.measured_pose = Measured(pose, time)

    def _set_instruction(self, message: Any) -> None:
        sentence = message.data.strip()
        try:
            tokenise(sentence)
        except ValueError as error:
            # Whoever sent it does not want the old instruction any more.
            self._problems.report(
                'instruction', f'{error} The arm holds until a usable one comes.'
            )
            sentence = ''
        self._inference.set_instruction(sentence)
        self._on_instruction(sentence)


def order_positions(
    names: Sequence[str], positions: Sequence[float], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """The positions of `wanted`, in that order.

    Raises:
        ValueError: One is missing, twice there, or not finite.
    """
    if len(names) != len(positions) or len(set(names)) != len(names):
        raise ValueError(
            f'JointState has {len(positions)} positions for the names {list(names)}; every joint '
            'must be there once, with one position.'
        )
    index = {name: i for i, name in enumerate(names)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise ValueError(
            f'JointState lacks {missing}, which the safety filter must know; it has '
            f'{list(names)}. Set gripper_joints, or publish all joints in one message.'
        )
    ordered = np.array([positions[index[name]] for name in wanted], np.float64)
    if not np.isfinite(ordered).all():
        bad = wanted[int(np.argmin(np.isfinite(ordered)))]
        raise ValueError(f'JointState gives a position that is not finite for joint {bad!r}.')
    return ordered
