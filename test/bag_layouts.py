# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings in every way that a recorder or a foreign tool may have written them.

A recording is a list of messages; `LAYOUTS` write it as a bag.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
import zstandard
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from ros2_gridsampler.bags.bag_writer import TYPES, build, build_header, serialise

RATE = 20


@dataclass(frozen=True)
class Stored:
    """A message as it is stored."""

    topic: str
    type: str
    time: int
    data: bytes


def recording(steps: int = 60, begin: float = 1.75e9, picture: int = 2000) -> list[Stored]:
    """A sentence, and joints, targets and pictures at `RATE`, in the order of writing."""
    generator = np.random.default_rng(steps)
    kind = 'std_msgs/msg/String'
    found = [Stored('/instruction', kind, round(begin * 1e9), _string('pick up the bowl'))]
    for step in range(steps):
        stamp = begin + step / RATE
        image = build(
            'sensor_msgs/msg/CompressedImage',
            header=build_header(stamp, 'front'),
            format='jpeg',
            data=generator.integers(0, 255, picture, np.uint8),
        )
        joints = build(
            'sensor_msgs/msg/JointState',
            header=build_header(stamp, ''),
            name=['shoulder', 'elbow'],
            position=generator.normal(size=2),
            velocity=np.empty(0),
            effort=np.empty(0),
        )
        for late, topic, message in ((1, '/front/image_raw', image), (2, '/joint_states', joints)):
            time = round(stamp * 1e9) + late * 10**6
            found.append(Stored(topic, message.__msgtype__, time, serialise(message)))
        said = _string(f'step {step}')
        found.append(Stored('/said', kind, round(stamp * 1e9) + 3 * 10**6, said))
    return found


def _string(text: str) -> bytes:
    return serialise(build('std_msgs/msg/String', data=text))


def counts(messages: Sequence[Stored]) -> Counter[str]:
    """Messages by topic."""
    return Counter(message.topic for message in messages)


def by_topic(messages: Sequence[Stored]) -> list[Stored]:
    """One topic after the other, as converters write them."""
    return sorted(messages, key=lambda message: message.topic)


def clock_set(messages: Sequence[Stored], at: int, seconds: float) -> list[Stored]:
    """The recorder's clock is set by so much before message `at` is logged."""
    nanoseconds = round(seconds * 1e9)
    return [
        replace(m, time=m.time + nanoseconds) if index >= at else m
        for index, m in enumerate(messages)
    ]


def write_mcap(
    path: Path,
    messages: Sequence[Stored],
    *,
    compression: CompressionType = CompressionType.ZSTD,
    chunk: int = 20_000,
    indexed: bool = True,
    chunked: bool = True,
    checksums: bool = True,
) -> Path:
    """One MCAP file in the order of the messages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = McapWriter(
        str(path),
        chunk_size=chunk,
        compression=compression,
        index_types=IndexType.ALL if indexed else IndexType.NONE,
        repeat_channels=indexed,
        repeat_schemas=indexed,
        use_chunking=chunked,
        use_statistics=indexed,
        use_summary_offsets=indexed,
        enable_crcs=checksums,
    )
    writer.start('ros2')
    channels: dict[str, int] = {}
    store = get_typestore(Stores.ROS2_JAZZY)
    for m in messages:
        if m.topic not in channels:
            text, _ = store.generate_msgdef(m.type)
            schema = writer.register_schema(m.type, 'ros2msg', text.encode())
            channels[m.topic] = writer.register_channel(m.topic, 'cdr', schema)
        writer.add_message(channels[m.topic], m.time, m.data, m.time)
    writer.finish()
    return path


def write_sqlite(path: Path, messages: Sequence[Stored], *, crashed: str = '') -> Path:
    """One sqlite3 file; `crashed` leaves the second half in a 'wal', or undone by a 'journal'."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f'{path.stem}_writing')
    with Writer(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {}
        for m in messages:
            if m.topic not in connections:
                connections[m.topic] = writer.add_connection(m.topic, m.type, typestore=TYPES)
        half = messages[: len(messages) // 2] if crashed else messages
        for m in half:
            writer.write(connections[m.topic], m.time, m.data)
    (file,) = folder.glob('*.db3')
    if crashed:
        _crash(file, path, crashed, messages)
    else:
        shutil.move(file, path)
    shutil.rmtree(folder)
    return path


def _crash(file: Path, path: Path, crashed: str, messages: Sequence[Stored]) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute('DELETE FROM metadata')
        database.execute(f'PRAGMA journal_mode={"WAL" if crashed == "wal" else "DELETE"}')
        database.execute('PRAGMA wal_autocheckpoint=0')
        database.execute('PRAGMA cache_size=2')
        ids = dict(database.execute('SELECT name, id FROM topics'))
        database.execute('BEGIN')
        for m in messages[len(messages) // 2 :]:
            row = (ids[m.topic], m.time, m.data)
            database.execute(
                'INSERT INTO messages (topic_id, timestamp, data) VALUES (?,?,?)', row
            )
        if crashed == 'wal':
            database.execute('COMMIT')
        # What is on the disk while the recorder runs is what a crash leaves.
        for end in ('', '-wal', '-shm', '-journal'):
            if Path(f'{file}{end}').exists():
                shutil.copyfile(f'{file}{end}', f'{path}{end}')


def write_metadata(bag: Path, files: Sequence[str], messages: Sequence[Stored]) -> Path:
    """`metadata.yaml` as rosbag2 writes it."""
    times = [message.time for message in messages]
    types = {message.topic: message.type for message in messages}
    bag.mkdir(parents=True, exist_ok=True)
    content = {
        'version': 5,
        'storage_identifier': 'sqlite3' if '.db3' in files[0] else 'mcap',
        'duration': {'nanoseconds': max(times) - min(times)},
        'starting_time': {'nanoseconds_since_epoch': min(times)},
        'message_count': len(messages),
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': topic,
                    'type': types[topic],
                    'serialization_format': 'cdr',
                    'offered_qos_profiles': '',
                },
                'message_count': count,
            }
            for topic, count in counts(messages).items()
        ],
        'compression_format': '',
        'compression_mode': '',
        'relative_file_paths': list(files),
    }
    (bag / 'metadata.yaml').write_text(yaml.safe_dump({'rosbag2_bagfile_information': content}))
    return bag


def write_split(
    bag: Path, messages: Sequence[Stored], parts: int, *, suffix: str = '.mcap'
) -> Path:
    """A bag in so many files, with its metadata."""
    write = write_sqlite if suffix == '.db3' else write_mcap
    names = [f'{bag.name}_{number}{suffix}' for number in range(parts)]
    bounds = np.linspace(0, len(messages), parts + 1).astype(int)
    for name, begin, end in zip(names, bounds, bounds[1:], strict=False):
        write(bag / name, messages[begin:end])
    return write_metadata(bag, names, messages)


def _single(suffix: str, **options: object) -> Callable[[Path, Sequence[Stored]], Path]:
    write = write_sqlite if suffix == '.db3' else write_mcap

    def layout(bag: Path, messages: Sequence[Stored]) -> Path:
        write(bag / f'{bag.name}_0{suffix}', messages, **options)  # type: ignore[arg-type]
        return write_metadata(bag, [f'{bag.name}_0{suffix}'], messages)

    return layout


def _ordered_by_topic(bag: Path, messages: Sequence[Stored]) -> Path:
    return _single('.mcap', indexed=False)(bag, by_topic(messages))


def _of_another_type(suffix: str) -> Callable[[Path, Sequence[Stored]], Path]:
    """The joints are said to be of a type that they are not."""

    def layout(bag: Path, messages: Sequence[Stored]) -> Path:
        kind = 'sensor_msgs/msg/Imu'
        said = [replace(m, type=kind) if m.topic == '/joint_states' else m for m in messages]
        return _single(suffix)(bag, said)

    return layout


def _packed(suffix: str) -> Callable[[Path, Sequence[Stored]], Path]:
    """The file as a whole is compressed, as by `ros2 bag record --compression-mode file`."""

    def layout(bag: Path, messages: Sequence[Stored]) -> Path:
        plain = _single(suffix)(bag, messages) / f'{bag.name}_0{suffix}'
        packed = plain.with_name(f'{plain.name}.zstd')
        packed.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
        plain.unlink()
        return write_metadata(bag, [packed.name], messages)

    return layout


def _clock_set(seconds: float) -> Callable[[Path, Sequence[Stored]], Path]:
    def layout(bag: Path, messages: Sequence[Stored]) -> Path:
        return _single('.mcap')(bag, clock_set(messages, len(messages) // 2, seconds))

    return layout


def _split_by_topic(bag: Path, messages: Sequence[Stored]) -> Path:
    names = []
    for number, topic in enumerate(counts(messages)):
        names.append(f'{bag.name}_{number}.mcap')
        write_mcap(bag / names[-1], [m for m in messages if m.topic == topic])
    return write_metadata(bag, names, messages)


LAYOUTS: dict[str, Callable[[Path, Sequence[Stored]], Path]] = {
    'mcap': _single('.mcap'),
    'mcap, no checksums': _single('.mcap', checksums=False),
    'mcap, lz4': _single('.mcap', compression=CompressionType.LZ4),
    'mcap, plain': _single('.mcap', compression=CompressionType.NONE),
    'mcap, no chunks': _single('.mcap', chunked=False),
    'mcap, no index': _single('.mcap', indexed=False),
    'mcap, no chunks, no index': _single('.mcap', chunked=False, indexed=False),
    'mcap, topic by topic': _ordered_by_topic,
    'mcap, a topic of another type': _of_another_type('.mcap'),
    'sqlite3, a topic of another type': _of_another_type('.db3'),
    'mcap, a file for each topic': _split_by_topic,
    'mcap, 12 files': lambda bag, messages: write_split(bag, messages, 12),
    'sqlite3': _single('.db3'),
    'sqlite3, 3 files': lambda bag, messages: write_split(bag, messages, 3, suffix='.db3'),
    'sqlite3, write-ahead log': _single('.db3', crashed='wal'),
    'mcap, packed as a file': _packed('.mcap'),
    'sqlite3, packed as a file': _packed('.db3'),
    'mcap, clock set back': _clock_set(-3.0),
    'mcap, clock set forward': _clock_set(3.0),
}
"""Ways to write a recording: called with a new folder and the messages."""
