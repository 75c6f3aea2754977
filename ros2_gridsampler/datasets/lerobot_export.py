# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of one arm -> a LeRobot dataset folder (v2.1 or v3.0), an episode per bag."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from tqdm import tqdm

from .episode_recording import EpisodeRecording, in_order_of, read_episode, refuse_other_arm
from .episode_statistics import episode_statistics
from .lerobot import ACTION, IMAGES, STATE
from .lerobot_meta import Version, data_place, write_meta

_IMAGE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def export_dataset(bags: Sequence[Path], out: Path, version: Version = 'v3.0') -> None:
    """Write a dataset; pictures go in as files, bit for bit where the bag has JPEG or PNG.

    Args:
        bags: One episode each, all of the same arm and cameras.
        out: A new folder.
        version: Of the format.

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
    for index, bag in enumerate(tqdm(bags, desc='bags', unit='bag')):
        recording = read_episode(bag)
        first = first or recording
        recording = in_order_of(first, recording)
        refuse_other_arm(bag, recording, first)
        task = tasks.setdefault(recording.task, len(tasks))
        table = _table(recording, index, total, task)
        place = data_place(version, index)
        (partial / place).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, partial / place)
        length = len(recording.times)
        rows.append(
            {
                'episode_index': index,
                'tasks': [recording.task],
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
    write_meta(partial, version, first, tasks, rows, stats, total)
    partial.rename(out)


def _table(recording: EpisodeRecording, episode: int, begin: int, task: int) -> pa.Table:
    count = len(recording.times)
    columns: dict[str, Any] = {
        STATE: pa.array(list(recording.state), pa.list_(pa.float32())),
        ACTION: pa.array(list(recording.action), pa.list_(pa.float32())),
        'timestamp': pa.array((recording.times - recording.times[0]).astype(np.float32)),
        'frame_index': pa.array(np.arange(count)),
        'episode_index': pa.array(np.full(count, episode)),
        'index': pa.array(np.arange(begin, begin + count)),
        'task_index': pa.array(np.full(count, task)),
    }
    for camera, files in recording.pictures.items():
        cells = [{'bytes': data, 'path': None} for data in files]
        columns[f'{IMAGES}{camera}'] = pa.array(cells, _IMAGE)
    return pa.table(columns)
