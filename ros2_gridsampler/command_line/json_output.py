# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The file that `--json` names <- a result."""

import json
import os
from pathlib import Path
from typing import Any


def prepare_json(path: Path | None) -> None:
    """Make its folder, before a long measurement that would have nowhere to go.

    Raises:
        OSError: The file cannot be written there.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise OSError(f'{path} cannot be written; name a file in a folder of yours.')


def write_json(path: Path | None, content: dict[str, Any] | str) -> None:
    """Write values, or text that is JSON already; nothing where no file is named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + '\n'
        path.write_text(text)
