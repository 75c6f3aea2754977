# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording -> Observations and actions, through the code that runs live."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader
from rosbags.highlevel import AnyReader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from ..camera_message import stamp_seconds
from ..observation import NotObservable, Observation, ObservationBuffer


class DamagedBag(ValueError):
    """A bag is not whole; raised only after everything that is whole was handed out."""


@dataclass(frozen=True)
class RecordedMessage:
    """A message with the fields of its type.

    Attributes:
        topic: Absolute name.
        type: For instance 'sensor_msgs/msg/Image'.
        time: When the recorder received it [s].
        message: Its fields.
    """

    topic: str
    type: str
    time: float
    message: Any


@dataclass(frozen=True)
class StreamTopics:
    """Which topic carries which stream.

    Attributes:
        cameras: Camera name -> topic of Image or CompressedImage.
        joint_states: JointState; empty where no joints are read.
        pose: PoseStamped of the end effector; empty where it is not used.
        instruction: String; empty where `fixed_instruction` serves.
        fixed_instruction: The sentence of a recording that carries none.
    """

    cameras: Mapping[str, str]
    joint_states: str = '/joint_states'
    pose: str = ''
    instruction: str = '/instruction'
    fixed_instruction: str = ''

    @property
    def names(self) -> tuple[str, ...]:
        """All topics in use."""
        topics = (*self.cameras.values(), self.joint_states, self.pose, self.instruction)
        return tuple(topic for topic in topics if topic)


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Bags named directly or anywhere below the folders named, in order of their names.

    Raises:
        FileNotFoundError: Nothing there looks like a bag.
    """
    bags: list[Path] = []
    for path in paths:
        if path.is_file() or (path / 'metadata.yaml').exists():
            bags.append(path)
        else:
            found = sorted(metadata.parent for metadata in path.rglob('metadata.yaml'))
            bags.extend(bag for bag in found if bag.suffix != '.partial')
    if not bags:
        raise FileNotFoundError(
            f'No rosbag2 recording in {", ".join(map(str, paths))}; a bag is a folder with a '
            'metadata.yaml, or an .mcap or .db3 file.'
        )
    return bags


def read_topics(bag: Path) -> dict[str, str]:
    """Topic -> message type, such as 'sensor_msgs/msg/Image', of all that was recorded."""
    try:
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            return {connection.topic: connection.msgtype for connection in reader.connections}
    except FileNotFoundError:
        raise
    except Exception:  # no index to read; the messages themselves may still be whole
        found: dict[str, str] = {}
        with suppress(DamagedBag):
            found.update((m.topic, m.type) for m in read_serialised(bag))
        return found


def read_messages(bag: Path, topics: Collection[str] = ()) -> Iterator[RecordedMessage]:
    """Messages in order of their log time.

    Args:
        bag: A bag folder, or an .mcap or .db3 file.
        topics: Only these; all if empty.

    Raises:
        DamagedBag: At the end, if the bag was cut off or lacks messages.
    """
    return _read(bag, topics, _deserialise)


def read_serialised(bag: Path, topics: Collection[str] = ()) -> Iterator[RecordedMessage]:
    """As `read_messages`, but each message is its CDR bytes, ready to be published."""
    return _read(bag, topics, lambda store, data, message_type: bytes(data))


def _read(
    bag: Path, topics: Collection[str], unpack: Callable[[Any, bytes, str], Any]
) -> Iterator[RecordedMessage]:
    store = get_typestore(Stores.ROS2_JAZZY)
    count = 0
    _refuse_missing_files(bag)
    try:
        with AnyReader([bag], default_typestore=store) as reader:
            wanted = [c for c in reader.connections if not topics or c.topic in topics]
            # To rosbags an empty list means all connections.
            messages = reader.messages(connections=wanted) if wanted else ()
            for connection, nanoseconds, data in messages:
                message = unpack(reader.typestore, data, connection.msgtype)
                count += 1
                yield RecordedMessage(
                    connection.topic, connection.msgtype, nanoseconds * 1e-9, message
                )
    except GeneratorExit:
        raise
    except Exception as error:  # every storage plugin fails in its own way on a cut file
        if count:
            raise DamagedBag(f'{bag} broke off after {count} messages: {error}') from error
        yield from _salvage(bag, topics, unpack, error)
        return
    expected = _expected_count(bag, topics)
    if expected is not None and expected != count:
        raise DamagedBag(f'{bag} should hold {expected} messages by its metadata, {count} came.')


def read_observations(
    bag: Path,
    topics: StreamTopics,
    buffer: ObservationBuffer,
    others: Mapping[str, Callable[[RecordedMessage], None]] | None = None,
) -> Iterator[Observation]:
    """Every observation that a live node could have made, at the time when it could.

    Args:
        bag: A bag folder or file.
        topics: Which topic carries which stream.
        buffer: The same object that the live node fills.
        others: Further topics, and what takes their messages on the way.

    Raises:
        DamagedBag: At the end, if the bag is not whole.
        ValueError: The bag lacks a topic, or no observation came of it.
    """
    reason = 'no message'
    found = False
    others = others or {}
    for recorded in read_messages(bag, (*topics.names, *others)):
        if recorded.topic in others:
            others[recorded.topic](recorded)
            continue
        feed(buffer, topics, recorded)
        try:
            decode = buffer.take(recorded.time)
        except NotObservable as error:
            reason = str(error)
            continue
        if decode is not None:
            found = True
            yield decode()
    if not found:
        raise ValueError(f'{bag} gave no observation: {reason}')


def feed(buffer: ObservationBuffer, topics: StreamTopics, recorded: RecordedMessage) -> None:
    """Put one recorded message into the buffer, as the node's callbacks do."""
    message = recorded.message
    if topics.fixed_instruction:
        buffer.set_instruction(topics.fixed_instruction)
    if recorded.topic == topics.instruction:
        buffer.set_instruction(message.data)
        return
    for camera, topic in topics.cameras.items():
        if recorded.topic == topic:
            buffer.add_image(camera, message, stamp_seconds(message.header.stamp))
            return
    time = stamp_seconds(message.header.stamp)
    if recorded.topic == topics.joint_states:
        buffer.add_joints(message.name, message.position, time)
    elif recorded.topic == topics.pose:
        at, turn = message.pose.position, message.pose.orientation
        buffer.add_pose((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), time)


def _deserialise(store: Any, data: bytes, message_type: str) -> Any:
    try:
        return store.deserialize_cdr(data, message_type)
    except SerdeError:
        # rclpy may leave padding after a message that ends in empty sequences.
        definition = store.get_msgdef(message_type)
        return definition.deserialize_cdr_le(data[4:], 0, definition.cls, store)[0]


def _metadata(bag: Path) -> Any:
    path = bag / 'metadata.yaml'
    if not path.is_file():
        return None
    try:
        return yaml.safe_load(path.read_text())['rosbag2_bagfile_information']
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DamagedBag(
            f'{path} is not the metadata of a bag ({type(error).__name__}); restore it, or name '
            'the .mcap file itself.'
        ) from error


def _refuse_missing_files(bag: Path) -> None:
    information = _metadata(bag)
    files = information['relative_file_paths'] if information else []
    missing = [name for name in files if not (bag / name).exists()]
    if missing:
        raise DamagedBag(
            f'{bag} lacks {len(missing)} of its {len(files)} files, {missing[0]} for one; copy '
            'the whole folder, or name the file that is there.'
        )


def _expected_count(bag: Path, topics: Collection[str]) -> int | None:
    information = _metadata(bag)
    if information is None:
        return None
    return sum(
        int(entry['message_count'])
        for entry in information['topics_with_message_count']
        if not topics or entry['topic_metadata']['name'] in topics
    )


def _salvage(
    bag: Path,
    topics: Collection[str],
    unpack: Callable[[Any, bytes, str], Any],
    reason: Exception,
) -> Iterator[RecordedMessage]:
    """The whole messages of MCAP files without an index, then the damage."""
    files = [bag] if bag.is_file() else sorted(bag.glob('*.mcap'))
    files = [file for file in files if file.suffix == '.mcap']
    store = get_typestore(Stores.ROS2_JAZZY)
    count = 0
    end: Exception = reason
    for file in files:
        try:
            with file.open('rb') as stream:
                reader = NonSeekingReader(stream)
                for schema, channel, message in reader.iter_messages(log_time_order=False):
                    if schema is None or (topics and channel.topic not in topics):
                        continue
                    content = unpack(store, message.data, schema.name)
                    count += 1
                    yield RecordedMessage(
                        channel.topic, schema.name, message.log_time * 1e-9, content
                    )
        except (McapError, ValueError) as error:
            end = error
    raise DamagedBag(
        f'{bag} is not whole ({type(end).__name__}: {end}); {count} messages could be read, the '
        'rest is lost. Record again, or go on with what was read.'
    ) from end
