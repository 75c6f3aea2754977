# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunk of a weights file <-> fields of a std_msgs/UInt8MultiArray."""

from array import array
from collections.abc import Callable
from typing import Any

from .strict_json import NotBelieved
from .weight_chunks import CHUNK_BYTES, Chunk


def fill_chunk(message: Any, dimension: Callable[..., Any], chunk: Chunk) -> None:
    """Fill a message; its only dimension is labelled with the hash of the whole file.

    Args:
        message: UInt8MultiArray.
        dimension: Class MultiArrayDimension; size is the chunk's number, stride their count.
        chunk: To send.
    """
    message.layout.dim = [dimension(label=chunk.sha256, size=chunk.index, stride=chunk.count)]
    message.data = array('B', chunk.data)


def read_chunk(message: Any) -> Chunk:
    """The chunk in a message.

    Raises:
        NotBelieved: The message holds none.
    """
    dimensions, data = message.layout.dim, message.data
    if len(dimensions) != 1 or message.layout.data_offset or len(data) > CHUNK_BYTES:
        raise NotBelieved(
            f'A message with {len(dimensions)} dimensions and {len(data)} bytes is no chunk; one '
            f'has 1 dimension and at most {CHUNK_BYTES} bytes.'
        )
    only = dimensions[0]
    return Chunk(only.label, only.size, only.stride, data)
