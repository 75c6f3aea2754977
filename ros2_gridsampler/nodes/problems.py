# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Things that go wrong many times a second -> a count each, and a log that can be read."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any


class Problems:
    """Counts problems by name and logs each name at most once per period.

    May be called from any thread.

    Args:
        log: A logger of rclpy.
        now: Steady time [s].
        period: Between two logs of one name [s].
    """

    def __init__(self, log: Any, now: Callable[[], float], period: float = 2.0) -> None:
        """Nothing has gone wrong yet."""
        self._log = log
        self._now = now
        self._period = period
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, float] = {}
        self._last: dict[str, str] = {}

    def report(self, name: str, text: str) -> None:
        """Count a problem; `text` says what came, what was expected, what to do."""
        now = self._now()
        with self._lock:
            self._counts[name] += 1
            # Another text under the same name is news, but may change with every message.
            due = now - self._logged.get(name, float('-inf')) >= self._period
            self._last[name] = text
            if due:
                self._logged[name] = now
            count = self._counts[name]
        if due:
            self._log.warning(f'{text} ({name}, {count} so far)')

    @property
    def counts(self) -> Mapping[str, int]:
        """Name -> how often."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> Mapping[str, str]:
        """Name -> the most recent text."""
        with self._lock:
            return dict(self._last)
