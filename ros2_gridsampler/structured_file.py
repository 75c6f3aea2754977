# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Text of a YAML file, or values of a JSON file -> a dataclass, or what is wrong in words."""

from pathlib import Path
from typing import Any, TypeVar

import cattrs
import yaml
from cattrs.v import format_exception

Kind = TypeVar('Kind')


def read_yaml(path: Path) -> Any:
    """The values of a YAML file.

    Raises:
        ValueError: It is not YAML; the text names the file.
    """
    try:
        return yaml.safe_load(path.read_text('utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not YAML: {error}') from error


def structure(content: Any, kind: type[Kind]) -> Kind:
    """Values -> a dataclass with these fields and no others.

    What is no integer or no truth value is not made one: 1.9 and 'no' are refused.

    Raises:
        ValueError: Names every field that is unknown, missing, or of a wrong type or value.
    """
    if not isinstance(content, dict):
        raise ValueError(f'expected keys and values, got {content!r:.80}')
    try:
        return _CONVERTER.structure(content, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        raise ValueError('; '.join(cattrs.transform_error(error, '$', _say))) from error


class _Misfit(ValueError):
    """Says itself what came and what was expected."""


def _whole(value: Any, _: type[int]) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise _Misfit(f'expected an integer, got {value!r}')
    return int(value)


def _truth(value: Any, _: type[bool]) -> bool:
    if not isinstance(value, bool):
        raise _Misfit(f'expected true or false, got {value!r}')
    return value


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(int, _whole)
_CONVERTER.register_structure_hook(bool, _truth)


def _say(error: BaseException, kind: type[Any] | None) -> str:
    """What the dataclass itself refuses, it refuses in words."""
    own_words = isinstance(error, _Misfit) or (kind is None and type(error) is ValueError)
    return str(error) if own_words else format_exception(error, kind)
