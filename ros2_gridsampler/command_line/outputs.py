# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that options name <- results; known to be writable before any long work."""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..files import write_whole

STANDARD_OUTPUT = Path('-')
"""What `--json` is given to print instead of writing a file."""


@contextlib.contextmanager
def json_output(path: Path | None) -> Iterator[Callable[[dict[str, Any] | str], None]]:
    """Yields the function that writes the result of a command, as values or as JSON.

    It may be called again and again, so that what a long measurement has is there if it is
    stopped: a file then holds the newest result. With '-' the newest result goes to standard
    output at the end, and all that is printed in this context to standard error.

    Args:
        path: File of the result, '-' for standard output, or None to write it nowhere.

    Raises:
        OSError: The file cannot be written there; raised before the command works long.
        ValueError: A file is where its folder would be.
    """
    if path != STANDARD_OUTPUT:
        prepare_output(path)
        yield lambda content: None if path is None else _write_json(path, content)
        return
    newest: list[dict[str, Any] | str] = []
    with contextlib.redirect_stdout(sys.stderr):
        yield newest.append
    if newest:
        print(_as_json(newest[-1]), end='', flush=True)


def prepare_output(path: Path | None) -> None:
    """Makes the folder of a file, before a long measurement that would have nowhere to go.

    Raises:
        OSError: The file cannot be written there.
        ValueError: A file is where its folder would be.
    """
    if path is not None:
        check_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise OSError(f'{path} cannot be written; name a file in a folder of yours.')


def _write_json(path: Path, content: dict[str, Any] | str) -> None:
    # A half-written file would be read as a result, or break what reads it.
    write_whole(path, _as_json(content))


def _as_json(content: dict[str, Any] | str) -> str:
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    return text.rstrip('\n') + '\n'


def where_to_look(page: Path) -> str:
    """Returns where a page is that stands alone in its folder, and how it is seen from here."""
    place = page.resolve()
    if os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY') or sys.platform == 'darwin':
        return place.as_uri()
    return (
        f'{place.as_uri()}\nThis machine has no display; on one that has: '
        f'scp -r {platform.node()}:{place.parent} . and open {place.parent.name}/{place.name}'
    )


def check_folder(path: Path | None) -> None:
    """Refuses a folder that is not there and cannot be made; None is always accepted.

    Raises:
        ValueError: A file is in its place, or nothing can be written there.
    """
    if path is None:
        return
    place = path.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise ValueError(f'{path} cannot be a folder: {place} is a file; name another place.')
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f'{path} cannot be written; name a folder of yours.')
