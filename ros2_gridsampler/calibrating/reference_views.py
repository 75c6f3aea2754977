# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Folder of a checkpoint and live pictures -> which camera has moved since it was trained."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from .mount_drift import DriftLimits, MountDrift, NotComparable, measure_drift

FOLDER = 'reference_views'
"""In the checkpoint: one PNG per camera, as the driver publishes it, before any preparation."""


def save_reference_view(
    checkpoint: Path, camera: str, rgb: UInt8[np.ndarray, 'height width 3']
) -> Path:
    """Keep a view of the place where the policy works; PNG, so not a pixel changes."""
    path = checkpoint / FOLDER / f'{camera}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path


def load_reference_view(
    checkpoint: Path, camera: str
) -> UInt8[np.ndarray, 'height width 3'] | None:
    """The view of a camera, RGB; None where the checkpoint has none.

    Raises:
        ValueError: The file is damaged.
    """
    path = checkpoint / FOLDER / f'{camera}.png'
    if not path.exists():
        return None
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f'{path} is damaged; copy it again, or record a new reference view.')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def check_mounts(
    checkpoint: Path,
    live: Mapping[str, UInt8[np.ndarray, 'height width 3']],
    limits: DriftLimits,
) -> tuple[dict[str, MountDrift], list[str]]:
    """Compare the newest picture of every camera with its reference view.

    Args:
        checkpoint: Its folder.
        live: Camera -> RGB, as the driver publishes it. Leave out cameras that ride on the arm:
            their view changes with it.
        limits: How far a mount may have moved.

    Returns:
        Per camera with a reference view what was measured, and what is wrong, in sentences.
    """
    found, problems = {}, []
    for camera, rgb in live.items():
        reference = load_reference_view(checkpoint, camera)
        if reference is None:
            continue
        try:
            found[camera] = measure_drift(reference, rgb)
        except NotComparable as error:
            problems.append(f'Camera {camera!r}: {error}')
            continue
        complaint = found[camera].complaint(camera, limits)
        problems += [complaint] if complaint else []
    return found, problems
