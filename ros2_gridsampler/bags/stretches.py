# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages whose clocks were set in between -> the same on a clock that goes on.

Log times step for all topics at once; the reader finds these steps, see `timeline`. Stamps of
drivers on another machine step by themselves, while the log times go on; these are found here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..seeing.camera_message import stamp_seconds
from .bag_storage import RecordedMessage
from .bag_writer import TYPES, serialise
from .stored_messages import ClockStep

# A stamp that steps by more against its log time was made by a clock that was set [s].
_STEP = 0.3
# Log times of one topic that go on: no more between two messages [s].
_GOES_ON = 1.0


@dataclass
class _Stream:
    log: float = 0.0
    stamp: float = 0.0
    earliest: float = float('inf')
    shift: float = 0.0
    suspected: float | None = None
    stretch: int = 0


def _undone(step: ClockStep) -> float:
    """What puts a stretch behind the one before [s]; a silence stays where it was."""
    return max(0.0, -step.size)


class Stretches:
    """Puts messages on one clock, stretch after stretch.

    Args:
        steps: The steps of the log times, from `clock_steps`.

    Attributes:
        problems: What a person should know, a sentence each.
    """

    def __init__(self, steps: Sequence[ClockStep]) -> None:
        self._steps = steps
        self._streams: dict[str, _Stream] = {}
        self._begin: float | None = None
        self._stretch = 0
        self._stamp_steps: dict[str, tuple[float, float]] = {}

    @property
    def problems(self) -> list[str]:
        """A sentence for each step."""
        found = [step.sentence for step in self._steps]
        if self._stamp_steps:
            size, elapsed = next(iter(self._stamp_steps.values()))
            way = 'back' if size < 0 else 'forward'
            found.append(
                f'{elapsed:.3f} s into the recording the clock that stamps '
                f'{", ".join(self._stamp_steps)} was set {way} by {abs(size):.2f} s, while the '
                'log times go on; what is before and what is after are judged apart.'
            )
        return found

    def take(self, recorded: RecordedMessage) -> tuple[RecordedMessage, bool]:
        """The message on the clock that goes on, and whether a stretch begins with it."""
        begins = recorded.stretch > self._stretch
        self._stretch = recorded.stretch
        shift = sum(_undone(step) for step in self._steps[: recorded.stretch])
        time = recorded.time + shift
        self._begin = time if self._begin is None else self._begin
        header = getattr(recorded.message, 'header', None)
        stamp = 0.0 if header is None else stamp_seconds(header.stamp)
        moved = 0.0
        if stamp:
            stream = self._streams.setdefault(recorded.topic, _Stream())
            begins |= self._follow(stream, recorded, stamp, time)
            moved = stream.shift
        if moved and header is not None:
            nanoseconds = round((stamp + moved) * 1e9)
            header.stamp.sec, header.stamp.nanosec = divmod(nanoseconds, 10**9)
            if recorded.type in TYPES.fielddefs:
                recorded = replace(recorded, serialised=serialise(recorded.message))
        return (replace(recorded, time=time) if shift else recorded), begins

    def _follow(
        self, stream: _Stream, recorded: RecordedMessage, stamp: float, time: float
    ) -> bool:
        """Learns how far to move a topic's stamps; returns whether they stepped alone."""
        if recorded.stretch > stream.stretch:
            # Did the clock of the stamps step too? Then it is the same one.
            steps = self._steps[stream.stretch : recorded.stretch]
            size = sum(step.size for step in steps)
            alone = stamp - stream.stamp if stream.log else size
            stream.shift += sum(map(_undone, steps))
            if abs(alone - size) > abs(alone):
                stream.shift += size
            stream.stretch = recorded.stretch
            stream.log = 0.0
        stepped = False
        offset = time - (stamp + stream.shift)
        if stream.log:
            step = stamp - stream.stamp - (time - stream.log)
            backwards = stamp < stream.stamp
            ahead = offset < stream.earliest - _STEP
            if stream.suspected is not None and abs(step) < _STEP:
                size, stream.suspected = stream.suspected, None
                stream.shift -= size
                stepped = True
                self._stamp_steps.setdefault(recorded.topic, (size, time - (self._begin or 0.0)))
                offset = time - (stamp + stream.shift)
            elif abs(step) > _STEP and (backwards or ahead) and time - stream.log < _GOES_ON:
                stream.suspected = step
            else:
                stream.suspected = None
        stream.log, stream.stamp = time, stamp
        if stream.suspected is None:
            stream.earliest = min(stream.earliest, offset)
        return stepped
