# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags -> one file of prepared frames and the arrays that training draws samples from."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from tqdm import tqdm

from ..action_chunk import ActionSpace
from ..camera_message import stamp_seconds
from ..command_message import read_joint_trajectory, read_twist
from ..observation import (
    NotObservable,
    Observation,
    ObservationBuffer,
    ObservationConfig,
    StreamBudget,
)
from ..policy import proprioception
from .bag_reader import StreamTopics, feed, read_messages


@dataclass(frozen=True)
class ActionTopics:
    """Where the labels of a recording are.

    Attributes:
        action: TwistStamped or JointTrajectory; the command that a policy should have given.
        gripper: Float64MultiArray with the gripper opening [m]; empty for joint actions.
        landmarks: PoseArray of points to locate, in the base frame; empty for none.
    """

    action: str
    gripper: str = ''
    landmarks: str = ''


@dataclass(frozen=True)
class EpisodeConfig:
    """How bags become samples.

    Attributes:
        observation: Streams of an observation.
        topics: Which topic carries which stream.
        labels: Which topic carries which label.
        action_space: Meaning of the labels.
        steps: Targets per chunk.
        period: Time between two targets [s].
    """

    observation: ObservationConfig
    topics: StreamTopics
    labels: ActionTopics
    action_space: ActionSpace
    steps: int
    period: float


class EpisodeStore:
    """Samples of many bags; the pictures stay on disk and are read as they are drawn.

    Attributes:
        proprioception: One row per sample, physical units.
        chunks: The actions from a sample's time on.
        landmarks: Points in the base frame [m]; NaN where the bag has none.
        episode: Which bag a sample is from.
        sentence: Which of `instructions` holds.
    """

    def __init__(self, folder: Path) -> None:
        with np.load(folder / 'samples.npz', allow_pickle=False) as arrays:
            self.proprioception: NDArray[np.float32] = arrays['proprioception']
            self.chunks: NDArray[np.float32] = arrays['chunks']
            self.landmarks: NDArray[np.float32] = arrays['landmarks']
            self.episode: NDArray[np.int64] = arrays['episode']
            self.sentence: NDArray[np.int64] = arrays['sentence']
            self._shape = tuple(int(size) for size in arrays['picture_shape'])
        self.instructions: list[str] = json.loads((folder / 'instructions.json').read_text())
        self.bags: list[str] = json.loads((folder / 'bags.json').read_text())
        self._frames = os.open(folder / 'frames.bin', os.O_RDONLY)

    def __len__(self) -> int:
        """Samples."""
        return len(self.chunks)

    def images(
        self, samples: Int[np.ndarray, ' batch']
    ) -> UInt8[np.ndarray, 'batch cameras height width 3']:
        """Prepared pictures of these samples."""
        batch = np.empty((len(samples), *self._shape), np.uint8)
        size = batch[0].nbytes
        for row, sample in zip(batch, samples, strict=True):
            data = os.pread(self._frames, size, int(sample) * size)
            row.reshape(-1)[:] = np.frombuffer(data, np.uint8)
        return batch


def store_episodes(bags: Sequence[Path], config: EpisodeConfig, cache: Path) -> EpisodeStore:
    """Read bags once, or find that they have been read.

    Args:
        bags: Bag folders or files, one episode each.
        config: How to read them.
        cache: Where stores are kept; one per set of bags and config.

    Raises:
        ValueError: A bag gives no observation or no action.
    """
    stamps = [[str(bag.resolve()), bag.stat().st_mtime_ns] for bag in bags]
    key = hashlib.sha256(json.dumps([stamps, cattrs.unstructure(config)]).encode()).hexdigest()
    folder = cache / key[:16]
    if not (folder / 'samples.npz').exists():
        _write_store(bags, config, folder)
    return EpisodeStore(folder)


def _write_store(bags: Sequence[Path], config: EpisodeConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Any]] = {
        name: [] for name in ('proprioception', 'chunks', 'landmarks', 'episode', 'sentence')
    }
    instructions: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    with (folder / 'frames.bin').open('wb') as frames:
        for number, bag in enumerate(tqdm(bags, desc='reading bags', unit='bag')):
            labels = _Labels(config)
            observations = list(_observations(bag, config, labels))
            if not observations:
                raise ValueError(f'{bag} gives no observation; check its topics.')
            for observation in observations:
                pictures = np.stack([observation.images[name] for name in config.topics.cameras])
                shape = pictures.shape
                frames.write(pictures.tobytes())
                rows['proprioception'].append(proprioception(observation.joints, observation.pose))
                rows['chunks'].append(labels.chunk(bag, observation.time))
                rows['landmarks'].append(labels.landmarks_at(observation.time))
                rows['episode'].append(number)
                sentence = instructions.setdefault(observation.instruction, len(instructions))
                rows['sentence'].append(sentence)
    (folder / 'instructions.json').write_text(json.dumps(list(instructions)))
    (folder / 'bags.json').write_text(json.dumps([bag.name for bag in bags]))
    arrays = {
        name: np.array(values, np.int64 if name in ('episode', 'sentence') else np.float32)
        for name, values in rows.items()
    }
    partial = folder / 'partial.npz'
    np.savez(partial, picture_shape=np.array(shape), **arrays)
    partial.replace(folder / 'samples.npz')


def _observations(bag: Path, config: EpisodeConfig, labels: '_Labels') -> Iterator[Observation]:
    """The observations of a bag, while its labels are collected beside them."""
    buffer = ObservationBuffer(config.observation, StreamBudget())
    topics = (*config.topics.names, *labels.topics)
    for recorded in read_messages(bag, topics):
        if recorded.topic in labels.topics:
            labels.add(recorded.topic, recorded.message, recorded.time)
            continue
        feed(buffer, config.topics, recorded)
        try:
            decode = buffer.take(recorded.time)
        except NotObservable:
            continue
        if decode is not None:
            yield decode()


class _Labels:
    """Label streams of one bag, read at any time."""

    def __init__(self, config: EpisodeConfig) -> None:
        self._config = config
        self.topics = tuple(
            topic
            for topic in (config.labels.action, config.labels.gripper, config.labels.landmarks)
            if topic
        )
        self._actions: list[tuple[float, NDArray[np.float64]]] = []
        self._gripper: list[tuple[float, float]] = []
        self._landmarks: list[tuple[float, NDArray[np.float64]]] = []

    def add(self, topic: str, message: Any, log_time: float) -> None:
        labels = self._config.labels
        if topic == labels.gripper:
            self._gripper.append((log_time, float(message.data[0])))
        elif topic == labels.landmarks:
            points = [(p.position.x, p.position.y, p.position.z) for p in message.poses]
            self._landmarks.append((stamp_seconds(message.header.stamp), np.array(points)))
        elif self._config.action_space.kind == 'end_effector_twist':
            self._actions.append((stamp_seconds(message.header.stamp), read_twist(message)))
        else:
            names = self._config.action_space.names
            target = read_joint_trajectory(message, names)[0]
            self._actions.append((stamp_seconds(message.header.stamp), target))

    def chunk(self, bag: Path, time: float) -> Float[np.ndarray, 'steps actions']:
        """The actions due from `time` on; past the end the arm holds."""
        config = self._config
        if not self._actions:
            raise ValueError(f'{bag} has no action on {config.labels.action}; nothing to learn.')
        due = time + config.period * (np.arange(config.steps) + 0.25)
        times = np.array([at for at, _ in self._actions])
        index = np.searchsorted(times, due, 'right') - 1
        targets = np.array([self._actions[max(i, 0)][1] for i in index])
        if config.action_space.kind == 'end_effector_twist':
            targets[due > times[-1] + config.period] = 0
            times = np.array([at for at, _ in self._gripper])
            index = np.searchsorted(times, due, 'right') - 1
            opening = [self._gripper[max(i, 0)][1] for i in index]
            targets = np.column_stack([targets, opening])
        return targets

    def landmarks_at(self, time: float) -> Float[np.ndarray, 'landmarks 3']:
        """The points to locate at `time`."""
        if not self._landmarks:
            return np.full((1, 3), np.nan)
        times = np.array([at for at, _ in self._landmarks])
        index = max(int(np.searchsorted(times, time + 1e-6, 'right')) - 1, 0)
        return self._landmarks[index][1]
