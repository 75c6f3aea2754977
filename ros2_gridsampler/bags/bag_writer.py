# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages -> a rosbag2 MCAP folder that appears only when it is whole."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)


def build(message_type: str, **fields: Any) -> Any:
    """Returns a message by type name, e.g. 'std_msgs/msg/String'; every field must be given."""
    return TYPES.types[message_type](**fields)


def build_header(time: float, frame: str) -> Any:
    """Returns a std_msgs/Header; `time` in seconds."""
    nanoseconds = round(time * 1e9)
    stamp = build(
        'builtin_interfaces/msg/Time',
        sec=nanoseconds // 10**9,
        nanosec=nanoseconds % 10**9,
    )
    return build('std_msgs/msg/Header', stamp=stamp, frame_id=frame)


def build_numbers(values: Any) -> Any:
    """Returns a std_msgs/Float64MultiArray without dimensions."""
    layout = build('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
    return build('std_msgs/msg/Float64MultiArray', layout=layout, data=np.asarray(values, float))


def serialise(message: Any) -> bytes:
    """Returns the message as CDR, as it travels and as it is stored."""
    return bytes(TYPES.serialize_cdr(message, message.__msgtype__))


class BagWriter:
    """Writes one bag; use it as a context.

    The bag is written beside its place and moved there when it is closed without an error, so a
    recording that was stopped in the middle is never mistaken for a whole one.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise FileExistsError(f'{path} is there already; name a new folder.')
        self._path = path
        self._partial = path.with_name(path.name + '.partial')
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(self._partial, version=9, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> 'BagWriter':
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the bag and, if all went well, puts it in its place."""
        try:
            self._writer.close()
            if error is None:
                self._settle()
        finally:
            # Also where the end does not fit on the disk any more.
            shutil.rmtree(self._partial, ignore_errors=True)

    def _settle(self) -> None:
        """Put the bag in its place: the file is called as its folder, as rosbag2 does."""
        (stored,) = self._partial.glob('*.mcap')
        name = f'{self._path.name}.mcap'
        metadata = self._partial / 'metadata.yaml'
        content = yaml.safe_load(metadata.read_text('utf-8'))
        information = content['rosbag2_bagfile_information']
        information['relative_file_paths'] = [name]
        for file in information['files']:
            file['path'] = name
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        metadata.write_text(text, 'utf-8')
        stored.rename(self._partial / name)
        self._partial.rename(self._path)

    def write(self, topic: str, message: Any, time: float, *, latched: bool = False) -> None:
        """Appends a message.

        Args:
            topic: Absolute name of the topic.
            message: Message that `build` made.
            time: Time at which it was received [s].
            latched: Whether the topic is transient local.
        """
        self.write_serialised(
            topic, message.__msgtype__, serialise(message), time, latched=latched
        )

    def write_serialised(
        self, topic: str, message_type: str, data: bytes, time: float, *, latched: bool = False
    ) -> None:
        """Appends a message that is CDR already; see `write`."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message_type, typestore=TYPES, offered_qos_profiles=(_qos(latched),)
            )
        self._writer.write(self._connections[topic], round(time * 1e9), data)


def _qos(latched: bool) -> Qos:
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
