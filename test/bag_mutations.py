# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What crashes, copies and foreign tools do to bags: a library that tests draw from.

`LAYOUTS` of `bag_layouts` write a recording; `DAMAGES` do to its folder what happens to bags.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml


def storage_files(bag: Path) -> list[Path]:
    """The files of a bag that hold messages, and what lies beside them."""
    return sorted(path for path in bag.iterdir() if path.name != 'metadata.yaml')


def _some(bag: Path, generator: np.random.Generator) -> Path:
    files = storage_files(bag)
    return files[generator.integers(len(files))]


def cut_short(bag: Path, generator: np.random.Generator) -> None:
    """A file ends early: the disk was full, or the copy was broken off."""
    file = _some(bag, generator)
    data = file.read_bytes()
    file.write_bytes(data[: generator.integers(len(data) + 1)])


def flip_bytes(bag: Path, generator: np.random.Generator) -> None:
    """Some bytes of a file are others."""
    file = _some(bag, generator)
    data = bytearray(file.read_bytes())
    for _ in range(generator.integers(1, 20)):
        if data:
            data[generator.integers(len(data))] ^= 1 << generator.integers(8)
    file.write_bytes(data)


def overwrite(bag: Path, generator: np.random.Generator) -> None:
    """A block of a file is zeros, or somebody else's data."""
    file = _some(bag, generator)
    data = bytearray(file.read_bytes())
    begin = int(generator.integers(len(data) + 1))
    size = min(int(generator.integers(1, 5000)), len(data) - begin)
    data[begin : begin + size] = bytes(size) if generator.random() < 0.5 else generator.bytes(size)
    file.write_bytes(data)


def drop_block(bag: Path, generator: np.random.Generator) -> None:
    """A block of a file is gone, and what follows moved up."""
    file = _some(bag, generator)
    data = file.read_bytes()
    begin = int(generator.integers(len(data) + 1))
    file.write_bytes(data[:begin] + data[begin + int(generator.integers(1, 5000)) :])


def lose_file(bag: Path, generator: np.random.Generator) -> None:
    """A file was not copied."""
    _some(bag, generator).unlink()


def exchange_files(bag: Path, generator: np.random.Generator) -> None:
    """Two files have each other's names."""
    one, other = _some(bag, generator), _some(bag, generator)
    if one != other:
        between = one.with_name('between')
        one.rename(between)
        other.rename(one)
        between.rename(other)


def copy_beside(bag: Path, generator: np.random.Generator) -> None:
    """Somebody kept a copy of a file in the folder, under a name that fits."""
    file = _some(bag, generator)
    copy = bag / f'{bag.name}_{generator.integers(40)}{file.suffix}'
    if copy != file:
        shutil.copyfile(file, copy)


def lose_metadata(bag: Path, generator: np.random.Generator) -> None:
    """The recorder was killed before it wrote it."""
    (bag / 'metadata.yaml').unlink(missing_ok=True)


def unlist_file(bag: Path, generator: np.random.Generator) -> None:
    """The metadata does not list a file."""
    _edit(bag, lambda names: names and names.pop(int(generator.integers(len(names)))))


def list_twice(bag: Path, generator: np.random.Generator) -> None:
    """The metadata lists a file more than once."""
    _edit(bag, lambda names: names.extend(names[: int(generator.integers(1, 3))]))


def shuffle_list(bag: Path, generator: np.random.Generator) -> None:
    """The metadata lists the files in any order."""
    _edit(bag, generator.shuffle)


def _edit(bag: Path, change: Callable[[list[str]], object]) -> None:
    path = bag / 'metadata.yaml'
    if not path.exists():
        return
    try:
        content = yaml.safe_load(path.read_text())
        change(content['rosbag2_bagfile_information']['relative_file_paths'])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return  # It was spoiled before.
    path.write_text(yaml.safe_dump(content))


def change_metadata(bag: Path, generator: np.random.Generator) -> None:
    """A value of the metadata is another one, or of another type."""
    path = bag / 'metadata.yaml'
    if not path.exists():
        return
    lines = path.read_text().splitlines() or ['']
    number = int(generator.integers(len(lines)))
    others = ('-3', '0', '1e400', '[]', '{}', 'null', '../..', '"', '!!python/object:os.system')
    key, _, _ = lines[number].partition(':')
    lines[number] = f'{key}: {others[generator.integers(len(others))]}'
    path.write_text('\n'.join(lines))


def lose_log(bag: Path, generator: np.random.Generator) -> None:
    """Only the database was copied, not what lies beside it."""
    for file in storage_files(bag):
        if file.name.endswith('-wal'):
            file.unlink()


def nothing(bag: Path, generator: np.random.Generator) -> None:
    """All is as it was written."""


DAMAGES: tuple[Callable[[Path, np.random.Generator], None], ...] = (
    cut_short,
    flip_bytes,
    overwrite,
    drop_block,
    lose_file,
    exchange_files,
    copy_beside,
    lose_metadata,
    unlist_file,
    list_twice,
    shuffle_list,
    change_metadata,
    lose_log,
    nothing,
)
"""What happens to bags: called with the bag's folder and what chance is drawn from."""
