# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Folder of pictures or bag -> pictures one by one; the boards in them."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from ..bags.bag_files import is_storage
from ..bags.bag_reader import CAMERA_INFO, IMAGE_TYPES, read_messages, read_topic, read_topics
from ..seeing.camera_message import (
    CameraIntrinsics,
    camera_info_topic,
    decode_image,
    intrinsics,
    stamp_seconds,
)
from .calibration_board import Board, BoardView

_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
# Between two views of a video that both say something: part of the picture's width.
_MIN_MOTION = 0.03
# Of the board between two neighbouring frames: above, the picture is blurred.
_STILL = 0.004


def is_bag(path: Path) -> bool:
    """Returns whether this is a recording, not a folder of pictures."""
    if not path.is_dir():
        return is_storage(path)
    return (path / 'metadata.yaml').exists() or any(map(is_storage, path.iterdir()))


def read_pictures(
    source: Path, topic: str = '', files: str = '*'
) -> Iterator[tuple[str, UInt8[np.ndarray, 'height width 3']]]:
    """Yields the names and RGB pictures of a folder or a bag.

    Args:
        source: Folder of pictures, or a bag.
        topic: Camera topic of the bag; may be empty where it has one camera.
        files: Pattern of file names in a folder.

    Raises:
        ValueError: No pictures there, or one cannot be read.
    """
    if not source.exists():
        raise ValueError(f'{source} is not there; name a folder of pictures or a bag.')
    if is_bag(source):
        for recorded in read_messages(source, (image_topic(source, topic),)):
            time = stamp_seconds(recorded.message.header.stamp)
            yield f'{time:.3f}', decode_image(recorded.message)
        return
    paths = sorted(path for path in source.glob(files) if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise ValueError(
            f'{source} has no pictures {files!r} ({", ".join(_SUFFIXES)}) and is no bag; name a '
            'folder of pictures or a bag.'
        )
    for path in paths:
        # OpenCV would turn a picture by its EXIF tag, the camera driver does not.
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is None:
            raise ValueError(f'{path} is damaged or no picture; remove it.')
        yield path.name, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def first_picture(source: Path, topic: str = '') -> UInt8[np.ndarray, 'height width 3']:
    """Returns the first picture of a folder or bag, or the picture itself.

    Raises:
        ValueError: There is none.
    """
    folder, files = (source.parent, source.name) if _is_picture(source) else (source, '*')
    for _, picture in read_pictures(folder, topic, files):
        return picture
    raise ValueError(f'{source} has no picture on its camera topic; record again.')


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def image_topic(bag: Path, wanted: str = '') -> str:
    """Returns the camera topic of a bag.

    Raises:
        ValueError: It is not there, or there are several.
    """
    topics = sorted(topic for topic, kind in read_topics(bag).items() if kind in IMAGE_TYPES)
    if wanted in topics:
        return wanted
    if wanted or len(topics) != 1:
        raise ValueError(
            f'{bag} has the camera topics {topics}; name one of them'
            + (f', not {wanted!r}.' if wanted else '.')
        )
    return topics[0]


def recorded_intrinsics(bag: Path, picture_topic: str, topic: str = '') -> CameraIntrinsics:
    """Returns the intrinsics that a CameraInfo topic carries.

    Args:
        bag: The recording.
        picture_topic: Topic of the pictures; may be empty where there is one camera.
        topic: Topic of CameraInfo; empty for the one beside the pictures.

    Raises:
        ValueError: No message is there.
    """
    topic = topic or camera_info_topic(image_topic(bag, picture_topic))
    try:
        return intrinsics(next(read_topic(bag, topic, CAMERA_INFO)).message)
    except ValueError as error:
        raise ValueError(f'{error} Give a YAML file with --camera.') from error


def find_boards(
    source: Path, board: Board, topic: str = '', files: str = '*'
) -> tuple[list[BoardView | None], list[str]]:
    """Looks for the board in every picture of a folder, or in the still and new ones of a bag.

    Returns:
        What was found, and the names of the pictures; see `require_views`.
    """
    found: list[BoardView | None] = []
    names: list[str] = []
    video = is_bag(source)
    previous: BoardView | None = None
    for name, rgb in tqdm(read_pictures(source, topic, files), desc='boards', unit='picture'):
        view = board.find(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), name)
        last = next((v for v in reversed(found) if v is not None), None)
        # A video repeats itself: a view counts if the board is still, and elsewhere than before.
        useless = (
            video and view is not None and not (is_still(view, previous) and is_new(view, last))
        )
        previous = view
        if not useless:
            found.append(view)
            names.append(name)
    return found, names


def is_new(view: BoardView, last: BoardView | None) -> bool:
    """Returns whether the board is elsewhere than in the last view that counted."""
    return last is None or _distance(view, last) > _MIN_MOTION


def is_still(view: BoardView, previous: BoardView | None) -> bool:
    """Returns whether the board is where it was one frame before, so that nothing is blurred."""
    return previous is not None and _distance(view, previous) < _STILL


def _distance(view: BoardView, other: BoardView) -> float:
    """Returns how far corners moved, in parts of the picture's width."""
    if len(view.pixels) != len(other.pixels):
        return float(np.linalg.norm(view.pixels.mean(0) - other.pixels.mean(0))) / view.width
    return float(np.linalg.norm(view.pixels - other.pixels, axis=1).mean()) / view.width
