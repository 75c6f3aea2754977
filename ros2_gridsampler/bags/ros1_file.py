# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS 1 bag -> its channels and where each message is, by its index."""

from io import BytesIO
from pathlib import Path

from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import Header, RecordType, read_bytes, read_uint32

from .bag_types import normal_name
from .stored_messages import Channel, MessagePlaces


class Ros1File:
    """One ROS 1 bag; see `McapFile` for the attributes.

    Raises:
        ReaderError: It is not whole, or has no index.
    """

    ros1 = True
    counted = True

    def __init__(self, file: Path) -> None:
        self.losses: list[str] = []
        self.doubts: list[str] = []
        self.places = MessagePlaces()
        self._reader = Reader(file)
        self._reader.open()
        self.channels = [
            Channel(c.topic, normal_name(c.msgtype), c.msgdef) for c in self._reader.connections
        ]
        entries = [
            (entry.chunk_pos, entry.offset, number, entry.time)
            for number, connection in enumerate(self._reader.connections)
            for entry in self._reader.indexes[connection.id]
        ]
        self._chunks = sorted(self._reader.chunks)
        numbers = {position: number for number, position in enumerate(self._chunks)}
        for position, offset, channel, time in sorted(entries):
            self.places.add(channel, time, numbers[position] << 32 | offset)
        self._unpacked = -1, b''

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()

    def fetch(self, place: int) -> bytes:
        """Data of the message at a place."""
        number, offset = place >> 32, place & 0xFFFFFFFF
        if self._unpacked[0] != number:
            chunk = self._reader.chunks[self._chunks[number]]
            stream = self._reader.bio
            assert stream is not None  # noqa: S101 - it is open
            stream.seek(chunk.datapos)
            self._unpacked = number, chunk.decompressor(read_bytes(stream, chunk.datasize))
        data = BytesIO(self._unpacked[1])
        data.seek(offset)
        while (kind := Header.read(data).get_uint8('op')) == RecordType.CONNECTION:
            data.seek(read_uint32(data), 1)
        if kind != RecordType.MSGDATA:
            raise ValueError('its index does not point at messages')
        return read_bytes(data, read_uint32(data))
