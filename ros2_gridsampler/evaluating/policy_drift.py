# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks of two policies for the same frames -> how far apart they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk


class PolicyDrift:
    """Mean absolute difference of two policies, by step and entry of an action.

    Args:
        names: The names of the entries of an action.
        scale: Unit of each, see `action_scale`.
        steps: The steps of the shorter chunk.
    """

    def __init__(self, names: Sequence[str], scale: NDArray[np.float64], steps: int) -> None:
        self._names, self._scale = tuple(names), scale
        self._sum = np.zeros((steps, len(names)))
        self._frames = 0

    def add(self, first: ActionChunk, other: ActionChunk) -> None:
        """What both say to one frame."""
        steps = len(self._sum)
        self._sum += np.abs(first.targets[:steps] - other.targets[:steps])
        self._frames += 1

    def summary(self) -> dict[str, Any]:
        """By step and by entry in physical units; `scaled` over all, in units of the arm."""
        mean = self._sum / self._frames
        return {
            'mean_absolute_difference': mean.mean(1).tolist(),
            'scaled': float((mean / self._scale).mean()),
            'by_action': dict(zip(self._names, mean.mean(0).tolist(), strict=True)),
        }
