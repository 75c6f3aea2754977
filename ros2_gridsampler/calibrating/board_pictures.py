# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Folder of pictures or bag -> pictures one by one; the boards in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
# Pictures so far apart are no video: in time [s], or by how far the board is elsewhere, which no
# exposure could follow.
_ALONE, _JUMP = 0.5, 0.1
# Pictures that are looked at once more where nothing was found.
_TRIED = 5


def is_bag(path: Path) -> bool:
    """Whether this is a recording, not a folder of pictures."""
    if not path.is_dir():
        return is_storage(path)
    return (path / 'metadata.yaml').exists() or any(map(is_storage, path.iterdir()))


def read_pictures(
    source: Path, topic: str = '', files: str = '*'
) -> Iterator[tuple[str, UInt8[np.ndarray, 'height width 3']]]:
    """Names and RGB pictures.

    Args:
        source: Folder of pictures, or a bag.
        topic: The topic of the bag; may be empty where it has one camera.
        files: Pattern of file names in a folder.

    Raises:
        ValueError: No pictures there, or one cannot be read.
    """
    if not source.exists():
        raise ValueError(f'{source} is not there; name a folder of pictures or a bag.')
    if is_bag(source):
        for _, name, picture in _read_bag(source, topic):
            yield name, picture
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


def _read_bag(
    bag: Path, topic: str
) -> Iterator[tuple[float, str, UInt8[np.ndarray, 'height width 3']]]:
    """Log time [s], capture time in words, and RGB picture."""
    for recorded in read_messages(bag, (image_topic(bag, topic),)):
        # A driver that does not stamp leaves 0.
        time = stamp_seconds(recorded.message.header.stamp) or recorded.time
        yield recorded.time, f'{time:.3f}', decode_image(recorded.message)


def first_picture(source: Path, topic: str = '') -> UInt8[np.ndarray, 'height width 3']:
    """The first picture of a folder or bag, or the picture itself.

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
    """The camera topic of a bag.

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
    """Returns the intrinsics from a CameraInfo topic.

    Args:
        bag: The recording.
        picture_topic: The picture topic of the camera; may be empty where there is one camera.
        topic: The topic of CameraInfo; empty for the one beside the pictures.

    Raises:
        ValueError: No message there.
    """
    topic = topic or camera_info_topic(image_topic(bag, picture_topic))
    try:
        return intrinsics(next(read_topic(bag, topic, CAMERA_INFO)).message)
    except ValueError as error:
        raise ValueError(f'{error} Give a YAML file with --camera.') from error


def find_boards(
    source: Path, board: Board, topic: str = '', files: str = '*'
) -> tuple[list[BoardView | None], list[str]]:
    """Looks for the board in the pictures of a folder, or in those of a bag that say something.

    Of a video that are the still and new ones: a picture in which the board moves is blurred. One
    picture per pose is no video, and is taken as from a folder.

    Returns:
        What was found, and the names of the pictures; see `require_views`.

    Raises:
        ValueError: A bag has no picture, or a ChArUco board is of the other pattern.
    """
    found: list[BoardView | None] = []
    names: list[str] = []
    tried: list[UInt8[np.ndarray, 'height width']] = []
    seen: list[_Seen] = []
    video = is_bag(source)
    pictures = _read_bag(source, topic) if video else _read_folder(source, topic, files)
    for time, name, rgb in tqdm(pictures, desc='boards', unit='picture'):
        gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        seen.append(_Seen(time, name, board.find(gray, name)))
        if len(tried) < _TRIED:
            tried.append(gray)
    if not seen:
        raise ValueError(f'{source} has no picture on its camera topic; record again.')
    last: BoardView | None = None
    for index, this in enumerate(seen):
        before, after = (seen[k] if 0 <= k < len(seen) else None for k in (index - 1, index + 1))
        view = this.view
        if video and view is not None:
            if _alone(this, before) and _alone(this, after):
                useful = last is None or not is_still(view, last)
            else:
                useful = is_still(view, before.view if before else None) and is_new(view, last)
            if not useful:
                continue
        found.append(view)
        names.append(this.name)
        last = view or last
    if not any(view is not None for view in found):
        _say_why(seen, board, tried)
    return found, names


@dataclass(frozen=True)
class _Seen:
    time: float
    name: str
    view: BoardView | None


def _read_folder(
    folder: Path, topic: str, files: str
) -> Iterator[tuple[float, str, UInt8[np.ndarray, 'height width 3']]]:
    for name, picture in read_pictures(folder, topic, files):
        yield 0.0, name, picture


def _alone(this: _Seen, neighbour: _Seen | None) -> bool:
    """Whether a picture was taken by itself, not as the next frame of a video."""
    if neighbour is None or abs(this.time - neighbour.time) > _ALONE:
        return True
    if this.view is None or neighbour.view is None:
        return False
    return _distance(this.view, neighbour.view) > _JUMP


def _say_why(
    seen: Sequence[_Seen], board: Board, tried: Sequence[UInt8[np.ndarray, 'height width']]
) -> None:
    """Raise ValueError where the board is there, but was of no use."""
    moving = sum(each.view is not None for each in seen)
    if moving:
        raise ValueError(
            f'The board is in {moving} of {len(seen)} pictures and moves in all of them, so they '
            'are blurred; hold it still for a moment at each pose, or record one picture of it.'
        )
    other = replace(board, legacy=not board.legacy)
    if board.kind == 'charuco' and any(other.find(gray) is not None for gray in tried):
        raise ValueError(
            f'The board is printed in the {"new" if board.legacy else "old"} pattern of OpenCV: '
            f'{"leave out" if board.legacy else "add"} --legacy.'
        )


def is_new(view: BoardView, last: BoardView | None) -> bool:
    """Whether the board is elsewhere than in the last view that counted."""
    return last is None or _distance(view, last) > _MIN_MOTION


def is_still(view: BoardView, previous: BoardView | None) -> bool:
    """Whether the board is where it was in the frame before: the picture is not blurred."""
    return previous is not None and _distance(view, previous) < _STILL


def _distance(view: BoardView, other: BoardView) -> float:
    """How far corners moved, in parts of the picture's width."""
    # Of a ChArUco board not every picture shows the same corners.
    both = {tuple(point): pixel for point, pixel in zip(other.points, other.pixels, strict=True)}
    pairs = [
        pixel - both[tuple(point)]
        for point, pixel in zip(view.points, view.pixels, strict=True)
        if tuple(point) in both
    ]
    if not pairs:
        return float(np.linalg.norm(view.pixels.mean(0) - other.pixels.mean(0))) / view.width
    return float(np.linalg.norm(pairs, axis=1).mean()) / view.width
