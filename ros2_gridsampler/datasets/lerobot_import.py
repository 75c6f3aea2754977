# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of a LeRobot dataset -> one bag for each, with the topics of an arm."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from ..bags.bag_writer import BagWriter, build, build_header
from ..files import read_yaml, write_whole
from .lerobot_dataset import ACTION, PNG, STATE, Episode, LeRobotDataset
from .lerobot_description import entry_names
from .lerobot_units import Unit, physical_scale, refuse_doubtful_units
from .lerobot_video import Pairing

JOINT_STATES = '/joint_states'
TRAJECTORY = '/joint_trajectory_controller/joint_trajectory'
INSTRUCTION = '/instruction'
# A bag's clock begins here: a stamp of 0 would say that the driver does not stamp [s].
_START = 1.0
_CHOICE = 'import.json'


@dataclass(frozen=True)
class ImportChoice:
    """How a dataset becomes bags.

    Attributes:
        pair_by: What pairs pictures and rows: 'index', 'time', or 'both' where they agree.
        unit: The unit of states and actions, see `physical_scale`; None takes them as they are,
            where they can be radians and metres.
        calibration: See `physical_scale`.
        names: YAML file with the names of the entries: a list for both, or lists under state and
            action; empty takes those of the dataset.
        episodes: Such as '80-99,103'; empty for all.
    """

    pair_by: Pairing = 'both'
    unit: Unit | None = None
    calibration: str = ''
    names: str = ''
    episodes: str = ''


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        bags: Those that are there now, of the episodes that were asked for.
        failed: Episode -> why it has no bag.
    """

    bags: Sequence[Path]
    failed: Mapping[int, str]


def import_dataset(
    dataset: LeRobotDataset, out: Path, choice: ImportChoice | None = None
) -> Imported:
    """Writes a bag per episode that is not there yet; one that cannot be read is left out.

    State becomes JointState, action JointTrajectory, both with the dataset's names; pictures
    become CompressedImage, bit for bit where the dataset holds files and as JPEG where it holds
    video.

    Args:
        dataset: Dataset that is read.
        out: Folder of the bags.
        choice: How.

    Raises:
        ValueError: The choice does not fit the dataset, or other bags are in the folder.
    """
    choice = choice or ImportChoice()
    entries = {feature: _Entries.of(dataset, feature, choice) for feature in (STATE, ACTION)}
    numbers = chosen_episodes(choice.episodes, dataset.numbers)
    _refuse_other_bags(dataset, out, choice)
    bags: list[Path] = []
    failed: dict[int, str] = {}
    for number in tqdm(numbers, desc='episodes', unit='episode'):
        bag = out / f'episode_{number:06d}'
        try:
            if not bag.exists():
                episode = dataset.episode(number, choice.pair_by)
                if choice.unit is None:
                    _refuse_doubtful_units(entries, episode)
                if not bags:
                    _say_rotations(entries, episode)
                _write(bag, episode, entries)
            bags.append(bag)
        except ValueError as error:
            failed[number] = str(error)
    return Imported(bags, failed)


def _refuse_doubtful_units(entries: Mapping[str, '_Entries'], episode: Episode) -> None:
    for feature, rows in ((STATE, episode.state), (ACTION, episode.action)):
        refuse_doubtful_units(feature, entries[feature].names, rows)


def _say_rotations(entries: Mapping[str, '_Entries'], episode: Episode) -> None:
    """Quaternions and 6-D rotations are no joints, whatever the dataset calls them."""
    for feature, rows in ((STATE, episode.state), (ACTION, episode.action)):
        for sentence in name_rotations(entries[feature].names, np.asarray(rows, float)):
            tqdm.write(f'{feature}: {sentence}')


@dataclass(frozen=True)
class _Entries:
    """Names of the entries of a state or action, and what makes physical units of them."""

    names: list[str]
    scale: Any
    offset: Any

    @classmethod
    def of(cls, dataset: LeRobotDataset, feature: str, choice: ImportChoice) -> '_Entries':
        names = _given_names(Path(choice.names), feature) if choice.names else []
        if names and len(names) != dataset.size(feature):
            raise ValueError(
                f'{choice.names} names {len(names)} entries of {feature}, which has '
                f'{dataset.size(feature)}.'
            )
        names = names or dataset.names(feature)
        return cls(names, *physical_scale(choice.unit or 'same', names, choice.calibration))

    def physical(self, row: Float[np.ndarray, ' entries']) -> Float[np.ndarray, ' entries']:
        return np.asarray(row.astype(float) * self.scale + self.offset)


def _given_names(path: Path, feature: str) -> list[str]:
    content = read_yaml(path)
    if isinstance(content, Mapping):
        content = content.get(feature.rpartition('.')[2])
    names = entry_names(content)
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f'{path} must hold a list of names, each once, or lists under state and action; for '
            f'{feature} it has {content!r}.'
        )
    return names


def chosen_episodes(text: str, there: Collection[int]) -> list[int]:
    """Episodes such as '80-99,103', all if empty.

    Raises:
        ValueError: It is written otherwise, or names one that is not there.
    """
    if not text:
        return list(there)
    chosen: set[int] = set()
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?', part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f'Episodes are written like 80-99,103, got {text!r}.')
        chosen |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    missing = sorted(chosen - set(there))
    if missing:
        raise ValueError(
            f'The dataset has no episodes {missing[:5]}{"..." if len(missing) > 5 else ""}; it '
            f'has {len(there)}, {min(there)} to {max(there)}.'
        )
    return sorted(chosen)


def _refuse_other_bags(dataset: LeRobotDataset, out: Path, choice: ImportChoice) -> None:
    """Bags that are there stay: they must be of the same dataset, read in the same way."""
    chosen = {key: value for key, value in asdict(choice).items() if key != 'episodes'}
    chosen['unit'] = chosen['unit'] or 'same'
    now = {'dataset': str(dataset.root), **chosen}
    path = out / _CHOICE
    if path.exists():
        try:
            before = json.loads(path.read_text('utf-8'))
        except ValueError as error:
            raise ValueError(
                f'{path}, which says how the bags there were imported, is damaged ({error}). Name '
                'a new folder.'
            ) from error
        if before != now:
            raise ValueError(
                f'{out} has bags that were imported otherwise: {before}, now {now}. Name a new '
                'folder.'
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(now))


def camera_topic(camera: str) -> str:
    """Where a camera of a dataset is in its bags."""
    return f'/camera/{camera}/image_raw/compressed'


def _write(bag: Path, episode: Episode, entries: Mapping[str, _Entries]) -> None:
    states, actions = entries[STATE], entries[ACTION]
    with BagWriter(bag) as writer:
        for index, timestamp in enumerate(episode.timestamps):
            # The first sentence is there before anything else is.
            time = _START + float(timestamp)
            if index in episode.sentences:
                sentence = build('std_msgs/msg/String', data=episode.sentences[index])
                writer.write(INSTRUCTION, sentence, time if index else _START, latched=True)
            for camera, files in episode.pictures.items():
                data = files[index]
                kind = 'png' if data.startswith(PNG) else 'jpeg'
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
                name=states.names,
                position=states.physical(episode.state[index]),
                velocity=np.empty(0),
                effort=np.empty(0),
            )
            writer.write(JOINT_STATES, joints, time)
            point = build(
                'trajectory_msgs/msg/JointTrajectoryPoint',
                positions=actions.physical(episode.action[index]),
                velocities=np.empty(0),
                accelerations=np.empty(0),
                effort=np.empty(0),
                time_from_start=build('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
            )
            trajectory = build(
                'trajectory_msgs/msg/JointTrajectory',
                header=build_header(time, ''),
                joint_names=actions.names,
                points=[point],
            )
            writer.write(TRAJECTORY, trajectory, time)


# A unit vector that was rounded to half precision is off by less.
_TOLERANCE = 2e-3
_SIX = re.compile(r'(rot|rotation|ortho|r)_?6d?')


def name_rotations(names: Sequence[str], values: Float[np.ndarray, 'rows entries']) -> list[str]:
    """Returns a sentence for each quaternion and each 6-D rotation among the entries of a vector.

    A quaternion is four numbers in a row of length 1, in the names' order or in none that they
    say; a 6-D rotation is two unit vectors in a row at right angles (the first columns of a
    matrix). What never changes is not taken for one unless its names say so.

    Args:
        names: One per entry.
        values: Rows of the dataset, of any number.
    """
    found = []
    place = 0
    while place < len(names):
        if _is_six(names[place : place + 6], values[:, place : place + 6]):
            found.append(_sentence(names, place, 6, 'a 6-D rotation'))
            place += 6
        elif order := _quaternion(names[place : place + 4], values[:, place : place + 4]):
            found.append(_sentence(names, place, 4, f'a quaternion ({order})'))
            place += 4
        else:
            place += 1
    return found


def _sentence(names: Sequence[str], first: int, count: int, what: str) -> str:
    listed = ', '.join(names[first : first + count])
    return f'Entries {first} to {first + count - 1} ({listed}) are {what}, no joints.'


def _is_six(names: Sequence[str], values: Float[np.ndarray, 'rows six']) -> bool:
    if len(names) < 6 or not len(values):
        return False
    one, other = values[:, :3], values[:, 3:]
    matrix = _unit(one) and _unit(other) and float(np.abs((one * other).sum(1)).max()) < _TOLERANCE
    said = all(_SIX.search(name.lower()) for name in names)
    return bool(matrix and (said or np.ptp(values, axis=0).any()))


def _quaternion(names: Sequence[str], values: Float[np.ndarray, 'rows four']) -> str:
    """The order of its entries, like 'x, y, z, w'; empty where it is none."""
    if len(names) < 4 or not len(values) or not _unit(values):
        return ''
    letters = [re.split(r'[^a-z]+', name.lower().rstrip('0123456789'))[-1][-1:] for name in names]
    if sorted(letters) == ['w', 'x', 'y', 'z']:
        return ', '.join(letters)
    said = all(re.search('quat|rot|orient', name.lower()) for name in names)
    # Three joints that stand still beside one that moves are no unit vector for long.
    return 'order unknown' if said or np.ptp(values, axis=0).all() else ''


def _unit(vectors: Float[np.ndarray, 'rows numbers']) -> bool:
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE).all())
