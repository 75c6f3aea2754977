# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Weights file -> numbered chunks -> the same file, believed after length and sha256."""

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import hash_file
from .strict_json import NotBelieved

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """A part of a weights file.

    Attributes:
        sha256: Hash of the whole file.
        index: Number of this chunk, from 0.
        count: Number of all chunks.
        data: CHUNK_BYTES of the file, the last chunk the rest; bytes or an array of them.
    """

    sha256: str
    index: int
    count: int
    data: Any


def chunk_count(size: int) -> int:
    """Returns how many chunks a file of `size` bytes makes."""
    return -(-size // CHUNK_BYTES)


def split(path: Path, sha256: str) -> Iterator[Chunk]:
    """Yields a file in chunks, one in memory at a time.

    Raises:
        NotBelieved: The file grows or shrinks meanwhile.
    """
    size = path.stat().st_size
    count = chunk_count(size)
    with path.open('rb') as file:
        for index in range(count):
            data = file.read(CHUNK_BYTES)
            if len(data) != min(CHUNK_BYTES, size - index * CHUNK_BYTES):
                raise NotBelieved(f'{path} changed while it was read; serve finished files only.')
            yield Chunk(sha256, index, count, data)


class ChunkAssembly:
    """Chunks in any order, some of them twice -> a file of known length and hash.

    Args:
        path: File to write; nobody else may use it.
        sha256: Hash that it must have.
        size: Size that it must have [bytes]; its chunks and nothing else are taken.
    """

    def __init__(self, path: Path, sha256: str, size: int) -> None:
        self.path = path
        self.sha256 = sha256
        self.size = size
        self._missing = set(range(chunk_count(size)))
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    @property
    def complete(self) -> bool:
        """Whether every chunk came."""
        return not self._missing

    @property
    def missing(self) -> int:
        """Chunks that did not come yet."""
        return len(self._missing)

    def add(self, chunk: Chunk) -> bool:
        """Takes a chunk; returns whether it was needed.

        A chunk of another file, and one that came before, are left alone.

        Raises:
            NotBelieved: It contradicts the length of the file.
        """
        if chunk.sha256 != self.sha256:
            return False
        count = chunk_count(self.size)
        if chunk.count != count or not 0 <= chunk.index < count:
            raise NotBelieved(
                f'Chunk {chunk.index} of {chunk.count} came, but a file of {self.size} bytes has '
                f'{count} chunks.'
            )
        start = chunk.index * CHUNK_BYTES
        data = memoryview(chunk.data).cast('B')
        if len(data) != (wanted := min(CHUNK_BYTES, self.size - start)):
            raise NotBelieved(f'Chunk {chunk.index} has {len(data)} bytes, it must have {wanted}.')
        if chunk.index not in self._missing:
            return False
        written = 0
        while written < wanted:
            written += os.pwrite(self._file, data[written:], start + written)
        self._missing.remove(chunk.index)
        return True

    def finish(self) -> None:
        """Puts the file on the disk and checks it; it is closed whatever comes out.

        Raises:
            NotBelieved: A chunk is missing, or the file is another one than was announced.
        """
        try:
            if self._missing:
                raise NotBelieved(f'{self.missing} chunks of {self.sha256[:12]}... did not come.')
            os.fsync(self._file)
        finally:
            self.close()
        if (size := self.path.stat().st_size) != self.size:
            raise NotBelieved(f'{size} bytes were written, {self.size} were announced.')
        if (found := hash_file(self.path)) != self.sha256:
            raise NotBelieved(
                f'The chunks make a file with sha256 {found[:12]}..., announced was '
                f'{self.sha256[:12]}...; it is thrown away.'
            )

    def close(self) -> None:
        """Lets go of the file, whatever is in it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def fill_chunk(message: Any, dimension: Callable[..., Any], chunk: Chunk) -> None:
    """Fills a message; its only dimension is labelled with the hash of the whole file.

    Args:
        message: UInt8MultiArray.
        dimension: Class MultiArrayDimension; size is the chunk's number, stride their count.
        chunk: Chunk that is sent.
    """
    message.layout.dim = [dimension(label=chunk.sha256, size=chunk.index, stride=chunk.count)]
    message.data = array('B', chunk.data)


def read_chunk(message: Any) -> Chunk:
    """Returns the chunk in a message.

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
