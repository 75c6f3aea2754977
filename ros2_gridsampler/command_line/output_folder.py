# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The folder that `--out` names -> known to take files, before any long work."""

import os
from pathlib import Path


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
