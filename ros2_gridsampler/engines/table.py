# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""All engines, in the order in which they are tried; adding one is its file and a line here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from . import eager, onnxruntime, openvino, tensorrt
from .engine import Engine

_ALL: tuple[Engine, ...] = (
    tensorrt.TensorRt(),
    openvino.OpenVino(),
    onnxruntime.OnnxRuntime(),
    eager.Eager(),
)
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
AUTOMATIC = 'automatic'

if TYPE_CHECKING:
    Name = str
    Choice = str
else:
    # Parameters and flags show the choices.
    Name = Literal[tuple(ENGINES)]
    Choice = Literal[(AUTOMATIC, *ENGINES)]
"""'automatic': the first engine that is installed and computes the policy honestly."""


def preference(choice: Choice) -> tuple[Name, ...]:
    """Returns the names of the engines to try, in order."""
    return tuple(ENGINES) if choice == AUTOMATIC else (choice,)


def find_engines(names: Sequence[Name]) -> list[Engine]:
    """Returns the engines of these names, in this order.

    Raises:
        ValueError: There is no name, or no engine of a name.
    """
    unknown = [name for name in names if name not in ENGINES]
    if unknown or not names:
        raise ValueError(f'Backends {unknown or "()"} are not known; use some of {list(ENGINES)}.')
    return [ENGINES[name] for name in names]
