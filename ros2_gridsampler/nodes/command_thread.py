# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the command loop: events in, a command sent at every deadline."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk
from ..acting.command_loop import Command, CommandLoop, LoopView
from ..acting.controller import Brake
from ..acting.latency import DeadlineMonitor
from ..acting.loop_config import LoopConfig
from ..acting.loop_events import Event, FaultSeen, Instant, Measured, Predicted, StopAsked
from ..seeing.stream_health import Fault
from .output_topics import CommandOutput

# How often an arm that stands is told so again, before nothing more is sent.
_LAST_WORDS = 4
# How often a simulated clock is looked at [s], and how many periods of real time a command of the
# last stop waits for it.
_LOOK, _SLOWEST_STOP = 0.001, 5
# Stamps are whole nanoseconds, sums of periods are not [s].
_SAME = 1e-6
# A deadline that is more periods ahead of a simulated clock is of one that was set back.
_FARTHEST = 2


@dataclass(frozen=True)
class Clocks:
    """The clock that stamps the streams, and one that nobody sets; both give [s].

    Attributes:
        simulated: Whether the first is simulated: commands are then due by it, so that an arm
            which is simulated slowly is commanded as slowly.
    """

    ros: Callable[[], float]
    steady: Callable[[], float]
    simulated: bool = False

    @property
    def pace(self) -> Callable[[], float]:
        """The clock by which commands are due [s]."""
        return self.ros if self.simulated else time.monotonic


class CommandThread:
    """Steps the loop and sends what it says; late deadlines are skipped, never caught up with.

    Args:
        loop: Nobody else calls it while the thread runs.
        config: Configuration of the loop.
        output: Takes the commands.
        clocks: Clocks of stamps and deadlines.
        measured: Gives where the arm is measured now; None before it was.
        watch: Told, in this thread, of every command and of what the step left.
        lead: Time by which a command is begun before it is due, so that what making it takes
            does not shift it [s].
        niceness: Niceness of the thread; below 0 needs the right to it (CAP_SYS_NICE or
            RLIMIT_NICE) and is left as it is without.
    """

    def __init__(
        self,
        loop: CommandLoop,
        config: LoopConfig,
        output: CommandOutput,
        clocks: Clocks,
        *,
        measured: Callable[[], Measured | None],
        watch: Callable[[Command | None, LoopView, float], None],
        lead: float,
        niceness: int,
    ) -> None:
        self._loop = loop
        self._config = config
        self._output = output
        self._clocks = clocks
        self._measured = measured
        self._watch = watch
        self._lead = min(lead, config.period / 2)
        self._niceness = niceness
        self._inbox: deque[Event] = deque()
        self.sending = threading.Lock()
        """Held by whoever sends: by this thread for one message, by a watchdog for a stop."""
        self._brake: Brake | None = None
        self._taken_over: Brake | None = None
        self._given_up = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name='commands', daemon=True)
        self._alive_at = time.monotonic()
        self._clock_moved = (float('nan'), 0.0)
        self.view = loop.view
        """What the last step left."""
        self.deadlines = DeadlineMonitor(config.period)
        """When the commands were sent."""
        self.failure: Exception | None = None
        """What ended the thread, where it was not `stop`."""
        self.before_command: Callable[[], None] = lambda: None
        """Called in this thread before each command."""
        self.stopped_in_time = True
        """Whether the last stop ended within `stop_time`."""

    def start(self) -> None:
        """Begins to step the loop and to send commands."""
        self._alive_at = time.monotonic()
        self._thread.start()

    def post(self, event: Event) -> None:
        """Tells the loop something; it takes it with the next command. From any thread."""
        self._inbox.append(event)

    def prefix(self, start_time: float, period: float) -> NDArray[np.float64]:
        """Returns the steps of a chunk to come that are under way; see `LoopView.prefix`."""
        view = self.view
        coming = [event for event in tuple(self._inbox) if isinstance(event, Predicted)]
        chunks: list[ActionChunk] = [
            event.chunk for event in coming if event.instruction == view.instruction
        ]
        return view.prefix(chunks, start_time, period, self._clocks.ros())

    @property
    def silence(self) -> float:
        """How long ago a command was begun [s]."""
        return time.monotonic() - self._alive_at

    def stop(self, patience: float) -> bool:
        """Decelerates, says so a few times, and ends the thread.

        Args:
            patience: How long the thread may take, beyond the stop itself, before the stop is
                taken over from it [s].

        Returns:
            Whether the last message is a safe command.
        """
        self.post(StopAsked())
        self._stopping.set()
        deadline = time.monotonic() + patience + self._config.stop_time
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(0.02)
            if self.silence > patience:
                break
        if not self._thread.is_alive() and self.failure is None:
            return True
        # One that hangs no more, after this, must not come back to life: the arm is let go of,
        # and the loop may be stepped by another thread.
        self._given_up = True
        return self.take_over(patience)

    def take_over(self, patience: float) -> bool:
        """Stops the arm instead of the thread, which hangs, from the command that it sent last.

        The thread sends nothing from now on until it has taken back, with its next step, what
        was done here; it does so by itself when it hangs no more.

        Args:
            patience: How long a message that is being sent may take [s].

        Returns:
            Whether that was possible; it is not while the thread hangs inside of a message.
        """
        if not self.sending.acquire(timeout=patience):
            return False
        try:
            brake = self._brake
            if brake is None or not brake.sends or self._taken_over is not None:
                return True
            self._stop_by(brake)
            self._taken_over = brake
            return True
        finally:
            self.sending.release()

    def _stop_by(self, brake: Brake) -> None:
        period, resting = self._config.period, 0
        for _ in range(int(self._config.stop_time / period) + 1 + _LAST_WORDS):
            begin = time.monotonic()
            safe = brake.step()
            self._output.publish(safe.values, brake.pose, self._clocks.ros(), brake.reach_time)
            resting += safe.at_rest
            if resting > _LAST_WORDS:
                break
            time.sleep(max(0.0, begin + period - time.monotonic()))
        else:
            self.stopped_in_time = False
        self._output.wait_until_received()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        period, pace = self._config.period, self._clocks.pace
        deadline = pace() + self._lead
        resting, left = 0, int(self._config.stop_time / period) + 1 + _LAST_WORDS
        try:
            while resting <= _LAST_WORDS and left > 0:
                stopping = self._wait(deadline)
                self._alive_at = time.monotonic()
                self.before_command()
                if self._given_up:
                    return
                command = self._step(deadline)
                if stopping:
                    left -= 1
                    quiet = command is None or not command.sends
                    resting += _LAST_WORDS + 1 if quiet else command.at_rest if command else 0
                sent = pace()
                self.deadlines.tick(sent)
                if self._clocks.simulated and sent < deadline:
                    # It stands still, or was set back.
                    deadline = sent
                deadline += period * max(int((sent - deadline + _SAME) / period), 1)
            self.stopped_in_time = resting > _LAST_WORDS
            self._output.wait_until_received()
        except Exception as error:  # the ROS thread has to hear of it, whatever it is
            self.failure = error

    def _wait(self, deadline: float) -> bool:
        """Waits until a command has to be begun; returns whether the thread has to stop."""
        if self._clocks.simulated:
            return self._wait_for_clock(deadline)
        return self._stopping.wait(
            max(deadline - self._lead - time.monotonic(), 0.0)
        ) and self._wait_until(deadline - self._lead)

    def _wait_for_clock(self, deadline: float) -> bool:
        """Waits until the simulated clock says so; one that stands still is not waited for."""
        period, begin = self._config.period, time.monotonic()
        while True:
            ros, self._alive_at = self._clocks.ros(), time.monotonic()
            if ros != self._clock_moved[0]:
                self._clock_moved = ros, self._alive_at
            stopping, waited = self._stopping.is_set(), self._alive_at - begin
            still = self._alive_at - self._clock_moved[1] > self._config.clock_patience
            if ros >= deadline - _SAME or deadline - ros > _FARTHEST * period:
                return stopping
            if waited >= period and (still or (stopping and waited >= _SLOWEST_STOP * period)):
                return stopping
            time.sleep(_LOOK)

    def _wait_until(self, deadline: float) -> bool:
        """A thread that stops has no event to wait for any more."""
        time.sleep(max(deadline - time.monotonic(), 0.0))
        return True

    def _ahead(self, deadline: float) -> float:
        """How long a command is due after now [s]."""
        ahead, most = deadline - self._clocks.pace(), _FARTHEST * self._config.period
        # One that a simulated clock overtook is still of its own time, as on a quicker machine;
        # that a clock was set back is no reason to command for the time before.
        least = -most if self._clocks.simulated else 0.0
        return ahead if least <= ahead <= most else 0.0

    def _step(self, deadline: float) -> Command | None:
        if (brake := self._taken_over) is not None:
            self._taken_over = None
            self._loop.adopt(brake)
            text = 'The command thread hung; the watchdog stopped the arm.'
            self.post(FaultSeen(Fault.LATE_COMMANDS, 'commands', text))
        measured = self._measured()
        events: list[Event] = [] if measured is None else [measured]
        events = [*(self._inbox.popleft() for _ in range(len(self._inbox))), *events]
        clock, steady = self._clocks.ros(), self._clocks.steady()
        due = clock + self._ahead(deadline)
        command = self._loop.step(Instant(clock, steady, due), events)
        self.view = self._loop.view
        if command is not None:
            if not self._clocks.simulated:
                self._wait_until(deadline)
            with self.sending:
                # Whoever took over while this thread hung has stopped the arm already.
                mine = self._taken_over is None and not self._given_up
                if mine and command.sends:
                    self._output.publish(command.values, command.pose, due, command.reach_time)
                if mine:
                    self._brake = self._loop.brake()
        self._watch(command, self.view, due)
        return command
