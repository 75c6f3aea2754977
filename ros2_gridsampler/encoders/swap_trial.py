# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the safety filter did before and after a swap -> whether the old encoder has to return."""

from collections import deque
from dataclasses import dataclass

from .swap_config import SwapConfig


@dataclass(frozen=True)
class Counts:
    """What a running policy has counted since it began.

    Attributes:
        commands: Number of commands that were sent.
        interventions: Number of commands that the safety filter changed.
        bad_predictions: Number of predictions that were not finite, or far beyond the limits.
    """

    commands: int
    interventions: int
    bad_predictions: int


class SwapTrial:
    """Watches the counts all the time, and judges those after a swap against those before.

    Args:
        config: Thresholds of the verdict.
    """

    def __init__(self, config: SwapConfig) -> None:
        self._config = config
        self._before: deque[tuple[float, Counts]] = deque()
        self._begun: tuple[float, Counts, float] | None = None

    @property
    def running(self) -> bool:
        """Whether a swap is on trial."""
        return self._begun is not None

    def begin(self, now: float, counts: Counts) -> None:
        """Begins the trial of an encoder that was swapped in at `now` [s]."""
        rate = 0.0
        if self._before:
            first = self._before[0][1]
            commands = counts.commands - first.commands
            rate = (counts.interventions - first.interventions) / max(commands, 1)
        self._begun = (now, counts, rate)

    def end(self) -> None:
        """Ends the trial, whatever came out; what follows is the new standard."""
        self._begun = None
        self._before.clear()

    def watch(self, now: float, counts: Counts) -> tuple[bool, str]:
        """Looks at the counts; call it often.

        Returns:
            Whether the trial has ended, and why the old encoder has to return; empty where the
            new one may stay.
        """
        if self._begun is None:
            self._remember(now, counts)
            return False, ''
        since, first, before = self._begun
        if counts.commands < first.commands:
            self._begun = (now, counts, before)  # the node was activated anew
            return False, ''
        if counts.bad_predictions > first.bad_predictions:
            self.end()
            return True, 'Its prediction was not finite, or far beyond the limits of the arm.'
        commands = counts.commands - first.commands
        rate = (counts.interventions - first.interventions) / max(commands, 1)
        allowed = before + self._config.max_more_interventions
        if commands >= self._config.trial_commands and rate > allowed:
            self.end()
            return True, (
                f'The safety filter intervened {rate:.2f} times per command, before the swap '
                f'{before:.2f} times; at most {allowed:.2f} is allowed.'
            )
        if now - since < self._config.trial_time or commands < self._config.trial_commands:
            return False, ''
        self.end()
        return True, ''

    def _remember(self, now: float, counts: Counts) -> None:
        if self._before and counts.commands < self._before[-1][1].commands:
            self._before.clear()  # it was started anew
        self._before.append((now, counts))
        while now - self._before[0][0] > max(self._config.trial_time, 1.0):
            self._before.popleft()
