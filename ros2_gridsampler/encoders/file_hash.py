# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""File -> its sha256, in parts."""

import hashlib
from pathlib import Path

_READ_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """sha256 of a file, one part in memory at a time."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()
