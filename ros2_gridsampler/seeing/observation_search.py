# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The streams, looked at again and again -> the next observation, or what keeps it away."""

from collections.abc import Callable
from dataclasses import dataclass

from .observation import NotObservable, Observation
from .observation_buffer import ObservationBuffer
from .stream_health import Fault


@dataclass(frozen=True)
class StreamFault:
    """Something is wrong with a stream.

    Attributes:
        fault: What it is, which decides how far the arm is trusted to the policy.
        stream: The name of the stream, like "camera 'front'".
        text: A sentence with the numbers of the moment.
    """

    fault: Fault
    stream: str
    text: str


class ObservationSearch:
    """Looks for observations, for the live node and for recordings alike.

    Args:
        buffer: Where the streams are collected.
    """

    def __init__(self, buffer: ObservationBuffer) -> None:
        self.buffer = buffer
        self._restarts: dict[str, int] = {}
        self.reason = ''
        """Why there was no observation when last looked for; empty if there was one."""
        self.fault: Fault | None = None
        """What is wrong then; None where a stream is only waited for."""

    def look(self, now: float) -> tuple[Callable[[], Observation] | None, list[StreamFault]]:
        """Looks for an observation that was not taken yet.

        Args:
            now: The time of the clock that stamps the streams [s].

        Returns:
            What decodes it, or None, and everything that is wrong with the streams now.
        """
        wrong = []
        for stream in self.buffer.streams.values():
            if stream.restarts > self._restarts.get(stream.name, 0):
                text = f'The stamps of {stream.name} went back; it starts anew.'
                wrong.append(StreamFault(Fault.STAMPS_BACK, stream.name, text))
            self._restarts[stream.name] = stream.restarts
        try:
            decode = self.buffer.take(now)
        except NotObservable as error:
            self.reason, self.fault = str(error), error.fault
            if error.fault is not None:
                wrong.append(StreamFault(error.fault, error.stream, str(error)))
            return None, wrong
        if decode is not None:
            self.reason, self.fault = '', None
        return decode, wrong
