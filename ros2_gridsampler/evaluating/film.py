# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Stamped pictures of episodes -> a captioned film that plays in every browser."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from jaxtyping import UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from ..seeing.camera_message import decode_image
from .overlay import RATE, FilmFile

VERDICT_FRAMES = 15
"""How long the end of an episode is shown [frames]."""

_STRIP = 104
_MARGIN = 20
_INK = (238, 240, 242)
_PALE = (150, 156, 164)
_PAPER = (20, 22, 26)
_GREEN, _RED = (46, 160, 90), (200, 72, 60)


@dataclass(frozen=True)
class Picture:
    """A JPEG file and when it was captured [s]."""

    time: float
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True)
class Clip:
    """One episode.

    Attributes:
        heading: Small line over the caption.
        caption: Any text; shown on up to two lines.
        success: Decides the colour of the end.
        verdict: Said at the end.
        pictures: In order of time, all of one size.
    """

    heading: str
    caption: str
    success: bool
    verdict: str
    pictures: Sequence[Picture]


def write_film(clips: Sequence[Clip], path: Path, *, progress: bool = False) -> int:
    """Writes a film in which a picture stays until the next one came: it runs in real time.

    Args:
        clips: One after the other; one without pictures is left out.
        path: The mp4 file.
        progress: Whether to show a bar.

    Returns:
        The number of frames.

    Raises:
        ValueError: There is no picture at all.
    """
    shown = [clip for clip in clips if clip.pictures]
    if not shown:
        raise ValueError('No clip has a picture, so there is nothing to film.')
    total = sum(count_frames(clip) for clip in shown)
    with (
        closing(FilmFile(path, '-crf', '23')) as film,
        tqdm(total=total, desc='film', unit='frame', disable=not progress) as bar,
    ):
        for clip in shown:
            for frame in _frames(clip):
                film.add(frame)
                bar.update()
    return total


def count_frames(clip: Clip) -> int:
    """How many frames a clip becomes."""
    return len(_choose(clip.pictures)) + VERDICT_FRAMES if clip.pictures else 0


def _choose(pictures: Sequence[Picture]) -> list[int]:
    """Returns for each frame the newest picture that was there."""
    times = np.array([picture.time for picture in pictures])
    moments = np.arange(times[0], times[-1] + 0.5 / RATE, 1 / RATE)
    # Half a frame of grace, or jitter of a stamp would show a picture twice and skip one.
    chosen = np.searchsorted(times, moments + 0.5 / RATE, side='right') - 1
    return [int(index) for index in chosen]


def _frames(clip: Clip) -> Iterator[UInt8[np.ndarray, 'height width 3']]:
    pictures, begin = clip.pictures, clip.pictures[0].time
    for index in _choose(pictures):
        picture = _decode(pictures[index])
        clock = f'{pictures[index].time - begin:.1f} s'
        yield np.concatenate([_strip(clip, picture.shape[1], clock), picture])
    last = _decode(pictures[-1])
    clock = f'{pictures[-1].time - begin:.1f} s'
    end = np.concatenate([_strip(clip, last.shape[1], clock), _judge(clip, last)])
    for _ in range(VERDICT_FRAMES):
        yield end


def _strip(clip: Clip, width: int, clock: str) -> UInt8[np.ndarray, 'height width 3']:
    captioned = _caption(clip.heading, clip.caption, width).copy()
    draw = ImageDraw.Draw(captioned)
    draw.text((width - _MARGIN, 14), clock, _PALE, _font(15), anchor='ra')
    return np.asarray(captioned)


@lru_cache(maxsize=4)
def _caption(heading: str, caption: str, width: int) -> Image.Image:
    strip = Image.new('RGB', (width, _STRIP), _PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((_MARGIN, 14), heading, _PALE, _font(15))
    lines = _wrap(caption, width - 2 * _MARGIN)
    for row, line in enumerate(lines[:2]):
        draw.text((_MARGIN, 38 + 28 * row), line, _INK, _font(21))
    return strip


def _wrap(text: str, width: int) -> list[str]:
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and _font(21).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _judge(
    clip: Clip, picture: UInt8[np.ndarray, 'height width 3']
) -> UInt8[np.ndarray, 'height width 3']:
    dark = Image.fromarray(picture // 2)
    width, height = dark.size
    draw = ImageDraw.Draw(dark)
    colour = _GREEN if clip.success else _RED
    draw.rectangle((0, height // 2 - 36, width, height // 2 + 36), colour)
    draw.text((width / 2, height / 2), clip.verdict, (255, 255, 255), _font(28), anchor='mm')
    return np.asarray(dark)


def _decode(picture: Picture) -> UInt8[np.ndarray, 'height width 3']:
    return decode_image(SimpleNamespace(format='jpeg', data=picture.jpeg))


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings this font along, so the film looks the same everywhere.
    return ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)
