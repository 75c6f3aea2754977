# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of arm pose and board pose -> where the camera is, on the hand or beside the arm.

With A the gripper in the base (camera on the hand) or its inverse (camera beside the arm, board
on the hand), B the board in the camera, X the camera on the gripper or in the base and Z the
board in the base or on the gripper: A X B = Z for every pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

from .hand_eye_checks import (
    measure_scale,
    refuse_contradiction,
    refuse_little_rotation,
    refuse_unlike_rotations,
    warn_of_scale,
)
from .hand_eye_fit import PoseFit
from .pose_pairs import PosePairs

Setup = Literal['eye-in-hand', 'eye-to-hand']
SETUPS: tuple[Setup, Setup] = ('eye-in-hand', 'eye-to-hand')
# The wrong of two setups leaves tens of millimetres where the right one leaves one or two.
_CLEARLY_BETTER = 2.0
_LOOSE, _LOOSE_FLOOR = 4.0, 1e-4


@dataclass(frozen=True, eq=False)
class HandEye:
    """Where a camera sits, and how sure that is.

    Attributes:
        setup: 'eye-in-hand': `camera` is camera to gripper; 'eye-to-hand': camera to base.
        camera: Pose of the camera, refined over all pairs jointly, 4x4, metres.
        board: Pose of the board in the base (eye-in-hand) or in the gripper, 4x4, metres.
        methods: Each closed-form method of OpenCV -> its `camera`.
        agreement: Largest distance of a method from the refined position [m].
        spread: Largest move of the position when one pair is left out [m].
        residual: Root mean square of the position error over the pairs [m].
        rotation_residual: Root mean square of the rotation error over the pairs [rad].
        scale: Camera distances times this agree best with the arm's; 1 is right.
        warnings: What the user should know.
    """

    setup: Setup
    camera: Float[np.ndarray, '4 4']
    board: Float[np.ndarray, '4 4']
    methods: Mapping[str, Float[np.ndarray, '4 4']]
    agreement: float
    spread: float
    residual: float
    rotation_residual: float
    scale: float
    warnings: tuple[str, ...]


def solve_hand_eye(pairs: PosePairs, setup: Setup | None = None) -> HandEye:
    """Solves by all of OpenCV's methods, refines jointly, and says how sure it is.

    Args:
        pairs: At least 3; 10 to 30 with rotations about two axes are good.
        setup: Where the camera sits; None to find out from the pairs.

    Raises:
        ValueError: Too few, too little rotation, or pairs that contradict each other.
    """
    if len(pairs) < 3:
        raise ValueError(
            f'{len(pairs)} pairs of poses do not determine a camera; take at least 3, better 15.'
        )
    refuse_unlike_rotations(pairs)
    refuse_little_rotation(pairs)
    setup, scale, deviation = _choose(pairs, setup)
    warnings = warn_of_scale(scale, deviation)
    fit = PoseFit.of(*_chains(pairs, setup))
    # A wrong square size leaves millimetres that are explained already.
    if not warnings:
        refuse_contradiction(fit.residual)
    left_out = [fit.without(index) for index in range(len(pairs))] if len(pairs) > 3 else []
    moves = [float(np.linalg.norm(each[:3, 3] - fit.x[:3, 3])) for each in left_out]
    loose = np.linalg.norm(fit.errors[:, :3], axis=1)
    warnings += tuple(
        f'{name} is {1e3 * error:.1f} mm off, the median is {1e3 * np.median(loose):.1f} mm; was '
        'the arm moving?'
        for name, error in zip(pairs.names, loose, strict=True)
        if error > _LOOSE * max(float(np.median(loose)), _LOOSE_FLOOR)
    )
    distances = [np.linalg.norm(x[:3, 3] - fit.x[:3, 3]) for x in fit.methods.values()]
    return HandEye(
        setup=setup,
        camera=fit.x,
        board=fit.z,
        methods=fit.methods,
        agreement=float(max(distances)),
        spread=max(moves, default=np.nan),
        residual=fit.residual,
        rotation_residual=float(np.sqrt(np.mean(np.sum(fit.errors[:, 3:] ** 2, axis=1)))),
        scale=scale,
        warnings=warnings,
    )


def _choose(pairs: PosePairs, wanted: Setup | None) -> tuple[Setup, float, float]:
    """Returns the setup, and the scale between camera and arm with its deviation.

    Raises:
        ValueError: The other setup fits clearly better, or both fit alike.
    """
    fits = {}
    for setup in SETUPS:
        a, b = _chains(pairs, setup)
        # Park's rotation does not depend on positions, so no scale can spoil it.
        rotation, _ = cv2.calibrateHandEye(
            list(a[:, :3, :3]),
            list(a[:, :3, 3]),
            list(b[:, :3, :3]),
            list(b[:, :3, 3]),
            method=cv2.CALIB_HAND_EYE_PARK,
        )
        fits[setup] = measure_scale(a, b, np.asarray(rotation, np.float64))
    best, other = sorted(SETUPS, key=lambda setup: fits[setup][2])
    in_words = [f'{setup} ({1e3 * fits[setup][2]:.1f} mm)' for setup in (best, other)]
    clear = fits[other][2] > _CLEARLY_BETTER * fits[best][2]
    if wanted is None and not clear:
        refuse_contradiction(fits[best][2])
        raise ValueError(
            f'The pairs fit {" and ".join(in_words)} about equally; say which with --setup, or '
            'add poses with more rotation.'
        )
    if wanted == other and clear:
        raise ValueError(
            f'The pairs do not fit {in_words[1]} but {in_words[0]}; change the setup, or invert '
            'the poses of the arm or of the board.'
        )
    chosen = wanted or best
    return chosen, *fits[chosen][:2]


def _chains(
    pairs: PosePairs, setup: Setup
) -> tuple[Float[np.ndarray, 'pairs 4 4'], Float[np.ndarray, 'pairs 4 4']]:
    gripper = pairs.gripper_to_base
    return (gripper if setup == 'eye-in-hand' else np.linalg.inv(gripper)), pairs.board_to_camera
