# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags -> one file of prepared frames and the arrays that training draws samples from."""

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from tqdm import tqdm

from ..acting.action_chunk import ActionSpace
from ..acting.command_message import read_float64_multi_array
from ..bags.bag_reader import read_topics
from ..bags.bag_storage import RecordedMessage
from ..bags.observation_replay import StreamTopics, read_observations
from ..bounds import checked
from ..files import disk_of
from ..policy.prediction import proprioception
from ..seeing.camera_message import stamp_seconds
from ..seeing.observation import ObservationConfig
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import StreamBudget
from .frames import store_key
from .label_track import HOP, LabelTrack


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
@checked
class EpisodeConfig:
    """How bags become samples.

    Attributes:
        observation: Streams of an observation.
        topics: Topics that carry the streams.
        labels: Topics that carry the labels.
        action_space: Meaning of the labels.
        steps: Targets per chunk.
        period: Time between two targets [s].
    """

    observation: ObservationConfig
    topics: StreamTopics
    labels: ActionTopics
    action_space: ActionSpace
    steps: int = field(metadata={'minimum': 1})
    period: float = field(metadata={'above': 0})


class EpisodeStore:
    """Samples of many bags; the pictures stay on disk and are read as they are drawn.

    Attributes:
        proprioception: One row per sample, physical units.
        chunks: The actions from a sample's time on.
        landmarks: Points in the base frame [m]; NaN where the bag has none.
        episode: Number of the bag from which each sample is.
        sentence: Index of each sample's sentence in `instructions`.
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
        return len(self.chunks)

    def images(
        self, samples: Int[np.ndarray, ' batch']
    ) -> UInt8[np.ndarray, 'batch cameras height width 3']:
        """Returns the prepared pictures of these samples."""
        batch = np.empty((len(samples), *self._shape), np.uint8)
        size = batch[0].nbytes
        for row, sample in zip(batch, samples, strict=True):
            read = os.preadv(self._frames, [row.reshape(-1)], int(sample) * size)
            if read != size:
                raise ValueError(f'Sample {sample} of the store was cut off; delete its folder.')
        return batch


def store_episodes(bags: Sequence[Path], config: EpisodeConfig, cache: Path) -> EpisodeStore:
    """Reads bags once, or finds that they have been read.

    Args:
        bags: Bag folders or files, one episode each.
        config: How to read them.
        cache: Where stores are kept; one per set of bags and config.

    Raises:
        ValueError: A bag gives no observation or no action.
    """
    folder = cache / store_key(bags, config)
    cache.mkdir(parents=True, exist_ok=True)
    # Another process may be reading the same bags for the same store.
    with FileLock(f'{folder}.lock'):
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
    advice = 'or name another folder with --cache'
    with disk_of(folder, advice), (folder / 'frames.bin').open('wb') as frames:
        for number, bag in enumerate(tqdm(bags, desc='reading bags', unit='bag')):
            _check_labels(bag, config)
            names = config.topics.joint_names
            buffer = ObservationBuffer(config.observation, StreamBudget(), names)
            labels = _Labels(bag, config, buffer)
            times = []
            # One observation in memory at a time: a bag may be hours long.
            for observation in read_observations(bag, config.topics, buffer, labels.takers):
                # In the order of the policy's cameras, whatever the order of the topics.
                pictures = np.stack(
                    [observation.images[name] for name in config.observation.cameras]
                )
                shape = pictures.shape
                frames.write(pictures.tobytes())
                times.append(observation.time)
                rows['proprioception'].append(proprioception(observation))
                rows['episode'].append(number)
                sentence = instructions.setdefault(observation.instruction, len(instructions))
                rows['sentence'].append(sentence)
            labels.check()
            # After the whole bag: a chunk reaches past its own observation.
            rows['chunks'] += map(labels.chunk, times)
            rows['landmarks'] += map(labels.landmarks_at, times)
    numbers = {len(points) for points in rows['landmarks']}
    if len(numbers) > 1:
        raise ValueError(
            f'{config.labels.landmarks} has {sorted(numbers)} points; a policy locates as many in '
            'every bag.'
        )
    (folder / 'instructions.json').write_text(json.dumps(list(instructions)))
    (folder / 'bags.json').write_text(json.dumps([bag.name for bag in bags]))
    arrays = {
        name: np.array(values, np.int64 if name in ('episode', 'sentence') else np.float32)
        for name, values in rows.items()
    }
    partial = folder / 'partial.npz'
    np.savez(partial, picture_shape=np.array(shape), **arrays)
    partial.replace(folder / 'samples.npz')


def _check_labels(bag: Path, config: EpisodeConfig) -> None:
    """Refuses label topics of another type than the one they are read as."""
    labels, there = config.labels, read_topics(bag)
    wanted = {
        labels.action: config.action_space.means.messages[0],
        labels.gripper: 'std_msgs/msg/Float64MultiArray',
        labels.landmarks: 'geometry_msgs/msg/PoseArray',
    }
    for topic, kind in wanted.items():
        if topic and there.get(topic, kind) != kind:
            raise ValueError(
                f'{bag}: labels are read from {kind}, but {topic} is {there[topic]}; name another '
                'topic under labels in the recipe.'
            )


class _Labels:
    """Label streams of one bag, read at any time."""

    def __init__(self, bag: Path, config: EpisodeConfig, buffer: ObservationBuffer) -> None:
        self._bag = bag
        self._config = config
        self._buffer = buffer
        self._names = config.action_space.called(config.topics.joint_names).names
        labels = config.labels
        self._actions, self._gripper, self._landmarks = (LabelTrack() for _ in range(3))
        takers: dict[str, Callable[[RecordedMessage], None]] = {
            labels.action: self._take_action,
            labels.gripper: self._take_gripper,
            labels.landmarks: self._take_landmarks,
        }
        self.takers = {
            topic: functools.partial(self._take, take) for topic, take in takers.items() if topic
        }
        self._tracks = {
            labels.action: self._actions,
            labels.gripper: self._gripper,
            labels.landmarks: self._landmarks,
        }

    def check(self) -> None:
        """Checks after a whole bag that every topic gave labels, and that none was left out.

        Raises:
            ValueError: A topic gave none, or its clock was set.
        """
        for topic in self.takers:
            track = self._tracks[topic]
            if not track.times:
                raise ValueError(f'{self._bag} has no label on {topic}; correct the recipe.')
            if track.lost:
                raise ValueError(
                    f'{self._bag}: {track.lost} messages on {topic} are stamped more than {HOP:g} '
                    's before one that came earlier: a clock was set, or two nodes publish '
                    'there. Leave this bag out.'
                )

    def _take(self, take: Callable[[RecordedMessage], None], recorded: RecordedMessage) -> None:
        try:
            take(recorded)
        except ValueError as error:
            raise ValueError(
                f'{self._bag}: {recorded.topic} at {recorded.time:.3f} s: {error}'
            ) from error

    def _take_action(self, recorded: RecordedMessage) -> None:
        space, message = self._config.action_space, recorded.message
        means, frame = space.means, space.frame
        target = means.read(message, means.messages[0], self._names, frame)
        # A stamp of 0 means "on arrival", as for trajectories; plain numbers have none.
        header = getattr(message, 'header', None)
        time = (header and stamp_seconds(header.stamp)) or recorded.time
        self._actions.add(time, target)
        if self._config.observation.uses_command:
            # What a demonstrator sent is what a policy in his place would have sent.
            self._buffer.add_command(target, time)

    def _take_gripper(self, recorded: RecordedMessage) -> None:
        # Float64MultiArray has no header: the time of the recording has to do.
        self._gripper.add(recorded.time, read_float64_multi_array(recorded.message, 1))

    def _take_landmarks(self, recorded: RecordedMessage) -> None:
        message = recorded.message
        points = np.array([(p.position.x, p.position.y, p.position.z) for p in message.poses])
        if not np.isfinite(points).all():
            raise ValueError(
                'a landmark is not finite; leave this bag out, or set landmarks to "".'
            )
        time = stamp_seconds(message.header.stamp) or recorded.time
        self._landmarks.add(time, points)

    def chunk(self, time: float) -> Float[np.ndarray, 'steps actions']:
        """Returns the actions due from `time` on; past the end the arm holds."""
        config = self._config
        due = time + config.period * (np.arange(config.steps) + 0.25)
        targets = self._actions.at(due)
        means = config.action_space.means
        if means.velocities:
            targets[due > self._actions.end + config.period] = 0
        return targets if means.of_joints else np.hstack([targets, self._gripper.at(due)])

    def landmarks_at(self, time: float) -> Float[np.ndarray, 'landmarks 3']:
        """Returns the points to locate at `time`; NaN where they are not recorded."""
        if not self._config.labels.landmarks:
            return np.full((1, 3), np.nan)
        return self._landmarks.at(np.array([time + 1e-6]))[0]
