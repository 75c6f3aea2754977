# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Folder of a checkpoint and live pictures -> which camera has moved since it was trained."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ..files import write_whole
from ..seeing.camera_message import CameraIntrinsics
from ..seeing.camera_record import CameraRecord
from ..seeing.opencv import opencv
from .mount_drift import DriftLimits, MountDrift, NotComparable, measure_drift

FOLDER = 'reference_views'
"""In the checkpoint: one PNG per camera, as the driver publishes it, before any preparation."""

Picture = UInt8[np.ndarray, 'height width 3']


def save_reference_view(checkpoint: Path, camera: str, rgb: Picture) -> str:
    """Keeps a view of the place where the policy works; PNG, so not a pixel changes.

    Returns:
        The sha256 of the file, for the manifest.
    """
    path = checkpoint / FOLDER / f'{camera}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2 = opencv()
    data = cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def load_reference_views(
    checkpoint: Path, cameras: Mapping[str, CameraRecord]
) -> dict[str, Picture]:
    """Returns the views, RGB, of those cameras that the manifest says have one.

    Raises:
        ValueError: A file is missing, damaged, or not the one that the manifest names.
    """
    views = {}
    for camera, record in cameras.items():
        if not record.reference_view_sha256:
            continue
        path = checkpoint / FOLDER / f'{camera}.png'
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f'{path} cannot be read, but the manifest names it: {error}. Copy the whole '
                'folder of the checkpoint.'
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != record.reference_view_sha256:
            raise ValueError(
                f'{path} has sha256 {found[:12]}..., the manifest says '
                f'{record.reference_view_sha256[:12]}...; copy it again, or take a new reference '
                'view with `gridsampler calibrate reference`.'
            )
        cv2 = opencv()
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError(f'{path} is no picture; take a new reference view.')
        views[camera] = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return views


def check_mounts(
    references: Mapping[str, Picture],
    live: Mapping[str, Picture],
    limits: DriftLimits,
    lenses: Mapping[str, CameraIntrinsics] | None = None,
) -> tuple[dict[str, MountDrift], list[str]]:
    """Compares the newest picture of every camera with its reference view.

    Args:
        references: Camera -> reference view.
        live: Camera -> RGB, as the driver publishes it.
        limits: How far a mount may have moved.
        lenses: Camera -> its intrinsics, where its turn is to be told in degrees too.

    Returns:
        Per camera with a reference view what was measured, and what is wrong, in sentences.
    """
    found, problems = {}, []
    for camera, rgb in live.items():
        if camera not in references:
            continue
        try:
            found[camera] = measure_drift(references[camera], rgb, (lenses or {}).get(camera))
        except ValueError as error:
            problems.append(f'Camera {camera!r}: {error}')
            continue
        complaint = found[camera].complaint(camera, limits)
        problems += [complaint] if complaint else []
    return found, problems


def why_not_fixed(views: Sequence[Picture], limits: DriftLimits) -> str:
    """Returns why these views of one camera cannot be compared; empty where they can.

    A camera that rides on the arm shows another view each time, and a bare wall shows none that
    could be found again: neither can tell whether its mount has moved.

    Args:
        views: At different times of the recordings; the first is the candidate.
        limits: As later, live.
    """
    for other in views[1:]:
        try:
            drift = measure_drift(views[0], other)
        except NotComparable:
            return (
                'its recorded views have too little in common: it rides on the arm, or shows a '
                'bare surface'
            )
        if drift.complaint('', limits):
            return (
                f'its own view moves in the recordings (by {drift.shift:.1f} px and '
                f'{drift.rotation:.1f} deg): it rides on the arm, or was moved between them'
            )
    return '' if len(views) > 1 else 'the recordings hold a single picture of it'
