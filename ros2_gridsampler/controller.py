# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks and where the arm is -> the admissible command due now, or a hold with its reason."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .action_chunk import ActionChunk, ActionSpace
from .arm_limits import ArmLimits
from .chunk_schedule import ChunkSchedule, NoActionDue, ScheduleConfig
from .safety_filter import JointSafetyFilter, NonFiniteTarget, SafeCommand
from .twist_safety_filter import TwistSafetyFilter


@dataclass(frozen=True, eq=False)
class Command:
    """What to send to the arm.

    Attributes:
        values: Admissible, in the order of the action space.
        holding: Why the arm decelerates or holds; empty while it follows a chunk.
        interventions: What the safety filter had to change.
        at_rest: Whether the arm stands still once this is done.
    """

    values: Float[np.ndarray, ' actions']
    holding: str
    interventions: tuple[str, ...]
    at_rest: bool


class Controller:
    """Joins chunk schedule and safety filter, for the live node and for replay alike.

    Args:
        space: What an action means.
        limits: Of the arm.
        schedule: How chunks follow each other.
        max_state_age: The arm is stopped when its measured state is older [s].

    Raises:
        ValueError: The arm has no limits for this action space.
    """

    def __init__(
        self,
        space: ActionSpace,
        limits: ArmLimits,
        schedule: ScheduleConfig,
        max_state_age: float,
    ) -> None:
        """Know everything but where the arm is."""
        self._schedule = ChunkSchedule(schedule)
        self._max_state_age = max_state_age
        self._measured: NDArray[np.float64] | None = None
        self._measured_time = -np.inf
        self._started = self._commanded = False
        # The two filters differ in what they have to know of the arm.
        self._reset: Callable[[NDArray[np.float64]], None]
        self._admit: Callable[[NDArray[np.float64], NDArray[np.float64], float], SafeCommand]
        if space.kind == 'joint_position':
            joints = JointSafetyFilter(limits.joints.select(space.names))
            self._reset = joints.reset
            self._admit = lambda target, state, period: joints.filter(target, period)
            self._stop = joints.stop
            return
        if limits.end_effector is None or limits.gripper is None:
            raise ValueError(
                f'The checkpoint commands a twist and a gripper, but {limits.name} has no limits '
                "for both; add end_effector and gripper to the arm's calibration file."
            )
        if space.frame != limits.base_frame:
            raise ValueError(
                f'The checkpoint commands a twist in {space.frame!r}, the limits of {limits.name} '
                f'are in {limits.base_frame!r}; use the calibration file of its arm.'
            )
        twist = TwistSafetyFilter(limits.end_effector, limits.gripper)
        # Later a gripper that holds something has to go on squeezing it.
        self._reset = lambda state: twist.reset(None if self._commanded else state[3])
        self._admit = lambda target, state, period: twist.filter(target, state[:3], period)
        self._stop = twist.stop

    @property
    def started(self) -> bool:
        """Whether a fresh state of the arm came since the last `restart`."""
        return self._started

    def restart(self) -> None:
        """Forget everything; the next measurement is where the arm stands."""
        self._schedule.clear()
        self._started = False

    def forget(self) -> None:
        """Drop the chunks, for instance because they answer another instruction."""
        self._schedule.clear()

    def measure(
        self, state: Float[np.ndarray, ' numbers'], time: float, now: float | None = None
    ) -> None:
        """Tell where the arm is; commands start from the first state that is not too old.

        Args:
            state: Joint positions in the order of the actions, or for a twist the position of
                the end effector in the base frame, x y z, and the gripper's opening [m].
            time: Capture time [s].
            now: Of the same clock; by default the state is of now [s].
        """
        age = 0.0 if now is None else now - time
        self._measured, self._measured_time = state, time
        if not self._started and abs(age) <= self._max_state_age:
            self._reset(state)
            self._started = True

    def add(self, chunk: ActionChunk, now: float) -> None:
        """Take a new prediction into use."""
        self._schedule.add(chunk, now)

    def command(self, now: float, period: float) -> Command:
        """The command due now; call it every `period`.

        Args:
            now: Of the clock that stamps the streams [s].
            period: Since the previous command [s].

        Raises:
            ValueError: The state of the arm was never measured.
        """
        if self._measured is None or not self._started:
            raise ValueError('The state of the arm was not measured yet; call measure first.')
        self._commanded = True
        age = now - self._measured_time
        if abs(age) > self._max_state_age:
            return self.hold(
                f'The measured state of the arm is {age:.3f} s old; at most '
                f'{self._max_state_age:.3f} s is allowed.',
                period,
            )
        try:
            safe = self._admit(self._schedule.action(now), self._measured, period)
        except (NoActionDue, NonFiniteTarget) as error:
            return self.hold(str(error), period)
        return Command(safe.values, '', safe.interventions, safe.at_rest)

    def hold(self, reason: str, period: float) -> Command:
        """As `stop`, instead of a command."""
        safe = self._stop(period)
        return Command(safe.values, reason, safe.interventions, safe.at_rest)

    def stop(self, period: float) -> SafeCommand:
        """One step of deceleration; call it every `period` [s] until it is at rest."""
        return self._stop(period)
