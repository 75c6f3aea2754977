# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag of one arm -> its streams on the frames of the first camera, as a dataset needs them."""

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
from ..bags.bag_reader import read_messages, read_topics
from ..seeing.camera_message import decode_image, stamp_seconds

_COMPRESSED, _RAW = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/Image'
# Parts of a topic's name that do not tell which camera it is.
_ORDINARY = {'camera', 'image', 'image_raw', 'image_rect', 'color', 'rgb', 'compressed', ''}


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

    Raises:
        ValueError: It lacks a stream, has two where only one can be meant, or a message that does
            not fit its names.
        DamagedBag: It is not whole, or its clock was set: frames of a dataset follow each other.
    """
    for step in clock_steps(bag):
        raise DamagedBag(f'{bag}: {step.sentence} Cut the bag there, or leave it out.')
    kinds = read_topics(bag)
    cameras = {_camera(t): t for t, kind in sorted(kinds.items()) if kind in (_COMPRESSED, _RAW)}
    joints = _one(bag, kinds, 'sensor_msgs/msg/JointState')
    twist = 'geometry_msgs/msg/TwistStamped' in kinds.values()
    kind = 'geometry_msgs/msg/TwistStamped' if twist else 'trajectory_msgs/msg/JointTrajectory'
    action = _one(bag, kinds, kind)
    gripper = _one(bag, kinds, 'std_msgs/msg/Float64MultiArray', 'gripper') if twist else ''
    if not cameras:
        raise ValueError(f'{bag} has no camera topic; it has {sorted(kinds)}.')
    tracks: dict[str, list[tuple[float, Any]]] = {}
    states: dict[str, list[tuple[float, Any]]] = {}
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
                track.append((time, _file(m.message)))
        except ValueError as error:
            raise ValueError(f'{bag}: {m.topic} at {m.time:.3f} s: {error}') from error
    silent = [t for t in (*cameras.values(), joints, action, gripper) if t and not tracks.get(t)]
    if silent:
        raise ValueError(f'{bag} has no message on {silent}.')
    times = np.array(sorted(time for time, _ in tracks[next(iter(cameras.values()))]))
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    at = times + 0.25 * period  # stamps jitter
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


def _camera(topic: str) -> str:
    parts = [part for part in topic.split('/') if part not in _ORDINARY]
    return '_'.join(parts) or 'camera'


def _file(message: Any) -> bytes:
    """Returns a picture as a file: as it is, or lossless."""
    if hasattr(message, 'encoding'):
        bgr = cv2.cvtColor(decode_image(message), cv2.COLOR_RGB2BGR)
        return cv2.imencode('.png', bgr)[1].tobytes()
    return bytes(message.data)


def decode_file(data: bytes) -> NDArray[np.uint8]:
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
    ):
        if mine != its:
            raise ValueError(
                f'{bag} has other {what} than the first bag: {list(mine)} instead of {list(its)}; '
                'a dataset is of one arm.'
            )
