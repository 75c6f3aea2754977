# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Poses A and B -> X and Z of A X B = Z: by OpenCV's methods, then refined jointly."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

_METHODS = ('TSAI', 'PARK', 'HORAUD', 'ANDREFF', 'DANIILIDIS')
_ROBOT_WORLD_METHODS = ('SHAH', 'LI')
# Below these a pair counts as exact: what an arm repeats, in metres and radians.
_FLOOR = np.array([1e-4, 1e-4])


@dataclass(frozen=True, eq=False)
class PoseFit:
    """X and Z of A X B = Z.

    Attributes:
        a: The poses A, 4x4, metres.
        b: The poses B, 4x4, metres.
        x: X, refined over all pairs, 4x4, metres.
        z: Z, refined over all pairs, 4x4, metres.
        methods: Each closed-form method of OpenCV -> its X.
        errors: Position [m] and rotation vector [rad] of A X B in Z.
    """

    a: Float[np.ndarray, 'pairs 4 4']
    b: Float[np.ndarray, 'pairs 4 4']
    x: Float[np.ndarray, '4 4']
    z: Float[np.ndarray, '4 4']
    methods: Mapping[str, Float[np.ndarray, '4 4']]
    errors: Float[np.ndarray, 'pairs 6']

    @property
    def residual(self) -> float:
        """Root mean square of the position errors [m]."""
        return float(np.sqrt(np.mean(np.sum(self.errors[:, :3] ** 2, axis=1))))

    @classmethod
    def of(cls, a: Float[np.ndarray, 'pairs 4 4'], b: Float[np.ndarray, 'pairs 4 4']) -> 'PoseFit':
        """Solves; the method with the smallest position error starts the refinement."""
        methods = _closed_form(a, b)

        def error(x: Float[np.ndarray, '4 4']) -> float:
            return float(np.linalg.norm(_errors(a, b, x, _mean_pose(a @ x @ b))[:, :3]))

        x = min(methods.values(), key=error)
        x, z = _refine(a, b, x, _mean_pose(a @ x @ b))
        return cls(a, b, x, z, methods, _errors(a, b, x, z))

    def without(self, index: int) -> Float[np.ndarray, '4 4']:
        """Returns X of all pairs but one."""
        kept = np.arange(len(self.a)) != index
        return _refine(self.a[kept], self.b[kept], self.x, self.z, rounds=1)[0]


def _closed_form(
    a: Float[np.ndarray, 'pairs 4 4'], b: Float[np.ndarray, 'pairs 4 4']
) -> dict[str, Float[np.ndarray, '4 4']]:
    found: dict[str, Float[np.ndarray, '4 4']] = {}

    def add(name: str, rotation: Any, translation: Any, invert: bool) -> None:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, np.ravel(translation)
        # A method that fails on its own degenerate case gives NaN or a mirror.
        if np.isfinite(pose).all() and np.linalg.det(pose[:3, :3]) > 0:
            # Li's is a rotation only nearly.
            pose[:3, :3] = Rotation.from_matrix(pose[:3, :3]).as_matrix()
            found[name.lower()] = np.linalg.inv(pose) if invert else pose

    for name in _METHODS:
        method = getattr(cv2, f'CALIB_HAND_EYE_{name}')
        with suppress(cv2.error):  # "iterations do not converge"
            rotation, translation = cv2.calibrateHandEye(
                list(a[:, :3, :3]),
                list(a[:, :3, 3]),
                list(b[:, :3, :3]),
                list(b[:, :3, 3]),
                method=method,
            )
            add(name, rotation, translation, False)
    inverse = np.linalg.inv(a)
    for name in _ROBOT_WORLD_METHODS:
        method = getattr(cv2, f'CALIB_ROBOT_WORLD_HAND_EYE_{name}')
        *_, rotation, translation = cv2.calibrateRobotWorldHandEye(
            list(b[:, :3, :3]),
            list(b[:, :3, 3]),
            list(inverse[:, :3, :3]),
            list(inverse[:, :3, 3]),
            method=method,
        )
        add(name, rotation, translation, True)
    if not found:
        raise ValueError('No method found a camera; add poses with rotations about two axes.')
    return found


def _errors(
    a: Float[np.ndarray, 'pairs 4 4'],
    b: Float[np.ndarray, 'pairs 4 4'],
    x: Float[np.ndarray, '4 4'],
    z: Float[np.ndarray, '4 4'],
) -> Float[np.ndarray, 'pairs 6']:
    """Returns the position [m] and rotation vector [rad] of A X B in Z."""
    seen = a @ x @ b
    turn = Rotation.from_matrix(z[:3, :3].T @ seen[:, :3, :3]).as_rotvec()
    return np.hstack([seen[:, :3, 3] - z[:3, 3], turn])


def _refine(
    a: Float[np.ndarray, 'pairs 4 4'],
    b: Float[np.ndarray, 'pairs 4 4'],
    x: Float[np.ndarray, '4 4'],
    z: Float[np.ndarray, '4 4'],
    rounds: int = 2,
) -> tuple[Float[np.ndarray, '4 4'], Float[np.ndarray, '4 4']]:
    """Refines X and Z together; positions and rotations are weighted by their scatter."""
    start = np.concatenate([_vector(x), _vector(z)])
    errors = _errors(a, b, x, z)
    for _ in range(rounds):
        # Robust scatter per kind of error: 1.48 times the median is one sigma.
        scatter = 1.48 * np.array(
            [np.median(np.abs(errors[:, :3])), np.median(np.abs(errors[:, 3:]))]
        )
        weights = np.repeat(1 / np.maximum(scatter, _FLOOR), 3)

        def weighted(
            both: Float[np.ndarray, '12'], weights: Float[np.ndarray, '6'] = weights
        ) -> Float[np.ndarray, ' residuals']:
            return np.ravel(_errors(a, b, _pose(both[:6]), _pose(both[6:])) * weights)

        start = least_squares(weighted, start, loss='soft_l1').x
        x, z = _pose(start[:6]), _pose(start[6:])
        errors = _errors(a, b, x, z)
    return x, z


def _vector(pose: Float[np.ndarray, '4 4']) -> Float[np.ndarray, '6']:
    return np.concatenate([Rotation.from_matrix(pose[:3, :3]).as_rotvec(), pose[:3, 3]])


def _pose(vector: Float[np.ndarray, '6']) -> Float[np.ndarray, '4 4']:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec(vector[:3]).as_matrix(), vector[3:]
    return pose


def _mean_pose(poses: Float[np.ndarray, 'poses 4 4']) -> Float[np.ndarray, '4 4']:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix()
    pose[:3, 3] = np.median(poses[:, :3, 3], axis=0)
    return pose
