# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""CameraInfo, calibration file and what the policy expects -> nothing, or why they disagree."""

import numpy as np
from jaxtyping import Float

from ..seeing.camera_message import CameraIntrinsics
from ..seeing.opencv import opencv

# Two careful calibrations of one camera differ by about a pixel at its rim.
MAX_DIFFERENCE = 2.0
"""Largest distance between the pixels at which two calibrations see the same ray [px]."""
_GRID = 9
# What comes back to within this was projected back [px].
_SAME = 0.5


class CameraDisagrees(ValueError):
    """A camera is not the one that the policy expects; the text says what to do."""


def check_camera(
    name: str,
    published: CameraIntrinsics | None,
    resolution: tuple[int, int],
    calibrated: CameraIntrinsics | None = None,
    trained: CameraIntrinsics | None = None,
    max_difference: float = MAX_DIFFERENCE,
) -> None:
    """Refuses a camera that contradicts the checkpoint or its calibration file.

    Args:
        name: Name of the camera.
        published: CameraInfo that it published; None where none has come.
        resolution: Width and height that the checkpoint was trained on [px].
        calibrated: Intrinsics in `calibration/`; None where there are none.
        trained: Intrinsics in the manifest; None where it has none.
        max_difference: Largest difference that is accepted, as `MAX_DIFFERENCE`.

    Raises:
        CameraDisagrees: Says what came, what was expected and what to do.
    """
    for source, camera in (('CameraInfo', published), ('calibration file', calibrated)):
        if camera is not None and (camera.width, camera.height) != resolution:
            raise CameraDisagrees(
                f'The {source} of camera {name!r} is for {camera.width}x{camera.height} pixels, '
                f'the checkpoint was trained on {resolution[0]}x{resolution[1]}; set the camera '
                'to that resolution and calibrate it there.'
            )
    for other, known, advice in (
        (
            'its calibration file',
            calibrated,
            'another lens, another camera or an old file. Install the file in the driver '
            '(camera_info_url), or calibrate again',
        ),
        (
            'the one of the training',
            trained,
            'another lens, another camera or another calibration. Use the camera of the '
            'training, or allow more after you have checked the policy',
        ),
    ):
        if published is None or known is None:
            continue
        difference = measure_difference(published, known)
        if not difference <= max_difference:
            raise CameraDisagrees(
                f'The CameraInfo of camera {name!r} and {other} see the same ray up to '
                f'{difference:.1f} px apart ({max_difference:.1f} px are allowed): {advice}.'
            )


def measure_difference(first: CameraIntrinsics, second: CameraIntrinsics) -> float:
    """Returns how far apart two calibrations see the same ray, at most [px].

    For the rays of a grid of the first one's pixels, as far as it projects them back to there
    (beyond 90 degrees it does not).
    """
    x, y = np.meshgrid(
        np.linspace(0, first.width - 1, _GRID), np.linspace(0, first.height - 1, _GRID)
    )
    pixels = np.stack([x.ravel(), y.ravel()], -1)
    rays = _rays(first, pixels)
    seen, other = _project(first, rays), _project(second, rays)
    usable = np.linalg.norm(seen - pixels, axis=1) < _SAME
    # A lens that projects nothing back agrees with none.
    return float(np.linalg.norm(other - seen, axis=1)[usable].max() if usable.any() else np.inf)


def _rays(
    camera: CameraIntrinsics, pixels: Float[np.ndarray, 'pixels 2']
) -> Float[np.ndarray, 'pixels 2']:
    """Returns the rays of pixels: x / z and y / z in the optical frame."""
    cv2 = opencv()
    if _is_fisheye(camera):
        rays = cv2.fisheye.undistortPoints(pixels[:, None], camera.matrix, camera.distortion)
    else:
        rays = cv2.undistortPoints(pixels[:, None], camera.matrix, camera.distortion)
    return np.asarray(rays, np.float64).reshape(-1, 2)


def _project(
    camera: CameraIntrinsics, rays: Float[np.ndarray, 'pixels 2']
) -> Float[np.ndarray, 'pixels 2']:
    """Returns the pixels of rays."""
    cv2 = opencv()
    points = np.column_stack([rays, np.ones(len(rays))])[:, None]
    still = np.zeros(3)
    if _is_fisheye(camera):
        found = cv2.fisheye.projectPoints(points, still, still, camera.matrix, camera.distortion)
    else:
        found = cv2.projectPoints(points, still, still, camera.matrix, camera.distortion)
    return np.asarray(found[0], np.float64).reshape(-1, 2)


def _is_fisheye(camera: CameraIntrinsics) -> bool:
    """Returns whether OpenCV's fisheye functions are meant; refuses other models."""
    known = ('plumb_bob', 'rational_polynomial', 'equidistant')
    if camera.distortion.any() and camera.distortion_model not in known:
        raise CameraDisagrees(
            f'A camera has the distortion model {camera.distortion_model!r}; it can be compared '
            f'if it has one of {list(known)}. Calibrate it again.'
        )
    return bool(camera.distortion_model == 'equidistant')
