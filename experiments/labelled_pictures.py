# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST's files, or a folder of pictures per class -> pictures with labels."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from ros2_gridsampler.seeing.calibration import ImagePreparation, prepare_image

FASHION_MNIST = 'train-images-idx3-ubyte.gz'
SUFFIXES = ('.png', '.jpg', '.jpeg')


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Prepared pictures and the number of the class of each."""

    images: UInt8[np.ndarray, 'pictures height width 3']
    labels: Int[np.ndarray, ' pictures']


def read_labelled(
    folder: Path, preparation: ImagePreparation, most: int
) -> tuple[LabelledPictures, LabelledPictures]:
    """Pictures to fit on and others to measure on.

    Args:
        folder: With the four files of Fashion-MNIST, or with one folder of PNG or JPEG pictures
            per class; of the latter, one picture in four is measured on.
        preparation: How the encoder wants its pictures.
        most: The largest size of each of the two sets, drawn with a fixed seed.

    Raises:
        ValueError: There is nothing of the kind in the folder.
    """
    if (folder / FASHION_MNIST).exists():
        parts = [_read_idx_pair(folder, part) for part in ('train', 't10k')]
    else:
        parts = _list_folders(folder)
    fit, measure = (_draw(read, labels, preparation, most) for read, labels in parts)
    if len(np.unique(fit.labels)) < 2 or not len(measure.labels):
        raise ValueError(f'{folder} has fewer than two classes with pictures for both sets.')
    return fit, measure


_Reader = Callable[[int], UInt8[np.ndarray, 'height width 3']]


def _draw(
    read: _Reader, labels: Int[np.ndarray, ' all'], preparation: ImagePreparation, most: int
) -> LabelledPictures:
    chosen = np.random.default_rng(0).permutation(len(labels))[:most]
    pictures = np.empty((len(chosen), preparation.height, preparation.width, 3), np.uint8)
    for row, index in zip(pictures, chosen, strict=True):
        row[:] = prepare_image(read(int(index)), preparation)
    return LabelledPictures(pictures, labels[chosen])


def _read_idx_pair(folder: Path, part: str) -> tuple[_Reader, Int[np.ndarray, ' all']]:
    pictures = read_idx(folder / f'{part}-images-idx3-ubyte.gz')
    labels = read_idx(folder / f'{part}-labels-idx1-ubyte.gz').astype(np.int64)
    if pictures.ndim != 3 or len(pictures) != len(labels):
        raise ValueError(
            f'{folder} has pictures of shape {pictures.shape} and {len(labels)} labels of '
            f'{part}; install the package dataset-fashion-mnist again.'
        )
    return lambda index: np.repeat(pictures[index][..., None], 3, 2), labels


def read_idx(path: Path) -> UInt8[np.ndarray, '...']:
    """Read an IDX file of bytes, gzipped (http://yann.lecun.com/exdb/mnist).

    Raises:
        ValueError: It is no such file, or was cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f'{path} cannot be read: {error}; fetch it again.') from error
    if data[:3] != b'\0\0\x08':
        raise ValueError(f'{path} is no IDX file of bytes; it starts with {data[:4].hex()}.')
    shape = np.frombuffer(data, '>u4', data[3], 4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if values.size != shape.prod():
        raise ValueError(f'{path} holds {values.size} bytes, {shape.prod()} were announced.')
    return values.reshape(shape)


def _list_folders(folder: Path) -> list[tuple[_Reader, Int[np.ndarray, ' all']]]:
    if not folder.is_dir():
        raise ValueError(f'{folder} is no folder; name Fashion-MNIST, bags, or pictures.')
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files: tuple[list[Path], list[Path]] = ([], [])
    labels: tuple[list[int], list[int]] = ([], [])
    for label, place in enumerate(classes):
        pictures = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
        for number, file in enumerate(pictures):
            files[number % 4 == 3].append(file)
            labels[number % 4 == 3].append(label)
    if not files[0]:
        raise ValueError(
            f'{folder} holds neither {FASHION_MNIST} nor a recording nor folders of pictures, '
            'one per class.'
        )
    return [
        (partial(_read_picture, part), np.array(found, np.int64))
        for part, found in zip(files, labels, strict=True)
    ]


def _read_picture(files: list[Path], index: int) -> UInt8[np.ndarray, 'height width 3']:
    path = files[index]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f'{path} is no PNG or JPEG picture; remove it.')
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
