# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Wish for another encoder -> loaded beside the one in use, compared, swapped in, or refused."""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..policy.policy_config import Statistics
from ..seeing.observation import Observation
from .action_drift import Answer, Drift
from .candidate_maker import CandidateMaker
from .swap_config import SwapConfig
from .swap_trial import Counts, SwapTrial
from .swappable_backend import Candidate, Seen, SwappableBackend


class ShadowRefused(ValueError):
    """A candidate that does not do what the encoder in use does; the text has the numbers."""


def run_shadow(
    candidate: Candidate,
    live: SwappableBackend,
    config: SwapConfig,
    *,
    names: tuple[str, ...],
    statistics: Statistics,
    relative: bool,
    clock: Callable[[], float],
    wait: Callable[[], None],
    recorded: Callable[[], Sequence[Observation]] = lambda: (),
) -> Drift:
    """Lets the candidate answer what the one in use has just answered.

    Args:
        candidate: Policy on the new encoder, which nobody else uses yet.
        live: What predicts in another thread.
        config: How many observations, for how long, and how far they may differ.
        names: Names of the actions.
        statistics: Mean and standard deviation of each action.
        relative: Whether the statistics are those of offsets, see `Observation.origin`.
        clock: Returns steady time [s].
        wait: Returns after a short while; raises where the run should end.
        recorded: Observations to compare on where none come live.

    Raises:
        ShadowRefused: It differs, fails, or there is nothing to compare on.
    """
    answers: list[Answer] = []
    deadline = clock() + config.shadow_time
    _, last = live.recent(0)

    def compare(old: Seen) -> None:
        # What a relative policy learned, and its statistics are of, are offsets.
        origin = old.observation.origin if relative else 0.0
        begin = clock()
        try:
            new = candidate.backend.predict(old.observation, old.prefix).chunk.targets
        except ValueError as error:
            raise ShadowRefused(f'It failed on an observation: {error}') from error
        duration = clock() - begin
        # Both repeat what was given to both; only what they chose says how they differ.
        chosen = slice(0 if old.prefix is None else len(old.prefix), None)
        targets = old.prediction.chunk.targets
        answers.append(
            Answer(targets[chosen] - origin, new[chosen] - origin, old.duration, duration)
        )

    while len(answers) < config.shadow_observations and clock() < deadline:
        wait()
        seen, last = live.recent(last)
        for old in seen[: config.shadow_observations - len(answers)]:
            compare(old)
    if not answers:
        for observation in recorded()[: config.shadow_observations]:
            compare(live.answer(observation))
    if len(answers) < config.shadow_observations:
        raise ShadowRefused(
            f'{len(answers)} observations came within {config.shadow_time:g} s, '
            f'{config.shadow_observations} are needed to compare; activate the node, or name a '
            'recording by swap.shadow_bag.'
        )
    drift = Drift.between(answers, names, statistics)
    if text := drift.refusal(config):
        raise ShadowRefused(text)
    return drift


_POLL = 0.02


class Log(Protocol):
    """Where sentences for people go."""

    def info(self, text: str) -> object:
        """Writes that all is well."""

    def warning(self, text: str) -> object:
        """Writes that something was refused."""


class _Stopped(Exception):
    """No other encoder is wanted any more."""


class _CalledOff(Exception):
    """A rollback was asked for while another encoder was made or compared."""


class EncoderChanges:
    """What a policy sees through, and how that changes while it drives an arm.

    One worker thread has candidates made and compares them; whoever owns this object calls `watch`
    all the time. The worker is as important as others are: one that gave way to another program
    while it holds Python's lock would keep the commands waiting.

    Args:
        candidates: Makes the policy on other encoders.
        first: Encoder to begin with; empty for the policy's own.
        config: Thresholds of comparison and trial.
        steady: Returns steady time [s].
        log: Where sentences for people go.

    Raises:
        ValueError: The first encoder does not fit or must not be believed.
    """

    def __init__(
        self,
        candidates: CandidateMaker,
        first: str,
        config: SwapConfig,
        *,
        steady: Callable[[], float],
        log: Log,
    ) -> None:
        self.candidates = candidates
        """What makes the policy on other encoders."""
        self._config = config
        self._steady = steady
        self._log = log
        self._trial = SwapTrial(config)
        self._changed = threading.Condition()
        self._wanted: str | None = None
        self._stopping = self._called_off = False
        self._worker: threading.Thread | None = None
        self._counts: Callable[[], Counts] = lambda: Counts(0, 0, 0)
        self._recorded: Callable[[], Sequence[Observation]] = lambda: ()
        self._state, self._tried, self._outcome, self._reason = 'idle', '', '', ''
        self._swaps = self._rollbacks = self._refusals = 0
        self.live = SwappableBackend(candidates.make(first), steady)
        """What predicts for the arm."""

    def start(
        self, counts: Callable[[], Counts], recorded: Callable[[], Sequence[Observation]]
    ) -> None:
        """Takes wishes from now on.

        Args:
            counts: Returns the counts of the running policy.
            recorded: Observations to compare on where none come live.
        """
        self._counts, self._recorded = counts, recorded
        self._worker = threading.Thread(target=self._work, name='encoder changes', daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Takes no more wishes; returns when nothing is loaded any more, or after ten seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._worker is not None:
            self._worker.join(10.0)
            self._worker = None

    def request(self, name: str) -> None:
        """Swaps to an encoder as soon as it has shown itself; '' for the policy's own."""
        with self._changed:
            self._wanted = name
            self._changed.notify()

    def roll_back(self) -> str:
        """Takes the encoder before back from the next inference on; returns what happened.

        What is being loaded or compared, or waits for its turn, is not swapped in any more.

        Raises:
            ValueError: There is none, and none was on its way.
        """
        with self._changed:
            working = self._state in ('loading', 'shadow')
            coming = self._tried if working else self._wanted
            given_up = self.live.roll_back()
            if given_up is None and coming is None:
                raise ValueError('There is no encoder to go back to; none was swapped in.')
            self._wanted = None
            self._trial.end()
            self._rollbacks += 1
            said = []
            if given_up is not None:
                said.append(f'Encoder {given_up.name or "own"!r} was given up')
            if coming is not None:
                said.append(f'{coming or "own"!r} is not swapped in any more')
            if working:
                # The worker settles it: until then it is busy.
                self._called_off = True
            else:
                self._settle('rolled back', 'It was asked for.')
            return f'{"; ".join(said)}; {self.live.current.name or "own"!r} is in use.'

    def watch(self) -> bool:
        """Ends the trial of an encoder that has to go; returns whether nothing is going on."""
        counts = self._counts()
        with self._changed:
            turn = self._trial.turn
            ended, reason = self._trial.watch(self._steady(), counts, self.live.answered)
            if self._trial.running and self._trial.turn != turn:
                self.live.take_turn(old=self._trial.turn_of_old)
            if self.live.failure:
                self._trial.end()
                self._returned(self.live.failure)
                self.live.failure = ''
            elif reason and self.live.roll_back() is not None:
                self._returned(reason)
            elif ended and self.live.accept():
                self._log.info(f'Encoder {self.live.current.name!r} has passed its trial.')
                self._settle('accepted', '')
            return self._state == 'idle' and self._wanted is None

    def about(self) -> dict[str, Any]:
        """Returns the state of the encoders, for diagnostics and for people."""
        with self._changed:
            current, previous = self.live.current, self.live.previous
            return {
                'encoder': current.name or 'own',
                'encoder sha256': current.sha256,
                'encoder before': 'none' if previous is None else previous.name or 'own',
                'state': self._state,
                'tried': self._tried,
                'outcome': self._outcome,
                'reason': self._reason,
                'swaps': self._swaps,
                'rollbacks': self._rollbacks,
                'refusals': self._refusals,
            }

    def _work(self) -> None:
        try:
            while True:
                name = self._next()
                try:
                    self._try(name)
                except (ValueError, OSError) as error:
                    self._refuse(name, str(error))
                except _Stopped:
                    raise
                except _CalledOff:
                    with self._changed:
                        self._settle('rolled back', 'It was asked for.')
                except Exception:  # a bad encoder must never end the one in use
                    self._refuse(name, traceback.format_exc())
        except _Stopped:
            return

    def _next(self) -> str:
        with self._changed:
            while not self._stopping:
                if self._wanted is not None and not self._trial.running:
                    name, self._wanted = self._wanted, None
                    self._state, self._tried = 'loading', name or 'own'
                    self._outcome = self._reason = ''
                    self._called_off = False
                    return name
                self._changed.wait(_POLL)
        raise _Stopped

    def _try(self, name: str) -> None:
        with self._changed:
            if self._called_off:
                raise _CalledOff
            if name == self.live.current.name:
                self._settle('accepted', 'It is in use already.')
                return
        candidate = self.candidates.make(name, self._pause)
        with self._changed:
            self._state = 'shadow'
        config = self.candidates.config
        drift = run_shadow(
            candidate,
            self.live,
            self._config,
            names=config.action_space.names,
            statistics=config.action_statistics,
            relative=config.relative,
            clock=self._steady,
            wait=self._pause,
            recorded=self._recorded,
        )
        self._log.info(
            f'Encoder {name!r} goes on trial: on {drift.observations} observations cosine '
            f'{min(drift.cosine):.3f} or more, off by {max(drift.deviation):.3f} standard '
            f'deviations or less, {drift.latency_ratio:.2f} times as slow.'
        )
        counts = self._counts()
        with self._changed:
            if self._called_off:
                raise _CalledOff
            self.live.swap(candidate)
            self._state = 'trial'
            self._swaps += 1
            self._trial.begin(counts)

    def _pause(self) -> None:
        if self._stopping:
            raise _Stopped
        if self._called_off:
            raise _CalledOff
        time.sleep(_POLL)

    def _refuse(self, name: str, reason: str) -> None:
        with self._changed:
            if self._called_off:
                self._settle('rolled back', 'It was asked for.')
                return
            self._log.warning(f'Encoder {name!r} is refused: {reason}')
            self._refusals += 1
            self._settle('refused', reason)

    def _returned(self, reason: str) -> None:
        self._rollbacks += 1
        self._log.warning(f'Encoder {self._tried!r} was on trial and is rolled back: {reason}')
        self._settle('rolled back', reason)

    def _settle(self, outcome: str, reason: str) -> None:
        self._state, self._outcome, self._reason = 'idle', outcome, reason
