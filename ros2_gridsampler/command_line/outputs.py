# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that options name <- results; known to be writable before any long work."""

import json
import os
from pathlib import Path
from typing import Any

from ..files import write_whole


def prepare_output(path: Path | None) -> None:
    """Make the folder of a file, before a long measurement that would have nowhere to go.

    Raises:
        OSError: The file cannot be written there.
        ValueError: A file is where its folder would be.
    """
    if path is not None:
        check_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise OSError(f'{path} cannot be written; name a file in a folder of yours.')


def write_json(path: Path | None, content: dict[str, Any] | str) -> None:
    """Write values, or text that is JSON already, whole or not at all; None is nowhere."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + '\n'
        # A half-written file would be read as a result, or break what reads it.
        write_whole(path, text)


def check_folder(path: Path | None) -> None:
    """See that a folder is there, or can be made; None is none.

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
