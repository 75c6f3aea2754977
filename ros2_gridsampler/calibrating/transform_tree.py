# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Poses of a recording (PoseStamped or TF) -> where a frame was at a moment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from ..bags.bag_reader import POSE, read_messages, read_topic
from ..seeing.camera_message import stamp_seconds
from .pose_pairs import pose_matrix

# Between two samples of a moving frame; farther apart, what lies between is a guess [s].
_MAX_GAP = 0.2


class Track:
    """Poses of one frame in another over time, 4x4, metres."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._times: list[float] = []
        self._poses: list[Float[np.ndarray, '4 4']] = []

    def add(self, time: float, pose: Float[np.ndarray, '4 4']) -> None:
        """Appends a pose; times may come in any order [s]."""
        self._times.append(time)
        self._poses.append(pose)

    def at(self, time: float) -> Float[np.ndarray, '4 4']:
        """Returns the pose at a moment [s], between its neighbours.

        Raises:
            ValueError: There is none near that moment.
        """
        order = np.argsort(self._times, kind='stable')
        times = np.array(self._times)[order]
        after = int(np.searchsorted(times, time))
        before = max(after - 1, 0)
        after = min(after, len(times) - 1)
        distance = max(abs(time - times[before]), abs(times[after] - time))
        if distance > _MAX_GAP:
            raise ValueError(
                f'{self.name}: no pose within {_MAX_GAP} s of {time:.3f} s; the nearest is '
                f'{min(abs(time - times[before]), abs(times[after] - time)):.2f} s away. Do the '
                'camera and the arm use the same clock?'
            )
        first, second = self._poses[order[before]], self._poses[order[after]]
        span = times[after] - times[before]
        share = float(np.clip((time - times[before]) / span, 0, 1)) if span > 0 else 0.0
        pose = np.eye(4)
        turns = Rotation.from_matrix(np.stack([first[:3, :3], second[:3, :3]]))
        pose[:3, :3] = Slerp([0, 1], turns)(share).as_matrix()
        pose[:3, 3] = (1 - share) * first[:3, 3] + share * second[:3, 3]
        return pose


class _Fixed(Track):
    """A pose that holds for ever."""

    def at(self, time: float) -> Float[np.ndarray, '4 4']:
        return self._poses[-1]


class GripperTrack:
    """Where the gripper is in the base, from a recording.

    Args:
        bag: The recording.
        pose_topic: PoseStamped of the gripper in the base; empty to use TF.
        base: Frame of the base, for TF.
        gripper: Frame of the gripper, for TF.

    Raises:
        ValueError: The recording has none of it.
    """

    def __init__(self, bag: Path, pose_topic: str, base: str, gripper: str) -> None:
        self._chain: Sequence[Track]
        if pose_topic:
            self._chain = [_read_poses(bag, pose_topic)]
            return
        tree, second = _read_tree(bag)
        chain: list[Track] = []
        link = gripper
        while link != base:
            if len(chain) > len(tree):
                raise ValueError(
                    f'{bag} has a circle in its TF above {gripper!r}: every frame has one '
                    'parent. Look for two nodes that publish the same transform.'
                )
            if link not in tree:
                raise ValueError(
                    f'{bag} has no TF from {base!r} to {gripper!r}; its frames are '
                    f'{sorted({*tree, *(parent for parent, _ in tree.values())})}. Name frames '
                    'with --base and --gripper, or a PoseStamped with --pose-topic.'
                )
            if link in second:
                raise ValueError(
                    f'{bag} has two parents of {link!r} in its TF, {tree[link][0]!r} and '
                    f'{second[link]!r}; where it was cannot be told. Use a recording without '
                    'the other.'
                )
            link, track = tree[link]
            chain.append(track)
        self._chain = chain[::-1]

    def at(self, time: float) -> Float[np.ndarray, '4 4']:
        """Returns the pose of the gripper in the base at a moment [s]; 4x4, metres."""
        pose = np.eye(4)
        for track in self._chain:
            pose = pose @ track.at(time)
        return pose


def _read_poses(bag: Path, topic: str) -> Track:
    track = Track(topic)
    for recorded in read_topic(bag, topic, POSE):
        pose = recorded.message.pose
        track.add(
            stamp_seconds(recorded.message.header.stamp),
            _matrix(pose.position, pose.orientation, topic),
        )
    return track


def _read_tree(bag: Path) -> tuple[dict[str, tuple[str, Track]], dict[str, str]]:
    """Returns each child's parent and track, and other parents that a child had too."""
    tree: dict[str, tuple[str, Track]] = {}
    second: dict[str, str] = {}
    for recorded in read_messages(bag, ('/tf', '/tf_static')):
        for each in recorded.message.transforms:
            parent, child = (
                name.lstrip('/') for name in (each.header.frame_id, each.child_frame_id)
            )
            kind = _Fixed if recorded.topic == '/tf_static' else Track
            if child not in tree:
                tree[child] = (parent, kind(f'TF {parent} -> {child}'))
            if tree[child][0] != parent:
                second[child] = parent
                continue
            pose = _matrix(each.transform.translation, each.transform.rotation, child)
            tree[child][1].add(stamp_seconds(each.header.stamp), pose)
    return tree, second


def _matrix(position: Any, turn: Any, where: str) -> Float[np.ndarray, '4 4']:
    return pose_matrix(
        (position.x, position.y, position.z), (turn.x, turn.y, turn.z, turn.w), where
    )
