# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Samples of one stream, in any order -> the newest at a time, and whether a picture is stuck."""

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float

from ..bounds import checked

Sample = TypeVar('Sample')


class SampleStream(Generic[Sample]):
    """The recent samples of one stream, by capture time, whatever the order of arrival.

    Args:
        name: For people.
        depth: How many are kept at most.
        reach: A sample that is farther back than this starts the stream anew [s].
        span: So far back from the newest a moment must still have its sample [s].
        content: A sample's content in a form that can be compared.
    """

    def __init__(
        self,
        name: str,
        depth: int,
        reach: float,
        span: float,
        content: Callable[[Sample], bytes],
    ) -> None:
        self.name = name
        self.samples: deque[tuple[float, Sample]] = deque(maxlen=depth)
        self.repeated = 0
        """Samples whose stamp was there before."""
        self.restarts = 0
        """How often the stamps went back, farther than by `reach`."""
        self._reach = reach
        self._span = span
        self._content = content

    def add(self, time: float, sample: Sample) -> bool:
        """Stores a sample captured at `time` [s].

        Of two with one stamp the one with the larger content stays: no better than the other,
        but the same one whichever came first.

        Returns:
            Whether it started the stream anew.
        """
        samples = self.samples
        restarted = bool(samples) and time < samples[-1][0] - self._reach
        if restarted:
            # The clock was set back (a bag restarted, a driver reset): old stamps say nothing.
            samples.clear()
            self.restarts += 1
        place = len(samples)
        while place and samples[place - 1][0] > time:
            place -= 1
        if place and samples[place - 1][0] == time:
            self.repeated += 1
            if self._content(sample) > self._content(samples[place - 1][1]):
                samples[place - 1] = (time, sample)
            return restarted
        if len(samples) == samples.maxlen:
            if not place:
                return restarted
            samples.popleft()
            place -= 1
        samples.insert(place, (time, sample))
        # One before that is the sample of the moments between it and the next.
        while len(samples) > 1 and samples[1][0] <= samples[-1][0] - self._span:
            samples.popleft()
        return restarted

    def at(self, time: float) -> tuple[float, Sample] | None:
        """The newest sample captured at or before `time` [s]."""
        return next((pair for pair in reversed(self.samples) if pair[0] <= time), None)

    def late(self, limit: float) -> str:
        """The name of the stream; see `JointStream.late`."""
        return self.name

    @property
    def newest(self) -> float | None:
        """Capture time of the newest sample [s]; None before the first."""
        return self.samples[-1][0] if self.samples else None


@dataclass(frozen=True)
@checked
class FrozenConfig:
    """What makes a picture a frozen one.

    Attributes:
        time: How long the bytes have stayed the same [s].
        motion: While the arm moved by so much [rad], [m]; 0 where a camera's noise alone must
            make every picture another.
    """

    time: float = field(metadata={'unit': 's', 'minimum': 0})
    motion: float = field(metadata={'unit': 'rad, m', 'minimum': 0})


class PictureWatch:
    """Tells a camera that repeats one picture from a scene in which nothing moves.

    The bytes of two pictures of a real camera always differ; those of a simulated one only when
    something moves, so the arm's own motion decides.
    """

    def __init__(self, config: FrozenConfig) -> None:
        """No picture yet."""
        self._config = config
        self._checksum: int | None = None
        self._since = 0.0
        self._state: Float[np.ndarray, ' numbers'] | None = None
        self._here: Float[np.ndarray, ' numbers'] = np.empty(0)
        self._jumps: list[Float[np.ndarray, ' numbers']] = []
        self.frozen = False
        """Whether the newest picture has been the same one for too long."""

    def see(
        self, data: Any, time: float, state: tuple[float, Float[np.ndarray, ' numbers']] | None
    ) -> None:
        """Looks at a picture's bytes.

        Args:
            data: Anything with a buffer.
            time: Capture time [s].
            state: When the arm was measured last [s], and where; None where nobody knows.
        """
        checksum = zlib.crc32(data)
        if checksum != self._checksum or time < self._since:
            self._checksum, self._since, self._state = checksum, time, None
            self._jumps = []
            self.frozen = False
            return
        # An older state would count a motion that the first of these pictures has seen.
        if state is not None and state[0] >= self._since:
            self._follow(state[1])
        moved = 0.0
        if self._state is not None:
            moved = float(np.abs(self._here - self._state - sum(self._jumps)).max(initial=0.0))
        long = time - self._since >= self._config.time
        self.frozen = long and moved >= self._config.motion

    def _follow(self, state: Float[np.ndarray, ' numbers']) -> None:
        """The arm is there now. Its two largest steps are no motion that a camera has to show.

        A driver that says zeros for a while jumps there and back; an arm moves in many steps.
        """
        if self._state is None:
            self._state = self._here = state
            return
        self._jumps.append(state - self._here)
        self._jumps.sort(key=lambda step: float(np.abs(step).max(initial=0.0)), reverse=True)
        del self._jumps[2:]
        self._here = state
