# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks as they arrive -> the one action due now, without a step where two chunks meet."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .action_chunk import ActionChunk, OutsideChunk


@dataclass(frozen=True)
class ScheduleConfig:
    """How chunks follow each other."""

    actuation_delay: float = field(
        default=0.0,
        metadata={
            'help': 'From sending a command until the arm moves; actions are sent that early',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    blend_time: float = field(
        default=0.1,
        metadata={
            'help': 'How long an old chunk fades into a new one; 0 switches at once',
            'unit': 's',
            'minimum': 0.0,
        },
    )

    def __post_init__(self) -> None:
        """Refuse times that run backwards."""
        for name, value in (
            ('actuation_delay', self.actuation_delay),
            ('blend_time', self.blend_time),
        ):
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f'{name} must be 0 s or more, got {value} s.')


class NoActionDue(ValueError):
    """No chunk says what to do now; the text says why. Decelerate and hold."""


@dataclass(frozen=True)
class _Seam:
    """A chunk, and when it takes over from the one before it (due times [s])."""

    chunk: ActionChunk
    begin: float
    end: float

    def weight(self, due: float) -> float:
        if due >= self.end:
            return 1.0
        return max((due - self.begin) / (self.end - self.begin), 0.0)


class ChunkSchedule:
    """The action due now is the newest chunk's at `now + actuation_delay`.

    A chunk starts at the capture time of what the policy saw. So camera age, queueing and
    inference all count as they were for this very chunk: nothing is estimated, and one slow
    inference costs its own delay once.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        """Start without a chunk."""
        self._config = config
        # Oldest first; all but the first are still fading in.
        self._seams: deque[_Seam] = deque()

    def clear(self) -> None:
        """Forget all chunks, for instance because another instruction came."""
        self._seams.clear()

    def add(self, chunk: ActionChunk, now: float) -> None:
        """Take a prediction into use; one that is not newer than the current is ignored.

        Args:
            chunk: What the policy predicted.
            now: Of the clock that stamps the streams [s].

        Raises:
            ValueError: Its actions have another size than those of the current chunk.
        """
        if self._seams and self._is_ahead_of(now):
            self.clear()
        if not self._seams:
            self._seams.append(_Seam(chunk, -np.inf, -np.inf))
            return
        current = self._seams[-1].chunk
        if chunk.targets.shape[1] != current.targets.shape[1]:
            raise ValueError(
                f'The new chunk has {chunk.targets.shape[1]} actions, the current one '
                f'{current.targets.shape[1]}; clear the schedule when the policy changes.'
            )
        if chunk.start_time <= current.start_time:
            return
        due = now + self._config.actuation_delay
        # The old chunk must have faded out when its last target has been used.
        end = min(due + self._config.blend_time, current.end_time)
        self._seams.append(_Seam(chunk, due, max(due, end)))

    def action(self, now: float) -> NDArray[np.float64]:
        """The action to send at `now` [s], in the order of the chunks' targets.

        Raises:
            NoActionDue: No chunk came yet, or the last one is over.
        """
        if not self._seams:
            raise NoActionDue('No chunk has come yet.')
        due = now + self._config.actuation_delay
        while len(self._seams) > 1 and self._seams[1].weight(due) >= 1:
            self._seams.popleft()
        newest = self._seams[-1].chunk
        if self._is_ahead_of(now):
            raise NoActionDue(
                f'The chunk begins {newest.start_time - due:.3f} s from now, later than it is '
                'long; the clock was set back.'
            )
        try:
            action = _target(self._seams[0].chunk, due)
            for seam in list(self._seams)[1:]:
                weight = seam.weight(due)
                action = (1 - weight) * action + weight * _target(seam.chunk, due)
        except OutsideChunk as error:
            raise NoActionDue(
                f'The last chunk is over since {due - newest.end_time:.3f} s; no newer one came.'
            ) from error
        return action

    def _is_ahead_of(self, now: float) -> bool:
        """Whether the current chunk starts so late that `now` must be of another clock."""
        chunk = self._seams[-1].chunk
        length = len(chunk.targets) * chunk.period
        return chunk.start_time - (now + self._config.actuation_delay) > length


def _target(chunk: ActionChunk, due: float) -> NDArray[np.float64]:
    return chunk.at(max(due, chunk.start_time))
