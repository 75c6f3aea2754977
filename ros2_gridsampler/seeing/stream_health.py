# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with a stream -> how far to step back: tail, hold, deactivate; one table."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal

from ..bounds import checked, setting


@dataclass(frozen=True)
@checked
class StreamBudget:
    """How old and how far apart the streams of one observation may be."""

    max_age: float = setting(0.5, 'Oldest capture time that still counts', unit='s', minimum=0.0)
    max_skew: float = setting(
        0.1,
        'Largest capture-time difference between two streams of one observation',
        unit='s',
        minimum=0.0,
    )
    settle_time: float = setting(
        0.02,
        'How long a frame waits for samples of other streams captured by then',
        unit='s',
        minimum=0.0,
    )
    max_ahead: float = setting(
        0.1, 'How far a stamp may be ahead of the clock', unit='s', minimum=0.0
    )
    frozen_time: float = setting(
        0.5,
        'A camera is frozen that gives the same bytes for this time while the arm moves by '
        'frozen_motion',
        unit='s',
        minimum=0.0,
    )
    frozen_motion: float = setting(
        0.01,
        'Motion during frozen_time; 0 for cameras whose noise makes pictures differ',
        unit='rad, m',
        minimum=0.0,
    )
    min_contrast: float = setting(
        1.0,
        'Least standard deviation of the pixels (0 to 255) of a picture that shows '
        'something; live only',
        minimum=0.0,
    )

    @property
    def span(self) -> float:
        """So far back from the newest sample another one may still be asked for [s]."""
        return self.max_age + self.max_ahead


TimeSource = Literal['recorded', 'header', 'log']
"""Whose time an offline reading believes.

'recorded': header stamps against log times, as the live node would have seen them. 'header': the
header stamps alone, for a bag whose recorder had another clock. 'log': the log times alone, for
drivers that do not stamp.
"""


class Rung(IntEnum):
    """How much the arm is still trusted to the policy; the higher, the less."""

    FOLLOW = 0
    """Every new chunk is followed."""
    TAIL = 1
    """As FOLLOW, but not for longer than `max_tail`; meant for what is left of the chunks."""
    HOLD = 2
    """Decelerate inside the limits and stand, until enough good observations came."""
    DEACTIVATE = 3
    """Hold, and stop commanding; a person has to activate the node again."""


class Fault(Enum):
    """What can go wrong, in words."""

    OLD = 'silent or too old'
    SKEW = 'too far from the other streams'
    FROZEN = 'the same picture while the arm moves'
    STAMPS_BACK = 'stamps went back'
    STAMPS_AHEAD = 'stamps ahead of the clock'
    BAD_PICTURE = 'picture cannot be used'
    BAD_PREDICTION = 'prediction cannot be used'
    NO_INSTRUCTION = 'no instruction'
    CHUNK_OVER = 'the last chunk is over'
    STATE_OLD = 'the state of the arm is not known'
    STATE_DOUBTED = 'the measured state cannot be true'
    NOT_FOLLOWING = 'the arm does not follow'
    CLOCK_JUMPED = 'the clock jumped'
    CLOCK_STOPPED = 'the clock stands still'
    RIVAL = 'somebody else commands the arm too'
    LATE_COMMANDS = 'the command thread is stuck'
    INFERENCE_FAILED = 'the inference failed'


LADDER: Mapping[Fault, Rung] = {
    # What chunks say is still true for a while, whatever happens to the next observation.
    Fault.OLD: Rung.TAIL,
    Fault.SKEW: Rung.TAIL,
    Fault.BAD_PICTURE: Rung.TAIL,
    Fault.BAD_PREDICTION: Rung.TAIL,
    Fault.STAMPS_BACK: Rung.TAIL,
    # The chunks themselves cannot be believed, or not be placed in time.
    Fault.FROZEN: Rung.HOLD,
    Fault.STAMPS_AHEAD: Rung.HOLD,
    Fault.CLOCK_JUMPED: Rung.HOLD,
    Fault.CLOCK_STOPPED: Rung.HOLD,
    Fault.NO_INSTRUCTION: Rung.HOLD,
    Fault.CHUNK_OVER: Rung.HOLD,
    # Nobody knows what a command would do.
    Fault.STATE_OLD: Rung.HOLD,
    Fault.STATE_DOUBTED: Rung.HOLD,
    Fault.NOT_FOLLOWING: Rung.HOLD,
    Fault.RIVAL: Rung.HOLD,
    Fault.LATE_COMMANDS: Rung.HOLD,
    # Does not go away by waiting.
    Fault.INFERENCE_FAILED: Rung.DEACTIVATE,
}
"""The first rung of each fault. TAIL becomes HOLD after `max_tail` or with the chunk's end,
HOLD becomes DEACTIVATE after `deactivate_after`; the way back is FOLLOW, in one step, after
`good_observations` in a row. A sample that says nothing (a joint missing or NaN, a stamp that
was there before) is dropped and counted; its stream then ages, which is OLD and STATE_OLD."""


@dataclass(frozen=True)
@checked
class LadderConfig:
    """How long each rung is kept."""

    max_tail: float = setting(
        1.0, 'Longest time on the tail of the chunks before the arm holds', unit='s', minimum=0.0
    )
    good_observations: int = setting(
        3, 'Predictions in a row from admissible observations that end a fault', minimum=1
    )
    deactivate_after: float = setting(
        300.0,
        'Time after which an arm that has moved and then holds is deactivated',
        unit='s',
        minimum=0.1,
    )


@dataclass(frozen=True)
class Transition:
    """A step on the ladder.

    Attributes:
        time: Steady time [s].
        before: Rung.
        after: Rung.
        stream: Whose fault it is; empty for a recovery.
        reason: A sentence.
    """

    time: float
    before: Rung
    after: Rung
    stream: str
    reason: str

    def __str__(self) -> str:
        return f'{self.before.name} -> {self.after.name}: {self.reason}'


@dataclass
class _Active:
    """A fault that has not ended; times in [s]."""

    fault: Fault
    stream: str
    reason: str
    since: float
    seen: float
    until: float

    def rung(self, now: float, max_tail: float) -> Rung:
        first = LADDER[self.fault]
        too_long = first is Rung.TAIL and now - self.since > max_tail
        return Rung.HOLD if too_long else first


class DegradationLadder:
    """Keeps the faults of all streams and the rung that follows from the worst.

    All times are of a steady clock, because the clock of the stamps may be what fails. It begins
    on HOLD: the first good observations are the recovery from knowing nothing.

    Args:
        config: How long each rung is kept.
        now: Steady time [s].
    """

    def __init__(self, config: LadderConfig, now: float) -> None:
        self._config = config
        self._active: dict[tuple[Fault, str], _Active] = {}
        self._good = 0
        self._rung, self._since = Rung.HOLD, now
        self._moved = False
        self._transitions: deque[Transition] = deque(maxlen=1000)
        self.counts: Counter[str] = Counter()
        """'stream: fault' -> how often it began, and 'X -> Y' -> how often."""

    @property
    def current(self) -> Rung:
        """The rung as it was when somebody last looked."""
        return self._rung

    @property
    def reason(self) -> str:
        """Why the rung is above FOLLOW; empty where it is not.

        The most recent cause, and of those that were seen at once the one that `LADDER` has last.
        """
        if self._rung is Rung.FOLLOW:
            return ''
        if not self._active:
            return 'No admissible observation has come yet.'
        order = [*LADDER]
        worst = max(
            self._active.values(), key=lambda a: (LADDER[a.fault], a.seen, order.index(a.fault))
        )
        return worst.reason

    def report(
        self, fault: Fault, stream: str, reason: str, now: float, lasting: float = 0.0
    ) -> None:
        """A fault is seen, now [s]; it cannot end before `lasting` [s] from now."""
        self._good = 0
        known = self._active.get((fault, stream))
        if known is None:
            self.counts[f'{stream}: {fault.value}'] += 1
            known = _Active(fault, stream, reason, now, now, now)
            self._active[fault, stream] = known
        known.reason, known.seen = reason, now
        known.until = max(known.until, now + lasting)
        self.rung(now)

    def observe_good(self, now: float) -> None:
        """A prediction came from an admissible observation; enough in a row end all faults."""
        if any(active.until > now for active in self._active.values()):
            return
        self._good += 1
        if self._good >= self._config.good_observations and self._rung < Rung.DEACTIVATE:
            self._active.clear()
            self._moved = True
            self._go_to(Rung.FOLLOW, '', f'{self._good} good observations in a row.', now)

    def rung(self, now: float) -> Rung:
        """Where the arm is, now [s]."""
        tail = self._config.max_tail
        worst = max(self._active.values(), key=lambda a: a.rung(now, tail), default=None)
        if worst is not None and worst.rung(now, tail) > self._rung:
            self._go_to(worst.rung(now, tail), worst.stream, worst.reason, now)
        held = self._rung is Rung.HOLD and self._moved
        if held and now - self._since > self._config.deactivate_after:
            reason = f'Held for {now - self._since:.1f} s. {self.reason}'
            self._go_to(Rung.DEACTIVATE, worst.stream if worst else '', reason, now)
        return self._rung

    def transitions(self) -> list[Transition]:
        """The steps since the last call."""
        steps = list(self._transitions)
        self._transitions.clear()
        return steps

    def states(self) -> Mapping[str, str]:
        """Stream -> what is wrong with it now."""
        wrong: dict[str, list[str]] = {}
        for active in self._active.values():
            wrong.setdefault(active.stream, []).append(active.fault.value)
        return {stream: ', '.join(faults) for stream, faults in wrong.items()}

    def _go_to(self, rung: Rung, stream: str, reason: str, now: float) -> None:
        before, self._rung = self._rung, rung
        if before is not rung:
            self._since = now
            self.counts[f'{before.name} -> {rung.name}'] += 1
            self._transitions.append(Transition(now, before, rung, stream, reason))
