# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and the points read from them -> one picture that shows where the policy looks."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from ..seeing.opencv import opencv


def draw_points(
    images: Mapping[str, UInt8[np.ndarray, 'height width 3']],
    points: Mapping[str, Float[np.ndarray, 'tokens 2']],
    *,
    patch: int,
    scale: int = 3,
) -> UInt8[np.ndarray, 'out_height out_width 3']:
    """Draws the points into the enlarged pictures, side by side, black below the lower ones.

    Args:
        images: Camera name -> RGB as the policy saw it.
        points: Camera name -> (x, y) in [0, 1] between the centres of the corner cells.
        patch: Side of a cell [px].
        scale: Enlargement.
    """
    drawn = [_draw(rgb, points[name], patch, scale) for name, rgb in images.items()]
    highest = max(len(rgb) for rgb in drawn)
    return np.concatenate(
        [np.pad(rgb, ((0, highest - len(rgb)), (0, 0), (0, 0))) for rgb in drawn], 1
    )


def _draw(
    rgb: UInt8[np.ndarray, 'height width 3'],
    points: Float[np.ndarray, 'tokens 2'],
    patch: int,
    scale: int,
) -> UInt8[np.ndarray, 'out_height out_width 3']:
    cv2 = opencv()
    height, width = rgb.shape[:2]
    size = (scale * width, scale * height)
    large = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    # 0 and 1 are the centres of the first and the last cell.
    spans = np.array([width - patch, height - patch])
    for x, y in scale * (points * spans + patch / 2):
        centre = (round(float(x)), round(float(y)))
        cv2.circle(large, centre, 2 * scale, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(large, centre, 2 * scale - 2, (255, 214, 0), -1, cv2.LINE_AA)
    return large
