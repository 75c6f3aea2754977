# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded pictures of one camera -> how many are black, repeated or cannot be decoded."""

import zlib
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from ..seeing.camera_message import decode_image
from ..seeing.depth_image import decode_depth, is_depth
from ..seeing.opencv import opencv
from ..seeing.stream_health import StreamBudget

DarkCameras = Literal['refuse', 'leave-out', 'keep']
"""What a training does with an episode in which a camera shows nothing from begin to end."""
# A picture whose brightest regions are darker than this shows nothing (of 255).
_BLACK = 10
# Of a large picture, pixels at so many places along its shorter side are enough.
_SIDE = 128
# Pixels of a picture that shows something differ by more (standard deviation, of 255), as live.
_LEAST_CONTRAST = StreamBudget().min_contrast
# From this share of its pictures on a camera is worth a look before anything else.
_MUCH = 0.1
# An episode with a larger share of such pictures is dark as a whole.
_WHOLE = 0.95


def shows_nothing(picture: UInt8[np.ndarray, 'height width 3']) -> str:
    """Returns 'black', 'blank' for one colour all over, or '' for a picture of something."""
    every = max(1, min(picture.shape[:2]) // _SIDE)
    sample = np.ascontiguousarray(picture[::every, ::every])
    if int(sample.max()) < _BLACK:
        return 'black'
    _, deviation = opencv().meanStdDev(sample)
    return 'blank' if float(deviation.max()) < _LEAST_CONTRAST else ''


class CameraHealth:
    """Looks at every picture of a camera, in the order of the recording.

    A picture that repeats the one before bit for bit is not decoded again.
    """

    def __init__(self) -> None:
        self.pictures = self.black = self.blank = self.frozen = self.broken = 0
        self.stuck = 0
        """Pictures that repeat the one before while the arm moves."""
        self.reason = ''
        """Why the first picture that cannot be decoded cannot."""
        self._checksum = self._stuck_at = -1
        self._kind = ''

    def add(self, message: Any) -> str:
        """Takes an Image or CompressedImage.

        Returns:
            'black', 'blank', 'broken' or '' for a picture that shows something.
        """
        self.pictures += 1
        checksum = zlib.crc32(message.data)
        if checksum == self._checksum:
            self.frozen += 1
        else:
            self._kind = self._look(message)
        self._checksum = checksum
        self.black += self._kind == 'black'
        self.blank += self._kind == 'blank'
        self.broken += self._kind == 'broken'
        return self._kind

    def repeats(self, message: Any) -> bool:
        """Whether a picture is the newest one bit for bit."""
        return zlib.crc32(message.data) == self._checksum

    def stick(self) -> None:
        """Counts the newest picture, once, as one that should have changed: the arm moves."""
        self.stuck += self._stuck_at != self.pictures
        self._stuck_at = self.pictures

    def advice(self) -> str:
        """Returns why a person should look at this camera first; empty where there is no need."""
        parts = [
            f'{count} of {self.pictures} frames {words}'
            for count, words in (
                (self.black, 'are black'),
                (self.blank, 'are of one colour all over'),
                (self.broken, f'cannot be decoded ({self.reason})'),
                (self.stuck, 'repeat one picture while the arm moves'),
            )
            if count and count >= _MUCH * self.pictures
        ]
        return ', '.join(parts)

    @property
    def dark(self) -> str:
        """Why it shows nothing, or one picture, from begin to end; empty where it shows more."""
        for count, words in (
            (self.black + self.blank + self.broken, 'show nothing'),
            (self.frozen + 1, 'are one and the same picture'),
        ):
            if self.pictures > 1 and count >= _WHOLE * self.pictures:
                return f'{min(count, self.pictures)} of {self.pictures} frames {words}'
        return ''

    def problems(self) -> list[str]:
        """Returns all that is wrong with its pictures, a sentence each."""
        return [
            f'{count} of {self.pictures} frames {words}.'
            for count, words in (
                (self.black, 'are black'),
                (self.blank, 'are of one colour all over'),
                (self.frozen, 'repeat the one before bit for bit (frozen)'),
                (self.broken, f'cannot be decoded: {self.reason.rstrip(".")}'),
            )
            if count
        ]

    def _look(self, message: Any) -> str:
        try:
            if is_depth(message):
                return '' if np.isfinite(decode_depth(message)).any() else 'black'
            return shows_nothing(_small(message))
        except ValueError as error:
            self.reason = self.reason or str(error)
            return 'broken'


def _small(message: Any) -> UInt8[np.ndarray, 'height width 3']:
    """A picture, of a large JPEG at a quarter of its size, which is decoded much faster.

    Raises:
        ValueError: It cannot be decoded.
    """
    data = np.frombuffer(message.data, np.uint8)
    whole = bytes(data[-64:]).rstrip(b'\0').endswith(b'\xff\xd9')
    if not hasattr(message, 'encoding') and whole and bytes(data[:2]) == b'\xff\xd8':
        cv2 = opencv()
        small = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_4)
        if small is not None and min(small.shape[:2]) >= 32:
            return np.asarray(small, np.uint8)
    return decode_image(message)
