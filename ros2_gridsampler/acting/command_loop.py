# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Events and the time -> the command due, a hold with its reason, or nothing.

The loop is pure: it reads no clock, waits for nobody and holds no lock. One thread owns it; others
put events into the inbox that its owner hands to `step`, and read the frozen `view` that the last
step left. The node and the evaluator of recordings drive the same loop.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..seeing.stream_health import DegradationLadder, Fault, Rung, Transition
from .action_chunk import ActionChunk, ActionSpace
from .action_prefix import Prefix
from .arm_limits import ArmLimits
from .chunk_schedule import ChunkSchedule, Seam
from .clock_watch import ClockWatch
from .controller import Brake, Controller, Decision, ImplausibleChunk
from .led_pose import LedPose, ReckonedPose
from .loop_config import LoopConfig
from .loop_events import (
    Event,
    FaultSeen,
    Instant,
    Measured,
    Predicted,
    ResumeAsked,
    StopAsked,
    Told,
)
from .loop_states import TRANSITIONS, LoopEvent, LoopState
from .state_belief import StateBelief, travel_time
from .tracking import TrackingWatch

# So often an arm that stands is told to, before nothing is sent while it is elsewhere.
_LAST_WORDS = 5


@dataclass(frozen=True, eq=False)
class Command:
    """What the arm is told.

    Attributes:
        values: Admissible, in the order of the action space.
        pose: Where the twists in `values` have led, x y z and a quaternion; None for joints.
        state: What the loop is doing.
        sends: Whether it is sent; an arm that may be elsewhere is not told anything.
        holding: Why the arm decelerates or stands; empty while it follows a chunk.
        interventions: What the safety filter had to change.
        at_rest: Whether the arm stands still once this is done.
        reach_time: How long the way to it takes at the limits, from the measured arm and from
            where a controller is that goes on from what it wanted last [s].
    """

    values: Float[np.ndarray, ' actions']
    pose: Float[np.ndarray, '7'] | None
    state: LoopState
    sends: bool
    holding: str
    interventions: tuple[str, ...]
    at_rest: bool
    reach_time: float


@dataclass(frozen=True, eq=False)
class LoopView:
    """What the last step left, for other threads to read.

    Attributes:
        state: What the loop is doing.
        holding: Why the arm is not moved; empty where it is.
        doubt: Why it is not believed to be where it is measured; empty where it is.
        instruction: The sentence that is obeyed.
        rung: The rung of the ladder.
        reason: Why it is above FOLLOW.
        streams: Stream -> what is wrong with it now.
        counts: 'stream: fault' -> how often it began.
        information_time: Capture time of what the newest chunk was made from [s], or None.
        taken: Predictions that the step took into use, and the seams that they made.
        transitions: Steps on the ladder since the step before.
        schedule: A copy of the chunks.
    """

    state: LoopState
    holding: str
    doubt: str
    instruction: str
    rung: Rung
    reason: str
    streams: Mapping[str, str]
    counts: Mapping[str, int]
    information_time: float | None
    taken: tuple[tuple[Any, Seam | None], ...]
    transitions: tuple[Transition, ...]
    schedule: ChunkSchedule

    def prefix(
        self, coming: Iterable[ActionChunk], start_time: float, period: float, now: float
    ) -> Prefix:
        """Returns the steps of a chunk to come that are under way; see `ChunkSchedule.prefix`.

        Args:
            coming: Chunks in the inbox, which no step has taken yet.
            start_time: Capture time of the observation about to be used [s].
            period: The period of the chunk to come [s].
            now: The time of the clock that stamps the streams [s].
        """
        if self.state is not LoopState.FOLLOWING:
            # The arm stands: nothing of what the chunks say is being done.
            return np.empty((0, 0))
        schedule = self.schedule.copy()
        for chunk in coming:
            schedule.add(chunk, now)
        return schedule.prefix(start_time, period, now)


class CommandLoop:
    """Everything that is known of an arm, of its chunks and of what is wrong, in one object.

    Args:
        space: What an action means.
        limits: The limits of the arm.
        config: Periods and bounds.
        leads: Whether twists are sent as the poses to which they lead.
        needed: What the arm is measured by, for the sentence that says it was not.

    Raises:
        ValueError: The arm has no limits for this action space.
    """

    def __init__(
        self,
        space: ActionSpace,
        limits: ArmLimits,
        config: LoopConfig,
        *,
        leads: bool = False,
        needed: str = 'joint states',
    ) -> None:
        self._config = config
        self._period = config.period
        self._needed = needed
        self._led = LedPose(self._period) if leads else None
        self._controller = Controller(
            space, limits, config.schedule, config.streams.max_age, config.max_excess, leads
        )
        turns = not leads and any(part.rotates for part in self._controller.parts)
        lag = config.schedule.actuation_delay + config.max_lag + self._period
        self._reckoned = ReckonedPose(self._period, lag) if turns else None
        self._tracking = TrackingWatch(self._controller, self._led, config)
        self._belief = StateBelief(
            self._controller.parts,
            config.max_tracking_error,
            config.rest_time,
            config.accept_zero_state,
        )
        self._clock = ClockWatch(
            config.max_clock_jump, config.streams.max_ahead, config.clock_patience
        )
        self._instruction = ''
        self.start(0.0)

    def start(self, steady: float) -> None:
        """Forgets everything but the instruction; the next measurement is where the arm stands.

        Args:
            steady: Now, on a clock that nobody sets [s].
        """
        self._controller.restart()
        if self._led is not None:
            self._led.start(None)
        if self._reckoned is not None:
            self._reckoned.begin()
        self._tracking.begin()
        self._belief.begin()
        self._clock.begin()
        self._ladder = DegradationLadder(self._config.ladder, steady)
        self._state = LoopState.UNKNOWN
        self._measured: Measured | None = None
        self._begun = self._held = False
        self._sends = True
        # How often in a row the arm was told to stand.
        self._said = 0
        # When a command was last sent, in steady time [s].
        self._sent_at = -math.inf
        self._waiting: list[Predicted] = []
        self._taken: list[tuple[Any, Seam | None]] = []
        self.view = self._look('not active')
        """What the last step left; another object after each step."""

    def step(self, now: Instant, inbox: Iterable[Event] = ()) -> Command | None:
        """Takes what happened, and makes the command that is due.

        Args:
            now: When it is, and when the command is due.
            inbox: What happened since the last step, in order.

        Returns:
            The command; None before the arm was measured.
        """
        self._taken = []
        came = self._take(inbox, now)
        self._watch_clock(now)
        self._judge(came, now)
        self._take_predictions(now)
        if not self._controller.started:
            self.view = self._look(self._why_unknown(now))
            return None
        if not self._begun:
            self._begun = True
            if self._led is not None and self._measured is not None:
                self._led.start(self._measured.pose)
            self._go(LoopEvent.MEASURED)
        command = self._command(now)
        self._ladder.rung(now.steady)
        self._held, self._sends = bool(command.holding), command.sends
        if command.sends:
            self._sent_at = now.steady
        self._tracking.command(self._held and command.at_rest, now.due, follows=not self._held)
        self.view = self._look(command.holding)
        return command

    def brake(self) -> Brake:
        """Returns what stops the arm from its last command, apart from this loop."""
        return self._controller.brake(self._led, self._period, self._sends)

    def adopt(self, brake: Brake) -> None:
        """Goes on after somebody else has stopped the arm by `brake`."""
        self._controller.adopt(brake)
        if self._led is not None:
            self._led.pose = brake.pose

    def _take(self, inbox: Iterable[Event], now: Instant) -> bool:
        """Takes what others said; whether the arm was measured."""
        measured = False
        for event in inbox:
            match event:
                case Measured():
                    self._measured, measured = event, True
                case Predicted():
                    self._waiting.append(event)
                case FaultSeen():
                    self._ladder.report(
                        event.fault, event.stream, event.text, now.steady, event.lasting
                    )
                case Told():
                    if event.instruction != self._instruction:
                        self._instruction = event.instruction
                        self._controller.forget()
                case StopAsked():
                    self._go(LoopEvent.STOP)
                case ResumeAsked():
                    self._controller.forget()
                    self._go(LoopEvent.RESUME)
                    if self._belief.doubt:
                        self._belief.trust()
        return measured

    def _watch_clock(self, now: Instant) -> None:
        for fault, text in self._clock.look(now.clock, now.steady):
            self._ladder.report(fault, 'clock', text, now.steady)
            if fault is Fault.CLOCK_JUMPED:
                self._controller.forget()
                self._tracking.restless()

    def _judge(self, came: bool, now: Instant) -> None:
        """Judges whether a measured state of the arm can be true."""
        measured = self._measured
        if measured is None:
            return
        # An arm that fell silent before commands began may be anywhere when it is measured again.
        old = abs(now.due - measured.time) > self._config.streams.max_age
        if not (old and not self._controller.started) and not self._believes(measured):
            return
        state, led = measured.values, self._led
        if led is not None and led.pose is not None:
            state = np.array([*led.pose[:3], *state[3:]])
        self._controller.measure(state, measured.time, now.due)
        self._tracking.measure(measured)

    def _believes(self, measured: Measured) -> bool:
        """Whether the arm can be where it is measured; a recorded one can be anywhere."""
        if not self._config.check_following:
            return True
        turn: NDArray[np.float64] = np.zeros(0)
        times = measured.times
        if times is None:
            times = np.full(len(measured.values), measured.time)
        if measured.pose is not None and any(part.rotates for part in self._controller.parts):
            turn = measured.pose[3:]
        state = np.concatenate([measured.values, turn])
        # What a hand is turned by was measured with where it is.
        times = np.concatenate([times, np.full(len(turn), times[0])])
        sent = self._controller.commanded
        if sent is None and (opening := self._controller.commanded_opening) is not None:
            sent = np.full(state.shape, np.nan)
            sent[3] = opening
            hand = self._reckoned or self._led
            if hand is not None and (led := hand.pose) is not None:
                sent[:] = [*led[:3], opening, *led[3 : 3 + turn.size]]
        believes = self._belief.believe(state, times, sent)
        if self._reckoned is not None:
            if believes or (last := self._belief.believed) is None:
                self._reckoned.pose = None
            else:
                self._reckoned.lose(np.array([*last[:3], *last[4:]]))
        return believes

    def _take_predictions(self, now: Instant) -> None:
        waiting, self._waiting = self._waiting, []
        # Pictures of a time that is still to come were taken before the clock was set back.
        latest = now.clock + self._config.streams.max_ahead
        for predicted in waiting:
            if predicted.instruction != self._instruction or predicted.chunk.start_time > latest:
                continue
            try:
                seam = self._controller.add(predicted.chunk, now.due)
            except ImplausibleChunk as error:
                self._ladder.report(Fault.BAD_PREDICTION, 'policy', str(error), now.steady)
                continue
            self._taken.append((predicted.made, seam))
            # A chunk that is over when it comes is no reason to move.
            if predicted.chunk.end_time > now.due:
                self._ladder.observe_good(now.steady)

    def _why_unknown(self, now: Instant) -> str:
        if self._belief.doubt:
            return self._belief.doubt
        if self._measured is not None:
            return (
                f'{self._controller.stale(now.due)} Synchronise the clocks, check '
                'use_sim_time, or let the driver stamp what it publishes.'
            )
        return f'The arm was not measured yet: waiting for {self._needed}.'

    def _command(self, now: Instant) -> Command:
        doubt = self._belief.doubt
        blocked = self._tracking.kept_from_following(self._held)
        stale = '' if doubt else self._controller.stale(now.due)
        stands_elsewhere = self._tracking.astray and not (doubt or stale)
        if stands_elsewhere and self._had_time(now) and self._go(LoopEvent.BEGINS):
            self._begin_where_it_is()
        if self._state is LoopState.STOPPED:
            return self._stop('Stopped by ~/stop; call ~/resume.', now)
        if self._held and self._tracking.displaced:
            blocked = 'The arm is not where it was commanded to be; waiting until it stands.'
        for fault, text in (
            (Fault.NOT_FOLLOWING, blocked),
            (Fault.STATE_OLD, stale),
            (Fault.STATE_DOUBTED, doubt),
        ):
            if text:
                self._ladder.report(fault, 'arm', text, now.steady)
        rung = self._ladder.rung(now.steady)
        if rung >= Rung.HOLD:
            self._go(LoopEvent.GIVEN_UP if rung is Rung.DEACTIVATE else LoopEvent.FAULT)
            return self._stop(self._ladder.reason, now)
        decision = self._controller.command(now.due, self._period, self._tracking.lead)
        if decision.fault is not None:
            self._ladder.report(decision.fault, 'arm', decision.holding, now.steady)
        if decision.holding:
            self._go(LoopEvent.NOTHING_DUE)
        else:
            self._go(LoopEvent.TRUSTED)
        return self._sent(decision, now)

    def _stop(self, reason: str, now: Instant) -> Command:
        return self._sent(self._controller.hold(reason, self._period), now)

    def _sent(self, decision: Decision, now: Instant) -> Command:
        """The command of a decision; whether it is sent is the last thing to be known."""
        sends = True
        if decision.holding and decision.at_rest:
            self._go(LoopEvent.AT_REST)
            # Whoever executes has to hear where to stand, whatever is known of the arm.
            lost = self._said >= _LAST_WORDS and self._lost(now)
            self._go(LoopEvent.LOST if lost else LoopEvent.FOUND)
            sends = not lost
            self._said += 1
        else:
            self._said = 0
        if self._led is not None and sends:
            self._led.advance(decision.values[:6])
        if self._reckoned is not None and sends:
            self._reckoned.advance(decision.values[:6])
        reach_time = 0.0
        if sends:
            leaves = now.steady + max(now.due - now.clock, 0.0)
            follows = not decision.holding and self._tracking.follows
            reach_time = self._controller.reach_time(
                decision.values, leaves, self._period, follows
            )
        return Command(
            decision.values,
            None if self._led is None else self._led.pose,
            self._state,
            sends,
            decision.holding,
            decision.interventions,
            decision.at_rest,
            reach_time,
        )

    def _lost(self, now: Instant) -> bool:
        """Whether a command would move an arm that is elsewhere, or is measured by nobody."""
        unsure = bool(self._belief.doubt or self._controller.stale(now.due))
        return unsure or self._tracking.elsewhere

    def _had_time(self, now: Instant) -> bool:
        """Whether nothing was sent for as long as the way to the measured arm takes at the limits.

        So the next command, which is where the arm is, is no step that an arm could not make.
        """
        needed = self._controller.return_time()
        pose = None if self._measured is None else self._measured.pose
        if pose is not None and self._led is not None and self._led.pose is not None:
            hand, turn = self._controller.parts[::2]
            needed = max(needed, travel_time((hand, turn), self._led.gap(pose), True))
        return now.steady - self._sent_at >= needed

    def _begin_where_it_is(self) -> None:
        self._said = 0
        self._tracking.restart()
        near = self._config.max_tracking_error
        self._controller.start_from_measured(near)
        if self._led is not None and self._measured is not None:
            self._led.start_again(self._measured.pose, near)

    def _go(self, event: LoopEvent) -> bool:
        """Follows the table; whether the event changes anything in this state."""
        change = TRANSITIONS.get((self._state, event))
        if change is None:
            return False
        self._state = change.to
        return True

    def _look(self, holding: str) -> LoopView:
        ladder = self._ladder
        return LoopView(
            self._state,
            holding,
            self._belief.doubt,
            self._instruction,
            ladder.current,
            ladder.reason,
            ladder.states(),
            dict(ladder.counts),
            self._controller.information_time,
            tuple(self._taken),
            tuple(ladder.transitions()),
            self._controller.schedule.copy(),
        )
