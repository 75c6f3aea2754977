# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files: found where they were installed, read as a dataclass, written whole or not at all."""

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import yaml
from cattrs.v import format_exception

_READ_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """sha256 of a file, one part in memory at a time."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes beside the file and puts it in place: what was there before stays until then."""
    partial = path.with_name(f'{path.name}.partial')
    partial.write_bytes(content.encode('utf-8') if isinstance(content, str) else content)
    partial.replace(path)


@contextmanager
def disk_of(folder: Path, advice: str) -> Iterator[None]:
    """Says where the disk is full, and what helps.

    Args:
        folder: That is written to.
        advice: What else helps but free space.

    Raises:
        OSError: The disk, or the user's share of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(f'The disk of {folder} is full; free some space, {advice}.') from error


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


_MAKES = {
    'models': ' `gridsampler train` makes a policy from recordings.',
    'calibration': (
        ' `gridsampler calibrate arm NAME --urdf FILE --out calibration/NAME.yaml` drafts the '
        'limits of an arm.'
    ),
}
"""What makes the things of a folder that are not there yet."""


def find(folder: str, name: str, suffix: str = '') -> Path:
    """Finds what the package brings along, or what the user names by its path.

    Args:
        folder: 'calibration' or 'models'.
        name: A path, or the name of something in that folder, for instance 'panda'.
        suffix: Ending of the files in that folder, for instance '.yaml'.

    Raises:
        FileNotFoundError: There is no such path and no such name.
    """
    path = Path(name).expanduser()
    # A folder called 'panda' beside the user is no calibration of a Panda.
    if name and (path.is_file() if suffix else path.exists()):
        return path
    for place in _places():
        if name and (place / folder / f'{name}{suffix}').exists():
            return place / folder / f'{name}{suffix}'
    raise FileNotFoundError(
        f'{name!r} is neither a path nor one of {names(folder, suffix)} in {folder}; name one of '
        f'them or write a path.{_MAKES.get(folder, "")}'
    )


def names(folder: str, suffix: str = '') -> list[str]:
    """What `find` knows by its name; of folders only those that are checkpoints."""
    pattern = f'*{suffix}' if suffix else '*/manifest.json'
    found = [path for place in _places() for path in (place / folder).glob(pattern)]
    return sorted({path.stem if suffix else path.parent.name for path in found})


def _places() -> list[Path]:
    """The source tree, the prefixes of colcon workspaces, the prefix of pip."""
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    shares = [Path(prefix) / 'share/ros2_gridsampler' for prefix in prefixes if prefix]
    return [Path(__file__).resolve().parents[1], *shares]
