# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Picture of a chessboard or ChArUco board -> its corners, on the board [m] and in the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

# Corners that a ChArUco view needs: four fix the board's pose, the rest check it.
_MIN_CORNERS = 6
# Half of the window that refines a corner, as part of the shortest side of a square. A window
# that holds a second corner is pulled to it: OpenCV's customary 11 pixels are off by up to a
# pixel on small or tilted boards (shared chessboard pictures: 0.41 px RMS against 0.18).
_WINDOW = 0.3
_REFINE_UNTIL = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
# The board is searched in a picture no wider than this; the corners are refined in the full one.
_SEARCH_WIDTH = 1280


@dataclass(frozen=True, eq=False)
class BoardView:
    """One picture of the board.

    Attributes:
        name: Name of the picture, for messages.
        width: Width of the picture [px].
        height: Height of the picture [px].
        points: Corners in the frame of the board, whose z is 0 [m].
        pixels: The same corners in the picture, x to the right, y down [px].
    """

    name: str
    width: int
    height: int
    points: Float[np.ndarray, 'corners 3']
    pixels: Float[np.ndarray, 'corners 2']


@dataclass(frozen=True)
class Board:
    """A flat calibration board.

    Attributes:
        kind: 'chessboard' or 'charuco'.
        columns: Inner corners of a chessboard (one less than squares), squares of a ChArUco
            board: what OpenCV and ROS count.
        rows: Corners or squares in the other direction, counted in the same way.
        square: Side of a square, measured on the print [m].
        marker: Side of a ChArUco marker [m]; unused for a chessboard.
        dictionary: Dictionary of the ChArUco markers, such as 'DICT_5X5_250'.
        legacy: ChArUco boards with an even number of rows printed with OpenCV before 4.6.
    """

    kind: Literal['chessboard', 'charuco']
    columns: int
    rows: int
    square: float
    marker: float = 0.0
    dictionary: str = 'DICT_5X5_250'
    legacy: bool = False

    def __post_init__(self) -> None:
        """Refuses a board that cannot be printed."""
        if min(self.columns, self.rows) < 3:
            raise ValueError(
                f'A board of {self.columns}x{self.rows} is too small; count the inner corners of '
                'a chessboard or the squares of a ChArUco board, at least 3 each way.'
            )
        # Far outside of what a printer or a sign maker makes: the number is in millimetres.
        if not 0.001 <= self.square <= 1.0:
            raise ValueError(
                f'Squares of {self.square} m are not likely; measure one side of a square on the '
                'print and give it in metres, for instance 0.025.'
            )
        if self.kind == 'charuco' and not 0 < self.marker < self.square:
            raise ValueError(
                f'A ChArUco marker of {self.marker} m does not fit into a square of '
                f'{self.square} m; measure both in metres.'
            )
        known = [name for name in dir(cv2.aruco) if name.startswith('DICT_')]
        if self.kind == 'charuco' and self.dictionary not in known:
            raise ValueError(f'{self.dictionary!r} is no dictionary of OpenCV; one of {known}.')

    def __str__(self) -> str:
        text = f'{self.kind} {self.columns}x{self.rows}, square {self.square} m'
        if self.kind == 'charuco':
            text += f', marker {self.marker} m, {self.dictionary}'
        return text

    def find(self, gray: UInt8[np.ndarray, 'height width'], name: str = '') -> BoardView | None:
        """Returns the view of the board; None where it cannot be seen well enough."""
        height, width = gray.shape
        search = self._find_charuco if self.kind == 'charuco' else self._find_chessboard
        found = search(gray)
        return None if found is None else BoardView(name, width, height, *found)

    def _find_chessboard(
        self, gray: UInt8[np.ndarray, 'height width']
    ) -> tuple[Float[np.ndarray, 'corners 3'], Float[np.ndarray, 'corners 2']] | None:
        size = (self.columns, self.rows)
        scale = max(1.0, gray.shape[1] / _SEARCH_WIDTH)
        small = gray
        if scale > 1:
            small = np.asarray(
                cv2.resize(gray, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA),
                np.uint8,
            )
        flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
        # A picture without a board takes seconds unless it is asked about quickly first.
        if not cv2.findChessboardCorners(small, size, flags=flags | cv2.CALIB_CB_FAST_CHECK)[0]:
            return None
        _, corners = cv2.findChessboardCorners(small, size, flags=flags)
        # Pixel centres: the corner of a pixel grid scales about -0.5.
        corners = np.asarray((corners + 0.5) * scale - 0.5, np.float32)
        half = max(2, int(_WINDOW * _shortest_side(corners.reshape(self.rows, self.columns, 2))))
        corners = cv2.cornerSubPix(gray, corners, (half, half), (-1, -1), _REFINE_UNTIL)
        return self.points, np.asarray(corners, np.float64).reshape(-1, 2)

    @property
    def points(self) -> Float[np.ndarray, 'corners 3']:
        """Inner corners on the board, row by row [m]."""
        chessboard = self.kind == 'chessboard'
        columns, rows = (
            (self.columns, self.rows) if chessboard else (self.columns - 1, self.rows - 1)
        )
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        # OpenCV counts a ChArUco board from the outer edge of its first square.
        offset = 0 if chessboard else 1
        flat = np.stack([x.ravel() + offset, y.ravel() + offset, 0 * x.ravel()], -1)
        return flat * self.square

    def _find_charuco(
        self, gray: UInt8[np.ndarray, 'height width']
    ) -> tuple[Float[np.ndarray, 'corners 3'], Float[np.ndarray, 'corners 2']] | None:
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        board = cv2.aruco.CharucoBoard(
            (self.columns, self.rows), self.square, self.marker, dictionary
        )
        board.setLegacyPattern(self.legacy)
        corners, indices, *_ = cv2.aruco.CharucoDetector(board).detectBoard(gray)
        if indices is None or len(indices) < _MIN_CORNERS:
            return None
        points = np.asarray(board.getChessboardCorners(), np.float64)[np.ravel(indices)]
        # Corners of one row say nothing about the other direction.
        if np.linalg.matrix_rank(points[:, :2] - points[0, :2]) < 2:
            return None
        # This detector counts from the edge of the first pixel, all else from its centre.
        return points, np.asarray(corners, np.float64).reshape(-1, 2) - 0.5


def require_views(
    found: Sequence[BoardView | None], names: Sequence[str], board: Board, least: int = 3
) -> list[BoardView]:
    """Returns the views in which the board was found, if they are enough and of one size.

    Args:
        found: What `Board.find` gave for each picture.
        names: Names of the pictures.
        board: Board that was looked for.
        least: Number of views that are needed.

    Raises:
        ValueError: No board, too few, or pictures of several sizes.
    """
    views = [view for view in found if view is not None]
    if not views:
        raise ValueError(
            f'No {board} was found in any of {len(names)} pictures. Count the inner corners of a '
            'chessboard (a board of 10x7 squares has 9x6) or the squares of a ChArUco board, and '
            'show the whole board with a white edge around it.'
        )
    sizes: dict[tuple[int, int], list[str]] = {}
    for view in views:
        sizes.setdefault((view.width, view.height), []).append(view.name)
    if len(sizes) > 1:
        listing = '; '.join(f'{w}x{h}: {", ".join(n)}' for (w, h), n in sizes.items())
        raise ValueError(
            f'The pictures have several sizes ({listing}); a calibration holds for one '
            'resolution, so use the pictures of one camera at one resolution.'
        )
    if len(views) < least:
        raise ValueError(
            f'The board was found in {len(views)} of {len(names)} pictures, {least} are the '
            'least and 15 to 30 are good; take more, from other sides and distances.'
        )
    return views


def _shortest_side(grid: Float[np.ndarray, 'rows columns 2']) -> float:
    sides = (np.diff(grid, axis=0), np.diff(grid, axis=1))
    return float(min(np.linalg.norm(side, axis=-1).min() for side in sides))


_ROWS = ('top', 'middle', 'bottom')
_COLUMNS = ('left', 'centre', 'right')
# Corners per ninth of the picture below which the lens is a guess there.
_MIN_CORNERS_SEEN = 20
# Below such tilts focal length and distance cannot be told apart (Zhang 2000, section 5).
_MIN_TILT = 15.0
_TILTED_VIEWS = 4
_MIN_DISTANCE_RATIO = 1.3


def count_corners(views: Sequence[BoardView]) -> Int[np.ndarray, '3 3']:
    """Returns how many corners lie in each ninth of the picture, rows from the top."""
    counts = np.zeros((3, 3), int)
    for view in views:
        cells = (3 * view.pixels / [view.width, view.height]).astype(int).clip(0, 2)
        np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    return counts


def advise(
    views: Sequence[BoardView], board_to_camera: Float[np.ndarray, 'views 4 4'] | None = None
) -> list[str]:
    """Returns sentences on what to photograph next; none where the views are good.

    Args:
        views: Views of the board so far.
        board_to_camera: Where it was, once that is known; then tilt and distance count too [m].
    """
    advice = []
    counts = count_corners(views)
    poor = [
        f'{_ROWS[row]} {_COLUMNS[column]} ({counts[row, column]} corners)'
        for row, column in np.argwhere(counts < _MIN_CORNERS_SEEN)
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
