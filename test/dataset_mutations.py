# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot datasets as they are found: a library of damages that tests draw from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

Damage = Callable[[Path, np.random.Generator], None]
_VALUES: tuple[Any, ...] = (None, [], {}, -1, 0, 1e300, 'x', '../..', [[['a']]], True, {'a': 1})


def _pick(generator: np.random.Generator, things: Any) -> Any:
    things = list(things)
    return things[int(generator.integers(len(things)))] if things else None


def _file(root: Path, generator: np.random.Generator, pattern: str = '*') -> Path | None:
    return _pick(generator, sorted(path for path in root.rglob(pattern) if path.is_file()))


def lose_file(root: Path, generator: np.random.Generator) -> None:
    """A file was not copied."""
    if (file := _file(root, generator)) is not None:
        file.unlink()


def cut_short(root: Path, generator: np.random.Generator) -> None:
    """A file ends early."""
    if (file := _file(root, generator)) is not None:
        data = file.read_bytes()
        file.write_bytes(data[: int(generator.integers(len(data) + 1))])


def flip_bytes(root: Path, generator: np.random.Generator) -> None:
    """Some bytes of a file are others."""
    if (file := _file(root, generator)) is not None and (data := bytearray(file.read_bytes())):
        for _ in range(int(generator.integers(1, 20))):
            data[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
        file.write_bytes(data)


def exchange_files(root: Path, generator: np.random.Generator) -> None:
    """A file has the content of another one of its kind."""
    one = _file(root, generator)
    if one is not None:
        other = _file(root, generator, f'*{one.suffix}')
        if other is not None and other != one:
            shutil.copyfile(other, one)


def change_description(root: Path, generator: np.random.Generator) -> None:
    """A value somewhere in meta/info.json is another one, or is gone."""
    path = root / 'meta/info.json'
    try:
        content = part = json.loads(path.read_text())
        for _ in range(int(generator.integers(3))):
            inner = [value for value in part.values() if isinstance(value, dict) and value]
            part = _pick(generator, inner) or part
        key = _pick(generator, part)
        if generator.random() < 0.3:
            part.pop(key)
        else:
            part[key] = _pick(generator, _VALUES)
        path.write_text(json.dumps(content))
    except (OSError, ValueError, AttributeError, KeyError):
        return


def change_lines(root: Path, generator: np.random.Generator) -> None:
    """A line of a list of episodes or tasks is gone, twice there, or of other values."""
    path = _file(root, generator, '*.jsonl')
    if path is None:
        return
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        place = int(generator.integers(len(rows)))
        kind = int(generator.integers(3))
        if kind == 0:
            rows.pop(place)
        elif kind == 1:
            rows.append(rows[place])
        else:
            rows[place][_pick(generator, rows[place])] = _pick(generator, _VALUES)
        path.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
    except (ValueError, AttributeError, TypeError, KeyError):
        return


def _change_table(change: Callable[[pa.Table, np.random.Generator], pa.Table]) -> Damage:
    def damage(root: Path, generator: np.random.Generator) -> None:
        path = _file(root, generator, '*.parquet')
        if path is None:
            return
        try:
            table = change(parquet.read_table(path), generator)
        except (pa.ArrowException, ValueError, TypeError, KeyError, IndexError, OSError):
            return
        parquet.write_table(table, path)

    damage.__name__ = change.__name__.strip('_')
    damage.__doc__ = change.__doc__
    return damage


def _drop_column(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """A column is not there."""
    return table.drop_columns([_pick(generator, table.column_names)])


def _drop_rows(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """Some rows are gone."""
    kept = np.flatnonzero(generator.random(len(table)) < 0.8)
    return table.take(kept)


def _repeat_rows(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """Rows are there twice."""
    return table.take(np.sort(generator.integers(len(table), size=len(table))))


def _spoil_number(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """A number is NaN, infinite, huge, or missing."""
    name = _pick(generator, table.column_names)
    place = table.column_names.index(name)
    values = table.column(name).to_pylist()
    row = int(generator.integers(len(values)))
    bad = _pick(generator, (float('nan'), float('inf'), -1e30, None, 10**12))
    values[row] = [bad, *values[row][1:]] if isinstance(values[row], list) else bad
    return table.set_column(place, name, pa.array(values))


def _other_type(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """A column is of another type."""
    name = _pick(generator, table.column_names)
    place = table.column_names.index(name)
    return table.set_column(
        place, name, pa.array([str(v) for v in table.column(name).to_pylist()])
    )


def _scale_times(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    """Timestamps run faster or slower than the video."""
    place = table.column_names.index('timestamp')
    scaled = np.array(table.column('timestamp').to_pylist()) * generator.uniform(0.5, 1.5)
    return table.set_column(place, 'timestamp', pa.array(scaled.astype(np.float32)))


def nothing(root: Path, generator: np.random.Generator) -> None:
    """All is as it was written."""


DAMAGES: tuple[Damage, ...] = (
    lose_file,
    cut_short,
    flip_bytes,
    exchange_files,
    change_description,
    change_lines,
    *map(
        _change_table,
        (_drop_column, _drop_rows, _repeat_rows, _spoil_number, _other_type, _scale_times),
    ),
    nothing,
)
"""What happens to datasets: called with the folder and what chance is drawn from."""
