# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A dataclass whose fields say their bounds -> one that cannot be made outside of them.

A bound is declared once, in the metadata of its field: 'minimum', 'maximum', or 'above' (a minimum
that is itself too small), with its 'unit' and, where it needs one, the reason 'why'. From there
come the refusal here, the ranges of ROS parameters and the help of flags. Numbers must be finite
in any case.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from numbers import Real
from typing import Any, TypeVar

Kind = TypeVar('Kind', bound=type)
Value = TypeVar('Value')


def checked(kind: Kind) -> Kind:
    """Makes a class refuse numbers outside of its bounds, before its own `__post_init__`.

    Stands below `@dataclass`. Whoever makes the object gets a ValueError that names every number
    that is out of bounds, what was expected, and the unit.
    """
    own = getattr(kind, '__post_init__', None)

    def enforce(self: Any) -> None:
        _check_bounds(self)
        if own is not None:
            own(self)

    kind.__post_init__ = enforce  # type: ignore[attr-defined]
    return kind


def setting(
    default: Value,
    help: str | None = None,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    why: str | None = None,
    **other: bool,
) -> Value:
    """Returns a field of a dataclass with its bounds and what else is said of it.

    Args:
        default: Its default.
        help: What people are told of it.
        unit: Unit of its number.
        minimum: Smallest value.
        above: Value that is itself too small.
        maximum: Largest value.
        why: Reason of the bounds.
        other: Marks that others look for, like `read_only`.
    """
    said = dict(help=help, unit=unit, minimum=minimum, above=above, maximum=maximum, why=why)
    metadata = {name: value for name, value in {**said, **other}.items() if value is not None}
    made: Any = dataclasses.field(default=default, metadata=metadata)
    return made


def bound_text(bounds: Mapping[str, Any]) -> str:
    """Returns what a field's metadata allows, in words: 'at least 0 s and at most 1 s'."""
    unit = f' {bounds["unit"]}' if bounds.get('unit') else ''
    words = (('at least', 'minimum'), ('more than', 'above'), ('at most', 'maximum'))
    parts = [f'{text} {bounds[key]}{unit}' for text, key in words if bounds.get(key) is not None]
    why = f' ({bounds["why"]})' if bounds.get('why') else ''
    return (' and '.join(parts) or 'a finite number') + why


def _check_bounds(config: Any) -> None:
    wrong = []
    for field in fields(config):
        unit = f' {field.metadata["unit"]}' if field.metadata.get('unit') else ''
        for value in _numbers(getattr(config, field.name)):
            if not _inside(value, field):
                expected = bound_text(field.metadata)
                wrong.append(f'{field.name} is {value}{unit}, expected {expected}')
    if wrong:
        raise ValueError('; '.join(wrong))


def _numbers(value: Any) -> Iterator[Any]:
    """A number, or those in a tuple; other values have no bounds."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, Real) and not isinstance(value, bool):
        yield value


def _inside(value: Any, field: 'Field[Any]') -> bool:
    low, above, high = (field.metadata.get(key) for key in ('minimum', 'above', 'maximum'))
    return (
        math.isfinite(value)
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    )
