# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag of one arm -> its streams on the frames of the first camera, as a dataset needs them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import TWIST_NAMES
from ..acting.command_message import read_joint_state, read_joint_trajectory, read_twist
from ..bags.bag_contents import clock_steps
from ..bags.bag_files import DamagedBag
from ..bags.bag_reader import IMAGE_TYPES, read_messages, read_topics
from ..seeing.camera_message import TRANSPORTS, decode_image, stamp_seconds
from .frames import depth_topics

_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
# Parts of a topic's name that do not tell which camera it is.
_ORDINARY = {'camera', 'image', 'image_raw', 'image_rect', 'color', 'rgb'}
SILENCE = 2.5
"""A silence of so many usual intervals is worth a word."""
# What is older than this does not belong to a frame, however seldom its stream comes [s].
_MOST_AGE = 0.5


@dataclass(frozen=True)
class EpisodeRecording:
    """One bag on the frames of its first camera, each with its sentence."""

    tasks: tuple[str, ...]
    times: NDArray[np.float64]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    pictures: Mapping[str, Sequence[bytes]]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]


def read_episode(bag: Path) -> EpisodeRecording:
    """Reads a bag; every stream is sampled at the frames of the first camera.

    Joints are told by their names: several nodes may publish the states of some of them each.
    Frames before every stream has begun are left out.

    Raises:
        ValueError: It lacks a stream, has two where only one can be meant, a message that does
            not fit its names, a picture that cannot be decoded or is of another size than those
            before, or a camera or the joints are silent while the first camera goes on.
        DamagedBag: It is not whole, or its clock was set: frames of a dataset follow each other.
    """
    for step in clock_steps(bag):
        raise DamagedBag(f'{bag}: {step.sentence} Cut the bag there, or leave it out.')
    kinds = read_topics(bag)
    cameras = _cameras(bag, kinds)
    joints = _one(bag, kinds, 'sensor_msgs/msg/JointState')
    twist = 'geometry_msgs/msg/TwistStamped' in kinds.values()
    kind = 'geometry_msgs/msg/TwistStamped' if twist else 'trajectory_msgs/msg/JointTrajectory'
    action = _one(bag, kinds, kind)
    gripper = _one(bag, kinds, 'std_msgs/msg/Float64MultiArray', 'gripper') if twist else ''
    if not cameras:
        raise ValueError(f'{bag} has no camera topic; it has {sorted(kinds)}.')
    tracks: dict[str, list[tuple[float, Any]]] = {}
    states: dict[str, list[tuple[float, Any]]] = {}
    files = {topic: _Files() for topic in cameras.values()}
    action_names: tuple[str, ...] = (*TWIST_NAMES,) if twist else ()
    for m in read_messages(bag, (*cameras.values(), joints, action, gripper, '/instruction')):
        header = getattr(m.message, 'header', None)
        # A stamp of 0 means "on arrival", as for trajectories.
        time = (stamp_seconds(header.stamp) if header is not None else 0.0) or m.time
        track = tracks.setdefault(m.topic, [])
        try:
            if m.topic == '/instruction':
                track.append((m.time, m.message.data))
            elif m.topic == joints:
                values = read_joint_state(m.message, m.message.name)
                for name, value in zip(m.message.name, values, strict=True):
                    states.setdefault(name, []).append((time, value))
                track.append((time, values))
            elif m.topic == action and not twist:
                action_names = action_names or tuple(m.message.joint_names)
                track.append((time, read_joint_trajectory(m.message, action_names)[0]))
            elif m.topic == action:
                track.append((time, read_twist(m.message)))
            elif m.topic == gripper:
                track.append((m.time, np.array(m.message.data, np.float32)))
            else:
                track.append((time, files[m.topic].take(m.message)))
        except ValueError as error:
            raise ValueError(f'{bag}: {m.topic} at {m.time:.3f} s: {error}') from error
    silent = [t for t in (*cameras.values(), joints, action, gripper) if t and not tracks.get(t)]
    if silent:
        raise ValueError(f'{bag} has no message on {silent}.')
    times = np.array(sorted(time for time, _ in tracks[next(iter(cameras.values()))]))
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    at = times + 0.25 * period  # stamps jitter
    streams = [*(tracks[topic] for topic in cameras.values()), *states.values()]
    begin = max(min(time for time, _ in track) for track in (*streams, tracks[action]))
    times, at = times[at >= begin], at[at >= begin]
    if not len(times):
        raise ValueError(f'{bag} ends before all of its streams have begun.')
    _refuse_silence(bag, [*cameras.values(), *([joints] * len(states))], streams, at)
    actions = np.array(_sampled(tracks[action], at), np.float32)
    if twist:
        actions = np.hstack([actions, np.array(_sampled(tracks[gripper], at), np.float32)])
    return EpisodeRecording(
        tasks=tuple(_sampled(tracks.get('/instruction') or [(0.0, '')], at)),
        times=times,
        state=np.array([_sampled(track, at) for track in states.values()], np.float32).T,
        action=actions,
        pictures={name: _sampled(tracks[topic], at) for name, topic in cameras.items()},
        state_names=tuple(states),
        action_names=action_names,
    )


def _refuse_silence(
    bag: Path,
    topics: Sequence[str],
    streams: Sequence[Sequence[tuple[float, Any]]],
    at: NDArray[np.float64],
) -> None:
    """What a stream said last must not stand for what it does not say any more."""
    for topic, track in zip(topics[1:], streams[1:], strict=True):
        known = np.array(sorted(time for time, _ in track))
        age = at - known[np.searchsorted(known, at, 'right') - 1]
        steps = np.diff(known)
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        frame = int(np.argmax(age))
        if age[frame] > max(SILENCE * usual, _MOST_AGE):
            raise ValueError(
                f'{bag}: {topic} is silent for {age[frame]:.2f} s at frame {frame} of {len(at)}, '
                'while the first camera goes on; cut the bag there, or leave it out.'
            )


def _sampled(track: Sequence[tuple[float, Any]], times: NDArray[np.float64]) -> list[Any]:
    """Returns the newest value at each time; before the first one, the first."""
    # Not by the values: they may be arrays or pictures.
    ordered = sorted(track, key=lambda entry: entry[0])
    indices = np.searchsorted([time for time, _ in ordered], times, 'right') - 1
    return [ordered[max(int(i), 0)][1] for i in indices]


def _one(bag: Path, kinds: Mapping[str, str], kind: str, word: str = '') -> str:
    there = sorted(topic for topic, its in kinds.items() if its == kind and word in topic)
    named = [t for t in there if 'expert' in t.split('/')] or there
    if len(named) != 1:
        raise ValueError(f'{bag} must have one topic of {kind}, it has {there}.')
    return named[0]


def _cameras(bag: Path, kinds: Mapping[str, str]) -> dict[str, str]:
    """Name -> topic of the cameras of colours, each by one of the topics that carry it."""
    there = [topic for topic, kind in sorted(kinds.items()) if kind in IMAGE_TYPES]
    depth = depth_topics(bag, there) if len(there) > 1 else set()
    # Of a camera that was recorded raw and compressed, the files.
    ordered = sorted(set(there) - depth, key=lambda t: (kinds[t] == _COMPRESSED, t))
    topics = {_parts(topic): topic for topic in ordered}
    short = {
        parts: '_'.join(p for p in parts if p not in _ORDINARY) or 'camera' for parts in topics
    }
    taken = Counter(short.values())
    named = {'_'.join(p) if taken[short[p]] > 1 else short[p]: t for p, t in topics.items()}
    return dict(sorted(named.items(), key=lambda pair: pair[1]))


def _parts(topic: str) -> tuple[str, ...]:
    parts = [part for part in topic.split('/') if part]
    return tuple(parts[:-1] if parts[-1] in TRANSPORTS else parts)


class _Files:
    """The pictures of one camera as files: as they are if their colours are right, or lossless."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()

    def take(self, message: Any) -> bytes:
        """Returns the next one.

        Raises:
            ValueError: It cannot be decoded, or is of another size than the first one.
        """
        rgb = decode_image(message)
        self._shape = self._shape or rgb.shape
        if rgb.shape != self._shape:
            raise ValueError(
                f'the picture has {rgb.shape[1]}x{rgb.shape[0]} pixels, those before had '
                f'{self._shape[1]}x{self._shape[0]}; a camera of a dataset has one size.'
            )
        # A label may say that the colours in the file are exchanged; a dataset has no labels.
        if hasattr(message, 'encoding') or (decode_file(message.data) != rgb).any():
            return cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
        return bytes(message.data)


def decode_file(data: Any) -> NDArray[np.uint8]:
    """Returns the RGB picture of a file's bytes."""
    return decode_image(SimpleNamespace(format='', data=data))


def in_order_of(first: EpisodeRecording, recording: EpisodeRecording) -> EpisodeRecording:
    """Returns the recording with its joints and actions in the order of another one."""
    state, state_names = _ordered(recording.state, recording.state_names, first.state_names)
    action, names = _ordered(recording.action, recording.action_names, first.action_names)
    return replace(
        recording, state=state, state_names=state_names, action=action, action_names=names
    )


def _ordered(
    columns: NDArray[np.float32], names: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    if sorted(names) != sorted(wanted):
        return columns, names
    return columns[:, [names.index(name) for name in wanted]], wanted


def refuse_other_arm(bag: Path, recording: EpisodeRecording, first: EpisodeRecording) -> None:
    """Raises ValueError where a bag has other joints, actions or cameras than the first one."""
    for what, mine, its in (
        ('joints', recording.state_names, first.state_names),
        ('actions', recording.action_names, first.action_names),
        ('cameras', tuple(recording.pictures), tuple(first.pictures)),
        ('sizes of pictures', _sizes(recording), _sizes(first)),
    ):
        if mine != its:
            raise ValueError(
                f'{bag} has other {what} than the first bag: {list(mine)} instead of {list(its)}; '
                'a dataset is of one arm.'
            )


def _sizes(recording: EpisodeRecording) -> tuple[tuple[int, ...], ...]:
    return tuple(decode_file(files[0]).shape for files in recording.pictures.values())
