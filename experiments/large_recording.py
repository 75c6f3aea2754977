# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A large MCAP without an index, topic by topic -> what reading it in order of time costs."""

import json
import resource
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, IndexType, Writer
from tqdm import tqdm

from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import read_serialised
from ros2_gridsampler.bags.bag_writer import TYPES, build, build_header, serialise
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.files import disk_of

from . import run

_TOPICS = {
    '/camera/image/compressed': (30, 'sensor_msgs/msg/CompressedImage'),
    '/joint_states': (100, 'sensor_msgs/msg/JointState'),
    '/wrench': (30, 'geometry_msgs/msg/WrenchStamped'),
    '/command': (30, 'geometry_msgs/msg/TwistStamped'),
}
"""Topic -> messages per second and type."""
_PICTURE = 26_000
"""A JPEG of some 640x480 [bytes]."""
_CHUNK, _NOISE = 4 * 2**20, 400


@dataclass(frozen=True)
class ReadingCost:
    """What reading cost.

    Attributes:
        bytes: The size of the file.
        messages: That were read.
        in_order: Whether their log times rise.
        cpu: Time of the process while it read [s].
        wall: The same by the clock on the wall [s].
        before: Memory before the file was opened [bytes].
        peak: The most memory [bytes].
    """

    bytes: int
    messages: int
    in_order: bool
    cpu: float
    wall: float
    before: int
    peak: int

    def to_json(self) -> str:
        """Returns everything, for `--json`."""
        return json.dumps(asdict(self))


def write_large(file: Path, size: float) -> int:
    """Writes one topic after the other, without an index and without statistics.

    Args:
        file: To write.
        size: The size of the file [bytes].

    Returns:
        How many messages are in it.
    """
    seconds = max(1, round(size / (30 * _PICTURE + 160 * 250)))
    writer = Writer(
        str(file),
        chunk_size=_CHUNK,
        compression=CompressionType.ZSTD,
        index_types=IndexType.NONE,
        use_statistics=False,
        use_summary_offsets=False,
        repeat_channels=False,
        repeat_schemas=False,
        enable_crcs=False,
    )
    writer.start('ros2')
    count = 0
    for topic, (rate, kind) in _TOPICS.items():
        text, _ = TYPES.generate_msgdef(kind)
        schema = writer.register_schema(kind, 'ros2msg', text.encode())
        channel = writer.register_channel(topic, 'cdr', schema)
        for stamp, data in tqdm(_messages(kind, rate, seconds), desc=topic, unit='message'):
            writer.add_message(channel, stamp, data, stamp)
            count += 1
    writer.finish()
    return count


def _messages(kind: str, rate: int, seconds: int) -> Iterator[tuple[int, bytes]]:
    """Log time [ns] and bytes of each message; no chunk has a picture twice."""
    # More than a chunk, so that none can be compressed.
    noise = np.random.default_rng(rate).bytes(_NOISE * _PICTURE)
    fields: dict[str, Any] = {'header': build_header(0.0, 'base')}
    if kind.endswith('CompressedImage'):
        fields |= {'format': 'jpeg', 'data': np.zeros(_PICTURE, np.uint8)}
    elif kind.endswith('JointState'):
        names = [f'joint_{joint}' for joint in range(7)]
        none = np.empty(0)
        fields |= {'name': names, 'position': np.zeros(7), 'velocity': none, 'effort': none}
    else:
        vector = build('geometry_msgs/msg/Vector3', x=1.0, y=2.0, z=3.0)
        twist = build('geometry_msgs/msg/Twist', linear=vector, angular=vector)
        wrench = build('geometry_msgs/msg/Wrench', force=vector, torque=vector)
        fields |= {'wrench': wrench} if 'Wrench' in kind else {'twist': twist}
    data = bytearray(serialise(build(kind, **fields)))
    for number in range(rate * seconds):
        nanoseconds = round((1.75e9 + number / rate) * 1e9)
        # Behind the four bytes of the encapsulation, the header begins with its stamp.
        struct.pack_into('<iI', data, 4, *divmod(nanoseconds, 10**9))
        if kind.endswith('CompressedImage'):
            begin = number % _NOISE * _PICTURE
            data[-_PICTURE:] = noise[begin : begin + _PICTURE]
        yield nanoseconds, bytes(data)


def read_large(file: Path) -> ReadingCost:
    """Reads all of a file, as its only work in this process."""
    before, begin, cpu = _peak(), time.perf_counter(), time.process_time()
    count, last, in_order = 0, 0.0, True
    try:
        for message in read_serialised(file):
            count += 1
            in_order &= message.time >= last
            last = message.time
    except DamagedBag as error:
        # Nothing in such a file says how many messages it should hold.
        if 'nothing says how many' not in str(error):
            raise
    return ReadingCost(
        file.stat().st_size,
        count,
        in_order,
        time.process_time() - cpu,
        time.perf_counter() - begin,
        before,
        _peak(),
    )


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(gigabytes: float = 5.0, json: Json = None) -> None:
    """Write a large MCAP in TMPDIR, read it in a process of its own, and say what that cost.

    Args:
        gigabytes: Size of the file.
        json: File for the result, or - for standard output.
    """
    if not 0 < gigabytes < 1000:
        raise ValueError(f'--gigabytes is {gigabytes:g}; a file has more than 0, less than 1000.')
    with json_output(json) as write, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'large.mcap'
        with disk_of(Path(folder), 'set TMPDIR to a folder with room for the file'):
            written = write_large(file, gigabytes * 1e9)
        with get_context('spawn').Pool(1) as pool:
            cost = pool.apply(read_large, (file,))
        print(
            f'{cost.messages} of {written} messages, {cost.bytes / 1e9:.2f} GB, '
            f'{"in" if cost.in_order else "NOT in"} order of time: {cost.cpu:.0f} s of CPU time, '
            f'{cost.wall:.0f} s in all; {cost.peak / 1e6:.0f} MB at most, '
            f'{cost.before / 1e6:.0f} MB before the file was opened'
        )
        write(cost.to_json())


if __name__ == '__main__':
    from experiments.large_recording import main as command

    run(command)
