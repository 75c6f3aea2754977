# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a dataset's episodes -> the files that describe a LeRobot dataset."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from .episode_recording import EpisodeRecording, decode_file
from .episode_statistics import pooled_statistics
from .lerobot import ACTION, IMAGES, STATE

Version = Literal['v2.1', 'v3.0']


def data_place(version: Version, episode: int) -> str:
    """Where the rows of an episode are, below the dataset's folder."""
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
    """Write `meta/`.

    Args:
        root: Folder of the dataset.
        version: Of the format.
        first: Any episode, for names and sizes.
        tasks: Sentence -> its number.
        rows: One per episode: its number, tasks, length and place.
        stats: One per episode.
        total: Frames of all.
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
    """The tasks with the sentence as what pandas takes for the index, as LeRobot looks it up."""
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
