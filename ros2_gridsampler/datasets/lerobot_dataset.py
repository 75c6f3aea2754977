# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A LeRobot dataset folder (v2.0, v2.1, v3) -> its episodes, or what is wrong with one."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from jaxtyping import Float

from ..bags.bag_contents import is_damage
from ..seeing.camera_message import holds_numbers
from .lerobot_description import (
    camera_name,
    entry_names,
    inside,
    is_depth,
    place_of,
    read_description,
)
from .lerobot_video import Pairing, row_frames

STATE, ACTION = 'observation.state', 'action'
# What says where a row is, not what the robot saw or did.
_PLACE = ('timestamp', 'frame_index', 'episode_index', 'index', 'task_index')
PNG, _JPEG = b'\x89PNG', b'\xff\xd8'
_FILE = ('chunk_index', 'file_index')


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        index: Its number.
        sentences: Row -> the sentence that holds from it on; row 0 has one.
        timestamps: The timestamps of the frames, from the beginning [s].
        state: One row per frame, as in the dataset.
        action: Likewise.
        pictures: Camera -> JPEG or PNG files, in order.
    """

    index: int
    sentences: Mapping[int, str]
    timestamps: Float[np.ndarray, ' frames']
    state: Float[np.ndarray, 'frames joints']
    action: Float[np.ndarray, 'frames actions']
    pictures: Mapping[str, Sequence[bytes]] = field(repr=False)


class LeRobotDataset:
    """A dataset folder, read without the hub.

    Args:
        root: Folder with meta/info.json.

    Attributes:
        root: Its folder, without symbolic links.
        cameras: Names of those that see colours.
        depths: Names of those that measure distances, which are not read.
        others: Further features, such as rewards or language columns, which are not read either.

    Raises:
        ValueError: Another version, or a feature is missing.
    """

    def __init__(self, root: Path) -> None:
        self.info = read_description(root)
        self.version = str(self.info['codebase_version'])
        self.root = root.resolve()
        features = self.info['features']
        missing = [name for name in (STATE, ACTION) if name not in features]
        if missing:
            raise ValueError(f'{root} lacks the features {missing}; it has {sorted(features)}.')
        seen = {n: f for n, f in features.items() if f['dtype'] in ('image', 'video')}
        self._keys = {camera_name(n): n for n, f in seen.items() if not is_depth(f)}
        self.cameras = list(self._keys)
        self.depths = [camera_name(n) for n, f in seen.items() if is_depth(f)]
        names = [camera_name(n) for n in seen]
        if len(set(names)) < len(names):
            raise ValueError(f'{root} has cameras that differ in signs alone: {sorted(seen)}.')
        self.others = [n for n in features if n not in {STATE, ACTION, *_PLACE, *seen}]
        self._tasks: dict[int, str] = self._listed(self._read_tasks)
        self._episodes: dict[int, dict[str, Any]] = self._listed(self._read_episodes)

    def __len__(self) -> int:
        """Returns the number of episodes."""
        return len(self._episodes)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the episodes, in order."""
        return list(self._episodes)

    @property
    def unlisted(self) -> str:
        """A sentence where the dataset should have other episodes than it lists; else empty."""
        said, listed = self.info.get('total_episodes'), len(self._episodes)
        if not isinstance(said, int) or said == listed:
            return ''
        return (
            f'{self.root.name} should have {said} episodes by meta/info.json, {listed} are '
            'listed; copy meta/ again, or choose with --episodes.'
        )

    def names(self, feature: str) -> list[str]:
        """Names of the entries of state or action; numbered where the dataset names none.

        Raises:
            ValueError: The names are not as many as the entries, or one is there twice.
        """
        found = entry_names(self.info['features'][feature].get('names'))
        size = self.size(feature)
        if not found:
            return [f'{feature.rpartition(".")[2]}_{i}' for i in range(size)]
        if len(found) != size or len(set(found)) != size:
            raise ValueError(
                f'{feature} has {size} entries, but the dataset names {len(set(found))}: '
                f'{found}. Name them with --names FILE.'
            )
        return found

    def size(self, feature: str) -> int:
        """Entries of state or action."""
        shape = self.info['features'][feature]['shape']
        return int(np.prod(shape))

    def episodes(self) -> Iterator[Episode]:
        """All of them, in order; pictures of one at a time are in memory."""
        for number in self._episodes:
            yield self.episode(number)

    def episode(self, number: int, pair_by: Pairing = 'both') -> Episode:
        """One episode.

        Raises:
            ValueError: It cannot be read; the text says what of it, and what to do.
        """
        try:
            return self._read(self._episodes[number], pair_by)
        except Exception as error:  # each library fails in its own way on what others wrote
            if not is_damage(error):
                raise
            plain = isinstance(error, ValueError)
            raise ValueError(
                f'{self.root.name}, episode {number}: '
                + (str(error) if plain else f'it cannot be read ({error!r}).')
            ) from error

    def _read(self, row: Mapping[str, Any], pair_by: Pairing) -> Episode:
        index = int(row['episode_index'])
        table = self._rows(row)
        length = len(table)
        frames = np.arange(length)
        if 'frame_index' in table.column_names:
            frames = _numbers(table, 'frame_index').astype(np.int64)
            order = np.argsort(frames, kind='stable')
            table, frames = table.take(order), frames[order]
        if (np.diff(frames) < 1).any() or frames[0] < 0:
            raise ValueError(f'its frame_index has a number twice, or below 0: {frames.tolist()}.')
        timestamps = _numbers(table, 'timestamp')
        if (np.diff(timestamps) <= 0).any():
            row_number = int(np.argmax(np.diff(timestamps) <= 0)) + 1
            raise ValueError(
                f'its timestamps do not rise: row {row_number} says '
                f'{timestamps[row_number]:.4f} s after {timestamps[row_number - 1]:.4f} s.'
            )
        pictures = {
            camera: self._pictures(camera, row, table, frames, timestamps, pair_by)
            for camera in self.cameras
        }
        state, action = (self._entries(table, feature) for feature in (STATE, ACTION))
        return Episode(index, self._sentences(row, table), timestamps, state, action, pictures)

    def _rows(self, row: Mapping[str, Any]) -> Any:
        """The table of an episode's rows."""
        index = int(row['episode_index'])
        path = place_of(self.root, self.info['data_path'], self._place(row, 'data/'))
        if not path.is_file():
            raise ValueError(
                f'its rows should be in {path.relative_to(self.root)}, which is not there; copy '
                'the file, or leave the episode out with --episodes.'
            )
        table = parquet.read_table(path)
        if 'episode_index' in table.column_names:
            table = table.filter(table.column('episode_index').to_numpy() == index)
        if not len(table):
            raise ValueError(
                f'{path.relative_to(self.root)} has no row of it; its place is stale.'
            )
        missing = [name for name in (STATE, ACTION, 'timestamp') if name not in table.column_names]
        if missing:
            raise ValueError(f'its rows lack {missing}; they have {table.column_names}.')
        if int(row.get('length') or len(table)) != len(table):
            raise ValueError(
                f'it should have {row["length"]} rows, {len(table)} are in '
                f'{path.relative_to(self.root)}; copy the file again.'
            )
        return table

    def _entries(self, table: Any, feature: str) -> Float[np.ndarray, 'frames entries']:
        size = self.size(feature)
        rows = [np.ravel(row) for row in table.column(feature).to_pylist()]
        wrong = [number for number, row in enumerate(rows) if row.shape != (size,)]
        if wrong:
            raise ValueError(
                f'{feature} has {len(rows[wrong[0]])} entries in row {wrong[0]}, the dataset says '
                f'{size}.'
            )
        values = np.array(rows, np.float32)
        if not np.isfinite(values).all():
            row, entry = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f'{feature} is {values[row, entry]} in row {row}, entry {entry} '
                f'({self._name(feature, int(entry))}); correct it, or leave the episode out with '
                '--episodes.'
            )
        return values

    def _name(self, feature: str, entry: int) -> str:
        found = entry_names(self.info['features'][feature].get('names'))
        return found[entry] if entry < len(found) else 'without a name'

    def _sentences(self, row: Mapping[str, Any], table: Any) -> dict[int, str]:
        """Row -> the sentence from there on: by the rows, else by the episode's description."""
        tasks = row.get('tasks')
        tasks = [tasks] if isinstance(tasks, str) else tasks
        numbers: list[Any] = [None] * len(table)
        if 'task_index' in table.column_names:
            numbers = [np.ravel(cell)[0] for cell in table.column('task_index').to_pylist()]
        found: dict[int, str] = {}
        for place, number in enumerate(numbers):
            if place and number == numbers[place - 1]:
                continue
            if number in self._tasks:
                found[place] = self._tasks[number]
            elif tasks and len(set(numbers)) == 1:
                found[place] = str(tasks[0])
            else:
                what = 'no task_index' if number is None else f'the task_index {number}'
                raise ValueError(
                    f'row {place} has {what}, which meta/ does not explain; add the sentence '
                    'there, or leave the episode out with --episodes.'
                )
        return found

    def _pictures(
        self,
        camera: str,
        row: Mapping[str, Any],
        table: Any,
        frames: Any,
        timestamps: Any,
        pair_by: Pairing,
    ) -> Sequence[bytes]:
        key = self._keys[camera]
        if self.info['features'][key]['dtype'] == 'image':
            if key not in table.column_names:
                raise ValueError(f'its rows lack the pictures {key}.')
            cells = table.column(key).to_pylist()
            index = int(row['episode_index'])
            # Where LeRobot keeps what is not in the table; the cell then has the last part alone.
            images = [self.root / f'images/{key}/episode{sign}{index:06d}' for sign in '_-']
            places = (self.root, *images)
            return [self._file(cell, camera, i, places) for i, cell in enumerate(cells)]
        place = {**self._place(row, f'videos/{key}/'), 'video_key': key}
        path = place_of(self.root, self.info.get('video_path') or '', place)
        if not path.is_file():
            raise ValueError(
                f'its video should be {path.relative_to(self.root)}, which is not there; copy '
                'the file, or leave the episode out with --episodes.'
            )
        begin, end = 0.0, np.inf
        if not self._is_old:
            begin = float(self._said(row, f'videos/{key}/from_timestamp'))
            end = float(row.get(f'videos/{key}/to_timestamp') or np.inf)
        # Behind its end the video goes on with another episode.
        if pair_by != 'index' and begin + timestamps[-1] > end:
            raise ValueError(
                f'it has rows up to {timestamps[-1]:.3f} s, but by meta/episodes its part of '
                f'{path.name} lasts {end - begin:.3f} s; correct one of them, or leave the '
                'episode out with --episodes.'
            )
        return row_frames(path, begin, frames, timestamps, pair_by)

    def _file(self, cell: Any, camera: str, row: int, places: Sequence[Path]) -> bytes:
        """A picture as JPEG or PNG: the bytes of a cell, or of the file that it names."""
        named = cell.get('path') if isinstance(cell, Mapping) else cell
        data = cell.get('bytes') if isinstance(cell, Mapping) else None
        if isinstance(cell, bytes):
            data = cell
        if data is None and isinstance(named, str):
            # A cell may name the dataset's own folder again.
            paths = [inside(self.root, os.path.normpath(place / named)) for place in places]
            there = [path for path in paths if path is not None and path.is_file()]
            if not there:
                raise ValueError(
                    f'the picture of {camera} in row {row} is {named!r}, which is not in the '
                    'folder of the dataset; copy it there.'
                )
            data = there[0].read_bytes()
        if isinstance(data, bytes) and holds_numbers(data):
            raise ValueError(
                f'the picture of {camera} in row {row} has one channel of 16 bits, as distances '
                'have; say so in meta/info.json ("info": {"is_depth_map": true} of the feature).'
            )
        if not isinstance(data, bytes) or not data.startswith((PNG, _JPEG)):
            what = 'empty' if not data else f'{bytes(data[:8])!r}...'
            raise ValueError(
                f'the picture of {camera} in row {row} is {what}, expected PNG or JPEG.'
            )
        return data

    def _place(self, row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        index = int(row['episode_index'])
        return {
            'episode_index': index,
            'episode_chunk': index // int(self.info.get('chunks_size') or 1000),
            **({} if self._is_old else {k: int(self._said(row, f'{prefix}{k}')) for k in _FILE}),
        }

    @property
    def _is_old(self) -> bool:
        """Whether each episode has files of its own, as in v2."""
        return self.version.startswith('v2')

    def _said(self, row: Mapping[str, Any], key: str) -> Any:
        """Where an episode is in the files that many share: a guess would be another episode."""
        value = row.get(key)
        if value is None or value != value:
            there = sorted(name for name in row if name.endswith(key.rpartition('/')[2]))
            raise ValueError(
                f'meta/episodes does not say its {key}; it has {there}. Were features renamed? '
                'Then rename these columns too.'
            )
        return value

    def _listed(self, read: Any) -> Any:
        try:
            return read()
        except Exception as error:  # each library fails in its own way on what others wrote
            if not is_damage(error):
                raise
            raise ValueError(f'{self.root}/meta cannot be read: {error!r}.') from error

    def _read_tasks(self) -> dict[int, str]:
        name = 'task'
        if self._is_old:
            rows = _lines(self.root / 'meta/tasks.jsonl')
        else:
            rows = parquet.read_table(self.root / 'meta/tasks.parquet').to_pylist()
            if rows and name not in rows[0]:
                # Pandas writes the index, here the sentence, as a column of its own.
                name = '__index_level_0__'
        return {int(row['task_index']): str(row[name]) for row in rows if row[name] is not None}

    def _read_episodes(self) -> dict[int, dict[str, Any]]:
        if self._is_old:
            rows = _lines(self.root / 'meta/episodes.jsonl')
        else:
            files = sorted((self.root / 'meta/episodes').rglob('*.parquet'))
            # The statistics of each episode, which nobody reads here, are most of the columns.
            rows = [row for file in files for row in _without_statistics(file)]
        if not rows:
            raise ValueError('it lists no episode')
        return {int(row['episode_index']): row for row in _by_number(rows)}


def _by_number(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: int(row['episode_index']))


def _without_statistics(file: Path) -> list[dict[str, Any]]:
    names = [name for name in parquet.read_schema(file).names if not name.startswith('stats/')]
    return list(parquet.read_table(file, columns=names).to_pylist())


def _numbers(table: Any, column: str) -> Any:
    values = np.array([np.ravel(cell)[0] for cell in table.column(column).to_pylist()], float)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f'{column} is {values[row]} in row {row}, expected a number.')
    return values


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text('utf-8').splitlines() if line.strip()]
