# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the watcher saw -> a progress bar, with a line for each instruction and each outcome."""

import os
import sys
import time
from typing import Any

from tqdm import tqdm

from ..acting.latency import Summary
from .demonstration_watcher import DemonstrationWatcher


class DemonstrationProgress:
    """Call it as often as you like; it draws what is new.

    Args:
        bar: Counts the episodes.
        watcher: Sees them.
    """

    def __init__(self, bar: 'tqdm[Any]', watcher: DemonstrationWatcher) -> None:
        self._bar = bar
        self._watcher = watcher
        self._shown = -1
        # A log that is not a terminal keeps every line.
        self._pause = 0.5 if sys.stderr.isatty() else 15.0
        self._refreshed = time.monotonic()
        bar.write(f'To look on: export ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}')

    def __call__(self) -> None:
        """Draw what is new."""
        watcher, bar = self._watcher, self._bar
        for announced in watcher.results[int(bar.n) :]:
            result = announced['result']
            outcome = 'solved' if result['success'] else 'not solved'
            bar.write(f'   {outcome} after {result["steps"]} steps')
            bar.update()
        if watcher.current > self._shown:
            self._shown = watcher.current
            bar.write(f'{self._shown + 1}. {watcher.instruction}')
        if time.monotonic() - self._refreshed > self._pause:
            self._refreshed = time.monotonic()
            latency = Summary.of(watcher.stages.get('total', ()))
            words = f'{watcher.commands} commands, {1e3 * latency.p50:.0f} ms camera to command'
            bar.set_postfix_str(words if latency.count else 'starting')
