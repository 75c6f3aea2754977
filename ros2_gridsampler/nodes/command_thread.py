# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A period -> calls at absolute deadlines, in a thread that waits for nobody else."""

import contextlib
import os
import threading
import time
from collections.abc import Callable

from ..acting.latency import DeadlineMonitor


class CommandThread:
    """Calls `tick` every period; late ones are skipped, never caught up with in a burst.

    Args:
        period: Between two commands [s].
        lead: So long before a command is due it is begun [s]; what making it takes, which
            varies, then does not shift it.
        niceness: Of the thread; below 0 needs the right to it (CAP_SYS_NICE or RLIMIT_NICE) and
            is left as it is without.
        tick: Makes a command and sends it when it is due, which it is told in the time of
            `time.monotonic` [s].
    """

    def __init__(
        self, period: float, lead: float, niceness: int, tick: Callable[[float], None]
    ) -> None:
        """Know what to do; `start` begins."""
        self._period = period
        self._lead = lead
        self._niceness = niceness
        self._tick = tick
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name='commands', daemon=True)
        self.deadlines = DeadlineMonitor(period)
        """When the calls came."""
        self.failure: Exception | None = None
        """What ended the thread, where it was not `stop`."""
        self._alive_at = time.monotonic()

    def start(self) -> None:
        """Begin."""
        self._alive_at = time.monotonic()
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """Whether no call is being made any more; waits for that so long [s]."""
        self._stopping.set()
        self._thread.join(patience)
        return not self._thread.is_alive()

    @property
    def silence(self) -> float:
        """How long ago a call was begun [s]."""
        return time.monotonic() - self._alive_at

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        deadline = time.monotonic() + self._lead
        try:
            while not self._stopping.wait(max(deadline - self._lead - time.monotonic(), 0.0)):
                self._alive_at = time.monotonic()
                self._tick(deadline)
                sent = time.monotonic()
                self.deadlines.tick(sent)
                deadline += self._period * max(int((sent - deadline) / self._period), 1)
        except Exception as error:  # the ROS thread has to hear of it, whatever it is
            self.failure = error
