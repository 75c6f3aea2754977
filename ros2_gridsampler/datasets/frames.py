# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of any robot -> one memory-mapped file of prepared camera frames."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from filelock import FileLock
from jaxtyping import Int, UInt8
from tqdm import tqdm

from ..bags.bag_files import DamagedBag, bag_stamps
from ..bags.bag_reader import IMAGE_TYPES, read_messages, read_topics
from ..bounds import checked, setting
from ..files import disk_of, write_whole
from ..seeing.calibration import ImagePreparation, prepare_image
from ..seeing.camera_message import decode_image
from ..seeing.depth_image import is_depth

STORE_FORMAT = 2
"""Of what decoded bags are kept as; another one when the code reads something else from them."""


@dataclass(frozen=True)
@checked
class FrameConfig:
    """Which frames are read, and how they are prepared.

    Attributes:
        preparation: How pictures are prepared, the same for every camera.
        topics: Topics of Image or CompressedImage; empty for every such topic of a bag.
        every: One in so many frames of each topic is kept; neighbours are nearly equal.
    """

    preparation: ImagePreparation
    topics: tuple[str, ...] = ()
    every: int = setting(1, minimum=1)

    def __post_init__(self) -> None:
        """Refuses lens models that are not read here."""
        if self.preparation.rectify:
            raise ValueError('Frames for pretraining are not rectified; set rectify: false.')


class FrameStore:
    """Frames of many bags; they stay on disk, and the system reads what is drawn.

    Attributes:
        bags: Names of the bags from which the frames are.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / 'index.json').read_text())
        self.bags: list[str] = index['bags']
        self._frames = np.memmap(folder / 'frames.bin', np.uint8, 'r', shape=tuple(index['shape']))

    def __len__(self) -> int:
        return len(self._frames)

    def images(
        self, samples: Int[np.ndarray, ' batch']
    ) -> UInt8[np.ndarray, 'batch height width 3']:
        """Returns copies of these frames."""
        return np.array(self._frames[samples])


def store_frames(bags: Sequence[Path], config: FrameConfig, cache: Path) -> FrameStore:
    """Reads bags once, frame by frame, or finds that they have been read.

    Args:
        bags: Bag folders or files.
        config: What to keep of them.
        cache: Where stores are kept; one per set of bags and config.

    Raises:
        ValueError: A bag has no such camera, is damaged, or its pictures cannot be decoded.
        OSError: The disk is full.
    """
    folder = cache / f'frames_{store_key(bags, config)}'
    cache.mkdir(parents=True, exist_ok=True)
    # Another process may be reading the same bags for the same store.
    with FileLock(f'{folder}.lock'):
        if not (folder / 'index.json').exists():
            _write_store(bags, config, folder)
    return FrameStore(folder)


def store_key(bags: Sequence[Path], config: Any) -> str:
    """Returns a key that changes with everything that changes what is decoded."""
    stamps = [[str(bag.resolve()), bag_stamps(bag)] for bag in bags]
    content = [STORE_FORMAT, stamps, cattrs.unstructure(config)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def camera_topics(bag: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the topics of pictures in a bag.

    Raises:
        ValueError: It has none, or lacks one of those wanted.
    """
    there = sorted(topic for topic, kind in read_topics(bag).items() if kind in IMAGE_TYPES)
    depth = depth_topics(bag, there) if len(there) > 1 else set()
    found = [topic for topic in there if topic not in depth]
    missing = sorted(set(wanted) - set(found))
    if missing or not found:
        besides = f' ({sorted(depth)} are depth images)' if depth else ''
        raise ValueError(
            f'{bag} has no pictures on {missing or "any topic"}; its camera topics are {found}'
            f'{besides}. Name other topics in the recipe, or leave this bag out.'
        )
    return tuple(wanted) or tuple(found)


def depth_topics(bag: Path, topics: Sequence[str]) -> set[str]:
    """Those of the picture topics whose first message is a depth image."""
    depth = set()
    for topic in topics:
        # What is lost of a damaged bag is told by whoever reads all of it.
        with contextlib.suppress(DamagedBag):
            first = next(read_messages(bag, (topic,)), None)
            if first is not None and is_depth(first.message):
                depth.add(topic)
    return depth


def read_frames(bag: Path, config: FrameConfig) -> Iterator[UInt8[np.ndarray, 'height width 3']]:
    """Yields the prepared frames of a bag in order of log time, one in memory at a time."""
    topics = camera_topics(bag, config.topics)
    seen = dict.fromkeys(topics, 0)
    for recorded in read_messages(bag, topics):
        number = seen[recorded.topic]
        seen[recorded.topic] += 1
        if number % config.every == 0:
            yield prepare_image(decode_image(recorded.message), config.preparation)
    empty = [topic for topic, count in seen.items() if not count]
    if empty:
        raise ValueError(f'{bag} has not one picture on {empty}; leave this bag out.')


def _write_store(bags: Sequence[Path], config: FrameConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    advice = 'keep fewer frames ("every" in the recipe), or name another cache folder'
    with disk_of(folder, advice), (folder / 'frames.bin').open('wb') as frames:
        for bag in tqdm(bags, desc='reading frames', unit='bag'):
            for picture in read_frames(bag, config):
                frames.write(picture.tobytes())
                count += 1
    shape = (count, config.preparation.height, config.preparation.width, 3)
    # The index last: without it a store that was cut off is written anew.
    index = {'shape': shape, 'bags': [bag.name for bag in bags]}
    write_whole(folder / 'index.json', json.dumps(index))
