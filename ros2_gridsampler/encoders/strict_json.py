# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Text that a stranger wrote -> values, within bounds that hold before anything is parsed."""

import json
import math
from typing import Any, TypeVar

import cattrs
from cattrs.v import format_exception

Kind = TypeVar('Kind')
_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


class NotBelieved(ValueError):
    """What a server, a file or a stream of chunks claims and must not be used; says why."""


def parse(text: str, what: str, *, max_bytes: int, max_containers: int) -> Any:
    """Parses JSON of bounded size and depth.

    Args:
        text: JSON.
        what: Named in the refusal.
        max_bytes: Longest text, in UTF-8.
        max_containers: Most opening brackets and braces, so the deepest nesting too.

    Raises:
        NotBelieved: It is too long, too deep, no JSON, names a key twice, or holds a number that
            is not finite.
    """
    if len(text) > max_bytes or len(text.encode(errors='replace')) > max_bytes:
        raise NotBelieved(
            f'{what} has {len(text)} characters, at most {max_bytes} bytes are read; serve fewer '
            'encoders, or shorter training records.'
        )
    if (found := text.count('[') + text.count('{')) > max_containers:
        raise NotBelieved(
            f'{what} opens {found} lists and objects, at most {max_containers} are read; serve '
            'fewer encoders, or shorter training records.'
        )
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise NotBelieved(f'{what} cannot be read: {error}.') from error


def structure(content: Any, kind: type[Kind], what: str) -> Kind:
    """Values -> a dataclass with exactly these fields, of exactly these types.

    Raises:
        NotBelieved: A field is missing, unknown, or of another type or value than allowed.
    """
    try:
        result = _CONVERTER.structure(content, kind)
        again = _CONVERTER.unstructure(result)
    except Exception as error:  # whatever a constructor makes of a stranger's values
        problems = '; '.join(cattrs.transform_error(error, format_exception=_say))
        raise NotBelieved(f'{what} is not complete and valid: {problems[:500]}') from error
    # A field that is missing would take its default, and a text would become a number.
    if _canonical(again) != _canonical(content):
        raise NotBelieved(f'{what} lacks fields or has values of another type.')
    return result


def _say(error: BaseException, kind: type[Any] | None) -> str:
    if isinstance(error, NotBelieved):
        return str(error)
    return format_exception(error, kind)


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError('a key stands there twice')
    return content


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f'{text[:20]} is not finite')
    return value


def _refuse(text: str) -> None:
    raise ValueError(f'{text} is not finite')
