# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and CameraInfo of every camera -> the buffer of the inference thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..seeing.camera_message import camera_info_topic, stamp_seconds
from ..seeing.camera_streams import check_size
from ..seeing.depth_image import read_picture
from ..seeing.observation import check_picture_contrast
from ..seeing.opencv import MissingOpenCv
from .causes import Arrival, Cause, Finding
from .node_setup import FAST_DDS_PROFILE, profile_variable
from .rclpy_repairs import take_waiting
from .silent_topics import ListenedTopic, Listener
from .topics import NEWEST, NEWEST_RELIABLE

# What may be the matter where a camera publishes and nothing comes.
_LARGE = (
    'Fast DDS loses best-effort pictures over 512 KiB: publish CompressedImage, or publish '
    'reliably and set reliable_streams, or start the DRIVER with '
    f'{profile_variable()}={FAST_DDS_PROFILE}.'
)
# How topics of CompressedImage end.
_COMPRESSED = ('/compressed', '/compressedDepth')
_KINDS = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


@dataclass
class CameraTopic:
    """A camera and what has come from it.

    Attributes:
        name: Name of the camera.
        topic: Topic of its pictures.
        picture: The newest one.
        info: The newest CameraInfo.
        info_subscription: None where nobody needs CameraInfo any more.
    """

    name: str
    topic: ListenedTopic
    picture: Any = None
    info: Any = None
    info_subscription: Any = None

    @property
    def subscription(self) -> Any:
        """The subscription of its pictures."""
        return self.topic.subscription

    @property
    def heard(self) -> float:
        """When the newest picture came, steady time [s]."""
        return self.topic.heard

    @property
    def received(self) -> int:
        """Number of pictures that have come."""
        return self.topic.received


class CameraTopics:
    """The subscriptions of the cameras.

    Args:
        listener: What they need.

    Attributes:
        all: The cameras, in the order of the policy.
    """

    def __init__(self, listener: Listener) -> None:
        self._node = listener.node
        self._config = listener.config
        self._listener = listener
        self._steady = listener.steady
        self.all: list[CameraTopic] = []
        try:
            for name, topic in zip(
                self._config.cameras, listener.parameters.camera_topics, strict=True
            ):
                self.all.append(self._camera(name, topic))
            self._listen_for_infos(listener.parameters.cameras.info_topics)
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Takes the subscriptions back."""
        for subscription in self._subscriptions():
            self._node.destroy_subscription(subscription)

    def wait_for(self, there: Callable[[], bool], timeout: float) -> bool:
        """Receives pictures and CameraInfo until `there()`, but no longer than `timeout` [s].

        For use in a callback, where the executor cannot receive them.
        """
        deadline = self._steady() + timeout
        while not there():
            if self._steady() >= deadline:
                return False
            for subscription in self._subscriptions():
                for message, _ in take_waiting(subscription, 1):
                    subscription.callback(message)
            time.sleep(0.005)
        return True

    def why_no_info(self, camera: CameraTopic) -> str:
        """Returns a sentence for where no CameraInfo of a camera has come."""
        topic = camera.info_subscription.topic_name
        if self._node.count_publishers(topic):
            return f'no CameraInfo has come on {topic} yet, which somebody publishes.'
        return (
            f'nobody publishes CameraInfo on {topic} yet; start the driver, or name the topic in '
            'cameras.info_topics.'
        )

    def ignore_info(self, camera: CameraTopic) -> None:
        """Unsubscribes from CameraInfo that was checked and is not needed any more."""
        if camera.info_subscription is not None and camera.name not in self._config.rectified:
            self._node.destroy_subscription(camera.info_subscription)
            camera.info_subscription = None

    def _subscriptions(self) -> list[Any]:
        found = [camera.subscription for camera in self.all]
        infos = [camera.info_subscription for camera in self.all]
        return [*found, *(each for each in infos if each is not None)]

    def silent(self) -> list[str]:
        """Returns what is wrong with each camera from which nothing has come for a while."""
        return [
            said if topic.received or 'publisher(s), but' not in said else f'{said} {_LARGE}'
            for topic, said in self._listener.silent(camera.topic for camera in self.all)
        ]

    def shared(self) -> list[str]:
        """Returns which topics have several publishers, whose pictures would come in turn."""
        found = []
        for camera in self.all:
            publishers = self._node.get_publishers_info_by_topic(camera.topic.name)
            names = {f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers}
            if len(publishers) > 1:
                found.append(
                    f'{camera.topic.what}: {camera.topic.name} has {len(publishers)} publishers, '
                    f'{sorted(names)}, and the pictures of all are taken for one camera; end all '
                    'but one, or name another topic in camera_topics.'
                )
        return found

    def arrivals(self) -> list[Arrival]:
        """Returns the newest stamp of each camera, and how long ago it came."""
        now = self._steady()
        return [
            Arrival(
                camera.topic.what,
                camera.topic.item,
                stamp_seconds(camera.picture.header.stamp),
                now - camera.heard,
            )
            for camera in self.all
            if camera.picture is not None
        ]

    def look(self, least_contrast: float) -> list[Finding]:
        """Returns what is wrong with the newest picture of each camera.

        That takes a millisecond each, so it is for a node that stands still, once a second.

        Args:
            least_contrast: See `StreamBudget`.
        """
        found = []
        for camera in self.all:
            if camera.picture is None:
                continue
            try:
                rgb = read_picture(camera.picture, self._config.depth.get(camera.name))
                check_size(camera.name, rgb, self._config.resolution)
            except (ValueError, MissingOpenCv) as error:
                text = str(error)
                named = text if repr(camera.name) in text else f'{camera.topic.what}: {text}'
                found.append(Finding(Cause.UNUSABLE, f'{named} ({camera.topic.name})'))
                continue
            try:
                check_picture_contrast(camera.name, rgb, least_contrast)
            except ValueError as error:
                found.append(Finding(Cause.BLANK, str(error)))
        return found

    def _camera(self, name: str, topic: str) -> CameraTopic:
        kind = CompressedImage if topic.endswith(_COMPRESSED) else Image
        qos = NEWEST_RELIABLE if self._listener.parameters.reliable_streams else NEWEST

        def add(message: Any) -> None:
            camera.topic.count(self._steady())
            camera.picture = message
            self._listener.inference.add_image(name, message, stamp_seconds(message.header.stamp))

        subscription = self._node.create_subscription(kind, topic, add, qos)
        listened = ListenedTopic(
            f'Camera {name!r}', 'camera_topics', 'picture', _KINDS, subscription, self._steady()
        )
        camera = CameraTopic(name, listened)
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
                    self._listener.inference.add_camera_info(camera.name, message)
                except ValueError as error:
                    self._listener.problems.report('camera_info', str(error))

            return take

        for index, camera in enumerate(self.all):
            own = camera_info_topic(camera.subscription.topic_name)
            camera.info_subscription = self._node.create_subscription(
                CameraInfo, topics[index] if topics else own, taker(camera), NEWEST
            )
