# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""File of pose samples -> pairs of arm pose and board pose; MoveIt's format and our own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float
from scipy.spatial.transform import Rotation

# No arm reaches so far and no camera sees a board at such a distance: these are millimetres.
_MAX_METRES = 20.0
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class PosePairs:
    """Where the gripper and the board were at the same moments.

    Attributes:
        names: Names of the moments, for messages.
        gripper_to_base: Pose of the gripper in the base, 4x4, metres.
        board_to_camera: Pose of the board in the optical frame (x right, y down, z forward), 4x4,
            metres.
    """

    names: tuple[str, ...]
    gripper_to_base: Float[np.ndarray, 'pairs 4 4']
    board_to_camera: Float[np.ndarray, 'pairs 4 4']

    def __post_init__(self) -> None:
        """Refuses what is no pose in metres."""
        for what in ('gripper_to_base', 'board_to_camera'):
            poses = getattr(self, what)
            if poses.shape != (len(self.names), 4, 4):
                raise ValueError(f'{what} must be [{len(self.names)}, 4, 4], got {poses.shape}.')
            for name, pose in zip(self.names, poses, strict=True):
                check_pose(pose, f'{name}: {what}')

    def __len__(self) -> int:
        return len(self.names)


def check_pose(pose: Float[np.ndarray, '4 4'], where: str) -> None:
    """Refuses a matrix that is not a rigid motion in metres.

    Raises:
        ValueError: Says what is wrong and what to do.
    """
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f'{where} must be 4x4 finite numbers, got {pose.tolist()}.')
    rotation, translation = pose[:3, :3], pose[:3, 3]
    if not np.allclose(pose[3], [0, 0, 0, 1]):
        raise ValueError(
            f'{where} must have 0 0 0 1 in its last row, got {pose[3].tolist()}; transpose it.'
        )
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=_TOLERANCE):
        raise ValueError(f'{where} has no rotation in it (rows are not perpendicular units).')
    if np.linalg.det(rotation) < 0:
        raise ValueError(
            f'{where} is left-handed (determinant -1); turn one axis round, ROS frames are '
            'right-handed.'
        )
    if np.linalg.norm(translation) > _MAX_METRES:
        raise ValueError(
            f'{where} is {np.linalg.norm(translation):.0f} m away, so it seems to be in '
            'millimetres; give metres.'
        )


def pose_matrix(
    translation: Sequence[float], quaternion: Sequence[float], where: str
) -> Float[np.ndarray, '4 4']:
    """Returns a pose, 4x4, from x y z [m] and the quaternion x y z w.

    Raises:
        ValueError: These are no numbers, or the quaternion is not a unit.
    """
    try:
        place, turn = (np.array(each, np.float64) for each in (translation, quaternion))
    except (TypeError, ValueError):
        place = turn = np.empty(0)
    if place.shape != (3,) or turn.shape != (4,):
        raise ValueError(
            f'{where} must have a translation of three numbers (x y z) and a quaternion of four '
            f'(x y z w), got {translation!r} and {quaternion!r}.'
        )
    norm = float(np.linalg.norm(turn))
    if not abs(norm - 1) < _TOLERANCE:
        raise ValueError(
            f'{where}: the quaternion x y z w must have length 1, {turn.tolist()} has {norm:.4f}; '
            'normalise it, and check that it is not written as w x y z or as angles.'
        )
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(turn).as_matrix()
    matrix[:3, 3] = place
    check_pose(matrix, where)
    return matrix


def load_pose_pairs(path: Path) -> PosePairs:
    """Reads pairs of poses from a file.

    Two formats, as JSON or YAML. MoveIt's `pose_samples.json`: a list of pairs
    [gripper in base, board in camera] of 4x4 matrices. Ours: a list of
    `{gripper_to_base: POSE, board_to_camera: POSE}`, where POSE is a 4x4 matrix or
    `{translation: [x, y, z], quaternion: [x, y, z, w]}` (m).

    Raises:
        ValueError: Names the file, the pair and what is wrong.
    """
    try:
        text = path.read_text('utf-8')
        tree = json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
        if not isinstance(tree, list) or not tree:
            raise ValueError('expected a list of pairs of poses (see gripper_to_base in --help).')
        names = tuple(f'pair {index}' for index in range(len(tree)))
        pairs = [_pair(entry, name) for entry, name in zip(tree, names, strict=True)]
        return PosePairs(names, np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs]))
    except (ValueError, yaml.YAMLError) as error:  # a JSON error is a ValueError
        raise ValueError(f'{path}: {error}') from error


def _pair(entry: Any, name: str) -> tuple[Float[np.ndarray, '4 4'], Float[np.ndarray, '4 4']]:
    keys = ('gripper_to_base', 'board_to_camera')
    if isinstance(entry, dict):
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(f'{name} lacks {missing}; it has {list(entry)}.')
        entry = [entry[key] for key in keys]
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError(f'{name} must be two poses, {keys[0]} and {keys[1]}.')
    first, second = (_pose(p, f'{name}: {key}') for p, key in zip(entry, keys, strict=True))
    return first, second


def _pose(value: Any, where: str) -> Float[np.ndarray, '4 4']:
    if isinstance(value, dict):
        if set(value) != {'translation', 'quaternion'}:
            raise ValueError(
                f'{where} must have translation (x y z) and quaternion (x y z w), has '
                f'{sorted(map(str, value))}.'
            )
        return pose_matrix(value['translation'], value['quaternion'], where)
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f'{where} must be a 4x4 matrix of numbers, got {value!r}.') from None
    check_pose(matrix, where)
    return matrix
