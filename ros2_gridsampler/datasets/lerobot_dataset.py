# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A LeRobot dataset folder (v2.1 or v3.0) -> one bag per episode, with the topics of an arm."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from jaxtyping import Float
from tqdm import tqdm

from ..bags.bag_writer import BagWriter, build, build_header
from ..evaluating.rotations import name_rotations
from ..seeing.camera_message import encode_jpeg

VERSIONS = ('v2.1', 'v3.0')


def read_description(root: Path) -> dict[str, Any]:
    """Its values; features and data_path are there, and the version is one that is read.

    Raises:
        ValueError: It is not there, no JSON, lacks these, or is of another version.
    """
    path = root / 'meta/info.json'
    try:
        content = json.loads(path.read_text('utf-8'))
    except FileNotFoundError:
        raise ValueError(f'{root} is not a LeRobot dataset: it has no meta/info.json.') from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not JSON: {error}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds {content!r:.80}, expected keys and values.')
    version, features = content.get('codebase_version'), content.get('features')
    if version not in VERSIONS:
        raise ValueError(
            f'{root} has the version {version!r}; {" and ".join(VERSIONS)} are read. Convert it '
            "with LeRobot's own scripts."
        )
    whole = (
        isinstance(content.get('data_path'), str)
        and isinstance(features, dict)
        and all(
            isinstance(feature, dict) and {'dtype', 'shape'} <= feature.keys()
            for feature in features.values()
        )
    )
    if not whole:
        raise ValueError(
            f'{path} needs a data_path, and features with dtype and shape; it has '
            f'{sorted(content)}.'
        )
    return content


def place_of(root: Path, template: str, numbers: Mapping[str, Any]) -> Path:
    """Returns the file that a template like 'data/file-{file_index:03d}.parquet' means.

    Args:
        root: Folder of the dataset, without symbolic links.
        template: Path template of the dataset; a foreign text, so only `numbers` are put in.
        numbers: Name in the template -> number.

    Raises:
        ValueError: It asks for anything else, or leaves the folder.
    """
    for _, name, form, conversion in Formatter().parse(template):
        if name is not None and (
            name not in numbers or conversion or not re.fullmatch(r'(0?\d{0,2}d)?', form or '')
        ):
            raise ValueError(
                f'The dataset names its files {template!r}; {{{name}}} can be none of '
                f'{[*numbers]} written as a number.'
            )
    path = (root / template.format(**numbers)).resolve()
    if root not in path.parents:
        raise ValueError(f'The dataset names a file outside of its folder: {path}.')
    return path


STATE, ACTION = 'observation.state', 'action'
IMAGES = 'observation.images.'
JOINT_STATES = '/joint_states'
TRAJECTORY = '/joint_trajectory_controller/joint_trajectory'
INSTRUCTION = '/instruction'
# A bag's clock begins here: a stamp of 0 would say that the driver does not stamp [s].
_START = 1.0
_PNG = b'\x89PNG'
_MALFORMED = (KeyError, IndexError, TypeError, AttributeError, pa.ArrowException)


@dataclass(frozen=True)
class Episode:
    """One episode of a dataset, as its files have it.

    Attributes:
        index: Number of the episode.
        task: Sentence that says what the arm does.
        timestamps: Times of the frames from the beginning [s].
        state: State of the arm, one row per frame, as in the dataset.
        action: Action, one row per frame, as in the dataset.
        pictures: Camera -> JPEG or PNG files, in order.
    """

    index: int
    task: str
    timestamps: Float[np.ndarray, ' frames']
    state: Float[np.ndarray, 'frames joints']
    action: Float[np.ndarray, 'frames actions']
    pictures: Mapping[str, Sequence[bytes]] = field(repr=False)


class LeRobotDataset:
    """A dataset folder, read without the hub.

    Args:
        root: Folder with meta/info.json.

    Raises:
        ValueError: Another version, or a feature is missing.
    """

    def __init__(self, root: Path) -> None:
        self.info = read_description(root)
        self.version = str(self.info['codebase_version'])
        self._root = root.resolve()
        features = self.info['features']
        missing = [name for name in (STATE, ACTION) if name not in features]
        if missing:
            raise ValueError(f'{root} lacks the features {missing}; it has {sorted(features)}.')
        self.cameras = [
            name.removeprefix(IMAGES)
            for name, feature in features.items()
            if feature['dtype'] in ('image', 'video')
        ]
        try:
            self._tasks = self._read_tasks()
            self._episodes = self._read_episodes()
        except _MALFORMED as error:
            raise ValueError(f'{root}/meta cannot be read: {error!r}.') from error

    def __len__(self) -> int:
        return len(self._episodes)

    def names(self, feature: str) -> list[str]:
        """Returns the names of state or action entries; numbers where the dataset names none."""
        names = self.info['features'][feature].get('names')
        if isinstance(names, Mapping):  # {'motors': [...]}
            names = [name for part in names.values() for name in part]
        size = int(self.info['features'][feature]['shape'][0])
        if names is None or len(names) != size:
            return [f'{feature.rpartition(".")[2]}_{i}' for i in range(size)]
        return [str(name) for name in names]

    def episodes(self) -> Iterator[Episode]:
        """Yields all episodes, in order; pictures of one at a time are in memory."""
        for row in self._episodes:
            try:
                yield self._read(row)
            except _MALFORMED as error:
                raise ValueError(
                    f'{self._root} cannot be read at episode {row["episode_index"]}: {error!r}.'
                ) from error

    def _read(self, row: Mapping[str, Any]) -> Episode:
        index = int(row['episode_index'])
        place = self._place(row, 'data/')
        table = parquet.read_table(place_of(self._root, self.info['data_path'], place))
        numbers = table.column('episode_index').to_numpy()
        table = table.filter(numbers == index)
        if not len(table):
            raise ValueError(f'{self._root} has no rows of episode {index} where it says.')
        timestamps = np.array(table.column('timestamp').to_pylist(), float)
        task = self._tasks[int(table.column('task_index')[0].as_py())]
        pictures = {
            camera: self._pictures(camera, row, table, timestamps) for camera in self.cameras
        }
        state, action = (
            np.array(table.column(name).to_pylist(), np.float32) for name in (STATE, ACTION)
        )
        return Episode(index, task, timestamps, state, action, pictures)

    def _pictures(
        self, camera: str, row: Mapping[str, Any], table: Any, timestamps: Any
    ) -> Sequence[bytes]:
        key = next(k for k in self.info['features'] if k.removeprefix(IMAGES) == camera)
        if self.info['features'][key]['dtype'] == 'image':
            return [cell['bytes'] for cell in table.column(key).to_pylist()]
        place = {**self._place(row, f'videos/{key}/'), 'video_key': key}
        begin = float(row.get(f'videos/{key}/from_timestamp', 0.0))
        return _frames_at(place_of(self._root, self.info['video_path'], place), timestamps + begin)

    def _place(self, row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        index = int(row['episode_index'])
        return {
            'episode_index': index,
            'episode_chunk': index // int(self.info.get('chunks_size', 1000)),
            'chunk_index': row.get(f'{prefix}chunk_index', 0),
            'file_index': row.get(f'{prefix}file_index', 0),
        }

    def _read_tasks(self) -> dict[int, str]:
        if self.version == 'v2.1':
            rows = _lines(self._root / 'meta/tasks.jsonl')
            return {int(row['task_index']): str(row['task']) for row in rows}
        rows = parquet.read_table(self._root / 'meta/tasks.parquet').to_pylist()
        # Pandas writes the index, here the sentence, as a column of its own.
        name = 'task' if 'task' in rows[0] else '__index_level_0__'
        return {int(row['task_index']): str(row[name]) for row in rows}

    def _read_episodes(self) -> list[dict[str, Any]]:
        if self.version == 'v2.1':
            rows = _lines(self._root / 'meta/episodes.jsonl')
        else:
            files = sorted((self._root / 'meta/episodes').rglob('*.parquet'))
            rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
        return sorted(rows, key=lambda row: int(row['episode_index']))


def import_dataset(dataset: LeRobotDataset, out: Path) -> list[Path]:
    """Writes one bag per episode that is not there yet.

    State becomes JointState, action JointTrajectory, both with the dataset's names; pictures
    become CompressedImage, bit for bit where the dataset holds files and as JPEG where it holds
    video. Units are those of the dataset.

    Args:
        dataset: Dataset to read.
        out: Folder of the bags.

    Returns:
        The bags.
    """
    bags: list[Path] = []
    for episode in tqdm(dataset.episodes(), total=len(dataset), desc='episodes', unit='episode'):
        bag = out / f'episode_{episode.index:06d}'
        if not bags:
            for feature, rows in ((STATE, episode.state), (ACTION, episode.action)):
                for sentence in name_rotations(dataset.names(feature), np.asarray(rows, float)):
                    tqdm.write(f'{feature}: {sentence}')
        bags.append(bag)
        if not bag.exists():
            _write(bag, episode, dataset)
    return bags


def camera_topic(camera: str) -> str:
    """Returns where a camera of a dataset is in its bags."""
    return f'/camera/{camera}/image_raw/compressed'


def _write(bag: Path, episode: Episode, dataset: LeRobotDataset) -> None:
    states, actions = dataset.names(STATE), dataset.names(ACTION)
    with BagWriter(bag) as writer:
        sentence = build('std_msgs/msg/String', data=episode.task)
        writer.write(INSTRUCTION, sentence, _START, latched=True)
        for index, timestamp in enumerate(episode.timestamps):
            time = _START + float(timestamp)
            for camera, files in episode.pictures.items():
                data = files[index]
                kind = 'png' if data.startswith(_PNG) else 'jpeg'
                picture = build(
                    'sensor_msgs/msg/CompressedImage',
                    header=build_header(time, f'{camera}_optical_frame'),
                    format=f'rgb8; {kind} compressed bgr8',
                    data=np.frombuffer(data, np.uint8),
                )
                writer.write(camera_topic(camera), picture, time)
            joints = build(
                'sensor_msgs/msg/JointState',
                header=build_header(time, ''),
                name=states,
                position=episode.state[index].astype(float),
                velocity=np.empty(0),
                effort=np.empty(0),
            )
            writer.write(JOINT_STATES, joints, time)
            point = build(
                'trajectory_msgs/msg/JointTrajectoryPoint',
                positions=episode.action[index].astype(float),
                velocities=np.empty(0),
                accelerations=np.empty(0),
                effort=np.empty(0),
                time_from_start=build('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
            )
            trajectory = build(
                'trajectory_msgs/msg/JointTrajectory',
                header=build_header(time, ''),
                joint_names=actions,
                points=[point],
            )
            writer.write(TRAJECTORY, trajectory, time)


def _frames_at(path: Path, times: Float[np.ndarray, ' frames']) -> list[bytes]:
    """Returns the frame of a video nearest to each time [s], as JPEG; times increase."""
    found: list[bytes] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        container.seek(int(max(times[0] - 1e-3, 0.0) / stream.time_base), stream=stream)
        before: Any = None
        for frame in container.decode(stream):
            while len(found) < len(times) and before is not None:
                middle = (before.time + frame.time) / 2
                if times[len(found)] >= middle:
                    break
                found.append(_jpeg(before))
            before = frame
            if len(found) == len(times):
                break
        last = before.time if before is not None else -np.inf
    tolerance = 1.0 if len(times) < 2 else float(np.diff(times).min())
    while len(found) < len(times) and before is not None and times[len(found)] - last < tolerance:
        found.append(_jpeg(before))
    if len(found) < len(times):
        raise ValueError(
            f'{path} ends at {last:.3f} s, but the episode goes on to {times[-1]:.3f} s; copy the '
            'video again.'
        )
    return found


def _jpeg(frame: Any) -> bytes:
    return encode_jpeg(frame.to_ndarray(format='rgb24'))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text('utf-8').splitlines() if line.strip()]
