# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> Prediction by whichever encoder is in use; it changes between two inferences."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..acting.action_prefix import Prefix
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.observation import Observation


@dataclass(frozen=True, eq=False)
class Candidate:
    """A policy on some encoder, compiled and verified.

    Attributes:
        name: Name of the encoder; empty for the policy's own.
        sha256: Hash of the encoder's weights file; of its tensors for the policy's own.
        backend: Engine that predicts with this encoder.
    """

    name: str
    sha256: str
    backend: Backend


@dataclass(frozen=True, eq=False)
class Seen:
    """An observation and what the encoder in use made of it.

    Attributes:
        observation: Observation from the running arm.
        prediction: Prediction with the encoder in use.
        duration: Duration of the inference [s].
        by: Candidate that predicted.
        prefix: What the chunk had to begin with; None for nothing.
    """

    observation: Observation
    prediction: Prediction
    duration: float
    by: Candidate
    prefix: Prefix | None = None


class SwappableBackend:
    """Predicts by the candidate in use; keeps the one before it, ready for a rollback.

    On trial, the new candidate and the one before it answer in turn. A candidate on trial that
    fails is replaced at once, and the old one answers the same observation: no prediction is lost
    by it.

    Args:
        first: Candidate in use at the beginning.
        clock: Returns steady time [s].
    """

    def __init__(self, first: Candidate, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Engines are not made for two threads at a time.
        self._engine = threading.Lock()
        self.current = first
        self.previous: Candidate | None = None
        self.on_trial = False
        self.failure = ''
        """Why the candidate on trial was replaced; empty where it was not."""
        self.answered = False
        """Whether the one whose turn it is has answered since its turn began."""
        self._turn_of_old = False
        self._recent: deque[tuple[int, Seen]] = deque(maxlen=64)
        self._count = 0

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Predicts one chunk from one observation; it begins with the prefix.

        Raises:
            ValueError: The network gave numbers that no arm may follow, and no encoder on trial
                can be replaced by the one before.
        """
        seen = self.answer(observation, prefix)
        with self._lock:
            self._count += 1
            self._recent.append((self._count, seen))
            self.answered |= seen.by is self._in_turn
        return seen.prediction

    def answer(self, observation: Observation, prefix: Prefix | None = None) -> Seen:
        """As `predict`, but not for the arm: it is not among the recent ones."""
        with self._engine:
            with self._lock:
                candidate = self._in_turn
            begin = self._clock()
            try:
                prediction = candidate.backend.predict(observation, prefix)
            except Exception as error:
                old = self._replace_failed(candidate, error)
                if old is None:
                    raise
                candidate, begin = old, self._clock()
                prediction = candidate.backend.predict(observation, prefix)
            duration = self._clock() - begin
            return Seen(observation, prediction, duration, candidate, prefix)

    def swap(self, new: Candidate) -> None:
        """Swaps from the next inference on; the one in use stays for `roll_back`."""
        with self._lock:
            self.previous, self.current = self.current, new
            self.on_trial, self.failure = True, ''
            self._turn_of_old = self.answered = False

    def take_turn(self, *, old: bool) -> None:
        """Lets the new candidate, or the one before it, answer from the next inference on.

        Args:
            old: Whether it is the one before; it never is when the trial has ended.
        """
        with self._lock:
            self._turn_of_old, self.answered = old, False

    def accept(self) -> bool:
        """Ends the trial; False where the one on trial has failed meanwhile."""
        with self._lock:
            self.on_trial = False
            return not self.failure

    def roll_back(self) -> Candidate | None:
        """Puts the one before back in use, and returns what was in use; None if there is none."""
        with self._lock:
            if self.previous is None:
                return None
            given_up, self.current, self.previous = self.current, self.previous, None
            self.on_trial = False
            return given_up

    def recent(self, after: int) -> tuple[list[Seen], int]:
        """Returns what the one in use answered since number `after`, and the last number."""
        with self._lock:
            found = [
                seen for number, seen in self._recent if number > after and seen.by is self.current
            ]
            return found, self._count

    @property
    def _in_turn(self) -> Candidate:
        """The one that should answer; the lock is held."""
        if self.on_trial and self._turn_of_old and self.previous is not None:
            return self.previous
        return self.current

    def _replace_failed(self, candidate: Candidate, error: Exception) -> Candidate | None:
        with self._lock:
            if not (self.on_trial and candidate is self.current and self.previous is not None):
                return None
            self.failure = f'It failed: {type(error).__name__}: {error}'
            self.current, self.previous = self.previous, None
            self.on_trial = False
            return self.current
