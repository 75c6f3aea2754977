# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a bag, whole or not -> its messages in the order they happened; what was lost."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from .bag_contents import (
    BagContents,
    FileContents,
    is_damage,
    open_storage,
    read_contents,
    types_of,
)
from .bag_files import DamagedBag, find_files
from .bag_types import BagTypes
from .stored_messages import StorageFile

_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_REPAIR = {
    '.db3': 'Try "sqlite3 FILE .recover | sqlite3 NEW.db3", or record again.',
    '.bag': 'Write its index again with "rosbag reindex" of ROS 1, or record again.',
}
# Files that are open at once, where splits are read side by side.
_OPEN = 16


@dataclass(frozen=True)
class RecordedMessage:
    """A message with the fields of its type.

    Attributes:
        topic: Absolute name.
        type: For instance 'sensor_msgs/msg/Image'.
        time: When the recorder received it [s].
        message: Its fields.
        serialised: Its CDR bytes.
        stretch: How often the recording was cut before it; see `BagContents`.
    """

    topic: str
    type: str
    time: float
    message: Any
    serialised: bytes = field(default=b'', repr=False)
    stretch: int = 0


def read_storage(
    bag: Path, topics: Collection[str], deserialised: bool
) -> Iterator[RecordedMessage]:
    """Messages of all files in the order they happened.

    Args:
        bag: A folder or a file.
        topics: Only these; all if empty.
        deserialised: Whether `message` has fields; else it is the CDR bytes.

    Raises:
        DamagedBag: At the end, if anything was lost or may have been.
    """
    contents = read_contents(bag)
    counts: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for message in _messages(contents, topics, deserialised, bad):
        counts[message.topic] += 1
        yield message
    losses = [*contents.losses]
    if bad:
        listed = ', '.join(f'{count} of {topic}' for topic, count in sorted(bad.items()))
        losses.append(f'{bag.name} holds messages that cannot be understood: {listed}')
    short = '' if losses else _short(bag, topics, contents)
    if losses:
        advice = 'Record again, or go on with what was read.'
        if not counts.total():
            last = contents.files[-1].file.suffix if contents.files else ''
            advice = _REPAIR.get(last, 'Record again.')
        raise DamagedBag(
            f'{"; ".join([*losses, *contents.doubts])}. {counts.total()} messages could be read, '
            f'the rest is lost. {advice}'
        )
    if short or contents.doubts:
        doubts = '; '.join(contents.doubts)
        said = f'{bag.name}: {doubts}; {counts.total()} messages were read.' if doubts else ''
        raise DamagedBag(' '.join(filter(None, [short, said])))


def _short(bag: Path, topics: Collection[str], contents: BagContents) -> str:
    """Where the metadata counts other messages than there are."""
    expected = find_files(bag).expected
    if expected is None:
        return ''
    wanted = {t: n for t, n in expected.items() if not topics or t in topics}
    there = Counter(dict(zip(contents.topics, np.bincount(contents.topic).tolist(), strict=False)))
    short = {t: (n, there[t]) for t, n in wanted.items() if n != there[t]}
    if not short:
        return ''
    topic, (said, came) = next(iter(short.items()))
    return (
        f'{bag} should hold {sum(wanted.values())} messages by its metadata, '
        f'{sum(there[t] for t in wanted)} came: of {topic} {said}, came {came}. Compare the '
        'files with the robot, or write the metadata again with "ros2 bag reindex".'
    )


def read_connections(bag: Path) -> dict[str, tuple[str, bool]]:
    """Topic -> the type of most of its messages, and whether they can be understood."""
    return _connections(read_contents(bag))


def _connections(contents: BagContents) -> dict[str, tuple[str, bool]]:
    counts: dict[str, Counter[tuple[str, bool]]] = {}
    for part in contents.files:
        messages = np.bincount(part.numbers, minlength=len(part.channels)).tolist()
        for channel, known, count in zip(part.channels, part.known, messages, strict=True):
            counts.setdefault(channel.topic, Counter())[channel.type, known] += count
    return {topic: kinds.most_common(1)[0][0] for topic, kinds in counts.items()}


def _messages(
    contents: BagContents, topics: Collection[str], deserialised: bool, bad: Counter[str]
) -> Iterator[RecordedMessage]:
    """Messages in order; `bad` counts those that cannot be read, by topic."""
    wanted = [
        number for number, name in enumerate(contents.topics) if not topics or name in topics
    ]
    kinds = _connections(contents)
    line = contents.timeline
    chosen = np.isin(contents.topic[line.order], wanted)
    order, stretches = line.order[chosen], line.stretches[chosen]
    firsts = np.searchsorted(contents.file, np.arange(len(contents.files)))
    with _OpenFiles(contents.files) as opened:
        for number, stretch in zip(order, stretches, strict=True):
            place = contents.file[number]
            part = contents.files[place]
            index = number - firsts[place]
            channel_number = part.numbers[index]
            channel = part.channels[channel_number]
            if channel.type != kinds[channel.topic][0]:
                bad[f'{channel.topic} as {channel.type} instead of {kinds[channel.topic][0]}'] += 1
                continue
            if deserialised and not topics and not part.known[channel_number]:
                continue
            try:
                storage, types = opened[place]
                cdr = types.to_cdr(_plain(storage.fetch(int(part.places[index]))), channel.type)
                message = types.deserialise(cdr, channel.type) if deserialised else cdr
            except Exception as error:  # flipped bytes make any length, text or number of others
                if not is_damage(error):
                    raise
                bad[channel.topic] += 1
                continue
            time = 1e-9 * int(part.times[index])
            yield RecordedMessage(channel.topic, channel.type, time, message, cdr, int(stretch))


class _OpenFiles:
    """Opens files as they are needed and closes those that were not for longest."""

    def __init__(self, files: Sequence[FileContents]) -> None:
        self._files = files
        self._open: OrderedDict[int, tuple[ExitStack, StorageFile, BagTypes]] = OrderedDict()

    def __enter__(self) -> '_OpenFiles':
        return self

    def __exit__(self, *error: object) -> None:
        for stack, _, _ in self._open.values():
            stack.close()

    def __getitem__(self, number: int) -> tuple[StorageFile, BagTypes]:
        if number not in self._open:
            if len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1][0].close()
            with ExitStack() as stack:
                storage = stack.enter_context(open_storage(self._files[number].file))
                self._open[number] = stack.pop_all(), storage, types_of(storage)
        self._open.move_to_end(number)
        return self._open[number][1:]


def _plain(data: bytes) -> bytes:
    if data.startswith(_ZSTD_MAGIC):
        # Compression mode "message": no CDR encapsulation begins like that.
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data
