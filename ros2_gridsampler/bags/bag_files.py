# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag's folder -> the files that it should consist of, and which of them are there."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

STORAGES = ('.mcap', '.db3', '.bag')
# What SQLite keeps beside a database that is open, or was when its writer was killed.
SQLITE_BESIDE = ('-wal', '-journal', '-shm')

# PyYAML has the ten times faster one where it was built with libyaml.
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


_NO_METADATA = (
    yaml.YAMLError,
    UnicodeDecodeError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
)
# As rosbag2 names the splits of a recording.
_NUMBERED = re.compile(r'(.*_)(\d+)')


class DamagedBag(ValueError):
    """A bag is not whole; raised only after everything that is whole was handed out."""


@dataclass(frozen=True)
class BagFiles:
    """What a bag should consist of, and what is there.

    Attributes:
        there: Storage files in the order of their names; may still be compressed as a whole.
        unlisted: Files in the folder that the metadata does not give; see `BagContents`.
        missing: Names that the metadata gives, or the numbers of the others, and nobody finds.
        doubts: Why more messages may have been recorded, a sentence part for each reason.
        expected: Topic -> messages by the metadata; None where there is no metadata.
        duration: Duration by the metadata [s]; None where it does not say.
    """

    there: tuple[Path, ...]
    unlisted: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    expected: Mapping[str, int] | None = None
    duration: float | None = None


def bag_stamps(bag: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: what was read of a bag holds while they do."""
    files = sorted(path for path in bag.iterdir() if path.is_file()) if bag.is_dir() else [bag]
    if bag.suffix == '.db3' and bag.is_file():
        files += [path for end in SQLITE_BESIDE if (path := Path(f'{bag}{end}')).is_file()]
    found = [(path.name, path.stat()) for path in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def find_files(bag: Path) -> BagFiles:
    """The files of a bag: a folder with or without metadata.yaml, or one storage file.

    Raises:
        FileNotFoundError: There is nothing to read.
        DamagedBag: The metadata is not readable.
    """
    if bag.is_file():
        return BagFiles((bag,))
    if not bag.exists():
        raise FileNotFoundError(f'{bag} does not exist.')
    found = sorted((f for f in bag.iterdir() if is_storage(f) and f.is_file()), key=_natural)
    path = bag / 'metadata.yaml'
    if not path.is_file():
        if not found:
            raise FileNotFoundError(
                f'{bag} has neither a metadata.yaml nor a file {" or ".join(STORAGES)}; it is '
                'not a bag.'
            )
        return _without_metadata(bag, found)
    try:
        content = yaml.load(path.read_text('utf-8'), _LOADER)  # noqa: S506 - both are safe
        information = content['rosbag2_bagfile_information']
        # Old recorders wrote the folder, which may have been renamed since.
        names = [PurePath(name).name for name in information['relative_file_paths']]
        expected: Counter[str] = Counter()
        for entry in information['topics_with_message_count']:
            expected[str(entry['topic_metadata']['name'])] += int(entry['message_count'])
        nanoseconds = (information.get('duration') or {}).get('nanoseconds')
        duration = None if nanoseconds is None else 1e-9 * int(nanoseconds)
    except _NO_METADATA as error:
        raise DamagedBag(
            f'{path} is not the metadata of a bag ({type(error).__name__}); restore it, or name '
            'the storage file itself.'
        ) from error
    by_stem = {_stem(file): file for file in reversed(found)}
    listed = {name: _listed(bag, name, by_stem) for name in dict.fromkeys(names)}
    there = tuple(dict.fromkeys(file for file in listed.values() if file is not None))
    stems = {_stem(file) for file in there}
    doubts = []
    if found and not there:
        # Somebody renamed them; the counts tell whether they are those.
        there, listed = tuple(found), {}
        doubts.append(f'its metadata lists none of its files by name, {found[0].name} for one')
        stems = {_stem(file) for file in there}
    elif len(listed) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        doubts.append(f'its metadata lists {twice} more than once, which was read once')
    return BagFiles(
        there,
        tuple(file for file in found if _stem(file) not in stems),
        tuple(name for name, file in listed.items() if file is None),
        tuple(doubts),
        expected,
        duration,
    )


def is_storage(path: Path) -> bool:
    """Whether a file's name says that it holds messages."""
    return path.suffix in STORAGES or path.name.endswith(('.mcap.zstd', '.db3.zstd'))


def split_prefix(file: Path) -> str | None:
    """What the names of a recording's splits have in common; None of a file without a number."""
    match = _NUMBERED.fullmatch(_stem(file))
    return match[1] if match else None


def _without_metadata(bag: Path, found: Sequence[Path]) -> BagFiles:
    # A player may have unpacked a file beside the compressed one.
    there = list({_stem(file): file for file in reversed(found)}.values())[::-1]
    numbered = [match for file in there if (match := _NUMBERED.fullmatch(_stem(file)))]
    if len(numbered) < len(there):
        if len(there) == 1:
            return BagFiles(tuple(there))
        doubt = 'no metadata.yaml says which files it should have'
        return BagFiles(tuple(there), doubts=(doubt,))
    numbers = {int(match[2]) for match in numbered}
    gaps = sorted(set(range(max(numbers))) - numbers) if max(numbers) < 10**5 else []
    missing = tuple(f'{numbered[0][1]}{number}{there[0].suffix}' for number in gaps)
    doubt = f'no metadata.yaml says whether more follows {there[-1].name}'
    return BagFiles(tuple(there), missing=missing, doubts=(doubt,))


def _listed(bag: Path, name: str, by_stem: Mapping[str, Path]) -> Path | None:
    """The file of that name, or the same one packed or unpacked."""
    file = bag / name
    return file if file.is_file() else by_stem.get(_stem(file))


def _stem(file: Path) -> str:
    """A file's name without what storage and compression add to it."""
    return Path(file.name.removesuffix('.zstd')).stem


def _natural(file: Path) -> list[Any]:
    """Orders 'run_10.mcap' behind 'run_9.mcap'."""
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', file.name)]
