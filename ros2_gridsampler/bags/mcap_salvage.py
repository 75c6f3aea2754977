# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An MCAP file that is cut off or has bad chunks -> the messages that are whole."""

import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import lz4.frame
import zstandard
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

from .bag_types import normal_name

_MAGIC = b'\x89MCAP0\r\n'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 3, 4, 5, 6, 15
# Recorders write chunks of about a mebibyte; a length beyond this is itself damaged [bytes].
_LARGEST = 2**28


def salvage(
    file: Path,
    topics: Collection[str],
    learn: Callable[..., Any],
    given: Mapping[str, int],
    losses: list[str],
) -> Iterator[tuple[str, str, int, bytes]]:
    """Read an MCAP file front to back, without its index.

    Args:
        file: To read.
        topics: Only these; all if empty.
        learn: Called with name, encoding and text of each schema.
        given: Topic -> messages that were read before and are not wanted again.
        losses: Gets a sentence for each thing that is lost.

    Yields:
        Topic, type, log time [ns] and data, in the order of the file.
    """
    seen: Counter[str] = Counter()
    schemas: dict[int, str] = {}
    channels: dict[int, Channel] = {}
    with file.open('rb') as stream:
        for record in _records(stream, losses):
            if isinstance(record, Schema):
                name = normal_name(record.name)
                if record.id not in schemas:
                    learn(name, record.encoding, record.data.decode(errors='replace'))
                schemas[record.id] = name
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels.get(record.channel_id)
                name = '' if channel is None else schemas.get(channel.schema_id, '')
                if channel is None or not name or (topics and channel.topic not in topics):
                    continue
                seen[channel.topic] += 1
                if seen[channel.topic] > given.get(channel.topic, 0):
                    yield channel.topic, name, record.log_time, record.data


def _records(stream: BinaryIO, losses: list[str]) -> Iterator[Any]:
    """Records of the file, those of chunks among them, as far as they are whole."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        losses.append('it does not begin as an MCAP file')
        return
    damaged = 0
    while True:
        head = stream.read(9)
        if len(head) < 9:
            losses.append('it breaks off')
            break
        kind, length = struct.unpack('<BQ', head)
        if kind == _DATA_END:
            break
        body = stream.read(min(length, _LARGEST))
        cut = len(body) < length
        if kind == _CHUNK:
            whole = not cut
            for record in _in_chunk(body):
                if record is None:
                    whole = False
                    break
                yield record
            damaged += not whole
        elif kind in (_SCHEMA, _CHANNEL, _MESSAGE) and not cut:
            yield from (record for record in _parsed(head + body) if record is not None)
        if cut:
            losses.append('it breaks off')
            break
    if damaged:
        losses.append(f'{damaged} of its chunks are damaged or cut short')


def _in_chunk(body: bytes) -> Iterator[Any]:
    """Records of a chunk, and None where they stop being whole."""
    try:
        (size,) = struct.unpack_from('<I', body, 28)
        compression = body[32 : 32 + size].decode()
        data = body[40 + size :]
        if compression == 'zstd':
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        elif compression == 'lz4':
            data = lz4.frame.LZ4FrameDecompressor().decompress(data)
    except Exception:  # a decompressor of damaged bytes may fail in any way
        yield None
        return
    yield from _parsed(data)


def _parsed(data: bytes) -> Iterator[Any]:
    try:
        yield from StreamReader(BytesIO(data), skip_magic=True, emit_chunks=True).records
    except GeneratorExit:
        raise
    except Exception:  # a record that runs over the end, or is none
        if data:
            yield None
