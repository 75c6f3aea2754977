# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Measurements that take long -> a file with a row for each that is done; a stop loses none."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_whole

Values = Mapping[str, float | str]
REFUSED = 'refused'


@dataclass(frozen=True)
class Job:
    """One row.

    Attributes:
        subject: What is measured.
        way: What computes it.
        measure: Does it; whatever it raises becomes a row that says why there is no figure.
    """

    subject: str
    way: str
    measure: Callable[[], Values]


class RowFile:
    """A JSON file of rows, written anew after each of them.

    Args:
        path: Continued where it exists; None keeps the rows in memory.
        machine: Facts without which the rows mean nothing; rows of another machine are not mixed.

    Raises:
        ValueError: The file is of another machine, or is no such file.
    """

    def __init__(self, path: Path | None, machine: Mapping[str, str]) -> None:
        self._path = path
        self._machine = dict(machine)
        self.rows: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self.rows = self._read(path)

    def _read(self, path: Path) -> list[dict[str, Any]]:
        try:
            content = json.loads(path.read_text())
            machine, rows = dict(content['machine']), [dict(row) for row in content['rows']]
            known = [(row['subject'], row['way']) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is no file of this benchmark ({error!r}).') from error
        if machine != self._machine:
            other = [name for name in self._machine if machine.get(name) != self._machine[name]]
            raise ValueError(
                f'{path} was measured with another {" and ".join(other) or "machine"}; name a '
                'new file.'
            )
        if len(set(known)) < len(known):
            raise ValueError(f'{path} has a row twice; name a new file.')
        return rows

    def has(self, job: Job) -> bool:
        """Returns whether a figure is there; a refused row is tried again."""
        return any(_is_of(row, job) and REFUSED not in row for row in self.rows)

    def add(self, job: Job, values: Values) -> None:
        """Writes a row, in place of one of that name."""
        self.rows = [row for row in self.rows if not _is_of(row, job)]
        self.rows.append({'subject': job.subject, 'way': job.way, **values})
        if self._path is not None:
            content = {'machine': self._machine, 'rows': self.rows}
            write_whole(self._path, json.dumps(content, indent=1))


def _is_of(row: Mapping[str, Any], job: Job) -> bool:
    return (row['subject'], row['way']) == (job.subject, job.way)


def run_jobs(
    jobs: Iterable[Job],
    file: RowFile,
    budget: float,
    clock: Callable[[], float],
    progress: Callable[[str], object],
) -> int:
    """Does what is not done yet; begins nothing when the time is over.

    Args:
        jobs: In order of their importance.
        file: Where the rows go.
        budget: Time after which nothing is begun [s].
        clock: Returns steady time [s].
        progress: Told each row before it is measured.

    Returns:
        How many rows are left for the next time.
    """
    begin, left = clock(), 0
    for job in jobs:
        if file.has(job):
            continue
        if clock() - begin > budget:
            left += 1
            continue
        progress(f'{job.subject}: {job.way}')
        try:
            values = job.measure()
        except Exception as error:  # libraries on GPUs have classes of their own
            text = str(error).strip() or type(error).__name__
            values = {REFUSED: text.splitlines()[0][:300]}
        file.add(job, values)
    return left


def as_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns rows as Markdown; a figure that a row does not have is a dash."""
    rows = list(rows)
    named = ('subject', 'way', REFUSED)
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in named))
    lines = ['| ' + ' | '.join(['what', 'by', *columns]) + ' |']
    lines.append('|' + '---|' * (2 + len(columns)))
    for row in rows:
        cells = [_cell(row[key]) if key in row else '-' for key in columns]
        if REFUSED in row:
            cells = [f'no figure: {row[REFUSED]}', *[''] * (len(columns) - 1)] if columns else []
        lines.append('| ' + ' | '.join([row['subject'], row['way'], *cells]) + ' |')
    return '\n'.join(lines)


def _cell(value: float | str) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
