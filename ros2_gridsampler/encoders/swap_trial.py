# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the safety filter does while two encoders take turns -> whether the old one returns."""

import math
from dataclasses import dataclass

import numpy as np

from .swap_config import SwapConfig

# Commands of a pair of turns. They go new, old, old, new, and so on: what drifts over a trial is
# shared by both.
_PAIR = 20
# At the beginning of a turn, commands still come from the chunk of the other encoder.
_SETTLING = 0.3
# Of a one-sided t test of the pairs. It is made after each pair, so an encoder that is as good as
# the old one returns more often than that.
_LEVEL = 0.005
_FIRST_VERDICT = 3


@dataclass(frozen=True)
class Counts:
    """What a running policy has counted since it began.

    Attributes:
        commands: Number of commands that were sent.
        interventions: Number of changes by the safety filter; one command may have several.
        bad_predictions: Number of predictions that were not finite, or far beyond the limits.
    """

    commands: int
    interventions: int
    bad_predictions: int


def chance_of_more(mean: float, error: float, freedom: int) -> float:
    """Chance of at least this mean where the true one is zero, by Student's t distribution.

    Written out for whole degrees of freedom, because a robot may have no SciPy.

    Args:
        mean: Mean of a sample.
        error: Its standard error, at least 0.
        freedom: Degrees of freedom, at least 1.

    Source:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(mean, error * math.sqrt(freedom))
    odd = freedom % 2
    term, series = math.cos(angle) ** odd, 0.0
    for power in range(odd, freedom - 1, 2):
        series += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    within = math.sin(angle) * series
    if odd:
        within = 2 / math.pi * (angle + within)
    return (1 - within) / 2


class SwapTrial:
    """Compares the counts of a new encoder's turns with those of the old encoder's turns.

    How often the filter intervenes depends far more on what the arm does at the moment than on
    the encoder. Both encoders meet the same moments when they answer in turn, so the pairs of
    neighbouring turns are compared, and never what was before the swap.

    Args:
        config: Thresholds of the verdict.
    """

    def __init__(self, config: SwapConfig) -> None:
        self._config = config
        self._turns = 2 * max(_FIRST_VERDICT, config.trial_commands // _PAIR)
        self._duration = config.trial_time / self._turns
        self._commands = math.ceil(config.trial_commands / self._turns)
        self._first: Counts | None = None
        self._rates: list[float] = []
        self._since: float | None = None
        self._settled: Counts | None = None

    @property
    def running(self) -> bool:
        """Whether a swap is on trial."""
        return self._first is not None

    @property
    def turn(self) -> int:
        """Number of the turn, from 0."""
        return len(self._rates)

    @property
    def turn_of_old(self) -> bool:
        """Whether the old encoder should answer now; only on trial."""
        return self.running and self.turn % 4 in (1, 2)

    def begin(self, counts: Counts) -> None:
        """Begins the trial of an encoder that was just swapped in; it has the first turn."""
        self._first = counts
        self._rates = []
        self._since = self._settled = None

    def end(self) -> None:
        """Ends the trial, whatever came out."""
        self._first = None

    def watch(self, now: float, counts: Counts, answered: bool) -> tuple[bool, str]:
        """Looks at the counts; call it often.

        Args:
            now: Steady time [s].
            counts: Counts of the running policy.
            answered: Whether the encoder whose turn it is has answered in this turn.

        Returns:
            Whether the trial has ended, and why the old encoder has to return; empty where the
            new one may stay.
        """
        if self._first is None:
            return False, ''
        if counts.commands < self._first.commands:
            # The node was activated anew, and has counted from 0.
            self._first, self._since, self._settled = counts, None, None
        elif counts.bad_predictions > self._first.bad_predictions:
            self.end()
            return True, 'Its prediction was not finite, or far beyond the limits of the arm.'
        if not (answered and self._over(now, counts)):
            return False, ''
        reason = '' if self.turn % 2 else self._complaint()
        if reason or self.turn == self._turns:
            self.end()
            return True, reason
        return False, ''

    def _over(self, now: float, counts: Counts) -> bool:
        """Returns whether the turn is over; its rate has then been kept."""
        if self._since is None:
            self._since = now
        if self._settled is None and now - self._since >= _SETTLING * self._duration:
            self._settled = counts
        if self._settled is None or now - self._since < self._duration:
            return False
        commands = counts.commands - self._settled.commands
        if commands < self._commands:
            return False
        self._rates.append((counts.interventions - self._settled.interventions) / commands)
        self._since = self._settled = None
        return True

    def _complaint(self) -> str:
        """Returns by how much the new encoder is worse in the pairs so far, if it is."""
        pairs = np.array(self._rates).reshape(-1, 2)
        # Every other pair begins with the old encoder.
        pairs[1::2] = pairs[1::2, ::-1]
        count = len(pairs)
        if count < _FIRST_VERDICT:
            return ''
        more = pairs[:, 0] - pairs[:, 1]
        error = more.std(ddof=1) / math.sqrt(count)
        surely = chance_of_more(more.mean(), error, count - 1) < _LEVEL
        if not (surely and more.mean() > self._config.max_more_interventions):
            return ''
        new, old = pairs.mean(axis=0)
        return (
            f'The safety filter intervened {new:.2f} times per command, and {old:.2f} times in '
            f'the turns of the encoder before, {count} turns each; at most '
            f'{self._config.max_more_interventions:g} more are allowed.'
        )
