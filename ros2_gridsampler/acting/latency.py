# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""When each stage of a chunk was done -> how long the stages take (p50, p99, max)."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

STAGES = ('wait', 'decode', 'inference', 'schedule', 'total')


@dataclass(frozen=True)
class ChunkTimes:
    """The life of one executed chunk, all in steady time [s].

    Attributes:
        captured: Capture time of the oldest stream.
        taken: The observation was picked up for inference.
        decoded: Its pictures were ready.
        predicted: The chunk was there.
        commanded: The first command that follows the chunk was published.
    """

    captured: float
    taken: float
    decoded: float
    predicted: float
    commanded: float

    def durations(self) -> tuple[float, ...]:
        """One per entry of `STAGES` [s]; the stages add up to the total."""
        moments = (self.captured, self.taken, self.decoded, self.predicted, self.commanded)
        stages = [after - before for before, after in pairwise(moments)]
        return (*stages, self.commanded - self.captured)


@dataclass(frozen=True)
class Summary:
    """Some durations, summed up [s]."""

    count: int
    p50: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, durations: Sequence[float]) -> 'Summary':
        """Percentiles by linear interpolation; NaN where nothing was measured."""
        if not durations:
            return cls(0, np.nan, np.nan, np.nan)
        p50, p99 = np.percentile(durations, (50, 99))
        return cls(len(durations), float(p50), float(p99), max(durations))

    def __str__(self) -> str:
        return f'{1e3 * self.p50:.1f} / {1e3 * self.p99:.1f} / {1e3 * self.maximum:.1f} ms'


class LatencyWindow:
    """The durations of the most recent chunks, so that one cold start is forgotten again."""

    def __init__(self, chunks: int = 1000) -> None:
        self._durations: deque[tuple[float, ...]] = deque(maxlen=chunks)

    def add(self, times: ChunkTimes) -> None:
        """Appends one chunk."""
        self._durations.append(times.durations())

    def summaries(self) -> Mapping[str, Summary]:
        """Stage -> its summary."""
        columns = list(zip(*self._durations, strict=True)) or [()] * len(STAGES)
        return {name: Summary.of(column) for name, column in zip(STAGES, columns, strict=True)}


class Window:
    """The most recent of some measured numbers; added in one thread, read in any."""

    def __init__(self, length: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=length)

    def add(self, value: float) -> None:
        """Appends one number."""
        self._values.append(value)

    def summary(self) -> Summary:
        """Returns the summary of the numbers that are kept."""
        return Summary.of(list(self._values))

    def share(self, low: float, high: float) -> float:
        """The share that lies from `low` to `high`; NaN where there is none."""
        # A copy first: another thread may be adding.
        values = list(self._values)
        return float(np.mean([low <= value <= high for value in values])) if values else np.nan


class RateWindow:
    """When the most recent events came -> how many per second; added and read in any thread."""

    def __init__(self, length: int = 50) -> None:
        self._times: deque[float] = deque(maxlen=length)

    def add(self, time: float) -> None:
        """One came at `time` [s]."""
        self._times.append(time)

    @property
    def rate(self) -> float:
        """Events per second; 0 where no time lies between the first and the last of them."""
        times = list(self._times)
        span = times[-1] - times[0] if times else 0.0
        return (len(times) - 1) / span if span > 0.0 else 0.0


class DeadlineMonitor:
    """When ticks come, against when they are due.

    Args:
        period: Between two ticks [s].
        tolerance: A period that is off by more counts as irregular [s].
    """

    def __init__(self, period: float, tolerance: float = 0.005) -> None:
        self._period = period
        self._tolerance = tolerance
        self._last: float | None = None
        self._periods = Window(10_000)
        self.ticks = 0
        """How many came."""
        self.missed = 0
        """How many were due while none came."""

    def tick(self, now: float) -> None:
        """One came, now [s]."""
        if self._last is not None:
            elapsed = now - self._last
            self._periods.add(elapsed)
            # A period of 1.4 is late; one of 1.6 has swallowed a tick.
            self.missed += max(round(elapsed / self._period) - 1, 0)
        self._last = now
        self.ticks += 1

    @property
    def last(self) -> float | None:
        """When the newest came [s]."""
        return self._last

    def periods(self) -> Summary:
        """Returns the summary of the times between two ticks [s]."""
        return self._periods.summary()

    @property
    def regular(self) -> float:
        """The share of periods that are right within the tolerance."""
        low, high = self._period - self._tolerance, self._period + self._tolerance
        return self._periods.share(low, high)
