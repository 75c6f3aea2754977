# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Streams, as they come -> predictions, in a thread of their own."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..policy.prediction import Prediction
from ..seeing.observation import Observation, check_contrast
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.observation_search import ObservationSearch
from ..seeing.stream_health import Fault

# Pictures whose arrival is remembered.
_REMEMBERED = 64


@dataclass(frozen=True)
class TimedPrediction:
    """A prediction, what it was made from, and when its stages were done.

    Attributes:
        captured: Capture time of the observation; this and the following in steady time [s].
        taken: The observation was picked up.
        decoded: Its pictures were ready.
        predicted: The chunk was there.
    """

    observation: Observation
    prediction: Prediction
    captured: float
    taken: float
    decoded: float
    predicted: float


class InferenceThread:
    """Predicts from the newest observation that was not used yet, over and over.

    The streams are added from the thread of the ROS callbacks; pictures are decoded here.

    Args:
        buffer: Filled and read under this object's lock only.
        predict: The policy.
        now: The clock that stamps the streams [s].
        steady: Returns steady time [s].
        deliver: Called in this thread with every prediction.
        refuse: Called in this thread with fault, stream and text of what cannot be used.
        min_contrast: See `StreamBudget`.
    """

    # A frame may become ready by the passing of time alone (`settle_time`).
    _POLL = 0.02
    _LONGEST = 5.0

    def __init__(
        self,
        buffer: ObservationBuffer,
        predict: Callable[[Observation], Prediction],
        *,
        now: Callable[[], float],
        steady: Callable[[], float],
        deliver: Callable[[TimedPrediction], None],
        refuse: Callable[[Fault, str, str], None],
        min_contrast: float,
    ) -> None:
        self._buffer = buffer
        self._search = ObservationSearch(buffer)
        self._predict = predict
        self._now = now
        self._steady = steady
        self._deliver = deliver
        self._refuse = refuse
        self._min_contrast = min_contrast
        self._sent: deque[tuple[NDArray[np.float64], float]] = deque(maxlen=1000)
        self._came: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._busy_since: float | None = None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.decoded = 0
        """Observations whose pictures were decoded."""
        self.failure: Exception | None = None
        """What ended the thread, where it was not `stop`."""

    def start(self) -> None:
        """Begins to predict on the newest observation."""
        # Of this thread alone: one that was given up must not come back to life.
        self._stopping = stopping = threading.Event()
        self.failure = self._busy_since = None
        self._thread = threading.Thread(
            target=self._run, args=(stopping,), name='inference', daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Returns when no prediction is being made any more, or after five seconds."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        if self._thread is not None:
            # A prediction that never returns must not keep the process from ending.
            self._thread.join(self._LONGEST)
            self._thread = None

    @property
    def reason(self) -> str:
        """Why there was no observation when last looked for; empty if there was one."""
        return self._search.reason

    @property
    def reason_fault(self) -> Fault | None:
        """What is wrong then; None where a stream is only waited for."""
        return self._search.fault

    @property
    def busy(self) -> float:
        """How long the present prediction has taken so far; 0 where none is being made [s]."""
        since = self._busy_since
        return 0.0 if since is None else max(self._steady() - since, 0.0)

    def streams(self) -> dict[str, tuple[float | None, int, int]]:
        """Stream -> capture time of its newest sample [s], repeated stamps, new starts."""
        with self._changed:
            streams = self._buffer.streams.values()
            return {s.name: (s.newest, s.repeated, s.restarts) for s in streams}

    def add_image(self, camera: str, message: Any, time: float) -> None:
        """Takes a picture; see `ObservationBuffer.add_image`."""
        with self._changed:
            self._buffer.add_image(camera, message, time)
            self._came.append((time, self._steady() - max(self._now() - time, 0.0)))
            self._changed.notify()

    def add_camera_info(self, camera: str, message: Any) -> None:
        """Takes the CameraInfo of a camera; see `ObservationBuffer.add_camera_info`."""
        with self._changed:
            self._buffer.add_camera_info(camera, message)
            self._wake_if_waiting()

    def add_joints(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        """Takes positions of joints; see `ObservationBuffer.add_joints`."""
        with self._changed:
            self._buffer.add_joints(names, positions, time)
            self._wake_if_waiting()

    def add_pose(
        self, position: Sequence[float], quaternion: Sequence[float], time: float
    ) -> None:
        """Takes a pose of the end effector; see `ObservationBuffer.add_pose`."""
        with self._changed:
            self._buffer.add_pose(position, quaternion, time)
            self._wake_if_waiting()

    def add_command(self, targets: NDArray[np.float64], time: float) -> None:
        """See `ObservationBuffer.add_command`; nothing where the policy does not read it."""
        if self._buffer.uses_command:
            # Without the lock: whoever commands waits for nobody.
            self._sent.append((targets, time))

    def set_instruction(self, instruction: str) -> None:
        """Takes the instruction; see `ObservationBuffer.set_instruction`."""
        with self._changed:
            self._buffer.set_instruction(instruction)
            self._changed.notify()

    def _wake_if_waiting(self) -> None:
        # Joints come up to 1000 times a second; only a frame that waits for them is worth a look.
        if self.reason:
            self._changed.notify()

    def _run(self, stopping: threading.Event) -> None:
        try:
            while (decode := self._wait(stopping)) is not None:
                taken = self._steady()
                try:
                    observation = decode()
                    check_contrast(observation, self._min_contrast)
                except ValueError as error:
                    self._refuse_for(stopping, Fault.BAD_PICTURE, 'picture', str(error))
                    continue
                if stopping.is_set():
                    return
                decoded = self._busy_since = self._steady()
                self.decoded += 1
                try:
                    prediction = self._predict(observation)
                except ValueError as error:
                    self._refuse_for(stopping, Fault.BAD_PREDICTION, 'policy', str(error))
                    continue
                finally:
                    if not stopping.is_set():
                        self._busy_since = None
                if stopping.is_set():
                    return
                self._deliver(
                    TimedPrediction(
                        observation,
                        prediction,
                        captured=self._captured(observation.time),
                        taken=taken,
                        decoded=decoded,
                        predicted=self._steady(),
                    )
                )
        except Exception as error:  # the command thread has to hear of it, whatever it is
            if stopping.is_set():
                return
            self.failure = error
            text = f'The inference ended with {type(error).__name__}: {error}'
            self._refuse_for(stopping, Fault.INFERENCE_FAILED, 'policy', text)

    def _refuse_for(self, stopping: threading.Event, fault: Fault, stream: str, text: str) -> None:
        """What a thread that was given up found wrong is of a session that is over."""
        if not stopping.is_set():
            self._refuse(fault, stream, text)

    def _captured(self, time: float) -> float:
        """The moment of a stamp in steady time [s], as when a picture of that stamp came.

        A simulated clock may have gone slower since, or have stood still.
        """
        with self._changed:
            came = dict(self._came)
        return came.get(time, self._steady() - (self._now() - time))

    def _wait(self, stopping: threading.Event) -> Callable[[], Observation] | None:
        """The next observation to decode; None when stopping."""
        while True:
            with self._changed:
                if stopping.is_set():
                    return None
                while self._sent:
                    self._buffer.add_command(*self._sent.popleft())
                decode, wrong = self._search.look(self._now())
                if decode is None and not wrong:
                    self._changed.wait(self._POLL)
            # Whoever hears of it may be busy; that must not keep the streams out.
            for each in wrong:
                self._refuse_for(stopping, each.fault, each.stream, each.text)
            if decode is not None:
                return decode
            if wrong:
                with self._changed:
                    self._changed.wait(self._POLL)
