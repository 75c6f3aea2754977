# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks as they arrive -> the one action due now, without a step where two chunks meet."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..bounds import checked
from .action_chunk import ActionChunk, OutsideChunk
from .action_prefix import Prefix


@dataclass(frozen=True)
@checked
class ScheduleConfig:
    """How chunks follow each other."""

    actuation_delay: float = field(
        default=0.0,
        metadata={
            'help': 'From sending a command until the arm moves; actions are sent that early. '
            '`gridsampler calibrate delay` measures it',
            'unit': 's',
            'minimum': 0.0,
            'maximum': 1.0,
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
    seams: Literal['blend', 'ensemble'] = field(
        default='blend',
        metadata={
            'help': 'blend: the newest chunk. ensemble: the mean of all chunks that reach to now '
            '(temporal ensembling)'
        },
    )
    ensemble_decay: float = field(
        default=0.0,
        metadata={
            'help': 'Decay of the weight of a chunk in the ensemble with how much younger it is '
            'than the oldest; negative favours the youngest',
            'unit': '1/s',
        },
    )
    continue_chunks: bool = field(
        default=True,
        metadata={
            'help': 'Real-time chunking: a policy that can continues the steps that will have '
            'been commanded before its chunk is there'
        },
    )

    @classmethod
    def of_policy(cls, ensemble_decay: float | None) -> 'ScheduleConfig':
        """Returns the usual schedule of a policy, see `DeployedConfig.ensemble_decay`."""
        if ensemble_decay is None:
            return cls()
        return cls(seams='ensemble', ensemble_decay=ensemble_decay)

    def check_policy(self, ensemble_decay: float | None) -> None:
        """Refuses to drop the temporal ensembling that a policy was made for.

        Raises:
            ValueError: Names what to set.
        """
        if ensemble_decay is None:
            return
        if self.seams != 'ensemble' or not np.isclose(self.ensemble_decay, ensemble_decay):
            raise ValueError(
                'This policy averages the chunks that reach to now (temporal_ensemble_coeff in '
                "its config.json). Set schedule.seams to 'ensemble' and schedule.ensemble_decay "
                f'to {ensemble_decay:.6g}; or, to drive without, temporal_ensemble_coeff to '
                'null, and adopt it again.'
            )


class NoActionDue(ValueError):
    """No chunk says what to do now; the text says why. Decelerate and hold."""


class ChunkOver(NoActionDue):
    """The newest chunk ended and no other came in time."""


@dataclass(frozen=True)
class Seam:
    """What changes where a chunk takes over, before anything is blended.

    Attributes:
        position: Largest difference of two actions due then, in units of the actions.
        velocity: Largest difference of their changes per second.
    """

    position: float
    velocity: float


@dataclass(frozen=True)
class _Entry:
    """A chunk, and when it takes over from the one before it (due times [s])."""

    chunk: ActionChunk
    begin: float
    end: float

    def weight(self, due: float) -> float:
        if due >= self.end:
            return 1.0
        if due <= self.begin:
            return 0.0
        return (due - self.begin) / (self.end - self.begin)


class ChunkSchedule:
    """The action due now is the newest chunk's at `now + actuation_delay`.

    A chunk starts at the capture time of what the policy saw. So camera age, queueing and
    inference all count as they were for this very chunk: nothing is estimated, and one slow
    inference costs its own delay once.
    """

    # A delay is expected to be as long as the longest of the last so many.
    _DELAYS = 10

    def __init__(self, config: ScheduleConfig) -> None:
        self._config = config
        # Oldest first; all but the first are still fading in.
        self._entries: deque[_Entry] = deque()
        self._delays: deque[float] = deque(maxlen=self._DELAYS)

    def clear(self) -> None:
        """Forgets all chunks, for instance because another instruction came."""
        self._entries.clear()

    def copy(self) -> 'ChunkSchedule':
        """Returns another schedule of the same chunks."""
        clone = ChunkSchedule(self._config)
        clone._entries, clone._delays = self._entries.copy(), self._delays.copy()
        return clone

    @property
    def newest(self) -> ActionChunk | None:
        """The chunk that came last."""
        return self._entries[-1].chunk if self._entries else None

    def add(self, chunk: ActionChunk, now: float) -> Seam | None:
        """Takes a prediction into use; one that is not newer than the current is ignored.

        Args:
            chunk: What the policy predicted.
            now: The time of the clock that stamps the streams [s].

        Returns:
            The seam to the chunk before; None where there is none.

        Raises:
            ValueError: Its actions have another size than those of the current chunk.
        """
        self._delays.append(max(now - chunk.start_time, 0.0))
        if self._entries and self._is_ahead_of(now):
            self.clear()
        if not self._entries:
            self._entries.append(_Entry(chunk, -np.inf, -np.inf))
            return None
        current = self._entries[-1].chunk
        if chunk.targets.shape[1] != current.targets.shape[1]:
            raise ValueError(
                f'The new chunk has {chunk.targets.shape[1]} actions, the current one '
                f'{current.targets.shape[1]}; clear the schedule when the policy changes.'
            )
        if chunk.start_time <= current.start_time:
            return None
        due = now + self._config.actuation_delay
        # Nobody may be asking for actions, for hours, while predictions come.
        self._drop_faded(due)
        # The old chunk must have faded out when its last target has been used.
        end = min(due + self._config.blend_time, current.end_time)
        self._entries.append(_Entry(chunk, due, max(due, end)))
        return _seam(current, chunk, due)

    def action(self, now: float) -> NDArray[np.float64]:
        """The action to send at `now` [s], in the order of the chunks' targets.

        Raises:
            NoActionDue: No chunk came yet, or the last one is over.
        """
        if not self._entries:
            raise NoActionDue('No chunk has come yet.')
        due = now + self._config.actuation_delay
        newest = self._entries[-1].chunk
        if self._is_ahead_of(now):
            raise NoActionDue(
                f'The chunk begins {newest.start_time - due:.3f} s from now, later than it is '
                'long; the clock was set back.'
            )
        self._drop_faded(due)
        try:
            return self._due(due)
        except OutsideChunk as error:
            raise ChunkOver(
                f'The last chunk is over since {due - newest.end_time:.3f} s; no newer one came.'
            ) from error

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        """The first steps of a chunk that is not there yet, because they are already decided.

        They are what will be commanded until the new one can take over: as long from its
        capture as the slowest of the last chunks took, and the actuation delay.

        Args:
            start_time: Capture time of the observation that is about to be used [s].
            period: The period of the chunk to come [s].
            now: The time of the clock that stamps the streams [s].

        Returns:
            Empty where nothing is known: no chunk, or no delay measured.
        """
        newest = self.newest
        if newest is None or not self._config.continue_chunks or self._is_ahead_of(now):
            return np.empty((0, 0))
        delay = max(*self._delays, now - start_time) + self._config.actuation_delay
        # A step that is due just when the new chunk takes over is free. What is not known need not
        # be counted: a delay that was measured while the clock jumped has billions of steps.
        delay = min(delay, newest.end_time - start_time + period)
        times = start_time + period * np.arange(max(int(np.ceil(delay / period - 1e-6)), 0))
        known = times[times <= newest.end_time]
        if not known.size:
            return np.empty((0, newest.targets.shape[1]))
        return np.stack([self._due(float(time)) for time in known])

    def _due(self, due: float) -> NDArray[np.float64]:
        return self._mean(due) if self._config.seams == 'ensemble' else self._blend(due)

    def _blend(self, due: float) -> NDArray[np.float64]:
        reaching = [entry for entry in self._entries if entry.chunk.end_time >= due]
        first, *others = reaching or [self._entries[-1]]
        action = _target(first.chunk, due)
        for entry in others:
            weight = entry.weight(due)
            action = (1 - weight) * action + weight * _target(entry.chunk, due)
        return action

    def _mean(self, due: float) -> NDArray[np.float64]:
        """Returns the mean of all chunks (arXiv:2304.13705, 4.3); each fades in and out."""
        newest = self._entries[-1].chunk
        total, action = 0.0, _target(newest, due)
        mean = np.zeros_like(action)
        for entry in self._entries:
            fade = self._config.blend_time
            going = 1.0 if fade == 0 else min((entry.chunk.end_time - due) / fade, 1.0)
            if going <= 0:
                continue
            age = newest.start_time - entry.chunk.start_time
            weight = going * entry.weight(due) * np.exp(self._config.ensemble_decay * age)
            mean += weight * _target(entry.chunk, due)
            total += weight
        return np.asarray(mean / total if total > 0 else action)

    def _drop_faded(self, due: float) -> None:
        while len(self._entries) > 1 and self._is_past(due):
            self._entries.popleft()

    def _is_past(self, due: float) -> bool:
        """Whether the oldest chunk has no say any more."""
        if self._config.seams == 'ensemble':
            return self._entries[0].chunk.end_time < due
        return self._entries[1].weight(due) >= 1

    def _is_ahead_of(self, now: float) -> bool:
        """Whether the current chunk starts so late that `now` must be of another clock."""
        chunk = self._entries[-1].chunk
        length = len(chunk.targets) * chunk.period
        return chunk.start_time - (now + self._config.actuation_delay) > length


def _target(chunk: ActionChunk, due: float) -> NDArray[np.float64]:
    return chunk.at(max(due, chunk.start_time))


def _seam(old: ActionChunk, new: ActionChunk, due: float) -> Seam | None:
    later = due + new.period
    if later > min(old.end_time, new.end_time):
        return None
    jump = _target(new, due) - _target(old, due)
    change = (_target(new, later) - _target(old, later) - jump) / new.period
    return Seam(float(np.abs(jump).max()), float(np.abs(change).max()))
