# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation on its way -> pictures and a film of where the policies look."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from ..bags.bag_storage import RecordedMessage
from ..policy.prediction import Prediction
from ..policy.sampled_points import draw_points
from ..seeing.observation import Observation
from .policy_scores import Contestant

RATE = 10
"""Frames of a film per second."""
_SCALE = 2
_GUTTER = 8


def draw(
    observation: Observation, prediction: Prediction, contestant: Contestant
) -> UInt8[np.ndarray, 'height width 3']:
    """All cameras side by side, with the points where they were read."""
    none = np.empty((0, 2))
    points = {name: prediction.points.get(name, none) for name in observation.images}
    patch = contestant.config.encoder.patch
    return draw_points(observation.images, points, patch=patch, scale=_SCALE)


class FilmFile:
    """An mp4 file (H.264 in yuv420p, which every browser plays), begun by its first picture.

    Args:
        path: The file.
        options: What ffmpeg is told besides.
    """

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._options = options
        self._writer: Any = None
        self._size = (0, 0)
        self.frames = 0
        """Pictures in the film."""

    def add(self, picture: UInt8[np.ndarray, 'height width 3']) -> None:
        """Adds a frame; the first one decides the size of all."""
        import imageio_ffmpeg

        if self._writer is None:
            height, width = picture.shape[:2]
            # yuv420p halves both sides.
            self._size = (width + width % 2, height + height % 2)
            self._writer = imageio_ffmpeg.write_frames(
                str(self.path),
                self._size,
                fps=RATE,
                codec='libx264',
                pix_fmt_out='yuv420p',
                macro_block_size=2,
                quality=None,
                output_params=['-preset', 'veryfast', '-movflags', '+faststart', *self._options],
            )
            self._writer.send(None)
        right, below = (
            side - at for side, at in zip(self._size, picture.shape[1::-1], strict=True)
        )
        padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
        self._writer.send(np.ascontiguousarray(padded))
        self.frames += 1

    def close(self) -> None:
        """Finishes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class OverlayFilm(FilmFile):
    """Listens to an evaluation and films the pictures that the policies see, in real time.

    Args:
        path: The mp4 file.
        contestants: One, or two that are shown side by side.
        longest: So much of a longer bag is filmed [s].
    """

    def __init__(
        self, path: Path, contestants: Sequence[Contestant], longest: float = 60.0
    ) -> None:
        super().__init__(path, '-crf', '26', '-threads', '1', '-fflags', '+bitexact')
        self._contestants = contestants
        self._longest = longest
        self._begin = np.nan

    def message(self, recorded: RecordedMessage) -> None:
        """See `evaluation.Listener`."""

    def prediction(
        self, now: float, observation: Observation, predictions: Sequence[Prediction]
    ) -> None:
        if np.isnan(self._begin):
            self._begin = observation.time
        elapsed = observation.time - self._begin
        # A stamp that jitters must neither repeat a picture nor skip one.
        if elapsed > self._longest or elapsed * RATE < self.frames - 0.25:
            return
        shown = [
            draw(observation, prediction, contestant)
            for contestant, prediction in zip(self._contestants, predictions, strict=True)
        ]
        gutter = np.full((shown[0].shape[0], _GUTTER, 3), 255, np.uint8)
        self.add(shown[0] if len(shown) == 1 else np.hstack([shown[0], gutter, shown[1]]))

    def embedded(self) -> str:
        """The film as a data URI; empty where nothing was filmed."""
        if not self.frames:
            return ''
        return 'data:video/mp4;base64,' + base64.b64encode(self.path.read_bytes()).decode()
