# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that is wrong now -> the sentence to be read first: the cause of the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ..seeing.stream_health import Fault, StreamBudget

# Stamps before this are no date: drivers count from when they were switched on, and a simulation
# from its start [s].
_DATES = 1e9


class Cause(IntEnum):
    """What can be wrong, in the order in which it is told: each may be why a later one is so."""

    REFUSED = 0
    """Configure or activate was refused, or the node gave up."""
    CLOCK = 1
    """Time itself: nothing that is stamped can be judged."""
    NAMESAKE = 2
    """Another node of this name answers for it."""
    STOPPED = 3
    """A person stopped the arm."""
    RIVAL = 4
    """Somebody else commands the arm too."""
    SILENT = 5
    """Nothing comes on a topic, or not what is needed."""
    UNUSABLE = 6
    """What comes cannot be read: an encoding, a size, a number that is not finite; or it is of two
    cameras."""
    BLANK = 7
    """Pictures come and show nothing, or always the same."""
    STAMPS = 8
    """What comes is stamped at a time that cannot be."""
    DOUBTED = 9
    """The arm is measured where it cannot have come."""
    LATE = 10
    """What comes is too old, or too far from the rest."""
    INSTRUCTION = 11
    """Nobody has said what to do."""
    POLICY = 12
    """The policy gives nothing, or nothing that an arm may follow."""
    UNHEARD = 13
    """Nobody executes the commands."""
    CONTROLLER = 14
    """Whoever executes them cannot follow, or not well."""
    HOLDING = 15
    """The arm holds, by the words of whatever commands it."""
    INACTIVE = 16
    """The node does not command."""


OF_FAULT = {
    Fault.OLD: Cause.LATE,
    Fault.SKEW: Cause.LATE,
    Fault.STATE_OLD: Cause.LATE,
    Fault.STATE_DOUBTED: Cause.DOUBTED,
    Fault.FROZEN: Cause.BLANK,
    Fault.STAMPS_BACK: Cause.STAMPS,
    Fault.STAMPS_AHEAD: Cause.STAMPS,
    Fault.BAD_PICTURE: Cause.UNUSABLE,
    Fault.BAD_PREDICTION: Cause.POLICY,
    Fault.CHUNK_OVER: Cause.POLICY,
    Fault.INFERENCE_FAILED: Cause.POLICY,
    Fault.NO_INSTRUCTION: Cause.INSTRUCTION,
    Fault.CLOCK_JUMPED: Cause.CLOCK,
    Fault.CLOCK_STOPPED: Cause.CLOCK,
    Fault.RIVAL: Cause.RIVAL,
    Fault.NOT_FOLLOWING: Cause.HOLDING,
    Fault.LATE_COMMANDS: Cause.HOLDING,
}
"""Each fault of the degradation ladder -> the cause that it is."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something that is wrong now.

    Attributes:
        cause: Its place in the order.
        sentence: What is so, and what to do.
    """

    cause: Cause
    sentence: str


def in_order(findings: Iterable[Finding]) -> list[str]:
    """Returns the sentences, causes before consequences, each once."""
    ranked = sorted(findings, key=lambda finding: finding.cause)
    return list(dict.fromkeys(finding.sentence for finding in ranked))


@dataclass(frozen=True)
class Arrival:
    """The newest sample of a stream.

    Attributes:
        what: Name of the stream, as it begins a sentence: "Camera 'front'".
        item: What a sample is, in a word: 'picture'.
        stamp: That it carries [s].
        arrived: How long ago it came [s].
    """

    what: str
    item: str
    stamp: float
    arrived: float


def why_stamp(sample: Arrival, now: float, budget: StreamBudget, *, simulated: bool) -> str:
    """Returns what is wrong with a stamp, by how far from now it is; '' where it may be so.

    Args:
        sample: Its stamp and when it came.
        now: Time by the node's clock [s].
        budget: How old and how far ahead a stamp may be.
        simulated: Whether the node's clock is /clock.
    """
    age = now - sample.stamp
    what, item = sample.what, sample.item
    # One that came long ago is old whatever its stamp.
    if -budget.max_ahead <= age <= budget.max_age or sample.arrived > budget.max_age:
        return ''
    if sample.stamp == 0:
        return (
            f'{what}: every {item} has the stamp 0, so nobody knows when it was taken. Let the '
            'driver stamp what it publishes.'
        )
    if sample.stamp < _DATES <= now:
        return (
            f'{what}: the newest {item} is stamped {sample.stamp:.1f} s, which is no date: the '
            'driver counts from when it was switched on, or its time is simulated. Let it stamp '
            'by the clock of the system, or set use_sim_time here.'
        )
    if now < _DATES <= sample.stamp:
        return (
            f'{what}: the newest {item} is stamped by the clock of the system, but this node goes '
            f'by /clock, which says {now:.1f} s. Start the driver with use_sim_time, or this node '
            'without it.'
        )
    cure = (
        'Everything has to go by one /clock.'
        if simulated
        else 'Synchronise the clocks of the machines, for instance by chrony.'
    )
    if age < 0:
        return (
            f'{what}: the newest {item} is stamped {-age:.3f} s ahead of the clock; at most '
            f'{budget.max_ahead:.3f} s is allowed. {cure}'
        )
    return (
        f'{what}: the newest {item} came {sample.arrived:.1f} s ago and is stamped {age:.3f} s '
        f"ago; at most {budget.max_age:.3f} s is allowed. The driver's clock is behind, or its "
        f'{item}s are long on their way. {cure}'
    )
