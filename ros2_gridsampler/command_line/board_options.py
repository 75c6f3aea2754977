# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Flags of the calibration board -> the board."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..calibrating.calibration_board import Board


@dataclass(frozen=True)
class BoardOptions:
    """The calibration board.

    Attributes:
        board: Its kind.
        columns: Inner corners of a chessboard, squares of a ChArUco board. Of a chessboard use
            an even and an odd number, such as 9 and 6: others look the same upside down.
        rows: Likewise.
        square: Side of a square, measured on the print [m].
        marker: Side of a ChArUco marker [m].
        dictionary: Of the ChArUco markers.
        legacy: ChArUco boards with an even number of rows printed with OpenCV before 4.6.
    """

    columns: int
    rows: int
    square: float
    board: Literal['chessboard', 'charuco'] = 'chessboard'
    marker: float = 0.0
    dictionary: str = 'DICT_5X5_250'
    legacy: bool = False

    def build(self) -> 'Board':
        """As the library knows it."""
        from ..calibrating.calibration_board import Board

        return Board(
            self.board,
            self.columns,
            self.rows,
            self.square,
            self.marker,
            self.dictionary,
            self.legacy,
        )
