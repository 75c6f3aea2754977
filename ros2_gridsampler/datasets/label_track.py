# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Labels of one topic, one by one -> the one that held at a time."""

import bisect

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
HOP = 1.0
"""No message is overtaken by so much [s]."""


class LabelTrack:
    """Values over time; each holds until the next one.

    Messages may overtake each other on their way: labels are kept in the order of their times.
    One that is older by more than `HOP` is left out: then a clock was set.

    Attributes:
        times: Times of the values, in order [s].
        lost: Number of values that were left out.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.lost = 0
        self._values: list[Numbers] = []

    @property
    def end(self) -> float:
        """Time of the last value [s]; minus infinity where there is none."""
        return self.times[-1] if self.times else -np.inf

    def add(self, time: float, value: Numbers) -> None:
        """Takes a value [any unit] that holds from `time` [s] on."""
        if time < self.end - HOP:
            self.lost += 1
            return
        place = bisect.bisect_right(self.times, time)
        self.times.insert(place, time)
        self._values.insert(place, value)

    def at(self, times: Numbers) -> Numbers:
        """Returns the newest value at each time [s]; before the first one, the first."""
        return np.array(
            [self._values[max(bisect.bisect_right(self.times, t) - 1, 0)] for t in times]
        )

    def forget_before(self, time: float) -> None:
        """Forgets values before `time` [s], but for the one that holds then."""
        stale = bisect.bisect_right(self.times, time) - 1
        if stale > 512:
            del self.times[:stale], self._values[:stale]
