# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks and where the arm is -> the admissible command due now, or a hold with its reason."""

import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..seeing.stream_health import Fault
from .action_chunk import ActionChunk, ActionSpace
from .action_prefix import Prefix
from .arm_limits import ArmLimits
from .chunk_schedule import ChunkOver, ChunkSchedule, NoActionDue, ScheduleConfig, Seam
from .commanded_motion import CommandedMotion
from .led_pose import LedPose
from .safety_filter import NonFiniteTarget, SafeCommand
from .state_belief import StatePart


@dataclass(frozen=True, eq=False)
class Decision:
    """What to send to the arm.

    Attributes:
        values: Admissible, in the order of the action space.
        holding: Why the arm decelerates or holds; empty while it follows a chunk.
        interventions: What the safety filter had to change.
        at_rest: Whether the arm stands still once this is done.
        fault: What made it hold; None while it follows, or just waits for a first chunk.
    """

    values: Float[np.ndarray, ' actions']
    holding: str
    interventions: tuple[str, ...]
    at_rest: bool
    fault: Fault | None = None


@dataclass(frozen=True, eq=False)
class Segment:
    """Where a trajectory controller can be on its way, if it goes on from what it wanted last.

    It may have been switched on at any time since, and then began where the arm was: so there is a
    lowest and a highest position for each joint.

    Attributes:
        starts: The two, when it was sent to `goal` [rad], [m].
        goal: Where it was sent.
        begun: When, on a clock that nobody sets [s].
        duration: How long it was given [s].
    """

    starts: Float[np.ndarray, '2 joints']
    goal: Float[np.ndarray, ' joints']
    begun: float
    duration: float

    def at(self, time: float) -> Float[np.ndarray, '2 joints']:
        """Returns the two at `time` [s]."""
        share = min(max((time - self.begun) / self.duration, 0.0), 1.0)
        return np.asarray(self.starts + share * (self.goal - self.starts))


class Brake:
    """What is left of a stop, from the last command on, apart from whoever made that.

    A thread that finds the owner of the commands hanging brings the arm to rest by it.

    Args:
        motion: A copy of the filter that admitted the last command.
        led: The commanded pose; None where none is.
        period: Between two commands [s].
        sends: Whether the stop may be sent: not to an arm that is elsewhere.
        place: Where the arm was measured last; None where it never was.
        segment: The segment of the command that was sent last; None where none was.
    """

    def __init__(
        self,
        motion: CommandedMotion,
        led: LedPose | None,
        period: float,
        sends: bool,
        place: NDArray[np.float64] | None = None,
        segment: Segment | None = None,
    ) -> None:
        self.motion = motion
        self.sends = sends
        self.segment = segment
        self.reach_time = 0.0
        """How long the way to what `step` gave last takes at the limits [s]."""
        self._place = place
        self.last: SafeCommand | None = None
        """What `step` gave last; None before the first."""
        self._led = led
        self._period = period

    @property
    def pose(self) -> Float[np.ndarray, '7'] | None:
        """Where the twists have led, x y z and a quaternion; None for joints."""
        return None if self._led is None else self._led.pose

    def step(self) -> SafeCommand:
        """One step of deceleration; call it every period until it is at rest."""
        safe = self.last = self.motion.stop(self._period)
        if self._place is not None:
            time = 0.0 if self.segment is None else self.segment.begun + self._period
            self.segment, self.reach_time = _follow(
                self.motion, self.segment, self._place, safe.values, time, self._period
            )
        if self._led is not None:
            self._led.advance(safe.values[:6])
        return safe


def _follow(
    motion: CommandedMotion,
    before: Segment | None,
    place: NDArray[np.float64],
    values: NDArray[np.float64],
    time: float,
    period: float,
) -> tuple[Segment | None, float]:
    """A command -> the segment that it makes, and how long its way takes at the limits [s]."""
    if not motion.watched.size:
        return None, motion.travel_time(values, place)
    low, high = (place, place) if before is None else before.at(time)
    starts = np.stack([np.minimum(low, place), np.maximum(high, place)])
    needed = max(motion.travel_time(values, start) for start in starts)
    return Segment(starts, values, time, max(needed, period)), needed


class ImplausibleChunk(ValueError):
    """A prediction that is beyond the limits of the arm by far; it was not taken into use."""


class Controller:
    """Joins chunk schedule and safety filter, for the live node and for replay alike.

    Args:
        space: What an action means.
        limits: The limits of the arm.
        schedule: How chunks follow each other.
        max_state_age: The arm is stopped when its measured state is older [s].
        max_excess: A chunk that is beyond the limits by more than this share of their span is
            refused; what is nearer is brought back by the safety filter.
        leads: Whether the position of the end effector is the one that was commanded last, and
            not an older, measured one.

    Raises:
        ValueError: The arm has no limits for this action space.
    """

    def __init__(
        self,
        space: ActionSpace,
        limits: ArmLimits,
        schedule: ScheduleConfig,
        max_state_age: float,
        max_excess: float = 1.0,
        leads: bool = False,
    ) -> None:
        self._schedule = ChunkSchedule(schedule)
        self._motion = space.means.motion(space.names, space.frame, limits, max_excess)
        self._beside = not space.means.of_joints
        self._max_state_age = max_state_age
        self._delay = schedule.actuation_delay
        self._leads = leads
        self._measured: NDArray[np.float64] | None = None
        self._measured_time = -np.inf
        self._started = False
        self._at_rest = True
        self._last: NDArray[np.float64] | None = None
        self._told: float | None = None
        self._segment: Segment | None = None
        self._place: NDArray[np.float64] | None = None

    @property
    def started(self) -> bool:
        """Whether a fresh state of the arm came since the last `restart`."""
        return self._started

    @property
    def gaps(self) -> Float[np.ndarray, ' joints']:
        """How far each joint is from where it was last commanded to be [rad], [m].

        0 for joints that hold things; empty where velocities are commanded, which start from
        wherever the arm is.
        """
        if self._last is None or self._measured is None or not self._motion.watched.any():
            return np.zeros(self._motion.watched.shape)
        return np.where(self._motion.watched, np.abs(self._measured - self._last), 0.0)

    @property
    def watched(self) -> Bool[np.ndarray, ' joints']:
        """Which joints are commanded to positions and hold nothing; empty for velocities."""
        return self._motion.watched

    @property
    def commanded(self) -> Float[np.ndarray, ' joints'] | None:
        """Where the joints were last commanded to be [rad], [m]; None where they were not."""
        return self._last if self._motion.watched.size else None

    @property
    def commanded_opening(self) -> float | None:
        """Opening last commanded to the gripper beside a twist [m]; None where there was none."""
        return None if self._last is None or not self._beside else float(self._last[-1])

    @property
    def parts(self) -> tuple[StatePart, ...]:
        """See `CommandedMotion`."""
        return self._motion.parts

    def reach_time(
        self, values: Float[np.ndarray, ' actions'], time: float, period: float, follows: bool
    ) -> float:
        """Returns how long the way takes to a command that is about to be sent [s].

        The longest of the ways from the arm as it was measured, and from where a controller can be
        that goes on from what it wanted last. 0 where nothing is known of the arm, and for what is
        commanded as a velocity.

        Args:
            values: Admissible.
            time: When it is sent, on a clock that nobody sets [s].
            period: Between two commands [s].
            follows: Whether the arm is seen to do what it is told. Then what keeps a joint that
                holds something from its command is what it holds, and the others need not wait.
        """
        if self._measured is None:
            return 0.0
        watched = self._motion.watched
        self._place = self._measured
        if follows and watched.size:
            self._place = np.where(watched, self._measured, values)
        self._segment, needed = _follow(
            self._motion, self._segment, self._place, values, time, period
        )
        return needed

    def return_time(self) -> float:
        """Returns how long an arm may need from its last command to where it is measured [s]."""
        if self._measured is None or self._last is None:
            return 0.0
        return self._motion.travel_time(self._last, self._measured, from_rest=True)

    @property
    def opened(self) -> bool:
        """Whether a joint that held something was opened since it was last commanded to move."""
        return self._measured is not None and bool(self._motion.grips.opened(self._measured).any())

    def stale(self, now: float) -> str:
        """Why the measured state says nothing about now [s]; empty where it does."""
        age = now - self._measured_time
        if abs(age) <= self._max_state_age:
            return ''
        return (
            f'The measured state of the arm is {age:.3f} s old; at most '
            f'{self._max_state_age:.3f} s is allowed.'
        )

    def restart(self) -> None:
        """Forgets everything; the next measurement is where the arm stands."""
        self._schedule.clear()
        self._started = False

    def forget(self) -> None:
        """Drops the chunks, for instance because they answer another instruction."""
        self._schedule.clear()

    def measure(
        self, state: Float[np.ndarray, ' numbers'], time: float, now: float | None = None
    ) -> None:
        """Takes where the arm is; commands start from the first state that is not too old.

        Args:
            state: Joint positions in the order of the actions, or for a twist the position of
                the end effector in the base frame, x y z, and the gripper's opening [m].
            time: Capture time [s].
            now: The time of the same clock; by default the state is of now [s].
        """
        age = 0.0 if now is None else now - time
        self._measured, self._measured_time = state, time
        if not self._started and abs(age) <= self._max_state_age:
            self._motion.reset(self._motion.grips.start(state))
            self._started, self._last, self._at_rest = True, None, True

    def start_from_measured(self, max_tracking_error: float) -> bool:
        """Begins where the arm is, if that is elsewhere, while it holds or before it goes on.

        For joints within `max_tracking_error` [rad], [m] the last command stands: an arm that
        hangs a little below it would otherwise sink by that. For joints that hold things it does
        where they still hold them, see `GripWatch`.

        Returns:
            Whether the commands begin anew.

        Raises:
            ValueError: The arm is still being stopped, or its state was never measured.
        """
        if self._measured is None or not self._started:
            raise ValueError('The state of the arm was not measured yet; call measure first.')
        if self._last is None:
            return False
        if not self._at_rest:
            raise ValueError('The arm still moves; call stop until it is at rest.')
        moved = self.gaps > max_tracking_error
        if not moved.any() and not self.opened:
            return False
        start = self._measured
        if self._motion.watched.size:
            start = np.where(self._motion.watched & ~moved, self._last, start)
        self._motion.reset(self._motion.grips.start(start))
        self._last = None
        return True

    @property
    def schedule(self) -> ChunkSchedule:
        """The chunks."""
        return self._schedule

    def brake(self, led: LedPose | None, period: float, sends: bool) -> Brake:
        """Returns what stops the arm from its last command, on copies of all that it changes."""
        led = copy.copy(led)
        return Brake(self._motion.copy(), led, period, sends, self._place, self._segment)

    def adopt(self, brake: Brake) -> None:
        """Goes on from where `brake` has led."""
        self._motion, self._segment = brake.motion, brake.segment
        if brake.last is not None:
            self._note(brake.last, moves=False)

    def add(self, chunk: ActionChunk, now: float) -> Seam | None:
        """Takes a new prediction into use.

        Returns:
            The seam to the chunk before, where there is one.

        Raises:
            ImplausibleChunk: It is far outside what the arm can do.
        """
        if not self._motion.plausible(chunk.targets):
            raise ImplausibleChunk(
                'The policy predicted actions far beyond the limits of the arm, like '
                f'{np.array2string(chunk.targets[0], precision=3)}; check units, statistics and '
                'the calibration file.'
            )
        return self._schedule.add(chunk, now)

    def prefix(self, start_time: float, period: float, now: float) -> Prefix:
        """See `ChunkSchedule.prefix`."""
        return self._schedule.prefix(start_time, period, now)

    @property
    def information_time(self) -> float | None:
        """Capture time of what the newest chunk was made from [s]; None without a chunk."""
        newest = self._schedule.newest
        return None if newest is None else newest.start_time

    def command(
        self,
        now: float,
        period: float,
        lead: float | Float[np.ndarray, ' joints'] = np.inf,
    ) -> Decision:
        """The command due now; call it every `period`.

        Args:
            now: The time of the clock that stamps the streams [s].
            period: Since the previous command [s].
            lead: So far from where it is measured may a joint be wanted [rad], [m]; an arm that
                is kept from moving is not commanded farther and farther away.

        Raises:
            ValueError: The state of the arm was never measured.
        """
        if self._measured is None or not self._started:
            raise ValueError('The state of the arm was not measured yet; call measure first.')
        if text := self.stale(now):
            return self.hold(text, period, Fault.STATE_OLD)
        try:
            target = self._schedule.action(now)
            wanted = self._within(target, lead)
            lag = 0.0 if self._leads else now - self._measured_time + self._delay
            since = period if self._told is None else now - self._told
            safe = self._motion.admit(wanted, self._measured, period, lag, since)
        except ChunkOver as error:
            return self.hold(str(error), period, Fault.CHUNK_OVER)
        except NonFiniteTarget as error:
            return self.hold(str(error), period, Fault.STATE_OLD)
        except NoActionDue as error:
            return self.hold(str(error), period)
        self._note(safe, moves=True)
        self._told = now
        ahead = () if wanted is target else ('lead',)
        return Decision(safe.values, '', (*safe.interventions, *ahead), safe.at_rest)

    def hold(self, reason: str, period: float, fault: Fault | None = None) -> Decision:
        """Returns a step of deceleration, as `stop`, as the decision for a reason."""
        safe = self.stop(period)
        return Decision(safe.values, reason, safe.interventions, safe.at_rest, fault)

    def stop(self, period: float) -> SafeCommand:
        """One step of deceleration; call it every `period` [s] until it is at rest."""
        safe = self._motion.stop(period)
        # While it decelerates it still closes further on what it holds.
        self._note(safe, moves=not safe.at_rest)
        self._told = None
        return safe

    def _note(self, safe: SafeCommand, moves: bool) -> None:
        self._last, self._at_rest = safe.values, safe.at_rest
        if self._measured is not None:
            self._motion.grips.command(safe.values, self._measured, moves)

    def _within(
        self, target: NDArray[np.float64], lead: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The target itself where no joint is wanted farther away than its lead."""
        if not self._motion.watched.any() or self._measured is None:
            return target
        far = self._motion.watched & (np.abs(target - self._measured) > lead)
        if not far.any():
            return target
        near = np.clip(target, self._measured - lead, self._measured + lead)
        return np.where(far, near, target)
