# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of any rosbag kind -> its topics, and its messages in order."""

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..seeing.camera_message import camera_info_topic
from .bag_contents import follow_each_other
from .bag_files import DamagedBag, find_files, is_storage, split_prefix
from .bag_storage import RecordedMessage, read_connections, read_storage
from .video_packets import VIDEO_TYPES, with_pictures

PREDICTIONS, RESULT = 'predictions', 'report.json'
"""A bag so called beside such a file was written by an evaluation, and is no recording."""


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Bags named directly or anywhere below the folders named, in order of their names.

    A bag that is found twice is one bag: else it could be trained on and held out. What an
    evaluation wrote is a bag only where it is named itself.

    Raises:
        FileNotFoundError: One of the paths is not there, nothing there looks like a bag, or a
            link leads nowhere.
    """
    if not paths:
        raise FileNotFoundError('Name at least one bag, or a folder of bags.')
    bags: dict[Path, Path] = {}
    for path in paths:
        found = _bags_at(path)
        if not found:
            raise FileNotFoundError(
                f'No rosbag2 recording in {path}; a bag is a folder with a metadata.yaml, or an '
                '.mcap, .db3 or (ROS 1) .bag file.'
            )
        for bag in found:
            # '.' and '..' are no names, and results are called by them.
            bags.setdefault(bag.resolve(), bag if bag.name.strip('.') else bag.resolve())
    # One of its files, named beside the folder, is no other bag.
    return [bag for real, bag in bags.items() if real.parent not in bags]


def _bags_at(path: Path) -> list[Path]:
    if path.is_file() or (path / 'metadata.yaml').exists():
        return [path]
    files = _files_below(path)
    folders = {file.parent for file in files if file.name == 'metadata.yaml'}
    loose = [file for file in files if is_storage(file) and not folders & set(file.parents)]
    by_folder: dict[Path, list[Path]] = {}
    for file in loose:
        by_folder.setdefault(file.parent, []).append(file)
    # The splits of one recording whose metadata was lost belong together.
    groups = {
        bag
        for folder, files in by_folder.items()
        for bag in ([folder] if _is_one_recording(folder, files) else files)
    }
    return sorted(folders | groups)


def _files_below(path: Path) -> list[Path]:
    """All files below a folder, of linked folders too, each folder once.

    Raises:
        FileNotFoundError: A link of a recording leads nowhere.
    """
    found: list[Path] = []
    known: set[Path] = set()
    if not path.is_dir():
        return found
    for folder, below, names in os.walk(path, onerror=_refuse, followlinks=True):
        real = Path(folder).resolve()
        if real in known:
            below.clear()
            continue
        known.add(real)
        # What ends in .partial was being written when its writer was killed.
        below[:] = sorted(name for name in below if not name.endswith('.partial'))
        if RESULT in names and PREDICTIONS in below:
            below.remove(PREDICTIONS)
        found += [Path(folder) / name for name in names]
    lost = next((f for f in found if is_storage(f) and not f.exists()), None)
    if lost is not None:
        raise FileNotFoundError(
            f'{lost} is a link to {os.readlink(lost)}, which is not there; fetch it, or remove '
            'the link.'
        )
    return [file for file in found if file.is_file()]


def _refuse(error: OSError) -> None:
    """What is in a folder that cannot be read may be bags."""
    raise error


def _is_one_recording(folder: Path, files: Sequence[Path]) -> bool:
    """Whether loose files are the splits of one recording, not one recording each."""
    if any(file.suffix == '.bag' for file in files):
        return False
    # ros2 bag record names them after their folder: 'run/run_0.mcap'.
    if all(file.name.startswith(f'{folder.name}_') for file in files):
        return True
    prefixes = {split_prefix(file) for file in files}
    if len(files) < 2 or len(prefixes) > 1 or None in prefixes:
        return False
    # Episodes may be numbered too; but splits go on where the one before ended.
    return follow_each_other(find_files(folder).there)


def read_topics(bag: Path) -> dict[str, str]:
    """Topic -> message type, such as 'sensor_msgs/msg/Image', of all that was recorded."""
    return {topic: kind for topic, (kind, _) in read_connections(bag).items()}


def unreadable_topics(bag: Path) -> dict[str, str]:
    """Topic -> type, of those whose type neither the bag nor ROS 2 Jazzy defines."""
    return {topic: kind for topic, (kind, known) in read_connections(bag).items() if not known}


def read_messages(bag: Path, topics: Collection[str] = ()) -> Iterator[RecordedMessage]:
    """Messages in order of their log time; of a video, its pictures.

    Args:
        bag: A bag folder, or an .mcap, .db3 or .bag file.
        topics: Only these; if empty, all whose types are known (see `unreadable_topics`).

    Raises:
        DamagedBag: At the end, if the bag was cut off or lacks messages.
    """
    return with_pictures(read_storage(bag, topics, deserialised=True))


def read_camera_infos(bag: Path, cameras: Mapping[str, str]) -> dict[str, Any]:
    """Camera -> its first CameraInfo, of those that have one.

    Args:
        bag: A bag folder or file.
        cameras: Camera -> topic of its pictures.
    """
    recorded = read_topics(bag)
    wanted = {camera_info_topic(topic): camera for camera, topic in cameras.items()}
    wanted = {topic: camera for topic, camera in wanted.items() if topic in recorded}
    found: dict[str, Any] = {}
    # What is lost of a damaged bag is told by whoever reads its other topics.
    with contextlib.suppress(DamagedBag):
        for message in read_messages(bag, tuple(wanted)) if wanted else ():
            found.setdefault(wanted[message.topic], message.message)
            if len(found) == len(wanted):
                break
    return found


def read_serialised(bag: Path, topics: Collection[str] = ()) -> Iterator[RecordedMessage]:
    """As `read_messages`, but each message is its CDR bytes, ready to be published."""
    return read_storage(bag, topics, deserialised=False)


IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', *VIDEO_TYPES)
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
JOINT_STATE = 'sensor_msgs/msg/JointState'
POSE = 'geometry_msgs/msg/PoseStamped'


def read_topic(bag: Path, topic: str, *types: str) -> Iterator[RecordedMessage]:
    """Messages of one topic.

    Args:
        bag: A bag folder or file.
        topic: Its name.
        types: One of which it must have, such as 'sensor_msgs/msg/JointState'.

    Raises:
        ValueError: It is not there, is of another type, or holds nothing.
    """
    _require_type(bag, topic, types)
    found = False
    for message in read_messages(bag, (topic,)):
        found = True
        yield message
    if not found:
        raise ValueError(f'{bag} has the topic {topic!r}, but no message on it.')


def _require_type(bag: Path, topic: str, types: tuple[str, ...]) -> None:
    recorded = read_topics(bag)
    if recorded.get(topic) in types:
        return
    what = ' or '.join(each.rpartition('/')[2] for each in types)
    there = f'is a {recorded[topic]}' if topic in recorded else 'is not there'
    fitting = sorted(name for name, kind in recorded.items() if kind in types)
    raise ValueError(
        f'{bag} has no {what} on {topic!r}, which {there}; it has {what} on '
        f'{fitting or "no topic"}.'
    )
