# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A sampled signal -> how jerky it is."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Smoothness:
    """Root mean square jerk of a sampled signal, in units of `action_scale` per s^3.

    Args:
        scale: Unit of each entry.
        order: Differences to take: 3 of positions, 2 of velocities.
    """

    def __init__(self, scale: Numbers, order: int) -> None:
        self._scale = scale
        self._order = order
        self._samples: deque[tuple[float, Numbers]] = deque(maxlen=order + 1)
        self._sum, self._count = 0.0, 0

    def add(self, time: float, value: Numbers) -> None:
        """The signal at `time` [s]; a pause or a step back starts anew."""
        if self._samples and not 0 < time - self._samples[-1][0] < 0.5:
            self._samples.clear()
        self._samples.append((time, value / self._scale))
        if len(self._samples) > self._order:
            times = np.array([at for at, _ in self._samples])
            period = (times[-1] - times[0]) / self._order
            values = np.array([value for _, value in self._samples])
            jerk = np.diff(values, self._order, axis=0)[-1] / period**self._order
            self._sum += float((jerk**2).mean())
            self._count += 1

    def cut(self) -> None:
        """Start anew with the next sample."""
        self._samples.clear()

    def value(self) -> float | None:
        """None where there were too few samples."""
        return float(np.sqrt(self._sum / self._count)) if self._count else None
