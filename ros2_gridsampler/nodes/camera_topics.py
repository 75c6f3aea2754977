# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and CameraInfo of every camera -> the buffer of the inference thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..seeing.camera_message import camera_info_topic, stamp_seconds
from ..seeing.observation import ObservationConfig
from .inference_thread import InferenceThread
from .node_setup import FAST_DDS_PROFILE
from .policy_parameters import PolicyParameters
from .problems import Problems
from .topics import NEWEST, NEWEST_RELIABLE


@dataclass
class CameraTopic:
    """A camera and what has come from it.

    Attributes:
        name: Of the camera.
        subscription: Of its pictures.
        heard: When the newest picture came, steady time [s].
        received: Pictures.
        picture: The newest one.
        info: The newest CameraInfo.
        info_subscription: None where nobody needs CameraInfo any more.
    """

    name: str
    subscription: Any
    heard: float
    received: int = 0
    picture: Any = None
    info: Any = None
    info_subscription: Any = None


class CameraTopics:
    """The subscriptions of the cameras.

    Args:
        node: Owns the subscriptions.
        parameters: Topics and QoS.
        config: Names of the cameras, and which are rectified.
        inference: Gets everything.
        problems: Gets what cannot be used.
        steady: Steady time [s].

    Attributes:
        all: The cameras, in the order of the policy.
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        *,
        config: ObservationConfig,
        inference: InferenceThread,
        problems: Problems,
        steady: Callable[[], float],
    ) -> None:
        """Subscribe."""
        self._node = node
        self._config = config
        self._inference = inference
        self._problems = problems
        self._steady = steady
        self._silence = parameters.camera_silence_timeout
        self._reliable = parameters.reliable_streams
        self.all: list[CameraTopic] = []
        try:
            for name, topic in zip(config.cameras, parameters.camera_topics, strict=True):
                self.all.append(self._camera(name, topic))
            self._listen_for_infos(parameters.cameras.info_topics)
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions():
            self._node.destroy_subscription(subscription)

    def wait_for(self, there: Callable[[], bool], timeout: float) -> bool:
        """Receive pictures and CameraInfo until `there()`, but no longer than `timeout` [s].

        For use in a callback, where the executor cannot receive them.
        """
        deadline = self._steady() + timeout
        while not there():
            if self._steady() >= deadline:
                return False
            for subscription in self._subscriptions():
                with subscription.handle:
                    taken = subscription.handle.take_message(subscription.msg_type, False)
                if taken is not None:
                    subscription.callback(taken[0])
            time.sleep(0.005)
        return True

    def why_no_info(self, camera: CameraTopic) -> str:
        """A sentence for where no CameraInfo of a camera has come."""
        topic = camera.info_subscription.topic_name
        if self._node.count_publishers(topic):
            return f'no CameraInfo has come on {topic} yet, which somebody publishes.'
        return (
            f'nobody publishes CameraInfo on {topic} yet; start the driver, or name the topic in '
            'cameras.info_topics.'
        )

    def ignore_info(self, camera: CameraTopic) -> None:
        """Its CameraInfo was checked and is not needed any more."""
        if camera.info_subscription is not None and camera.name not in self._config.rectified:
            self._node.destroy_subscription(camera.info_subscription)
            camera.info_subscription = None

    def _subscriptions(self) -> list[Any]:
        found = [camera.subscription for camera in self.all]
        infos = [camera.info_subscription for camera in self.all]
        return [*found, *(each for each in infos if each is not None)]

    def silent(self) -> list[str]:
        """What is wrong with each camera from which nothing has come for a while."""
        silent = [c for c in self.all if self._steady() - c.heard >= self._silence]
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
            camera.picture = message
            self._inference.add_image(name, message, stamp_seconds(message.header.stamp))

        subscription = self._node.create_subscription(kind, topic, add, qos)
        camera = CameraTopic(name, subscription, self._steady())
        return camera

    def _listen_for_infos(self, topics: Sequence[str]) -> None:
        if topics and len(topics) != len(self.all):
            raise ValueError(
                f'cameras.info_topics names {len(topics)} topics for {len(self.all)} cameras; '
                'name one per camera, or none.'
            )

        def taker(camera: CameraTopic) -> Callable[[Any], None]:
            def take(message: Any) -> None:
                camera.info = message
                try:
                    self._inference.add_camera_info(camera.name, message)
                except ValueError as error:
                    self._problems.report('camera_info', str(error))

            return take

        for index, camera in enumerate(self.all):
            own = camera_info_topic(camera.subscription.topic_name)
            camera.info_subscription = self._node.create_subscription(
                CameraInfo, topics[index] if topics else own, taker(camera), NEWEST
            )
