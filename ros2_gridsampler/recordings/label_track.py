# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Labels of one topic, one by one -> the one that held at a time."""

import bisect

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class LabelTrack:
    """Values over time; each holds until the next one.

    A label that is older than the one before it is left out: which of the two held cannot be told.

    Attributes:
        times: Of the values [s], in order.
        late: How many were left out.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.late = 0
        self._values: list[Numbers] = []

    @property
    def end(self) -> float:
        """Time of the last value [s]; minus infinity where there is none."""
        return self.times[-1] if self.times else -np.inf

    def add(self, time: float, value: Numbers) -> None:
        """Append a value [any unit] that holds from `time` [s] on."""
        if time < self.end:
            self.late += 1
            return
        self.times.append(time)
        self._values.append(value)

    def at(self, times: Numbers) -> Numbers:
        """The newest value at each time [s]; before the first one, the first."""
        return np.array(
            [self._values[max(bisect.bisect_right(self.times, t) - 1, 0)] for t in times]
        )

    def forget_before(self, time: float) -> None:
        """Nothing before `time` [s] will be asked for."""
        stale = bisect.bisect_left(self.times, time)
        if stale > 512:
            del self.times[:stale], self._values[:stale]
