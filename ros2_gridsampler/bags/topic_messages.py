# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bag, topic and what it should carry -> its messages, or which topics carry that."""

from collections.abc import Iterator
from pathlib import Path

from .bag_reader import read_messages, read_topics
from .bag_storage import RecordedMessage

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
JOINT_STATE = 'sensor_msgs/msg/JointState'
POSE = 'geometry_msgs/msg/PoseStamped'


def read_topic(bag: Path, topic: str, *types: str) -> Iterator[RecordedMessage]:
    """Messages of one topic.

    Args:
        bag: A bag folder or file.
        topic: Its name.
        types: One of which it must have, such as 'sensor_msgs/msg/JointState'.

    Raises:
        ValueError: It is not there, is of another type, or holds nothing.
    """
    _require_type(bag, topic, types)
    found = False
    for message in read_messages(bag, (topic,)):
        found = True
        yield message
    if not found:
        raise ValueError(f'{bag} has the topic {topic!r}, but no message on it.')


def _require_type(bag: Path, topic: str, types: tuple[str, ...]) -> None:
    recorded = read_topics(bag)
    if recorded.get(topic) in types:
        return
    what = ' or '.join(each.rpartition('/')[2] for each in types)
    there = f'is a {recorded[topic]}' if topic in recorded else 'is not there'
    fitting = sorted(name for name, kind in recorded.items() if kind in types)
    raise ValueError(
        f'{bag} has no {what} on {topic!r}, which {there}; it has {what} on '
        f'{fitting or "no topic"}.'
    )
