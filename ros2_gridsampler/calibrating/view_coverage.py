# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Views of a board -> what is missing: parts of the picture, tilts, distances."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from .calibration_board import BoardView

_ROWS = ('top', 'middle', 'bottom')
_COLUMNS = ('left', 'centre', 'right')
# Corners per ninth of the picture below which the lens is a guess there.
_MIN_CORNERS = 20
# Below such tilts focal length and distance cannot be told apart (Zhang 2000, section 5).
_MIN_TILT = 15.0
_TILTED_VIEWS = 4
_MIN_DISTANCE_RATIO = 1.3


def count_corners(views: Sequence[BoardView]) -> Int[np.ndarray, '3 3']:
    """How many corners lie in each ninth of the picture, rows from the top."""
    counts = np.zeros((3, 3), int)
    for view in views:
        cells = (3 * view.pixels / [view.width, view.height]).astype(int).clip(0, 2)
        np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    return counts


def advise(
    views: Sequence[BoardView], board_to_camera: Float[np.ndarray, 'views 4 4'] | None = None
) -> list[str]:
    """What to photograph next, in words; nothing where the views are good.

    Args:
        views: Of the board.
        board_to_camera: Where it was, once that is known; then tilt and distance count too [m].
    """
    advice = []
    counts = count_corners(views)
    poor = [
        f'{_ROWS[row]} {_COLUMNS[column]} ({counts[row, column]} corners)'
        for row, column in np.argwhere(counts < _MIN_CORNERS)
    ]
    if poor:
        advice.append(f'Hold the board where the picture has too few corners: {", ".join(poor)}.')
    if board_to_camera is None:
        return advice
    # Between the board's normal and the line of sight.
    tilts = np.degrees(np.arccos(np.clip(np.abs(board_to_camera[:, 2, 2]), 0, 1)))
    tilted = int((tilts > _MIN_TILT).sum())
    if tilted < _TILTED_VIEWS:
        advice.append(
            f'Only {tilted} views are tilted by more than {_MIN_TILT:.0f} degrees; tilt the board '
            'by 20 to 45 degrees to the left, right, front and back.'
        )
    distances = np.linalg.norm(board_to_camera[:, :3, 3], axis=1)
    if distances.max() < _MIN_DISTANCE_RATIO * distances.min():
        advice.append(
            f'All views are {distances.min():.2f} to {distances.max():.2f} m away; take some '
            'nearer and some farther.'
        )
    return advice
