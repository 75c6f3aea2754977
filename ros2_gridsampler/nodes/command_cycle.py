# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""State of the arm, predictions and faults -> one command, each time that it is asked."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acting.action_prefix import Prefix
from ..acting.clock_watch import Clocks, ClockWatch
from ..acting.controller import Command, Controller, ImplausibleChunk
from ..acting.latency import ChunkTimes
from ..acting.state_belief import StateBelief, travel_time
from ..seeing.stream_health import DegradationLadder, Fault, Rung
from .command_statistics import CommandStatistics
from .inference_thread import TimedPrediction
from .input_topics import InputTopics, Measured
from .output_topics import CommandOutput
from .patient_lock import PatientLock
from .policy_parameters import PolicyParameters
from .problems import Problems
from .tracking_watch import TrackingWatch

# Beyond the longest deceleration somebody who waits for a command is patient so long [s]: whoever
# decelerates then waits for the subscribers of two topics.
_SPARE = 2.0


class CommandCycle:
    """What is commanded and why; every method may be called from any thread.

    Args:
        controller: Schedule and safety filter.
        output: Takes the commands.
        inputs: Know where the arm is.
        parameters: Periods and bounds.
        problems: Gets what goes wrong.
        clocks: See there.
        log: A logger of rclpy.
        follow: Called with the times of every chunk when it is commanded first.
        sent: Called with every command and when it was sent [s].
    """

    def __init__(
        self,
        controller: Controller,
        output: CommandOutput,
        inputs: InputTopics,
        parameters: PolicyParameters,
        *,
        problems: Problems,
        clocks: Clocks,
        log: Any,
        follow: Callable[[ChunkTimes], None],
        sent: Callable[[NDArray[np.float64], float], None],
    ) -> None:
        """Know everybody; `start` begins."""
        self._controller = controller
        self._output = output
        self._inputs = inputs
        self._parameters = parameters
        self._period = 1 / parameters.command_rate
        self._problems = problems
        self._clocks = clocks
        self._log = log
        self._sent = sent
        # Decelerating takes the longest.
        self.lock = PatientLock(parameters.stop_time + _SPARE)
        """Held while a command is made; whoever reads the ladder has to hold it."""
        self._predictions: deque[TimedPrediction] = deque(maxlen=100)
        self._paused = self._held = False
        self._tracking = TrackingWatch(controller, output, parameters)
        self._belief = StateBelief(
            controller.parts,
            parameters.max_tracking_error,
            parameters.rest_time,
            parameters.accept_zero_state,
        )
        # When a command was last sent, in steady time [s].
        self._published = -math.inf
        self._clock = ClockWatch(
            parameters.max_clock_jump, parameters.streams.max_ahead, parameters.clock_patience
        )
        self.instruction = ''
        """The sentence that is obeyed."""
        self.holding = 'not active'
        """Why the arm is not moved; empty where it is."""
        self.statistics = CommandStatistics(clocks, follow)
        self.ladder = DegradationLadder(parameters.ladder, clocks.steady())

    def start(self) -> None:
        """Forget everything; the next measurement is where the arm stands."""
        with self.lock:
            self._controller.restart()
            self._output.start(None)
            self._predictions.clear()
            self._tracking.begin()
            self._belief.begin()
            self._clock.begin()
            self._paused = self._held = False
            self._published = -math.inf
            self.statistics.begin()
            self.ladder = DegradationLadder(self._parameters.ladder, self._clocks.steady())

    def deliver(self, timed: TimedPrediction) -> None:
        """A prediction came; it is used by the next command."""
        self._predictions.append(timed)

    def prefix(self, start_time: float, period: float) -> Prefix:
        """The steps of a chunk to come that are under way already; see `ChunkSchedule.prefix`."""
        with self.lock:
            if self.holding or self._paused:
                # The arm stands: nothing of what the chunks say is being done.
                return np.empty((0, 0))
            now = self._clocks.ros()
            # What the one before says counts already, though no command was due since it came.
            self._take_predictions(now, self._clocks.steady())
            return self._controller.prefix(start_time, period, now)

    def report(self, fault: Fault, stream: str, text: str, lasting: float = 0.0) -> None:
        """A fault was seen; it cannot end before `lasting` [s] from now."""
        with self.lock:
            self.ladder.report(fault, stream, text, self._clocks.steady(), lasting)
            self._tell()

    def obey(self, instruction: str) -> None:
        """What was predicted for another sentence must not move the arm any more."""
        with self.lock:
            if instruction != self.instruction:
                self.instruction = instruction
                self._controller.forget()
                self._log.info(f'Instruction: {instruction!r}')

    @property
    def gives_up(self) -> str:
        """Why the node has to be deactivated; empty where it need not."""
        with self.lock:
            given_up = self.ladder.rung(self._clocks.steady()) is Rung.DEACTIVATE
            return self.ladder.reason if given_up else ''

    def pause(self) -> None:
        """Decelerate and hold until `resume`."""
        with self.lock:
            self._paused = True

    def resume(self) -> None:
        """Go on after a pause, from where the arm is then, with what is predicted from now on.

        It is also the word of a person that the arm is where it is measured.
        """
        with self.lock:
            self._controller.forget()
            self._paused = False
            if self._belief.doubt:
                self._belief.trust()

    def step(self, due: float) -> None:
        """Make the command that is due then, and send it then.

        Args:
            due: In the time of `time.monotonic` [s]; what is past is due now.
        """
        with self.lock:
            now, steady = self._clocks.ros(), self._clocks.steady()
            self._watch_clock(now, steady)
            now += max(due - time.monotonic(), 0.0)
            waited = not self._controller.started
            if (measured := self._inputs.measured()) is not None and self._believes(measured):
                state = self._output.state(measured.values)
                self._controller.measure(state, measured.time, now)
                self._tracking.measure(measured, self._inputs.measured_pose)
            self._take_predictions(now, steady)
            if not self._controller.started:
                self.holding = f'The arm was not measured yet: waiting for {self._inputs.needed}.'
                if self._belief.doubt:
                    self.holding = self._belief.doubt
                elif measured is not None:
                    self.holding = (
                        f'{self._controller.stale(now)} Synchronise the clocks, check '
                        'use_sim_time, or let the driver stamp what it publishes.'
                    )
                self._problems.report('no command', self.holding)
                return
            if waited:
                self._start_output()
            command = self._command(now, steady)
            time.sleep(max(due - time.monotonic(), 0.0))
            self._send(command, now)
            self._tell()

    def decelerate(self, patience: float, repeats: int = 0) -> bool:
        """Stop inside the limits; the last message is a safe command.

        Args:
            patience: Until another thread lets go of the commands [s].
            repeats: How often the last message is said again, for whoever may have lost it.

        Returns:
            Whether that was possible.
        """
        if not self.lock.acquire(timeout=patience):
            return False
        try:
            if not self.statistics.commands or self._withholds():
                return True
            resting = 0
            for _ in range(math.ceil(self._parameters.stop_time / self._period) + repeats):
                begin = time.monotonic()
                safe = self._controller.stop(self._period)
                reach_time = self._controller.reach_time(safe.values)
                self._output.publish(safe.values, self._clocks.ros(), reach_time)
                resting += safe.at_rest
                if resting > repeats:
                    break
                time.sleep(max(0.0, begin + self._period - time.monotonic()))
            else:
                limit = self._parameters.stop_time
                self._log.error(f'The arm could not stop within {limit} s; raise stop_time.')
            self._output.wait_until_received()
            self._held = True
            return True
        finally:
            self.lock.release()

    def _watch_clock(self, now: float, steady: float) -> None:
        for fault, text in self._clock.look(now, steady):
            self.ladder.report(fault, 'clock', text, steady)
            if fault is Fault.CLOCK_JUMPED:
                self._controller.forget()
                self._tracking.restless()

    def _take_predictions(self, now: float, steady: float) -> None:
        while self._predictions:
            timed = self._predictions.popleft()
            if timed.observation.instruction != self.instruction:
                continue
            chunk = timed.prediction.chunk
            try:
                seam = self._controller.add(chunk, now)
            except ImplausibleChunk as error:
                self.ladder.report(Fault.BAD_PREDICTION, 'policy', str(error), steady)
                continue
            self.statistics.took(timed, seam, steady)
            # A chunk that is over when it comes is no reason to move.
            if chunk.end_time > now:
                self.ladder.observe_good(steady)

    def _believes(self, measured: Measured) -> bool:
        """Whether the arm can be where it is measured; a recorded one can be anywhere."""
        if not self._parameters.check_following:
            return True
        pose, sent = self._inputs.measured_pose, self._controller.commanded
        turn = pose.values[3:] if pose is not None and len(self._controller.parts) == 3 else ()
        if (led := self._output.pose) is not None:
            sent = np.array([*led[:3], measured.values[3], *led[3:]])
        return self._belief.believe(np.array([*measured.values, *turn]), measured.time, sent)

    def _command(self, now: float, steady: float) -> Command:
        blocked = self._tracking.kept_from_following(self._held)
        doubt = self._belief.doubt
        stale = '' if doubt else self._controller.stale(now)
        if (
            self._tracking.astray
            and not (doubt or stale or self._paused)
            and self._had_time(steady)
        ):
            # Whatever it holds for: it would jump when it is let go.
            self._start_from_measured()
        displaced = self._held and self._tracking.displaced
        if self._paused:
            return self._controller.hold('Stopped by ~/stop; call ~/resume.', self._period)
        if displaced:
            blocked = 'The arm is not where it was commanded to be; waiting until it stands.'
        for fault, text in (
            (Fault.NOT_FOLLOWING, blocked),
            (Fault.STATE_OLD, stale),
            (Fault.STATE_DOUBTED, doubt),
        ):
            if text:
                self.ladder.report(fault, 'arm', text, steady)
        if self.ladder.rung(steady) >= Rung.HOLD:
            return self._controller.hold(self.ladder.reason, self._period)
        command = self._controller.command(now, self._period, self._tracking.lead)
        if command.fault is not None:
            self.ladder.report(command.fault, 'arm', command.holding, steady)
        return command

    def _had_time(self, steady: float) -> bool:
        """Whether nothing was sent for as long as the way to the measured arm takes at the limits.

        So the next command, which is where the arm is, is no step that an arm could not make.
        """
        needed = self._controller.return_time()
        if (pose := self._inputs.measured_pose) is not None and self._output.pose is not None:
            hand, turn = self._controller.parts[::2]
            needed = max(needed, travel_time((hand, turn), self._output.gap(pose.values), True))
        return steady - self._published >= needed

    def _withholds(self) -> bool:
        """Whether a command would move an arm that is elsewhere, or is measured by nobody."""
        if not (self._output.places and self._held and self._controller.at_rest):
            return False
        stale = self._controller.stale(self._clocks.ros())
        elsewhere = self._tracking.displaced or self._tracking.astray
        return bool(self._belief.doubt or stale) or elsewhere

    def _start_from_measured(self) -> None:
        self._tracking.restart()
        near, pose = self._parameters.max_tracking_error, self._inputs.measured_pose
        self._controller.start_from_measured(near)
        self._output.start_again(None if pose is None else pose.values, near)
        self._log.info(
            'The arm was moved while it held, or was kept from moving; commands begin where it is.'
        )

    def _send(self, command: Command, now: float) -> None:
        self.holding, self._held = command.holding, bool(command.holding)
        if not self._withholds():
            self._output.publish(command.values, now, self._controller.reach_time(command.values))
            self._published = self._clocks.steady()
        self._sent(command.values, now)
        self.statistics.sent(command, now, self._controller.information_time)
        self._tracking.command(self._held and command.at_rest, now, follows=not self._held)
        if command.holding:
            self._problems.report('holding', f'The arm holds: {command.holding}')

    def _start_output(self) -> None:
        pose = self._inputs.measured_pose
        self._output.start(None if pose is None else pose.values)

    def _tell(self) -> None:
        for step in self.ladder.transitions():
            # rclpy wants a line of its own for every severity.
            if step.after is Rung.FOLLOW:
                self._log.info(str(step))
            else:
                self._log.warning(str(step))
