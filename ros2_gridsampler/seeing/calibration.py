# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera picture and intrinsics -> the picture that the policy is shown."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from ..bounds import checked
from .camera_message import CameraIntrinsics
from .opencv import opencv


@dataclass(frozen=True)
@checked
class ImagePreparation:
    """What happens to a camera picture before the policy sees it, in this order.

    Attributes:
        width: The width of the result [px].
        height: The height of the result [px].
        crop: x, y, width, height as fractions of the picture, before resizing; None keeps all.
        rectify: Whether lens distortion is taken out first.
    """

    width: int = field(metadata={'unit': 'px', 'minimum': 1})
    height: int = field(metadata={'unit': 'px', 'minimum': 1})
    crop: tuple[float, float, float, float] | None = None
    rectify: bool = False

    def __post_init__(self) -> None:
        """Refuses a crop that leaves the picture."""
        if self.crop is not None:
            x, y, width, height = self.crop
            inside = min(x, y) >= 0 and max(x + width, y + height) <= 1 + 1e-9  # sums round
            if not (inside and min(width, height) > 0):
                raise ValueError(
                    f'A crop is x, y, width, height as fractions inside the picture (0 to 1), '
                    f'got {self.crop}.'
                )


def prepare_image(
    rgb: UInt8[np.ndarray, 'height width 3'],
    preparation: ImagePreparation,
    camera: CameraIntrinsics | None = None,
    *,
    mixes: bool = True,
) -> UInt8[np.ndarray, 'out_height out_width 3']:
    """Rectify, crop and resize a picture; the one way for training, replay and live.

    Args:
        rgb: The picture as decoded.
        preparation: What to do.
        camera: Needed to rectify only.
        mixes: Whether a pixel may be made of several. Between the distances of two things there
            is none.

    Returns:
        The very same array where nothing is to be done.

    Raises:
        ValueError: The camera is missing, of another size, or of an unknown model.
    """
    if preparation.rectify:
        rgb = _rectify(rgb, camera, mixes)
    if preparation.crop is not None:
        height, width = rgb.shape[:2]
        x, y, crop_width, crop_height = preparation.crop
        left, top = min(round(x * width), width - 1), min(round(y * height), height - 1)
        right = max(round((x + crop_width) * width), left + 1)
        bottom = max(round((y + crop_height) * height), top + 1)
        rgb = rgb[top:bottom, left:right]
    height, width = rgb.shape[:2]
    if (width, height) == (preparation.width, preparation.height):
        return rgb
    cv2 = opencv()
    shrinks = preparation.width <= width and preparation.height <= height
    # Averaging over the area: leaving out pixels would alias fine patterns.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    method = method if mixes else cv2.INTER_NEAREST
    resized = cv2.resize(rgb, (preparation.width, preparation.height), interpolation=method)
    return np.asarray(resized, np.uint8)


def _rectify(
    rgb: UInt8[np.ndarray, 'height width 3'], camera: CameraIntrinsics | None, mixes: bool
) -> UInt8[np.ndarray, 'height width 3']:
    if camera is None:
        raise ValueError('Rectifying needs the camera intrinsics; publish camera_info beside it.')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'Picture is {rgb.shape[1]}x{rgb.shape[0]}, but the camera was calibrated at '
            f'{camera.width}x{camera.height}; calibrate it at the resolution in use.'
        )
    x, y = _rectification(
        camera.width,
        camera.height,
        camera.distortion_model,
        camera.matrix.tobytes(),
        camera.distortion.tobytes(),
    )
    cv2 = opencv()
    method = cv2.INTER_LINEAR if mixes else cv2.INTER_NEAREST
    return np.asarray(cv2.remap(rgb, x, y, method), np.uint8)


@lru_cache(maxsize=16)
def _rectification(
    width: int, height: int, model: str, matrix: bytes, distortion: bytes
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where each rectified pixel is read; costly, and the same for every frame of a camera."""
    k = np.frombuffer(matrix).reshape(3, 3)
    d = np.frombuffer(distortion)
    size, cv2 = (width, height), opencv()
    if model == 'equidistant':
        x, y = cv2.fisheye.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_16SC2)
    elif model in ('plumb_bob', 'rational_polynomial') or not d.any():
        x, y = cv2.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_16SC2)
    else:
        raise ValueError(
            f'Distortion model {model!r} is not supported; use plumb_bob, rational_polynomial '
            'or equidistant.'
        )
    return x, y
