# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag's folder -> the files that it should consist of, and which of them are there."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import yaml

STORAGES = ('.mcap', '.db3', '.bag')

# PyYAML has the ten times faster one where it was built with libyaml.
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


_NO_METADATA = (
    yaml.YAMLError,
    UnicodeDecodeError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


class DamagedBag(ValueError):
    """A bag is not whole; raised only after everything that is whole was handed out."""


@dataclass(frozen=True)
class BagFiles:
    """What a bag should consist of, and what is there.

    Attributes:
        there: Storage files in order; may still be compressed as a whole.
        missing: Names that the metadata gives and nobody finds.
        expected: Topic -> messages by the metadata; None where there is no metadata.
        duration: By the metadata [s]; None where it does not say.
    """

    there: tuple[Path, ...]
    missing: tuple[str, ...]
    expected: Mapping[str, int] | None
    duration: float | None = None


def bag_stamps(bag: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: what was read of a bag holds while they do."""
    files = [bag] if bag.is_file() else sorted(path for path in bag.iterdir() if path.is_file())
    found = [(path.name, path.stat()) for path in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def find_files(bag: Path) -> BagFiles:
    """The files of a bag: a folder with or without metadata.yaml, or one storage file.

    Raises:
        FileNotFoundError: There is nothing to read.
        DamagedBag: The metadata is not readable.
    """
    if bag.is_file():
        return BagFiles((bag,), (), None)
    if not bag.exists():
        raise FileNotFoundError(f'{bag} does not exist.')
    path = bag / 'metadata.yaml'
    if not path.is_file():
        found = sorted(f for f in bag.iterdir() if f.is_file() and is_storage(f))
        if not found:
            raise FileNotFoundError(
                f'{bag} has neither a metadata.yaml nor a file {" or ".join(STORAGES)}; it is '
                'not a bag.'
            )
        return BagFiles(tuple(found), (), None)
    try:
        content = yaml.load(path.read_text(), _LOADER)  # noqa: S506 - both are safe
        information = content['rosbag2_bagfile_information']
        # Old recorders wrote the folder, which may have been renamed since.
        names = [PurePath(name).name for name in information['relative_file_paths']]
        expected: Counter[str] = Counter()
        for entry in information['topics_with_message_count']:
            expected[str(entry['topic_metadata']['name'])] += int(entry['message_count'])
        nanoseconds = information.get('duration', {}).get('nanoseconds')
        duration = None if nanoseconds is None else 1e-9 * int(nanoseconds)
    except _NO_METADATA as error:
        raise DamagedBag(
            f'{path} is not the metadata of a bag ({type(error).__name__}); restore it, or name '
            'the storage file itself.'
        ) from error
    there = tuple(bag / name for name in names if (bag / name).is_file())
    missing = tuple(name for name in names if not (bag / name).is_file())
    return BagFiles(there, missing, expected, duration)


def is_storage(path: Path) -> bool:
    """Whether a file's name says that it holds messages."""
    return path.suffix in STORAGES or path.name.endswith(('.mcap.zstd', '.db3.zstd'))
