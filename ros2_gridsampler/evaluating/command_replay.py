# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predictions and how late they would come -> the commands that the arm would have been sent."""

from array import array
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
import tyro
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk, ActionSpace, OutsideChunk
from ..acting.action_prefix import Prefix
from ..acting.arm_limits import ArmLimits
from ..acting.chunk_schedule import ChunkSchedule, NoActionDue, ScheduleConfig
from ..acting.command_loop import CommandLoop
from ..acting.loop_config import LoopConfig
from ..acting.loop_events import Event, Instant, Measured, Predicted, Told
from ..acting.loop_states import LoopState
from ..bounds import checked, setting
from ..seeing.stream_health import LadderConfig, StreamBudget, Transition

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
@checked
class CommandConfig:
    """The command loop of the live node.

    Attributes:
        rate: Commands per second [Hz].
        schedule: How chunks follow each other.
        ladder: How long what is wrong with a stream may last.
    """

    rate: Annotated[float, tyro.conf.arg(name='command-rate')] = setting(
        50.0, unit='Hz', minimum=1, maximum=1000
    )
    schedule: ScheduleConfig = ScheduleConfig()  # noqa: RUF009 - frozen
    ladder: LadderConfig = LadderConfig()  # noqa: RUF009 - frozen

    def loop(self, streams: StreamBudget) -> LoopConfig:
        """Returns the same for the command loop; a recorded arm obeys nobody."""
        return LoopConfig(
            command_rate=self.rate,
            schedule=self.schedule,
            ladder=self.ladder,
            streams=streams,
            check_following=False,
        )


@dataclass(frozen=True, eq=False)
class Due:
    """What is commanded at a tick.

    Attributes:
        values: In the order of the action space; None before anything could be commanded.
        holding: Why the arm decelerates or stands; empty while it follows a chunk.
        interventions: What the safety filter had to change.
    """

    values: Numbers | None
    holding: str
    interventions: tuple[str, ...] = ()


class Follower(Protocol):
    """Chunks -> the command due now."""

    def restart(self, time: float) -> None:
        """Forgets everything at `time` [s]."""

    def add(self, chunk: ActionChunk, instruction: str, now: float) -> None:
        """Takes a prediction into use that answers `instruction`."""

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        """See `ChunkSchedule.prefix`."""

    def due(self, state: Numbers, time: float, now: float) -> Due:
        """Returns the command due at `now` [s], the arm having been at `state` at `time` [s]."""


class LoopCommands:
    """The command loop of the live node, on the time of the recording.

    Args:
        space: What an action means.
        limits: The limits of the arm.
        config: How it judges streams and chunks.
    """

    def __init__(self, space: ActionSpace, limits: ArmLimits, config: LoopConfig) -> None:
        self._loop = CommandLoop(space, limits, config)
        self._inbox: list[Event] = []
        self._counts: Counter[str] = Counter()
        self.states: Counter[LoopState] = Counter()
        """State of the loop -> commands."""
        self.transitions: deque[tuple[float, Transition]] = deque(maxlen=1000)
        """The last steps on the ladder, each with the time of the recording [s]."""

    def tell(self, event: Event) -> None:
        """Puts an event into the inbox of the next step."""
        self._inbox.append(event)

    def restart(self, time: float) -> None:
        """See `Follower`; the sentence to obey stays."""
        self._counts = self.counts
        self._loop.start(time)
        self._inbox = [event for event in self._inbox if isinstance(event, Told)]

    def add(self, chunk: ActionChunk, instruction: str, now: float) -> None:
        self._inbox.append(Predicted(chunk, instruction))

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        view = self._loop.view
        coming = [e.chunk for e in self._inbox if isinstance(e, Predicted)]
        return view.prefix(coming, start_time, period, now)

    def due(self, state: Numbers, time: float, now: float) -> Due:
        inbox, self._inbox = [*self._inbox, Measured(state, time)], []
        command = self._loop.step(Instant(now, now, now), inbox)
        view = self._loop.view
        self.states[view.state] += 1
        self.transitions.extend((now, step) for step in view.transitions)
        if command is None:
            return Due(None, view.holding)
        return Due(command.values, command.holding, command.interventions)

    @property
    def counts(self) -> Counter[str]:
        """'stream: fault' -> how often it began, and 'X -> Y' -> how often."""
        return self._counts + Counter(self._loop.view.counts)


class ScheduledCommands:
    """The schedule alone, for the many times when only its timing is asked for."""

    def __init__(self, config: CommandConfig) -> None:
        self._schedule = ChunkSchedule(config.schedule)

    def restart(self, time: float) -> None:
        self._schedule.clear()

    def add(self, chunk: ActionChunk, instruction: str, now: float) -> None:
        self._schedule.add(chunk, now)

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        return self._schedule.prefix(start_time, period, now)

    def due(self, state: Numbers, time: float, now: float) -> Due:
        try:
            return Due(self._schedule.action(now), '')
        except NoActionDue as error:
            return Due(state, str(error))


class CommandReplay:
    """The live command loop on recorded time, one prediction at once.

    While a prediction is computed, frames wait, and only the newest of them is taken next, as in
    the node's inference thread. The recorded arm does not follow these commands, so what they
    would have led to is not seen; what the limits and the timing do to them is.

    Args:
        follower: What makes commands of chunks: `LoopCommands` or `ScheduledCommands`.
        config: The settings of the loop.
        scale: Unit of each entry of an action, see `action_scale`.
        latency: Time from a frame's arrival to its chunk [s], for each prediction in turn.
    """

    def __init__(
        self,
        follower: Follower,
        config: CommandConfig,
        scale: Numbers,
        latency: Callable[[], float],
    ) -> None:
        self._follower = follower
        self._period = 1 / config.rate
        self._scale = scale
        self._latency = latency
        self._tick = -np.inf
        self._measured: tuple[Numbers, float] | None = None
        self._busy_until = -np.inf
        self._waiting: tuple[ActionChunk, str, float] | None = None
        self._coming: deque[tuple[float, ActionChunk, str]] = deque()
        self._newest: ActionChunk | None = None
        self._unseen = False
        self.command: Numbers | None = None
        """What was commanded last."""
        self.interventions: Counter[str] = Counter()
        self.intervention_times = array('d')
        self.held_times = array('d')
        self._ages = array('d')
        self._seams = array('d')
        self._ticks = self._held = self._limited = self._skipped = self._used = 0
        self._delay = config.schedule.actuation_delay
        # Until when any frame that has come says something, and whether that is over [s].
        self._reach = -np.inf
        self._starved = False
        self._without_frame = 0

    def cut(self) -> None:
        """What comes now has nothing to do with what was; the counts go on."""
        self._tick = self._busy_until = -np.inf
        self._measured = self._waiting = self._newest = self.command = None
        self._coming.clear()
        self._unseen = self._starved = False
        self._reach = -np.inf

    def measure(self, state: Numbers, time: float) -> None:
        """The recorded arm was at `state` at `time` [s]; see `Measured`."""
        self._measured = state, time

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        """What a chunk that is to be predicted `now` has to begin with."""
        return self._follower.prefix(start_time, period, now)

    def offer(self, chunk: ActionChunk, instruction: str, now: float) -> None:
        """What the policy says, told `instruction`, to the frame that was ready at `now` [s]."""
        if self._waiting is not None:
            self._skipped += 1
        self._waiting = chunk, instruction, now
        self._reach = chunk.end_time
        self._start(now)

    def advance(self, now: float) -> None:
        """Sends all commands that are due before `now` [s]."""
        if self._measured is None:
            return
        if now - self._tick > 1000 * self._period:
            # The first state, or a bag that paused for long: nobody commands through that.
            self._follower.restart(now)
            self._tick = max(now, self._measured[1])
            return
        while self._tick + self._period <= now:
            self._tick += self._period
            self._command(self._tick)

    def summary(self) -> dict[str, Any]:
        """Misses, ages and seams; `deadline_misses` counts commands for which nothing was due.

        `misses_without_frame` are those of them that no engine could have saved: no frame had
        come for so long.
        """
        by_limit: Counter[str] = Counter()
        for name, count in self.interventions.items():
            by_limit[name.split(':')[0]] += count
        return {
            'commands': self._ticks,
            'deadline_misses': self._held,
            'misses_without_frame': self._without_frame,
            'frames_skipped': self._skipped,
            'chunks_used': self._used,
            'age_ms': percentiles(1e3 * np.array(self._ages)),
            'seams': {
                'count': len(self._seams),
                'jump': percentiles(np.array(self._seams)),
            },
            'filter_interventions': {
                'commands': self._limited,
                'by_limit': dict(sorted(by_limit.items())),
                'by_entry': dict(sorted(self.interventions.items())),
            },
        }

    def _start(self, until: float) -> None:
        """Begins the next prediction if the engine is free by `until` [s]."""
        while self._waiting is not None and self._busy_until <= until:
            chunk, instruction, arrived = self._waiting
            self._waiting = None
            self._busy_until = max(arrived, self._busy_until) + self._latency()
            self._coming.append((self._busy_until, chunk, instruction))

    def _command(self, now: float) -> None:
        self._start(now)
        while self._coming and self._coming[0][0] <= now:
            self._add(*self._coming.popleft()[1:], now)
        if self._measured is None:
            return
        command = self._follower.due(*self._measured, now)
        self._ticks += 1
        self.command = command.values
        if command.interventions:
            self._limited += 1
            self.interventions.update(command.interventions)
            self.intervention_times.append(now)
        if command.holding:
            # Before the first chunk nothing could be due.
            if self._newest is not None:
                self._held += 1
                self._starved |= now + self._delay > self._reach
                self._without_frame += self._starved
                self.held_times.append(now)
        elif self._unseen and self._newest is not None:
            self._unseen = False
            self._ages.append(now - self._newest.start_time)

    def _add(self, chunk: ActionChunk, instruction: str, now: float) -> None:
        if self._newest is not None and chunk.start_time > self._newest.start_time:
            # Where the old chunk is over already, there is a stop and no seam.
            with suppress(OutsideChunk):
                jump = chunk.at(max(now, chunk.start_time)) - self._newest.at(now)
                self._seams.append(float(np.abs(jump / self._scale).max()))
        self._follower.add(chunk, instruction, now)
        self._newest, self._unseen, self._starved = chunk, True, False
        self._used += 1


def percentiles(values: Numbers) -> dict[str, float] | None:
    """p50, p99 and the largest; None of nothing."""
    if not len(values):
        return None
    p50, p99 = np.percentile(values, (50, 99))
    return {'p50': float(p50), 'p99': float(p99), 'max': float(values.max())}
