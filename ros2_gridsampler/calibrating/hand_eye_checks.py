# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of arm pose and board pose -> what is wrong with them, in words."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from .pose_pairs import PosePairs

# Root mean square rotation about the second axis [rad]: below, the position along the first axis
# is noise; every 5 degrees carry 0.5 degrees of board noise into 10% of the lever arm.
_MIN_ROTATION = np.radians(5.0)
# Between the rotations of the arm and of the board, median over all pairs of moments [rad].
_MAX_UNLIKE = np.radians(5.0)
# A square measured with a ruler is right within 2%.
_MAX_SCALE_ERROR = 0.02
# Largest residual of a fit that is worth reporting [m].
_MAX_RESIDUAL = 0.05


def refuse_little_rotation(pairs: PosePairs) -> None:
    """Refuses rotations about one axis, which leave the position along it open.

    Raises:
        ValueError: Says which motions to add.
    """
    turns = _relative(pairs.gripper_to_base)
    values, axes = np.linalg.eigh(turns.T @ turns / len(turns))
    amounts = np.sqrt(np.maximum(values, 0))
    if amounts[1] >= _MIN_ROTATION:
        return
    if amounts[2] < _MIN_ROTATION:
        what = f'The gripper turned by {np.degrees(amounts[2]):.1f} degrees only'
        missing = ['x', 'y']
    else:
        axis = axes[:, 2]
        what = (
            'The gripper turned about one axis only, '
            f'[{axis[0]:.2f}, {axis[1]:.2f}, {axis[2]:.2f}] in its own frame '
            f'({np.degrees(amounts[2]):.0f} degrees; about the next axis '
            f'{np.degrees(amounts[1]):.1f})'
        )
        missing = [name for name, part in zip('xyz', np.abs(axis), strict=True) if part < 0.8]
    raise ValueError(
        f'{what}, which does not determine the camera. Add poses tilted by 20 to 40 degrees each '
        f'way about its {" and its ".join(missing)} axis, with the board in view.'
    )


def refuse_unlike_rotations(pairs: PosePairs) -> None:
    """Refuses pairs in which the board does not turn by as much as the gripper does.

    Raises:
        ValueError: It does not: the poses of a pair are not of the same moment.
    """
    arm = np.linalg.norm(_relative(pairs.gripper_to_base), axis=1)
    board = np.linalg.norm(_relative(pairs.board_to_camera), axis=1)
    unlike = float(np.median(np.abs(arm - board)))
    if unlike > _MAX_UNLIKE:
        raise ValueError(
            f'Between two moments the gripper and the board turned by amounts that differ by '
            f'{np.degrees(unlike):.0f} degrees (median); they must be equal. Either the poses of '
            'a pair are of different moments, the board was not fixed, or rotations are written '
            'in another convention.'
        )


def measure_scale(
    a: Float[np.ndarray, 'pairs 4 4'],
    b: Float[np.ndarray, 'pairs 4 4'],
    rotation: Float[np.ndarray, '3 3'],
) -> tuple[float, float, float]:
    """Returns what camera distances must be multiplied by to agree with the arm's.

    With the rotation of X known, A X B = Z is linear in the positions of X and Z and in the
    scale of B: R_A t_X + s R_A R_X t_B - t_Z = -t_A.

    Returns:
        The factor, its standard deviation, and the root mean square that is left [m].
    """
    count = len(a)
    turned = (a[:, :3, :3] @ rotation @ b[:, :3, 3, None])[..., 0]
    equations = np.concatenate(
        [a[:, :3, :3], turned[..., None], np.tile(-np.eye(3), (count, 1, 1))], axis=2
    ).reshape(-1, 7)
    right = -a[:, :3, 3].ravel()
    solution, *_ = np.linalg.lstsq(equations, right, rcond=None)
    rest = equations @ solution - right
    variance = float(rest @ rest) / max(len(right) - 7, 1)
    covariance = variance * np.linalg.pinv(equations.T @ equations)
    left = float(np.sqrt(3 * np.mean(rest**2)))
    return float(solution[3]), float(np.sqrt(covariance[3, 3])), left


def warn_of_scale(scale: float, deviation: float) -> tuple[str, ...]:
    """Returns warnings: a wrong square, millimetres and mirrored frames all show in the scale.

    Raises:
        ValueError: The scale is that of millimetres or of a left-handed frame.
    """
    if 5 * deviation > abs(scale):
        return ()  # the arm hardly changed its distance: nothing can be said
    for power, what, which in ((1e3, 'arm', 'board'), (1e-3, 'board', 'arm')):
        if 0.8 < scale / power < 1.25:
            raise ValueError(
                f'The poses of the {what} seem to be in millimetres and those of the {which} in '
                f'metres (factor {scale:.4g}); give both in metres.'
            )
    if -1.25 < scale < -0.8:
        raise ValueError(
            'The poses of the arm and of the board fit only if one of them is mirrored: one is '
            'given in a left-handed frame (Unity, Unreal, DirectX). Convert it to a right-handed '
            'one: for Unity, negate y of the position and x and z of the quaternion.'
        )
    if abs(scale - 1) < max(_MAX_SCALE_ERROR, 3 * deviation):
        return ()
    return (
        f'By the motions of the arm the board is {scale:.3f} (± {deviation:.3f}) times as large '
        'as given: measure its squares again and multiply --square by that, or check the focal '
        'length.',
    )


def refuse_contradiction(residual: float) -> None:
    """Refuses pairs that fit no camera; `residual` is the root mean square of the fit [m].

    Raises:
        ValueError: The fit is useless.
    """
    if residual > _MAX_RESIDUAL:
        raise ValueError(
            f'The pairs contradict each other by {1e3 * residual:.0f} mm (root mean square): the '
            'poses of a pair are of different moments, the board slipped, frames are mixed up, or '
            'quaternions are written as w x y z.'
        )


def _relative(poses: Float[np.ndarray, 'poses 4 4']) -> Float[np.ndarray, 'moves 3']:
    """Returns the rotation vectors between all pairs of moments, in the frame that moves [rad]."""
    first, second = np.triu_indices(len(poses), 1)
    rotations = poses[:, :3, :3]
    moves = np.swapaxes(rotations[first], 1, 2) @ rotations[second]
    return np.asarray(Rotation.from_matrix(moves).as_rotvec())
