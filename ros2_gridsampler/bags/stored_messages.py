# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Where messages are stored and when they were logged -> the order in which they happened.

Messages come in the order of writing. A recorder writes a topic's messages as they come, so a
topic whose log time goes back tells that the clock was set; files that hold one topic after the
other, and splits that hold a topic each, go back without any topic doing so and are merged by
time.
"""

from array import array
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# A topic that goes back by more was logged by a clock that was set [ns].
_BACK = 10**8
# All topics silent for so long, and for so many usual intervals: cut there as well [ns].
_SILENCE, _USUAL = 5 * 10**8, 10
# Nobody sets a clock more often during a recording: then it is disorder.
_OFTEN, _MOST = 8, 32


@dataclass(frozen=True)
class Channel:
    """What one channel of a file records.

    Attributes:
        topic: Absolute name.
        type: For instance 'sensor_msgs/msg/Image'.
        definition: The definition of the type, as the file has it.
    """

    topic: str
    type: str
    definition: Any


class MessagePlaces:
    """Where the messages of a file are, 20 bytes for each.

    Attributes:
        channels: Number of the channel of each message.
        times: Log time of each [ns].
        places: What `StorageFile.fetch` wants, of each.
    """

    def __init__(self) -> None:
        self.channels = array('i')
        self.times = array('q')
        self.places = array('q')

    def __len__(self) -> int:
        """Messages."""
        return len(self.times)

    def add(self, channel: int, time: int, place: int) -> None:
        """The next message."""
        self.channels.append(channel)
        self.times.append(time)
        self.places.append(place)


class StorageFile(Protocol):
    """An open storage file of any kind; see `McapFile` for what its attributes mean."""

    channels: list[Channel]
    places: MessagePlaces
    losses: list[str]
    doubts: list[str]
    counted: bool
    ros1: bool

    def fetch(self, place: int) -> bytes:
        """Data of the message at a place."""

    def close(self) -> None:
        """Closes the file."""


@dataclass(frozen=True)
class ClockStep:
    """Where a recording is cut because its clock was set, or because all of it is silent.

    Attributes:
        before: Log time of the last message before the step [s].
        after: Log time of the first message after it [s].
        size: How much further the clock went than the topics' usual intervals [s].
        elapsed: Recorded time before the step, over all stretches [s].
    """

    before: float
    after: float
    size: float
    elapsed: float

    @property
    def sentence(self) -> str:
        """What a person should know."""
        if self.size < 0:
            what = f'the clock was set back by {-self.size:.2f} s'
        else:
            what = f'the clock was set forward, or nothing was recorded, for {self.size:.2f} s'
        return (
            f'{self.elapsed:.3f} s into the recording {what} (log time {self.before:.3f} s, then '
            f'{self.after:.3f} s); what comes before and what comes after are judged apart.'
        )


@dataclass(frozen=True)
class Timeline:
    """Messages in the order in which they happened.

    Attributes:
        order: Numbers of the messages, in that order.
        stretches: In that order, which stretch each message is of.
        steps: One less than there are stretches.
        disordered: Whether topics go back in time too often for a clock that was set; they are
            then in order of their log times.
    """

    order: NDArray[np.int64]
    stretches: NDArray[np.int32]
    steps: tuple[ClockStep, ...]
    disordered: bool


def timeline(topics: NDArray[np.int32], times: NDArray[np.int64]) -> Timeline:
    """Order messages by time, each side of a clock that was set by itself.

    Args:
        topics: Number of the topic of each message, in the order of writing.
        times: Log time of each [ns]; 0 for one that has none.
    """
    found = _set_back(topics, times)
    stretches = np.zeros(len(times), np.int32) if found is None else found
    if (np.diff(stretches) < 0).any() or (np.diff(times) < 0).any():
        order = np.lexsort((times, stretches))
    else:
        order = np.arange(len(times))
    stretches = stretches[order]
    stretches = _cut_silences(topics[order], times[order], stretches)
    return Timeline(
        order, stretches, _steps(topics[order], times[order], stretches), found is None
    )


def _set_back(topics: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """How often the clock had been set back when each message was written.

    None where log times go back so often that no clock explains it.
    """
    known = np.flatnonzero(times > 0)
    by_topic = known[np.argsort(topics[known], kind='stable')]
    same = np.diff(topics[by_topic]) == 0
    falls = int((same & (np.diff(times[by_topic]) < -_BACK)).sum())
    if falls > max(_OFTEN * len(np.unique(topics)), 0.05 * len(times)):
        return None
    back = _steps_back(by_topic, times, topics)
    counts = np.zeros(len(times), np.int32)
    if not len(back):
        return counts
    jumps = _steps_back(known, times)
    # As many as the topic that saw most of them: else each topic has its own place for the same.
    if 0 < len(jumps) <= min(_MOST, np.bincount(topics[back]).max()) and _explained(
        jumps, topics, times
    ):
        counts[jumps] = 1
        return np.cumsum(counts, dtype=np.int32)
    # One topic after the other: each has the step at its own place.
    counts[back] = 1
    for topic in np.unique(topics[back]):
        its = topics == topic
        counts[its] = np.cumsum(counts[its])
    return counts


def _steps_back(
    listed: NDArray[np.int64],
    times: NDArray[np.int64],
    topics: NDArray[np.int32] | None = None,
) -> NDArray[np.int64]:
    """Messages before which the time goes back and stays there, so no single stray one.

    Args:
        listed: Numbers of messages, in the order that is looked at.
        times: Log time of each message [ns].
        topics: Where given, only neighbours of one topic are compared.
    """
    if len(listed) < 4:
        return listed[:0]
    t = times[listed]
    back = np.minimum(t[:-3], t[1:-2]) - np.maximum(t[2:-1], t[3:]) > 0
    back &= t[1:-2] - t[2:-1] > _BACK
    if topics is not None:
        its = topics[listed]
        back &= its[:-3] == its[3:]
    return listed[2:-1][back]


def _explained(
    jumps: NDArray[np.int64], topics: NDArray[np.int32], times: NDArray[np.int64]
) -> bool:
    """Whether at every step back of the file a topic that goes on steps back with it."""
    bounds = [0, *jumps.tolist(), len(times)]
    for begin, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        before, after = (
            _extremes(topics[s], times[s]) for s in (slice(begin, middle), slice(middle, end))
        )
        if not any(t in before and before[t][1] - low > _BACK for t, (low, _) in after.items()):
            return False
    return True


def _extremes(topics: NDArray[np.int32], times: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
    """Topic -> earliest and latest time, of those that are known [ns]."""
    found = {}
    for topic in np.unique(topics):
        its = times[(topics == topic) & (times > 0)]
        if len(its):
            found[int(topic)] = int(its.min()), int(its.max())
    return found


def _cut_silences(
    topics: NDArray[np.int32], times: NDArray[np.int64], stretches: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Cut also where every topic of a busy recording is silent for long."""
    known = np.flatnonzero(times > 0)
    if len(known) < 3:
        return stretches
    gaps = np.diff(times[known])
    # Of bursts: what is captured at once is logged within a millisecond or two.
    usual = np.median(gaps[gaps > 2 * 10**6]) if (gaps > 2 * 10**6).any() else 0
    long = known[1:][(gaps > max(_SILENCE, _USUAL * usual)) & (np.diff(stretches[known]) == 0)]
    cuts = np.zeros(len(times), np.int32)
    bounds = [0, *long.tolist(), len(times)]
    for begin, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        # A sentence or a calibration that was said once, long before, is no stretch.
        before, after = np.bincount(topics[begin:middle]), np.bincount(topics[middle:end])
        size = min(len(before), len(after))
        if ((before[:size] > 1) & (after[:size] > 1)).any():
            cuts[middle] = 1
    return stretches + np.cumsum(cuts, dtype=np.int32)


def _steps(
    topics: NDArray[np.int32], times: NDArray[np.int64], stretches: NDArray[np.int32]
) -> tuple[ClockStep, ...]:
    found = []
    elapsed = 0.0
    cuts = np.flatnonzero(np.diff(stretches)) + 1
    bounds = [0, *cuts.tolist(), len(times)]
    for begin, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        before, after = (t[t > 0] for t in (times[begin:middle], times[middle:end]))
        last, first = (int(t[i]) if len(t) else 0 for t, i in ((before, -1), (after, 0)))
        elapsed += 1e-9 * (last - (int(before[0]) if len(before) else 0))
        # What passes between two messages of a topic anyway is no step of the clock.
        sizes = []
        for topic in np.intersect1d(topics[begin:middle], topics[middle:end]):
            its = times[begin:middle][topics[begin:middle] == topic]
            then = times[middle:end][topics[middle:end] == topic]
            intervals = np.concatenate([np.diff(its), np.diff(then)])
            if len(intervals) > 1:
                sizes.append(float(then[0] - its[-1] - np.median(intervals)))
        size = np.median(sizes) if sizes else first - last
        found.append(ClockStep(1e-9 * last, 1e-9 * first, 1e-9 * float(size), elapsed))
    return tuple(found)
