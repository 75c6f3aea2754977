# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The file that an option names <- a result; whether it can be written is known before."""

import json
import os
from pathlib import Path
from typing import Any

from ..files import write_whole
from .output_folder import check_folder


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
