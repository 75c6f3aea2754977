# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of one arm -> a LeRobot dataset folder (v2.1 or v3.0), an episode per bag."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from tqdm import tqdm

from .episode_recording import (
    SILENCE,
    EpisodeRecording,
    decode_file,
    in_order_of,
    read_episode,
    refuse_other_arm,
)
from .lerobot_dataset import ACTION, STATE
from .lerobot_description import IMAGES

# Pictures that an episode's statistics are computed from.
_SAMPLED = 20


def episode_statistics(recording: EpisodeRecording) -> dict[str, Any]:
    """Returns each feature's statistics in one episode, pictures as [0, 1] per channel."""
    found = {}
    for key, values in ((STATE, recording.state), (ACTION, recording.action)):
        found[key] = _summary(values.astype(float), (0,))
    for camera, files in recording.pictures.items():
        chosen = np.linspace(0, len(files) - 1, min(len(files), _SAMPLED)).astype(int)
        rgb = np.array([decode_file(files[i]) for i in chosen]) / 255
        found[f'{IMAGES}{camera}'] = _summary(rgb.transpose(0, 3, 1, 2), (0, 2, 3), keep=True)
    return found


def _summary(values: NDArray[Any], axes: tuple[int, ...], *, keep: bool = False) -> dict[str, Any]:
    def listed(array: NDArray[Any]) -> Any:
        return (array[0] if keep else array).tolist()

    return {
        **{
            name: listed(np.asarray(getattr(values, name)(axis=axes, keepdims=keep)))
            for name in ('min', 'max', 'mean', 'std')
        },
        'count': [len(values)],
    }


def pooled_statistics(stats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the statistics of all episodes together."""
    pooled = {}
    for key in stats[0]:
        parts = [each[key] for each in stats]
        counts = np.array([part['count'][0] for part in parts], float)
        means, deviations, lows, highs = (
            np.array([part[name] for part in parts]) for name in ('mean', 'std', 'min', 'max')
        )
        mean = np.average(means, axis=0, weights=counts)
        variance = np.average(deviations**2 + (means - mean) ** 2, axis=0, weights=counts)
        pooled[key] = {
            'min': lows.min(0).tolist(),
            'max': highs.max(0).tolist(),
            'mean': mean.tolist(),
            'std': np.sqrt(variance).tolist(),
            'count': [int(counts.sum())],
        }
    return pooled


Version = Literal['v2.1', 'v3.0']


def data_place(version: Version, episode: int) -> str:
    """Returns where the rows of an episode are, below the dataset's folder."""
    if version == 'v2.1':
        return f'data/chunk-{episode // 1000:03d}/episode_{episode:06d}.parquet'
    return f'data/chunk-000/file-{episode:03d}.parquet'


def write_meta(
    root: Path,
    version: Version,
    first: EpisodeRecording,
    tasks: Mapping[str, int],
    rows: Sequence[Mapping[str, Any]],
    stats: Sequence[Mapping[str, Any]],
    total: int,
) -> None:
    """Writes the files in `meta/` that describe a dataset.

    Args:
        root: Folder of the dataset.
        version: Version of LeRobot's format.
        first: Any episode, for names and sizes.
        tasks: Sentence -> its number.
        rows: Number, tasks, length and place of each episode.
        stats: Statistics of each episode.
        total: Number of frames of all episodes.
    """
    meta = root / 'meta'
    meta.mkdir(parents=True, exist_ok=True)
    (meta / 'info.json').write_text(
        json.dumps(_info(version, first, len(tasks), len(rows), total), indent=4), 'utf-8'
    )
    named = [{'task_index': index, 'task': task} for task, index in tasks.items()]
    if version == 'v2.1':
        _write_lines(meta / 'tasks.jsonl', named)
        keys = ('episode_index', 'tasks', 'length')
        _write_lines(meta / 'episodes.jsonl', [{key: row[key] for key in keys} for row in rows])
        numbered = [{'episode_index': i, 'stats': each} for i, each in enumerate(stats)]
        _write_lines(meta / 'episodes_stats.jsonl', numbered)
        return
    parquet.write_table(_indexed(tasks), meta / 'tasks.parquet')
    place = meta / 'episodes/chunk-000/file-000.parquet'
    place.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows]), place)
    (meta / 'stats.json').write_text(json.dumps(pooled_statistics(stats)), 'utf-8')


def _indexed(tasks: Mapping[str, int]) -> pa.Table:
    """Returns the tasks with the sentence as pandas' index, as LeRobot looks it up."""
    index = '__index_level_0__'
    columns = [
        {'name': name, 'field_name': field, 'pandas_type': kind, 'numpy_type': its}
        for name, field, kind, its in (
            ('task_index', 'task_index', 'int64', 'int64'),
            (None, index, 'unicode', 'object'),
        )
    ]
    about = {
        'index_columns': [index],
        'column_indexes': [],
        'columns': columns,
        'pandas_version': '2.0.0',
    }
    table = pa.table({'task_index': list(tasks.values()), index: list(tasks)})
    return table.replace_schema_metadata({'pandas': json.dumps(about)})


def _info(
    version: Version, first: EpisodeRecording, tasks: int, episodes: int, frames: int
) -> dict[str, Any]:
    features: dict[str, Any] = {
        STATE: _feature('float32', [first.state.shape[1]], list(first.state_names)),
        ACTION: _feature('float32', [first.action.shape[1]], list(first.action_names)),
    }
    for camera, files in first.pictures.items():
        shape = list(decode_file(files[0]).shape)
        features[f'{IMAGES}{camera}'] = _feature('image', shape, ['height', 'width', 'channels'])
    features['timestamp'] = _feature('float32', [1], None)
    for name in ('frame_index', 'episode_index', 'index', 'task_index'):
        features[name] = _feature('int64', [1], None)
    period = float(np.median(np.diff(first.times))) if len(first.times) > 1 else 1.0
    old = version == 'v2.1'
    path = (
        'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
        if old
        else 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
    )
    return {
        'codebase_version': version,
        'robot_type': None,
        'total_episodes': episodes,
        'total_frames': frames,
        'total_tasks': tasks,
        **({'total_videos': 0, 'total_chunks': episodes // 1000 + 1} if old else {}),
        'chunks_size': 1000,
        'fps': round(1 / period),
        'splits': {'train': f'0:{episodes}'},
        'data_path': path,
        'video_path': None,
        'features': features,
    }


def _feature(dtype: str, shape: list[int], names: list[str] | None) -> dict[str, Any]:
    return {'dtype': dtype, 'shape': shape, 'names': names}


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows), 'utf-8')


_IMAGE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def export_dataset(bags: Sequence[Path], out: Path, version: Version = 'v3.0') -> list[str]:
    """Writes a dataset; pictures go in as files, bit for bit where the bag has JPEG or PNG.

    Args:
        bags: Bags of one episode each, all of the same arm and cameras.
        out: Folder of the dataset, which must be new.
        version: Version of LeRobot's format.

    Returns:
        Where a camera was silent, which the dataset does not show: a sentence each.

    Raises:
        ValueError: A bag lacks a stream, or differs from the first in names or cameras.
        FileExistsError: The folder is there already.
    """
    if out.exists():
        raise FileExistsError(f'{out} is there already; name a new folder.')
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    tasks: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    first: EpisodeRecording | None = None
    total = 0
    stats = []
    silences: list[str] = []
    for index, bag in enumerate(tqdm(bags, desc='bags', unit='bag')):
        recording = read_episode(bag)
        first = first or recording
        recording = in_order_of(first, recording)
        refuse_other_arm(bag, recording, first)
        silences += _silence(bag, recording)
        numbers = [tasks.setdefault(task, len(tasks)) for task in recording.tasks]
        table = _table(recording, index, total, numbers)
        place = data_place(version, index)
        (partial / place).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, partial / place)
        length = len(recording.times)
        rows.append(
            {
                'episode_index': index,
                'tasks': list(dict.fromkeys(recording.tasks)),
                'length': length,
                'data/chunk_index': 0,
                'data/file_index': index,
                'dataset_from_index': total,
                'dataset_to_index': total + length,
            }
        )
        stats.append(episode_statistics(recording))
        total += length
    if first is None:
        raise ValueError('There is no bag to export.')
    write_meta(partial, version, first=first, tasks=tasks, rows=rows, stats=stats, total=total)
    partial.rename(out)
    return silences


def _silence(bag: Path, recording: EpisodeRecording) -> list[str]:
    """Frames of a dataset follow each other at its rate, whatever their timestamps say."""
    steps = np.diff(recording.times)
    if not len(steps):
        return []
    longest, usual = int(np.argmax(steps)), float(np.median(steps))
    if steps[longest] <= SILENCE * usual:
        return []
    return [
        f'{bag}: between frames {longest} and {longest + 1} the camera is silent for '
        f'{steps[longest]:.2f} s, which LeRobot takes for the usual {usual:.3f} s; cut the bag '
        'there, or leave it out.'
    ]


def _table(
    recording: EpisodeRecording, episode: int, begin: int, tasks: Sequence[int]
) -> pa.Table:
    count = len(recording.times)
    columns: dict[str, Any] = {
        STATE: pa.array(list(recording.state), pa.list_(pa.float32())),
        ACTION: pa.array(list(recording.action), pa.list_(pa.float32())),
        'timestamp': pa.array((recording.times - recording.times[0]).astype(np.float32)),
        'frame_index': pa.array(np.arange(count)),
        'episode_index': pa.array(np.full(count, episode)),
        'index': pa.array(np.arange(begin, begin + count)),
        'task_index': pa.array(np.array(tasks, np.int64)),
    }
    for camera, files in recording.pictures.items():
        cells = [{'bytes': data, 'path': None} for data in files]
        columns[f'{IMAGES}{camera}'] = pa.array(cells, _IMAGE)
    return pa.table(columns)
