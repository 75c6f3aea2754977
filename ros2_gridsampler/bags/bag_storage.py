# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a bag, whole or not -> its messages, and what was lost of them."""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader

from ..files import FULL
from .bag_files import DamagedBag, find_files
from .bag_types import BagTypes, Unpack, normal_name
from .mcap_salvage import salvage

_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_REPAIR = {
    '.db3': 'Try "sqlite3 FILE .recover | sqlite3 NEW.db3", or record again.',
    '.bag': 'Write its index again with "rosbag reindex" of ROS 1, or record again.',
}


@dataclass(frozen=True)
class RecordedMessage:
    """A message with the fields of its type.

    Attributes:
        topic: Absolute name.
        type: For instance 'sensor_msgs/msg/Image'.
        time: When the recorder received it [s].
        message: Its fields.
        serialised: Its CDR bytes.
    """

    topic: str
    type: str
    time: float
    message: Any
    serialised: bytes = field(default=b'', repr=False)


def read_storage(
    bag: Path, topics: Collection[str], deserialised: bool
) -> Iterator[RecordedMessage]:
    """Messages of all files in order, of each file by log time.

    Args:
        bag: A folder or a file.
        topics: Only these; all if empty.
        deserialised: Whether `message` has fields; else it is the CDR bytes.

    Raises:
        DamagedBag: At the end, if anything was lost.
    """
    files = find_files(bag)
    losses: list[str] = []
    if files.missing:
        losses.append(
            f'{bag} lacks {len(files.missing)} of its {len(files.missing) + len(files.there)} '
            f'files, {files.missing[0]} for one; copy the whole folder, or name the file that is '
            'there'
        )
    counts: Counter[str] = Counter()
    for file in files.there:
        for message in _read_file(file, topics, deserialised, losses):
            counts[message.topic] += 1
            yield message
    if losses:
        advice = 'Record again, or go on with what was read.'
        if not counts.total():
            advice = _REPAIR.get(files.there[-1].suffix if files.there else '', 'Record again.')
        raise DamagedBag(
            f'{". ".join(losses)}. {counts.total()} messages could be read, the rest is lost. '
            f'{advice}'
        )
    wanted = {
        topic: count
        for topic, count in (files.expected or {}).items()
        if not topics or topic in topics
    }
    short = {t: (n, counts[t]) for t, n in wanted.items() if n != counts[t]}
    if short:
        topic, (said, came) = next(iter(short.items()))
        raise DamagedBag(
            f'{bag} should hold {sum(wanted.values())} messages by its metadata, '
            f'{sum(counts[t] for t in wanted)} came: of {topic} {said}, came {came}. Compare the '
            'files with the robot, or write the metadata again with "ros2 bag reindex".'
        )


def read_connections(bag: Path) -> dict[str, tuple[str, bool]]:
    """Topic -> type, and whether its messages can be understood.

    A file without an index is read as far as that goes.
    """
    found: dict[str, tuple[str, bool]] = {}
    for file in find_files(bag).there:
        try:
            with open_storage(file) as (reader, types):
                for connection in reader.connections:
                    name = normal_name(connection.msgtype)
                    known = types.knows(name)
                    if connection.msgcount or connection.topic not in found:
                        found[connection.topic] = (name, known)
        except Exception as error:  # no index to read; the messages may still be whole
            if not _is_damage(error):
                raise
            types = BagTypes(())
            for topic, name, _, _ in salvage(file, (), types.learn_schema, {}, []):
                found.setdefault(topic, (name, types.knows(name)))
    return found


def _read_file(
    file: Path, topics: Collection[str], deserialised: bool, losses: list[str]
) -> Iterator[RecordedMessage]:
    given: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    try:
        with open_storage(file) as (reader, types):
            unpack = types.deserialise if deserialised else types.as_bytes
            wanted = [
                connection
                for connection in reader.connections
                if (not topics or connection.topic in topics)
                and (not deserialised or topics or types.knows(normal_name(connection.msgtype)))
            ]
            # To rosbags an empty list means all connections.
            for connection, nanoseconds, data in reader.messages(wanted) if wanted else ():
                given[connection.topic] += 1
                yield from _unpack(
                    connection.topic, connection.msgtype, nanoseconds, data, unpack, types, bad
                )
    except Exception as error:  # every storage plugin fails in its own way on a cut file
        if not _is_damage(error):
            raise
        reason = f'{file.name} is not whole ({type(error).__name__}: {error})'
        lost: list[str] = []
        types = BagTypes(())
        unpack = types.deserialise if deserialised else types.as_bytes
        if file.suffix == '.mcap':
            for topic, kind, nanoseconds, data in salvage(
                file, topics, types.learn_schema, given, lost
            ):
                yield from _unpack(topic, kind, nanoseconds, data, unpack, types, bad)
        losses.append('; '.join([reason, *lost]))
    if bad:
        listed = ', '.join(f'{count} of {topic}' for topic, count in sorted(bad.items()))
        losses.append(f'{file.name} holds messages that cannot be understood: {listed}')


def _unpack(
    topic: str,
    kind: str,
    nanoseconds: int,
    data: bytes,
    unpack: Unpack,
    types: BagTypes,
    bad: Counter[str],
) -> Iterator[RecordedMessage]:
    name = normal_name(kind)
    try:
        raw = bytes(data)
        if raw.startswith(_ZSTD_MAGIC):
            # Compression mode "message": no CDR encapsulation begins like that.
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
        cdr = types.to_cdr(raw, name)
        message = unpack(cdr, name)
    except Exception as error:  # flipped bytes make any length, text or number out of others
        if not _is_damage(error):
            raise
        bad[topic] += 1
        return
    yield RecordedMessage(topic, name, nanoseconds * 1e-9, message, cdr)


@contextmanager
def open_storage(file: Path) -> Iterator[tuple[Any, BagTypes]]:
    """A reader of rosbags for one file, and the types that its messages need."""
    with ExitStack() as stack:
        if file.suffix == '.zstd':
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            plain = Path(folder) / file.name.removesuffix('.zstd')
            with file.open('rb') as source, plain.open('wb') as target:
                zstandard.ZstdDecompressor().copy_stream(source, target)
            file = plain
        ros1 = file.suffix == '.bag'
        reader = Ros1Reader(file) if ros1 else Ros2Reader(file)
        stack.enter_context(reader)
        yield reader, BagTypes(_definitions(reader), ros1=ros1)


def _definitions(reader: Any) -> Sequence[tuple[str, Any]]:
    return [(normal_name(c.msgtype), c.msgdef) for c in reader.connections]


def _is_damage(error: Exception) -> bool:
    """Whether a file is at fault: it makes a parser fail in any way, even for want of memory."""
    return not isinstance(error, PermissionError) and getattr(error, 'errno', None) not in FULL
