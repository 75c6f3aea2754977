# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Message definitions that a bag brings along -> fields of its serialised messages."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

_HEADER = 'std_msgs/msg/Header'
# Older recorders wrote no definitions; these are no part of ROS 2, and cameras use them.
_VIDEO_PACKETS = {
    'ffmpeg_image_transport_msgs/msg/FFMPEGPacket': (
        'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n'
        'uint8 flags\nbool is_bigendian\nuint8[] data\n'
    ),
    'foxglove_msgs/msg/CompressedVideo': (
        'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n'
    ),
}
_IDL_SEPARATOR = '=' * 80 + '\n'
# What storages call the language of a definition.
_FORMATS = {
    'ros1msg': MessageDefinitionFormat.MSG,
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}


def definition_of(encoding: str, text: str) -> MessageDefinition:
    """A definition as a storage keeps it; of a language that nobody reads here, none."""
    known = _FORMATS.get(encoding)
    if known is None:
        return MessageDefinition(MessageDefinitionFormat.NONE, '')
    return MessageDefinition(known, text)


def normal_name(message_type: str) -> str:
    """'sensor_msgs/Image', as ROS 1 and old recorders write it -> 'sensor_msgs/msg/Image'."""
    parts = message_type.split('/')
    return f'{parts[0]}/msg/{parts[1]}' if len(parts) == 2 else message_type


class BagTypes:
    """The types of one storage file.

    Its own definitions come first; where it has none (sqlite3 of older distributions), those of
    ROS 2 Jazzy serve. A definition that cannot be read makes its own topic unreadable, no other.

    Args:
        definitions: Type name and definition of each connection.
        ros1: Whether messages are serialised as by ROS 1.
    """

    def __init__(self, definitions: Sequence[tuple[str, Any]], *, ros1: bool = False) -> None:
        self._ros1 = ros1
        self._fields: dict[str, Any] = {}
        if any(d.format == MessageDefinitionFormat.NONE for _, d in definitions):
            self._fields.update(_jazzy().fielddefs)
        if not definitions:
            self._store = _jazzy()
            return
        for name, definition in definitions:
            self._learn(name, definition)
        if ros1 and _HEADER in self._fields:
            # ROS 1 numbered its headers; that number is left out on the way to CDR.
            self._fields[_HEADER] = _jazzy().fielddefs[_HEADER]
        self._store = self._make_store()

    def knows(self, name: str) -> bool:
        """Whether messages of this type can be understood."""
        try:
            self._store.get_msgdef(name)
        except Exception:  # whatever is wrong with the definition, or there is none
            return False
        return True

    def deserialise(self, data: bytes, name: str) -> Any:
        """Fields of CDR bytes."""
        try:
            return self._store.deserialize_cdr(data, name)
        except SerdeError:
            # rclpy may leave padding after a message that ends in empty sequences.
            definition = self._store.get_msgdef(name)
            message, end = definition.deserialize_cdr_le(data[4:], 0, definition.cls, self._store)
            if len(data) - 4 - end > 16 or data[1] != 1:
                raise
            return message

    def to_cdr(self, data: bytes, name: str) -> bytes:
        """CDR of bytes as stored."""
        return bytes(self._store.ros1_to_cdr(data, name)) if self._ros1 else data

    def _learn(self, name: str, definition: Any) -> None:
        try:
            if definition.format == MessageDefinitionFormat.MSG:
                found = dict(get_types_from_msg(definition.data, name))
                # The parser knows messages only; a service event is called otherwise.
                parsed = f'{name.rpartition("/")[0]}/msg/{name.rpartition("/")[2]}'
                if name not in found and parsed in found:
                    found[name] = found.pop(parsed)
                self._fields.update(found)
            elif definition.format == MessageDefinitionFormat.IDL:
                parts = definition.data.split(_IDL_SEPARATOR)
                idls = [part.split('\n', 1)[-1] for part in parts[1:]] or parts
                for idl in idls:
                    self._fields.update(get_types_from_idl(idl))
        except Exception:  # a parser of foreign text; the topic stays unknown
            return

    def _make_store(self) -> Any:
        store = get_typestore(Stores.EMPTY)
        try:
            store.register(self._fields)
        except Exception:  # one that refers to an unknown type spoils all: leave it out
            for name, definition in self._fields.items():
                try:
                    store.register({name: definition})
                except Exception:  # noqa: S112 - see above
                    continue
        return store


@cache
def _jazzy() -> Any:
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in _VIDEO_PACKETS.items():
        store.register(get_types_from_msg(text, name))
    return store
