# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A video and the rows that belong to it -> a picture for each row, as JPEG.

Row i has frame i. The rows' timestamps must say the same, within the tolerance of LeRobot's own
dataset class; where they do not, somebody has to say which of both is believed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from jaxtyping import Float, Int

from ..seeing.camera_message import encode_jpeg

Pairing = Literal['both', 'index', 'time']
"""Whom to believe: 'both' refuses where frame numbers and timestamps disagree."""
# LeRobot's [s].
_TOLERANCE = 1e-4
_WHICH = (
    'Say which to believe: --pair-by index gives row i the frame i, --pair-by time the frame that '
    'is nearest in time.'
)


def row_frames(
    path: Path,
    begin: float,
    numbers: Int[np.ndarray, ' rows'],
    times: Float[np.ndarray, ' rows'],
    pair_by: Pairing,
) -> list[bytes]:
    """The frames of an episode's rows.

    Args:
        path: The video, perhaps of several episodes.
        begin: Where the episode begins in it [s].
        numbers: Frame number of each row in its episode, rising.
        times: The times of each row in its episode [s], rising.
        pair_by: Whom to believe.

    Raises:
        ValueError: The video ends before, or numbers and times disagree.
    """
    if pair_by == 'time':
        return _nearest_frames(path, times + begin)
    found: list[bytes] = []
    last, count = 0.0, 0
    for number, (time, frame) in enumerate(_frames_from(path, begin)):
        if number == 0 and begin and abs(time - begin) > _TOLERANCE and pair_by == 'both':
            raise ValueError(
                f'it begins at {begin:.4f} s of {path.name}, whose nearest frame is at '
                f'{time:.4f} s. {_WHICH}'
            )
        last, count = time, number + 1
        row = len(found)
        if number < numbers[row]:
            continue
        off = abs(time - begin - times[row])
        if pair_by == 'both' and off > _TOLERANCE + np.spacing(np.float32(times[row])):
            raise ValueError(
                f'row {row} says {times[row]:.4f} s, but frame {number} of {path.name} is at '
                f'{time - begin:.4f} s, {1e3 * off:.1f} ms off where LeRobot allows '
                f'{1e3 * _TOLERANCE:g} ms. {_WHICH}'
            )
        found.append(_jpeg(frame))
        if len(found) == len(numbers):
            return found
    raise ValueError(
        f'{path.name} ends at {last:.3f} s and has {count} frames from {begin:.3f} s on, but the '
        f'episode has {len(numbers)} rows up to {times[-1]:.3f} s. Copy the video again, or, if '
        'it is whole, use --pair-by time.'
    )


def _frames_from(path: Path, begin: float) -> Iterator[tuple[float, Any]]:
    """Time [s] and frame, from the one nearest to `begin` [s] on."""
    before: tuple[float, Any] | None = None
    started = not begin
    for time, frame in _decoded(path, begin):
        if started:
            yield time, frame
            continue
        if time >= begin:
            started = True
            if before is not None and begin - before[0] < time - begin:
                yield before
            yield time, frame
        before = time, frame
    if not started and before is not None:
        yield before


def _decoded(path: Path, begin: float) -> Iterator[tuple[float, Any]]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f'{path.name} holds no video.')
            stream = container.streams.video[0]
            if begin and stream.time_base:
                container.seek(int(max(begin - 1e-3, 0.0) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                # Those before may lack what the seek left out, and are not used.
                if frame.is_corrupt and (frame.time or 0.0) > begin - _TOLERANCE:
                    raise ValueError(
                        f'{path.name} is damaged at {frame.time or 0.0:.3f} s; copy the video '
                        'again.'
                    )
                if frame.time is not None:
                    yield frame.time, frame
    except av.FFmpegError as error:
        raise ValueError(
            f'{path.name} cannot be decoded ({error.strerror}); copy the video again.'
        ) from error


def _nearest_frames(path: Path, times: Float[np.ndarray, ' rows']) -> list[bytes]:
    """The frame of a video nearest to each time [s]; times rise."""
    found: list[bytes] = []
    before: tuple[float, Any] | None = None
    for time, frame in _decoded(path, float(times[0])):
        while len(found) < len(times) and before is not None:
            if times[len(found)] >= (before[0] + time) / 2:
                break
            found.append(_jpeg(before[1]))
        before = time, frame
        if len(found) == len(times):
            break
    last = before[0] if before is not None else -np.inf
    tolerance = 1.0 if len(times) < 2 else float(np.diff(times).min())
    while len(found) < len(times) and before is not None and times[len(found)] - last < tolerance:
        found.append(_jpeg(before[1]))
    if len(found) < len(times):
        raise ValueError(
            f'{path.name} ends at {last:.3f} s, but the episode goes on to {times[-1]:.3f} s. '
            'Copy the video again, or, if it has a frame for every row, use --pair-by index.'
        )
    return found


def _jpeg(frame: Any) -> bytes:
    return encode_jpeg(frame.to_ndarray(format='rgb24'))
