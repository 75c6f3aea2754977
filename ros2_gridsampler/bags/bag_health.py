# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages as they were recorded -> rates, gaps, skew, frozen and black pictures, bad stamps."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..seeing.camera_message import stamp_seconds
from .bag_storage import RecordedMessage
from .camera_health import CameraHealth

# A gap is a silence of so many usual intervals.
_GAP = 2.5
# Longer than the network could delay a message: two clocks [s].
_CLOCK_OFFSET = 1.0
# A stream that ends so much before the bag has stopped [s].
_EARLY_END = 1.0
_LISTED = 200
# Frame ids of one topic that are named.
_FRAMES = 4


@dataclass(frozen=True)
class Fault:
    """Something wrong with a stream, from `begin` to `end` [s], for the timeline."""

    topic: str
    kind: str
    begin: float
    end: float


class BagHealth:
    """What the recording itself says about its streams.

    Args:
        streams: Stream name, as people call it, -> topic.
        cameras: Topics of the cameras; the first sets the pace.
    """

    def __init__(self, streams: dict[str, str], cameras: Sequence[str]) -> None:
        self._names = {topic: name for name, topic in streams.items() if topic}
        self._streams = {topic: _Stream(topic, topic in cameras) for topic in self._names}
        self._cameras = tuple(cameras)
        self._skew = array('d')
        self._end = self._paced = -np.inf

    def add(self, recorded: RecordedMessage) -> None:
        """Looks at one message, in the order of the bag."""
        self._end = max(self._end, recorded.time)
        stream = self._streams.get(recorded.topic)
        if stream is None:
            return
        stream.add(recorded)
        if recorded.topic == self._cameras[0] and stream.recent:
            # Of the frame before, as those of the other cameras are in by now.
            time, self._paced = self._paced, stream.recent[-1]
            others = [self._streams[topic].recent for topic in self._cameras[1:]]
            known = [min(abs(time - t) for t in recent) for recent in others if recent]
            if known and np.isfinite(time):
                self._skew.append(max(known))

    @property
    def pictures(self) -> int:
        """How many pictures the first camera gave, which is how many frames there could be."""
        first = self._streams[self._cameras[0]]
        return len(first.times) - first.twice

    @property
    def missing(self) -> int:
        """How many more the first camera had given, had it not ended before the bag."""
        return self._streams[self._cameras[0]].missing(self._end)

    @property
    def cameras(self) -> dict[str, CameraHealth]:
        """Topic -> what was seen of each camera."""
        return {topic: self._streams[topic].camera for topic in self._cameras}

    def stuck(self, camera: str) -> None:
        """Counts the newest picture as repeated while the arm moves: the live node would hold.

        Args:
            camera: The topic of the camera.
        """
        self._streams[camera].camera.stick()

    def look_at(self) -> list[str]:
        """Returns which cameras a person should look at before anything else, and why."""
        return [
            f'Look at {self._names[topic]} ({topic}): {text}.'
            for topic, camera in self.cameras.items()
            if (text := camera.advice())
        ]

    def summary(self) -> dict[str, Any]:
        """Stream name -> figures; 'skew_ms' is between the cameras."""
        streams = {self._names[topic]: s.summary() for topic, s in self._streams.items()}
        return {'streams': streams, 'skew_ms': _percentiles(1e3 * np.array(self._skew))}

    def faults(self) -> list[Fault]:
        """Faults for the timeline; where there are very many, the first of each kind."""
        found = [fault for stream in self._streams.values() for fault in stream.faults(self._end)]
        return sorted(found, key=lambda fault: (fault.begin, fault.topic, fault.kind))

    def problems(self) -> list[str]:
        """What a person should know before believing anything else, a sentence each."""
        texts = {t: [*s.obstacles(), *s.problems(self._end)] for t, s in self._streams.items()}
        return self._sentences(texts)

    def doubts(self) -> list[str]:
        """Which topics carry the pictures of several cameras, a sentence each."""
        return self._sentences({topic: self._streams[topic].doubts() for topic in self._cameras})

    def obstacles(self) -> list[str]:
        """Those of the problems that can keep a bag from giving any observation."""
        return self._sentences({topic: s.obstacles() for topic, s in self._streams.items()})

    def _sentences(self, texts: Mapping[str, Sequence[str]]) -> list[str]:
        """What is wrong with several streams alike is said once."""
        alike: dict[str, list[str]] = {}
        for topic, found in texts.items():
            for text in found:
                alike.setdefault(text, []).append(f'{self._names[topic]} ({topic})')
        return [f'{", ".join(streams)}: {text}' for text, streams in alike.items()]


class _Stream:
    """One topic."""

    def __init__(self, topic: str, pictures: bool) -> None:
        self._topic = topic
        self.times = array('d')
        self.camera = CameraHealth()
        self._pictures = pictures
        self._offsets = array('d')
        self._out_of_order = self._zero = 0
        self.twice = 0
        """Pictures that came before, with the same stamp and the same bytes."""
        self._frames: set[str] = set()
        self._faults: list[Fault] = []
        self._counts: dict[str, int] = {}

    @property
    def recent(self) -> 'array[float]':
        return self.times[-4:]

    def add(self, recorded: RecordedMessage) -> None:
        header = getattr(recorded.message, 'header', None)
        time = recorded.time
        if header is not None:
            stamp = stamp_seconds(header.stamp)
            self._zero += stamp == 0
            if self._pictures and len(self._frames) < _FRAMES:
                self._frames.add(str(header.frame_id))
            if stamp:
                self._offsets.append(recorded.time - stamp)
                time = stamp
        if self.times and time < self.times[-1]:
            self._out_of_order += 1
            self._fault('out of order', time, self.times[-1])
        if self._pictures and self._again(recorded, time):
            self.twice += 1
        elif self._pictures:
            frozen = self.camera.frozen
            kind = self.camera.add(recorded.message)
            if self.camera.frozen > frozen:
                self._fault('frozen', self.times[-1], time)
            if kind:
                self._fault(kind, time, time)
        self.times.append(time)

    def _again(self, recorded: RecordedMessage, time: float) -> bool:
        """Whether this is the newest picture once more, as of two recorders or publishers."""
        return (
            bool(self.times) and time == self.times[-1] and self.camera.repeats(recorded.message)
        )

    def missing(self, end: float) -> int:
        intervals = self._intervals()
        if not self._ends_early(end) or not len(intervals):
            return 0
        return int((end - self._shift() - self.times[-1]) / float(np.median(intervals)))

    def summary(self) -> dict[str, Any]:
        gaps = self._gaps()
        intervals = self._intervals()
        offsets = np.array(self._offsets)
        return {
            'topic': self._topic,
            'messages': len(self.times),
            'rate_hz': _rounded(1 / float(np.median(intervals))) if len(intervals) else None,
            'gaps': len(gaps),
            'longest_gap_ms': _rounded(1e3 * float(intervals.max())) if len(intervals) else None,
            'out_of_order': self._out_of_order,
            'zero_stamps': self._zero,
            'log_minus_header_ms': _percentiles(1e3 * offsets),
            'frozen_frames': self.camera.frozen if self._pictures else None,
            'black_frames': self.camera.black if self._pictures else None,
            'blank_frames': self.camera.blank if self._pictures else None,
            'broken_frames': self.camera.broken if self._pictures else None,
        }

    def faults(self, end: float) -> list[Fault]:
        times = np.array(self.times)
        gaps = [
            Fault(self._topic, 'gap', float(times[i]), float(times[i + 1]))
            for i in self._gaps()[:_LISTED]
        ]
        early = []
        if self._ends_early(end):
            shift = self._shift()
            early = [Fault(self._topic, 'silent', self.times[-1], end - shift)]
        return [*self._faults, *gaps, *early]

    def obstacles(self) -> list[str]:
        count = len(self.times)
        if not count:
            return ['no message was recorded.']
        found = []
        shift = self._shift()
        if self._zero:
            found.append(
                f'{self._zero} of {count} header stamps are zero; the driver must stamp at '
                'capture. For this bag, --time log goes by the log times.'
            )
        if abs(shift) > _CLOCK_OFFSET:
            found.append(
                f'log times are {_words(shift)} {"after" if shift > 0 else "before"} the header '
                'stamps, so the recorder had another clock; --time header goes by the stamps.'
            )
        return found

    def problems(self, end: float) -> list[str]:
        found = []
        if self.twice:
            found.append(f'{self.twice} of {len(self.times)} frames came twice; each counts once.')
        if self._out_of_order:
            found.append(f'{self._out_of_order} stamps go back in time; look after the driver.')
        gaps = self._gaps()
        if len(gaps):
            longest = 1e3 * float(self._intervals().max())
            found.append(f'{len(gaps)} gaps, the longest {longest:.0f} ms.')
        found += self.camera.problems()
        if self._ends_early(end):
            silence = end - self._shift() - self.times[-1]
            found.append(f'ends {silence:.1f} s before the bag does.')
        return found

    def doubts(self) -> list[str]:
        if len(self._frames) < 2:
            return []
        return [f'its pictures are of {sorted(self._frames)}, so several cameras publish there.']

    def _shift(self) -> float:
        return float(np.median(self._offsets)) if self._offsets else 0.0

    def _ends_early(self, end: float) -> bool:
        if len(self.times) < 3:  # a sentence is said once
            return False
        return end - self._shift() - self.times[-1] > _EARLY_END

    def _intervals(self) -> NDArray[np.float64]:
        intervals = np.diff(np.array(self.times))
        return np.asarray(intervals[intervals > 0])

    def _gaps(self) -> NDArray[np.int64]:
        steps = np.diff(np.array(self.times))
        # Parts of one state share a stamp.
        intervals = self._intervals()
        if len(intervals) < 3:
            return np.empty(0, np.int64)
        usual = float(np.median(intervals))
        return np.nonzero(steps > max(_GAP * usual, 1e-3))[0]

    def _fault(self, kind: str, begin: float, end: float) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= _LISTED:
            self._faults.append(Fault(self._topic, kind, begin, end))


def _percentiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    p50, p99 = np.percentile(values, (50, 99))
    return {
        'p50': _rounded(float(p50)),
        'p99': _rounded(float(p99)),
        'max': _rounded(float(values.max())),
    }


def _rounded(value: float) -> float:
    # Differences of stamps near 1.8e9 s carry no more.
    return round(value, 3)


def _words(seconds: float) -> str:
    seconds = abs(seconds)
    return f'{seconds / 3600:.2f} h' if seconds > 600 else f'{seconds:.1f} s'
