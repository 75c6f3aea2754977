# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take, with the names that `--help` gives them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

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


def usual_arm(folder: Path) -> str:
    """Name of the arm whose limits fit a checkpoint.

    Raises:
        ValueError: None fits, or several.
    """
    from ..acting.arm_limits import load_arm
    from ..files import find, names
    from ..policy.manifest import load_manifest

    space = load_manifest(folder).policy.action_space
    if space.frame.startswith('panda'):
        return 'panda'
    fitting = []
    for name in names('calibration', '.yaml'):
        with suppress(ValueError):  # a workspace may keep other calibrations there
            joints = load_arm(find('calibration', name, '.yaml')).joints.names
            fitting += [name] * (set(space.names) <= set(joints))
    if space.kind == 'joint_position' and len(fitting) == 1:
        print(f'guessed arm: {fitting[0]}')
        return fitting[0]
    raise ValueError(
        f'Which arm? The checkpoint commands {space.kind} of {len(space.names)} entries; name its '
        'limits with --arm, a YAML file or a name in calibration/.'
    )


Bags = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BAG...')]
Encoder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='ENCODER')]
Files = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='FILE...')]
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')]
Live = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='LIVE')]
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='NAME')]
Page = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='PAGE')]
Policy = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='POLICY')]
Recipe = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='RECIPE')]
Reference = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='REFERENCE')]
Robot = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='ROBOT')]
Source = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='SOURCE')]
Weights = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='WEIGHTS')]
