# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The same pictures, another sentence -> how far the sampled points move, and a picture of it."""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ros2_gridsampler.policy.sampled_points import draw_points


@dataclass(frozen=True)
class Glance:
    """What a policy saw and read.

    Attributes:
        images: Camera name -> RGB.
        points: Camera name -> (x, y) in [0, 1] between the centres of the corner cells.
    """

    images: Mapping[str, UInt8[np.ndarray, 'height width 3']]
    points: Mapping[str, Float[np.ndarray, 'tokens 2']]


class Glances:
    """Collects what a policy read in the same states under different sentences.

    Args:
        grid: Rows and columns of the feature map.
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        """Nothing was seen yet."""
        self._grid = grid
        self._found: dict[tuple[int, int], dict[str, Glance]] = {}

    def add(self, state: tuple[int, int], sentence: str, glance: Glance) -> None:
        """Remember the first glance of an episode.

        Args:
            state: Task and number of the initial state.
            sentence: What was said.
            glance: What was seen and read.
        """
        self._found.setdefault(state, {})[sentence] = glance

    def shift(self) -> float:
        """Mean distance between a point under two sentences, all else the same [cells].

        0 where no state was seen under two sentences, and for a policy without points.
        """
        rows, columns = self._grid
        cells = np.array([columns - 1, rows - 1])
        moved = [
            np.linalg.norm(cells * (one.points[camera] - other.points[camera]), axis=1)
            for told in self._found.values()
            for one, other in combinations(told.values(), 2)
            for camera in one.points
        ]
        distances = np.concatenate([np.empty(0), *moved])
        return float(distances.mean()) if distances.size else 0.0

    def draw(self, path: Path, patch: int) -> None:
        """Write a picture of the first state under each sentence.

        Args:
            path: PNG file.
            patch: Side of a cell [px].

        Raises:
            ValueError: Nothing was seen.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if not self._found:
            raise ValueError('No episode was run, so there is nothing to draw.')
        told = next(iter(self._found.values()))
        columns = min(len(told), 3)
        rows = math.ceil(len(told) / columns)
        figure = Figure(figsize=(4 * columns, 2.4 * rows), dpi=120, layout='constrained')
        FigureCanvasAgg(figure)
        for place, (sentence, glance) in enumerate(told.items()):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.imshow(draw_points(glance.images, glance.points, patch=patch))
            axes.set_title(textwrap.fill(sentence, 52), fontsize=9)
            axes.set_axis_off()
        figure.savefig(path)
