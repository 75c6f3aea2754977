# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Name of an arm or a policy -> its file, wherever the package was installed."""

import os
import sys
from pathlib import Path


def find(folder: str, name: str, suffix: str = '') -> Path:
    """Find what the package brings along, or what the user names by its path.

    Args:
        folder: 'calibration' or 'models'.
        name: A path, or the name of something in that folder, for instance 'panda'.
        suffix: Of the files in that folder, for instance '.yaml'.

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
        'them or write a path.'
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
