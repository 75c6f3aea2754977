# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, joint and pose streams, stamped at capture -> Observations, matched by capture time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from .camera_streams import CameraStreams
from .joint_states import JointNames, JointStream
from .observation import NotObservable, Observation, ObservationConfig
from .sample_stream import SampleStream
from .stream_health import Fault, StreamBudget

# Of a stream of numbers: four seconds at 1 kHz.
_MOST_SAMPLES = 4096


class ObservationBuffer:
    """Collects the streams and matches them by capture time.

    Every frame of the first camera makes at most one observation: that frame, and of each other
    stream the newest sample captured no later. A frame waits for streams that have not yet
    reached its capture time, but no longer than `settle_time`, so a recording read in order and
    the live topics give the same observations.

    Args:
        config: The streams.
        budget: How old and how far apart they may be.
        joint_names: What the robot calls the joints of the policy.
        any_scale: Whether pictures of another size but the same shape are taken: for recordings
            only, nobody knows whether a live camera at another size still shows the same view.
    """

    def __init__(
        self,
        config: ObservationConfig,
        budget: StreamBudget,
        joint_names: JointNames | None = None,
        *,
        any_scale: bool = False,
    ) -> None:
        self._config = config
        self._budget = budget
        joint_names = joint_names or JointNames()
        depth, reach = _MOST_SAMPLES, budget.max_age
        span = budget.span + config.velocity_window + config.history
        self._cameras = CameraStreams(config, budget, any_scale)
        self._joints = JointStream(joint_names.of_robot(config.joints), depth, reach, span)
        self._pose: SampleStream[Float[np.ndarray, '7']] = SampleStream(
            'end-effector pose', depth, reach, span, lambda pose: pose.tobytes()
        )
        # Not in `_streams`: an arm that was sent nothing yet is as good as any.
        self._commands: SampleStream[Float[np.ndarray, ' joints']] = SampleStream(
            'commands', depth, reach, span, lambda command: command.tobytes()
        )
        self._instruction = ''
        self._taken = -np.inf

    def add_camera_info(self, camera: str, message: Any) -> None:
        self._cameras.add_info(camera, message)

    def add_image(self, camera: str, message: Any, time: float) -> None:
        """Stores an Image or CompressedImage; it is decoded only if an observation needs it.

        Args:
            camera: A name of the config.
            message: Anything with the fields of the message.
            time: Capture time [s].
        """
        if self._cameras.add(camera, message, time, self._state()):
            self._taken = -np.inf

    def add_joints(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        """Stores the positions of some or all joints, by the robot's names [rad], [m].

        Raises:
            ValueError: A joint is there twice or not finite, or one has no position.
        """
        self._joints.add(names, positions, time)

    def add_pose(
        self, position: Sequence[float], quaternion: Sequence[float], time: float
    ) -> None:
        """Stores the end-effector pose in the base frame.

        Args:
            position: x y z [m].
            quaternion: x y z w.
            time: Capture time [s].

        Raises:
            ValueError: Not finite, or not a rotation.
        """
        pose = np.array([*position, *quaternion], np.float64)
        if pose.shape != (7,) or not np.isfinite(pose).all():
            raise ValueError(f'End-effector pose must be seven finite numbers, got {pose}.')
        norm = float(np.linalg.norm(pose[3:]))
        if abs(norm - 1) > 1e-3:
            raise ValueError(
                f'End-effector orientation must be a unit quaternion, its norm is {norm:.4f}.'
            )
        self._pose.add(time, pose)

    def add_command(self, targets: Float[np.ndarray, ' joints'], time: float) -> None:
        """Stores what was sent to the arm.

        Args:
            targets: Joint targets in the order that the policy expects [rad], [m].
            time: The time of sending, of the clock that stamps the streams [s].
        """
        if np.isfinite(targets).all():
            self._commands.add(time, np.array(targets, np.float64))

    @property
    def scaled(self) -> Mapping[str, tuple[int, int]]:
        return self._cameras.scaled

    @property
    def uses_command(self) -> bool:
        """Whether `add_command` changes anything."""
        return self._config.uses_command

    @property
    def rectified(self) -> tuple[str, ...]:
        """Cameras whose CameraInfo it needs."""
        return self._config.rectified

    @property
    def streams(self) -> Mapping[str, SampleStream[Any] | JointStream]:
        """Name -> the stream, to see its `newest`, `repeated` and `restarts`."""
        return {stream.name: stream for stream in self._streams()}

    @property
    def instruction(self) -> str:
        """The sentence that holds; empty before one was set."""
        return self._instruction

    def set_instruction(self, instruction: str) -> None:
        """Replace the sentence."""
        self._instruction = instruction.strip()

    def newest(self, now: float) -> Observation:
        """The newest complete observation.

        Args:
            now: The current time, of the clock that stamps the streams [s].

        Raises:
            NotObservable: A stream is silent, too old or too far from the others.
        """
        return self._newest(now)()

    def take(self, now: float) -> Callable[[], Observation] | None:
        """The newest observation that was not taken yet, not decoded; call it to decode.

        Returns:
            None where no new frame is ready.

        Raises:
            NotObservable: See `newest`.
        """
        frame_time = self._frame_time(now)
        if frame_time <= self._taken:
            return None
        decode = self._newest(now)
        self._taken = frame_time
        return decode

    def _frame_time(self, now: float) -> float:
        """Capture time of the newest frame whose companions are in [s]."""
        first = next(iter(self._cameras.samples.values()))
        others = [*self._streams()][1:]
        silent = [stream.late(np.inf) for stream in (first, *others) if stream.newest is None]
        silent += [f'CameraInfo of camera {name!r}' for name in self._cameras.unknown]
        if silent:
            text = f'Nothing has come yet from: {", ".join(silent)}.'
            names = [stream.name for stream in (first, *others) if stream.newest is None]
            raise NotObservable(text, Fault.OLD, [*names, *silent][0])
        for stream in (first, *others):
            self._check_clock(stream, now)
        reached = min(
            (stream.newest for stream in others if stream.newest is not None), default=np.inf
        )
        for time, _ in reversed(first.samples):
            if time <= reached or now - time >= self._budget.settle_time:
                return time
        text = f'{first.name} waits for streams captured at the same time.'
        raise NotObservable(text, None, first.name)

    def _check_clock(self, stream: SampleStream[Any] | JointStream, now: float) -> None:
        age = 0.0 if stream.newest is None else now - stream.newest
        if age > self._budget.max_age:
            late = stream.late(now - self._budget.max_age)
            text = f'{late} is {age:.3f} s old; at most {self._budget.max_age:.3f} s '
            raise NotObservable(f'{text}is allowed.', Fault.OLD, stream.name)
        if -age > self._budget.max_ahead:
            text = (
                f'{stream.name} is stamped {-age:.3f} s ahead of the clock; at most '
                f'{self._budget.max_ahead:.3f} s is allowed. Synchronise the clocks.'
            )
            raise NotObservable(text, Fault.STAMPS_AHEAD, stream.name)

    def _streams(self) -> Sequence[SampleStream[Any] | JointStream]:
        pose = (self._pose,) if self._config.uses_pose else ()
        joints = (self._joints,) if self._config.joints else ()
        return (*self._cameras.samples.values(), *joints, *pose)

    def _state(self) -> tuple[float, Float[np.ndarray, ' numbers']] | None:
        """When and where the arm was last; None before that came."""
        moving = self._streams()[len(self._cameras.samples) :]
        found = [stream.at(np.inf) for stream in moving]
        newest = [pair for pair in found if pair is not None]
        if not newest or len(newest) < len(moving):
            return None
        return min(time for time, _ in newest), np.concatenate([each for _, each in newest])

    def _newest(self, now: float) -> Callable[[], Observation]:
        frame_time = self._frame_time(now)
        matched: list[tuple[float, Any]] = []
        for stream in self._streams():
            pair = stream.at(frame_time)
            if pair is None or frame_time - pair[0] > self._budget.max_skew:
                behind = (
                    'has nothing as old as the picture of'
                    if pair is None
                    else f'is {frame_time - pair[0]:.3f} s behind'
                )
                late = stream.late(frame_time - self._budget.max_skew)
                text = (
                    f'{late} {behind} the first camera; at most {self._budget.max_skew:.3f} s '
                    'between them is allowed.'
                )
                raise NotObservable(text, Fault.SKEW, stream.name)
            matched.append(pair)
        oldest = min(time for time, _ in matched)
        if now - oldest > self._budget.max_age:
            last = min(zip(matched, self._streams(), strict=True), key=lambda pair: pair[0][0])[1]
            text = (
                f'{last.late(now - self._budget.max_age)} is {now - oldest:.3f} s old; at most '
                f'{self._budget.max_age:.3f} s is allowed.'
            )
            raise NotObservable(text, Fault.OLD, last.name)
        self._cameras.check_frozen()
        if self._config.uses_instruction and not self._instruction:
            raise NotObservable(
                'No instruction has come yet.', Fault.NO_INSTRUCTION, 'instruction'
            )
        instruction, count = self._instruction, len(self._cameras.samples)
        samples = [sample for _, sample in matched]
        joints = samples[count] if self._config.joints else np.empty(0)
        velocities = self._velocities(frame_time) if self._config.velocity_window else None
        command = self._command(frame_time, joints) if self._config.uses_command else None
        pose = samples[-1] if self._config.uses_pose else None
        before = self._before(frame_time)

        def decode() -> Observation:
            images = self._pictures(samples[:count])
            now = Observation(images, joints, pose, instruction, oldest, velocities, command)
            return replace(now, earlier=self._history(now, before)) if before else now

        return decode

    def _pictures(self, messages: Sequence[Any]) -> dict[str, UInt8[np.ndarray, 'height width 3']]:
        pairs = zip(self._config.cameras, messages, strict=True)
        return {name: self._cameras.picture(name, message) for name, message in pairs}

    def _before(self, frame_time: float) -> list[list[tuple[float, Any]] | None]:
        """The samples of each earlier moment, the newest first; None where a stream has none."""
        found: list[list[tuple[float, Any]] | None] = []
        for count in range(1, self._config.earlier + 1):
            # Frames come a little early or late.
            moment = frame_time - count * self._config.earlier_period + 1e-3
            pairs = [stream.at(moment) for stream in self._streams()]
            known = [pair for pair in pairs if pair and moment - pair[0] <= self._budget.max_skew]
            found.append(known if len(known) == len(pairs) else None)
        return found

    def _history(
        self, now: Observation, before: Sequence[Sequence[tuple[float, Any]] | None]
    ) -> tuple[Observation, ...]:
        """Decodes what was seen before; a moment that is not known is as the one after it was."""
        count, earlier = len(self._cameras.samples), [replace(now, velocities=None, command=None)]
        for matched in before:
            if matched is None:
                earlier.append(earlier[-1])
                continue
            samples = [sample for _, sample in matched]
            earlier.append(
                Observation(
                    self._pictures(samples[:count]),
                    samples[count] if self._config.joints else np.empty(0),
                    samples[-1] if self._config.uses_pose else None,
                    now.instruction,
                    min(time for time, _ in matched),
                )
            )
        return tuple(earlier[1:])

    def _velocities(self, time: float) -> Float[np.ndarray, ' joints']:
        """Returns the velocities over the window before `time`; 0 before anything is known."""
        window = self._config.velocity_window
        last = self._joints.positions(time)
        first = self._joints.positions(time - window) or self._joints.earliest()
        if last is None or first is None:
            return np.zeros(len(self._config.joints))
        # Each joint has its own stamps.
        moved, took = last[1] - first[1], last[0] - first[0]
        return np.where(took > 0, moved / np.where(took > 0, took, 1.0), 0.0)

    def _command(
        self, time: float, joints: Float[np.ndarray, ' joints']
    ) -> Float[np.ndarray, ' joints']:
        """Sent last before `time`; where the joints are if that is too long ago."""
        # A recording stamps what was decided on a picture like that picture.
        sent = self._commands.at(np.nextafter(time, -np.inf))
        if sent is None or time - sent[0] > self._budget.max_age:
            return joints
        return sent[1]
