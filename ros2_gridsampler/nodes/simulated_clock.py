# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What was simulated so far -> a clock that goes as fast as real time, or waits for it."""

import math
import threading
import time
from collections.abc import Callable

TICK = 0.01
"""By which the clock goes on [s]."""
_BEGIN = 1.0
# Later than this the clock gives up catching up with real time [s].
_MOST_LATE = 0.05


class SimulatedClock:
    """Simulated time. It is published by a thread of its own, and never goes beyond `limit`.

    Args:
        tell: Called in the thread with every new time [s].
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._ticks = round(_BEGIN / TICK)
        self._limit = math.inf
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='clock', daemon=True)

    def start(self) -> None:
        """Begins to run, without a limit."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the clock and whoever waits for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def now(self) -> float:
        """Returns the time [s]."""
        return self._ticks * TICK

    def run_to(self, limit: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Lets the time go on to `limit` [s] and returns when it is there, or given up."""
        self.limit(limit)
        with self._changed:
            while not (self._stopping or given_up() or self.now() > limit - TICK / 2):
                self._changed.wait(0.1)

    def limit(self, limit: float = math.inf) -> None:
        """Lets the time go on to `limit` [s], without waiting for it."""
        with self._changed:
            self._limit = limit
            self._changed.notify_all()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, max(due - time.monotonic(), 0.0))
                # Told again though it stands: whoever comes now has to hear it as well.
                if (self._ticks + 0.5) * TICK > self._limit:
                    self._changed.wait(TICK)
                    due = max(due, time.monotonic() - TICK)
                if self._stopping:
                    return
                if (self._ticks + 0.5) * TICK <= self._limit:
                    self._ticks += 1
                    due += TICK
                    self._changed.notify_all()
            if time.monotonic() - due > _MOST_LATE:
                due = time.monotonic()
            self._tell(self.now())
