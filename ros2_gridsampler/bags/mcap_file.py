# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An MCAP file, whole or not -> its channels, where each message is, and what was lost.

The file is read front to back and its own index is not believed: it may be missing, stale or cut
off, and it hides in which order the recorder wrote. Its statistics are compared with what came.
"""

import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from rosbags.interfaces import MessageDefinition

from .bag_types import definition_of, normal_name
from .stored_messages import Channel, MessagePlaces

_MAGIC = b'\x89MCAP0\r\n'
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _STATISTICS, _DATA_END = 2, 3, 4, 5, 6, 11, 15
_HEAD, _MESSAGE_HEAD = struct.Struct('<BQ'), struct.Struct('<HIQQ')
# So much is looked at of a chunk that runs over the end of the file [bytes].
_LARGEST = 2**28
# Chunks that are kept unpacked, for messages that are fetched in another order [bytes].
_KEPT = 2**26


@dataclass(frozen=True)
class _Chunk:
    begin: int
    size: int
    compression: str


class McapFile:
    """One MCAP file.

    Args:
        file: File that is read.

    Attributes:
        channels: What it records.
        places: Where the messages are, in the order of writing.
        losses: A sentence part for each thing that is lost.
        doubts: A sentence part for each reason why more messages may have been recorded.
        counted: Whether the file itself says how many messages it holds.
        ros1: Whether messages are serialised as by ROS 1, as those of a bag that was converted.
    """

    def __init__(self, file: Path) -> None:
        self.channels: list[Channel] = []
        self.places = MessagePlaces()
        self.losses: list[str] = []
        self.doubts: list[str] = []
        self.counted = self.ros1 = False
        self._stream = file.open('rb')
        self._chunks: list[_Chunk] = []
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self._numbers: dict[int, int] = {}
        self._counts: Counter[int] = Counter()
        self._stray = self._damaged = 0
        try:
            self._scan()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def fetch(self, place: int) -> bytes:
        """Data of the message at a place.

        Raises:
            ValueError: The file has changed since it was opened.
        """
        if place < 0:
            self._stream.seek(-place)
            head = self._stream.read(_HEAD.size)
            kind, length = _HEAD.unpack(head)
            body = self._stream.read(length)
        else:
            chunk, offset = place >> 32, place & 0xFFFFFFFF
            data = self._unpack(chunk)
            kind, length = _HEAD.unpack_from(data, offset)
            body = data[offset + _HEAD.size : offset + _HEAD.size + length]
        if kind != _MESSAGE or len(body) != length:
            raise ValueError('the file changed while it was read')
        return body[_MESSAGE_HEAD.size :]

    def _unpack(self, number: int) -> bytes:
        data = self._unpacked.get(number)
        if data is not None:
            self._unpacked.move_to_end(number)
            return data
        chunk = self._chunks[number]
        self._stream.seek(chunk.begin)
        data = _plain(self._stream.read(chunk.size), chunk.compression)
        self._unpacked[number] = data
        kept = sum(map(len, self._unpacked.values()))
        while kept > _KEPT and len(self._unpacked) > 1:
            kept -= len(self._unpacked.popitem(last=False)[1])
        return data

    def _scan(self) -> None:
        stream = self._stream
        if stream.read(len(_MAGIC)) != _MAGIC:
            self.losses.append('it does not begin as an MCAP file')
            return
        size = stream.seek(0, 2)
        stream.seek(len(_MAGIC))
        ended = closed = False
        while True:
            begin = stream.tell()
            head = stream.read(_HEAD.size)
            if ended and head[: len(_MAGIC)] == _MAGIC:
                closed = True
                break
            if len(head) < _HEAD.size:
                break
            kind, length = _HEAD.unpack(head)
            if kind == 0 or begin + _HEAD.size + length > size:
                # There is no such record: where the next one begins is not known.
                self._damaged += kind == _CHUNK
                if kind == _CHUNK:
                    self._chunk(stream.read(_LARGEST), begin)
                break
            if kind == _DATA_END:
                ended = True
                stream.seek(length, 1)
            elif not self._take(kind, length, begin, ended):
                break
        if not closed:
            self.losses.append('it breaks off' if not ended else 'its end is damaged')
        if self._damaged:
            self.losses.append(f'{self._damaged} of its chunks are damaged or cut short')
        if self._stray:
            self.losses.append(f'{self._stray} messages are of no channel that it describes')

    def _take(self, kind: int, length: int, begin: int, ended: bool) -> bool:
        """One record of the file; whether it was whole."""
        stream = self._stream
        if ended:
            body = stream.read(length)
            if kind == _STATISTICS and len(body) == length:
                self._compare(body)
            return len(body) == length
        if kind == _MESSAGE and length >= _MESSAGE_HEAD.size:
            place = stream.read(_MESSAGE_HEAD.size)
            skip = length - _MESSAGE_HEAD.size
            if len(place) < _MESSAGE_HEAD.size or (skip and not _skip(stream, skip)):
                return False
            channel, _, time, _ = _MESSAGE_HEAD.unpack(place)
            self._message(channel, time, -begin)
            return True
        body = stream.read(length)
        if kind == _CHUNK:
            self._damaged += not (self._chunk(body, begin) and len(body) == length)
        elif len(body) == length:
            self._describe(kind, body)
        return len(body) == length

    def _chunk(self, body: bytes, begin: int) -> bool:
        """Takes what is whole of a chunk; returns whether all of it was."""
        try:
            _, _, size, crc, letters = struct.unpack_from('<QQQII', body)
            compression = body[32 : 32 + letters].decode()
            at = 40 + letters
            (packed,) = struct.unpack_from('<Q', body, at - 8)
            data = _plain(body[at : at + packed], compression)
        except Exception:  # a decompressor of damaged bytes may fail in any way
            return False
        number = len(self._chunks)
        chunk = _Chunk(begin + _HEAD.size + at, packed, compression)
        self._chunks.append(chunk)
        whole = len(data) == size and (not crc or zlib.crc32(data) == crc)
        offset = 0
        while offset < len(data):
            if offset + _HEAD.size > len(data):
                return False
            kind, length = _HEAD.unpack_from(data, offset)
            inner, offset = offset + _HEAD.size, offset + _HEAD.size + length
            if offset > len(data) or kind not in (_SCHEMA, _CHANNEL, _MESSAGE):
                return False
            if kind != _MESSAGE:
                self._describe(kind, data[inner:offset])
            elif length < _MESSAGE_HEAD.size:
                return False
            else:
                channel, _, time, _ = _MESSAGE_HEAD.unpack_from(data, inner)
                self._message(channel, time, number << 32 | inner - _HEAD.size)
        return whole

    def _message(self, channel: int, time: int, place: int) -> None:
        number = self._numbers.get(channel)
        self._counts[channel] += 1
        if number is None or time >= 2**63:
            self._stray += 1
            return
        self.places.add(number, time, place)

    def _describe(self, kind: int, body: bytes) -> None:
        """Takes a schema or a channel; one that cannot be read is not taken."""
        try:
            if kind == _SCHEMA:
                (number,) = struct.unpack_from('<H', body)
                name, encoding, text = _strings(body[2:], 3)
                self._schemas.setdefault(number, (name, definition_of(encoding, text)))
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from('<HH', body)
                topic, encoding = _strings(body[4:], 2)
                if schema in self._schemas and number not in self._numbers:
                    name, definition = self._schemas[schema]
                    self._numbers[number] = len(self.channels)
                    self.channels.append(Channel(topic, normal_name(name), definition))
                    self.ros1 |= encoding == 'ros1'
        except (struct.error, UnicodeDecodeError, ValueError):
            return

    def _compare(self, body: bytes) -> None:
        """The file's own statistics against what came."""
        try:
            (said,) = struct.unpack_from('<Q', body)
            (size,) = struct.unpack_from('<I', body, 42)
            by_channel = dict(struct.iter_unpack('<HQ', body[46 : 46 + size]))
        except struct.error:
            return
        self.counted = True
        came = self._counts
        if said != came.total() or any(came[c] != count for c, count in by_channel.items()):
            self.losses.append(
                f'by its own statistics it holds {said} messages, {came.total()} were found'
            )


def _skip(stream: BinaryIO, size: int) -> bool:
    """Goes on by `size` bytes; returns whether they are there."""
    stream.seek(size - 1, 1)
    return len(stream.read(1)) == 1


def _plain(data: bytes, compression: str) -> bytes:
    if compression == 'zstd':
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if compression == 'lz4':
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data))
    if compression:
        raise ValueError(f'chunks are compressed by {compression!r}')
    return data


def _strings(body: bytes, count: int) -> Iterator[str]:
    offset = 0
    for _ in range(count):
        (size,) = struct.unpack_from('<I', body, offset)
        if offset + 4 + size > len(body):
            raise ValueError('a text runs over its end')
        yield body[offset + 4 : offset + 4 + size].decode()
        offset += 4 + size
