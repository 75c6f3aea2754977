# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A small file <- its content, whole or not at all; a full disk in words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the file and put it in place: what was there before stays until then."""
    partial = path.with_name(f'{path.name}.partial')
    partial.write_bytes(content.encode('utf-8') if isinstance(content, str) else content)
    partial.replace(path)


@contextmanager
def disk_of(folder: Path, advice: str) -> Iterator[None]:
    """Say where the disk is full, and what helps.

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
