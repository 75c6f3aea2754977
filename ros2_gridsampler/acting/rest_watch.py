# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the arm was commanded and where it is measured -> whether it surely stands."""

import numpy as np
from numpy.typing import NDArray


class RestWatch:
    """An arm stands when it was commanded to, and has been measured to, for a while.

    Args:
        near: Within this the measured arm has not moved [rad], [m].
        rest_time: The while [s].
    """

    def __init__(self, near: float, rest_time: float) -> None:
        """Nothing is known yet."""
        self._near = near
        self._rest_time = rest_time
        self.begin()

    def begin(self) -> None:
        """Forget everything."""
        self._commanded_since: float | None = None
        self._measured_at: tuple[NDArray[np.float64], float] | None = None

    def command(self, at_rest: bool, time: float) -> None:
        """A command was sent at `time` [s]; `at_rest` where it holds an arm that stands."""
        if not at_rest:
            self._commanded_since = None
        elif self._commanded_since is None:
            self._commanded_since = time

    def measure(self, state: NDArray[np.float64], time: float) -> None:
        """The arm was measured at `time` [s]; new numbers, and a clock set back, begin anew."""
        before = self._measured_at
        anew = before is None or before[0].shape != state.shape or time < before[1]
        if before is None or anew or np.abs(state - before[0]).max(initial=0.0) > self._near:
            self._measured_at = (state, time)

    def stands(self, time: float) -> bool:
        """Whether it stands, by what was measured at `time` [s] or before."""
        if self._commanded_since is None or self._measured_at is None:
            return False
        since = max(self._commanded_since, self._measured_at[1])
        return time - since > self._rest_time
