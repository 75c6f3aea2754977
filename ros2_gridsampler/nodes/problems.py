# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Things that go wrong many times a second -> a count each, and a log that can be read."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Problems:
    """Counts problems by name and logs them less and less often while they last.

    May be called from any thread.

    Args:
        log: A logger of rclpy.
        now: Returns steady time [s].
    """

    # Between two logs of the same sentence: at first, and at most; gone for so long, it is news.
    _FIRST, _LONGEST, _NEWS = 2.0, 60.0, 10.0
    _MOST_SENTENCES = 1000

    def __init__(self, log: Any, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, str] = {}
        self._told: dict[str, _Told] = {}

    def report(self, name: str, text: str) -> None:
        """Counts a problem; `text` says what came, what was expected, what to do."""
        now = self._now()
        # Numbers change with every message and make no other sentence.
        key = name + re.sub(r'\d+', '#', text)
        with self._lock:
            self._counts[name] += 1
            self._last[name] = text
            if len(self._told) > self._MOST_SENTENCES:
                self._told.clear()
            told = self._told.get(key)
            if told is None or now - told.seen > self._NEWS:
                told = self._told[key] = _Told(float('-inf'), self._FIRST / 2, now)
            told.seen = now
            if now - told.logged < told.period:
                return
            told.logged, told.period = now, min(2 * told.period, self._LONGEST)
            count = self._counts[name]
        self._log.warning(f'{text} ({name}, {count} so far)')

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each problem was reported, by name."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> Mapping[str, str]:
        """Most recent text of each problem, by name."""
        with self._lock:
            return dict(self._last)


@dataclass
class _Told:
    """When a sentence was logged, when again at the earliest, when it was last true [s]."""

    logged: float
    period: float
    seen: float
