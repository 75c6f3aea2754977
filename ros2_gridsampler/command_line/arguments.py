# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take, with the names that `--help` gives them."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

if TYPE_CHECKING:
    from ..calibrating.calibration_board import Board


@dataclass(frozen=True)
class BoardOptions:
    """The calibration board.

    Attributes:
        board: Kind of board.
        columns: Inner corners of a chessboard, squares of a ChArUco board; pictures need columns,
            rows and square. Use a chessboard with an even and an odd number, such as 9 and 6:
            others look the same upside down.
        rows: Corners or squares in the other direction, counted in the same way.
        square: Side of a square, measured on the print [m].
        marker: Side of a ChArUco marker [m].
        dictionary: Dictionary of the ChArUco markers.
        legacy: ChArUco boards with an even number of rows printed with OpenCV before 4.6.
    """

    board: Literal['chessboard', 'charuco'] = 'chessboard'
    columns: int = 0
    rows: int = 0
    square: float = 0.0
    marker: float = 0.0
    dictionary: str = 'DICT_5X5_250'
    legacy: bool = False

    def build(self) -> 'Board':
        """Returns the board to look for.

        Raises:
            ValueError: No such board can be printed, or its size was not given.
        """
        from ..calibrating.calibration_board import Board

        return Board(
            kind=self.board,
            columns=self.columns,
            rows=self.rows,
            square=self.square,
            marker=self.marker,
            dictionary=self.dictionary,
            legacy=self.legacy,
        )


def usual_arm(folder: Path) -> str:
    """Returns the name of the only arm in calibration/ whose limits fit a checkpoint.

    Raises:
        ValueError: No arm fits, or several do.
    """
    from ..acting.arm_limits import load_arm
    from ..files import find, names
    from ..vla.deployed_policy import action_space_of

    space = action_space_of(folder)
    if space.frame.startswith('panda'):
        return 'panda'
    fitting = []
    for name in names('calibration', '.yaml'):
        with suppress(ValueError):  # a workspace may keep other calibrations there
            joints = load_arm(find('calibration', name, '.yaml')).joints.names
            fitting += [name] * (set(space.names) <= set(joints))
    if space.means.of_joints and len(fitting) == 1:
        print(f'guessed arm: {fitting[0]}')
        return fitting[0]
    raise ValueError(
        f'Which arm? The checkpoint commands {space.kind} of {len(space.names)} entries; name its '
        'limits with --arm, a YAML file or a name in calibration/. `gridsampler calibrate arm '
        'NAME --urdf FILE --out calibration/NAME.yaml` drafts such a file.'
    )


def json_argument(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--json -` where `--json` has no path, as it once had none."""
    given = list(arguments)
    for place in reversed([place for place, word in enumerate(given) if word == '--json']):
        if place + 1 == len(given) or given[place + 1].startswith('--'):
            given.insert(place + 1, '-')
            print(
                'gridsampler: --json takes a path, or - for standard output; without one it means '
                '- until the next release.',
                file=sys.stderr,
            )
    return given


REGISTRY = tyro.constructors.ConstructorRegistry()
"""How the flags of all commands are read."""


@REGISTRY.primitive_rule
def _whole_numbers(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[tuple[int, ...]] | None:
    """Reads whole numbers that are separated by commas, by spaces, or by both."""
    if info.type != tuple[int, ...]:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs='*',
        metavar='N,N,...',
        instance_from_str=_read_numbers,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [','.join(map(str, value))] if value else [],
    )


@REGISTRY.struct_rule
def _with_units(
    info: tyro.constructors.StructTypeInfo,
) -> tyro.constructors.StructConstructorSpec | None:
    """Shows the unit of a flag behind its help, where both stand in the metadata of a field."""
    if not is_dataclass(info.type) or any('help' not in f.metadata for f in fields(info.type)):
        return None
    given: dict[str, Any] = vars(info.default) if is_dataclass(info.default) else {}
    hints = get_type_hints(info.type)
    flags = []
    for field in fields(info.type):
        default: Any = field.default
        if default is MISSING:
            made = field.default_factory
            default = made() if callable(made) else tyro.MISSING
        unit = f' [{field.metadata["unit"]}]' if 'unit' in field.metadata else ''
        flags.append(
            tyro.constructors.StructFieldSpec(
                name=field.name,
                type=hints[field.name],
                default=given.get(field.name, default),
                helptext=field.metadata['help'] + unit,
            )
        )
    return tyro.constructors.StructConstructorSpec(instantiate=info.type, fields=tuple(flags))


def _read_numbers(words: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(number) for word in words for number in word.rstrip(',').split(','))
    except ValueError:
        raise ValueError(
            f'Whole numbers are separated by commas, like 0,1,2; got {" ".join(words)!r}.'
        ) from None


Bags = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BAG...')]
Checkpoint = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='CHECKPOINT')]
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
Json = Annotated[Path | None, tyro.conf.arg(metavar='PATH|-')]
