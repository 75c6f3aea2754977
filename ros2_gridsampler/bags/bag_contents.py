# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a bag -> which messages are in them, in which order they happened, what was lost."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from ..files import FULL, disk_of
from .bag_files import BagFiles, bag_stamps, find_files, split_prefix
from .bag_types import BagTypes
from .mcap_file import McapFile
from .ros1_file import Ros1File
from .sqlite_file import SqliteFile
from .stored_messages import Channel, ClockStep, StorageFile, Timeline, timeline

_KINDS: dict[str, Callable[[Path], StorageFile]] = {
    '.mcap': McapFile,
    '.db3': SqliteFile,
    '.bag': Ros1File,
}
# Splits that follow each other: overlap and silence between them [ns].
_OVERLAP, _JOINT = 10**8, 2 * 10**9


@dataclass(frozen=True)
class FileContents:
    """What is in one file; see `McapFile`.

    Attributes:
        file: Where it is.
        channels: What it records.
        known: Whether messages of each channel can be understood.
        numbers: The number of the channel of each message.
        times: Log time of each [ns].
        places: What `StorageFile.fetch` wants, of each.
        losses: A sentence part each.
        doubts: Why more messages may have been recorded, a sentence part for each reason.
    """

    file: Path
    channels: Sequence[Channel]
    known: Sequence[bool]
    numbers: NDArray[np.int32]
    times: NDArray[np.int64]
    places: NDArray[np.int64]
    losses: Sequence[str]
    doubts: Sequence[str]

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last log time [ns]; None where there is none."""
        known = self.times[self.times > 0]
        return (int(known.min()), int(known.max())) if len(known) else None

    @property
    def topics(self) -> dict[str, str]:
        """Topic -> type, of what has messages."""
        used = (self.channels[number] for number in np.unique(self.numbers))
        return {channel.topic: channel.type for channel in used}


@dataclass(frozen=True)
class BagContents:
    """What is in a bag, without the messages themselves; some 40 bytes for each of them.

    Attributes:
        files: In the order of recording.
        topics: Name of each topic.
        topic: Number of the topic of each message, in the order of writing.
        file: Number of its file.
        timeline: Order in which the messages happened, and where the clock was set.
        losses: A sentence part each.
        doubts: Why more messages may have been recorded, a sentence part for each reason.
    """

    files: Sequence[FileContents]
    topics: Sequence[str]
    topic: NDArray[np.int32]
    file: NDArray[np.int32]
    timeline: Timeline
    losses: Sequence[str]
    doubts: Sequence[str]


def clock_steps(bag: Path) -> tuple[ClockStep, ...]:
    """Where the recording is cut, because its clock was set or all of it is silent."""
    return read_contents(bag).timeline.steps


def read_contents(bag: Path) -> BagContents:
    """What is in a bag; kept for as long as its files stay as they are.

    Raises:
        FileNotFoundError: There is nothing to read.
        DamagedBag: The metadata is not readable.
    """
    found = find_files(bag)
    return _contents(bag, tuple(bag_stamps(bag)), found.there + found.unlisted)


@lru_cache(maxsize=2)
def _contents(bag: Path, stamps: object, paths: tuple[Path, ...]) -> BagContents:
    found = find_files(bag)
    losses, doubts = [], [*found.doubts]
    if found.missing:
        losses.append(
            f'{bag} lacks {len(found.missing)} of its {len(found.missing) + len(found.there)} '
            f'files, {found.missing[0]} for one; copy the whole folder, or name the file that is '
            'there'
        )
    listed = [_read_file(file, counted=found.expected is not None) for file in found.there]
    files = _in_order(_with_unlisted(listed, found, doubts))
    losses += [loss for each in files for loss in each.losses]
    doubts += [doubt for each in files for doubt in each.doubts]
    topic_names = list(dict.fromkeys(c.topic for each in files for c in each.channels))
    numbers = {name: number for number, name in enumerate(topic_names)}
    topic = [
        np.array([numbers[c.topic] for c in each.channels], np.int32)[each.numbers]
        for each in files
        if len(each.numbers)
    ]
    topics = np.concatenate([np.empty(0, np.int32), *topic])
    times = np.concatenate([np.empty(0, np.int64), *(each.times for each in files)])
    counts = [len(each.times) for each in files]
    line = timeline(topics, times)
    if line.disordered:
        doubts.append('its log times go back too often for any clock; messages are in their order')
    return BagContents(
        files,
        topic_names,
        topics,
        np.repeat(np.arange(len(files), dtype=np.int32), counts),
        line,
        losses,
        doubts,
    )


def _read_file(file: Path, *, counted: bool) -> FileContents:
    """Reads where the messages of a file are; what cannot be read is a loss."""
    empty = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    try:
        with open_storage(file) as storage:
            types = types_of(storage)
            losses = [f'{file.name} is not whole: {"; ".join(storage.losses)}']
            doubts = [f'{file.name} {doubt}' for doubt in storage.doubts]
            if not (counted or storage.counted or storage.losses):
                doubts.append(f'nothing says how many messages {file.name} should hold')
            places = storage.places
            return FileContents(
                file,
                tuple(storage.channels),
                [types.knows(channel.type) for channel in storage.channels],
                np.array(places.channels, np.int32),
                np.array(places.times, np.int64),
                np.array(places.places, np.int64),
                losses if storage.losses else [],
                doubts,
            )
    except Exception as error:  # every kind of storage fails in its own way on a cut file
        if not is_damage(error):
            raise
        loss = f'{file.name} is not whole ({type(error).__name__}: {error})'
        return FileContents(file, (), (), *empty, [loss], [])


def _with_unlisted(
    files: list[FileContents], found: BagFiles, doubts: list[str]
) -> list[FileContents]:
    """Takes files that metadata does not list, where they can only be of this recording."""
    kinds: dict[str, str] = {}
    for each in files:
        kinds |= each.topics
    for file in found.unlisted:
        more = _read_file(file, counted=True)
        spans = [each.span for each in files if each.span and kinds]
        same = any(kinds.get(topic) == kind for topic, kind in more.topics.items())
        apart = more.span is not None and all(
            more.span[0] > end - _OVERLAP or more.span[1] < begin + _OVERLAP
            for begin, end in spans
        )
        named = {split_prefix(each) or f'{each.stem}_' for each in found.there}
        if same and apart and split_prefix(file) in named:
            files = [*files, more]
            doubts.append(
                f'its metadata does not list {file.name}, whose {len(more.times)} messages were '
                'read too'
            )
        else:
            doubts.append(
                f'its metadata does not list {file.name}, which is not named like the others, '
                'holds other topics or the same time once more, and was not read'
            )
    return files


def _in_order(files: Sequence[FileContents]) -> Sequence[FileContents]:
    """Splits in the order of their stamps, where these leave no doubt; else as they are named."""
    timed = [each for each in files if each.span is not None]
    by_time = sorted(timed, key=lambda each: each.span or (0, 0))
    if not all(_joined(*pair) for pair in pairwise(by_time)):
        return files
    return [*by_time, *(each for each in files if each.span is None)]


def follow_each_other(files: Sequence[Path]) -> bool:
    """Whether each file begins where the one before it ends, as the splits of a recording do."""
    return all(_joined(*pair) for pair in pairwise(_read_file(f, counted=True) for f in files))


def _joined(before: FileContents, after: FileContents) -> bool:
    if before.span is None or after.span is None:
        return False
    return -_OVERLAP < after.span[0] - before.span[1] < _JOINT


@contextmanager
def open_storage(file: Path) -> Iterator[StorageFile]:
    """One storage file of any kind, unpacked first where it is compressed as a whole."""
    with ExitStack() as stack:
        if file.suffix == '.zstd':
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plain = folder / file.name.removesuffix('.zstd')
            advice = 'set TMPDIR to a folder with room for the bag'
            with disk_of(folder, advice), file.open('rb') as source, plain.open('wb') as target:
                zstandard.ZstdDecompressor().copy_stream(source, target)
            file = plain
        if file.suffix not in _KINDS:
            raise ValueError(f'{file.name} is none of {", ".join(_KINDS)}')
        storage = _KINDS[file.suffix](file)
        stack.callback(storage.close)
        yield storage


def types_of(storage: StorageFile) -> BagTypes:
    """The types that its messages need."""
    return _types(tuple((c.type, c.definition) for c in storage.channels), storage.ros1)


@lru_cache(maxsize=8)
def _types(definitions: tuple[tuple[str, Any], ...], ros1: bool) -> BagTypes:
    return BagTypes(definitions, ros1=ros1)


def is_damage(error: Exception) -> bool:
    """Whether a file is at fault: it makes a parser fail in any way, even for want of memory."""
    return not isinstance(error, PermissionError) and getattr(error, 'errno', None) not in FULL
