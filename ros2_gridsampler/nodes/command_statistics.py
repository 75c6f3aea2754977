# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predictions taken and commands sent -> how many, how old, how smooth, what had to be changed."""

from collections import Counter
from collections.abc import Callable

from ..acting.chunk_schedule import Seam
from ..acting.command_loop import Command
from ..acting.latency import ChunkTimes, LatencyWindow, RateWindow, Window
from .inference_thread import TimedPrediction


class CommandStatistics:
    """What diagnostics and swaps are told of the commands.

    Args:
        steady: Returns steady time [s].
        follow: Called with the times of every chunk when it is commanded first.

    Attributes:
        commands: How many were sent since `begin`.
        interventions: What the safety filter did -> how often.
        latency: Latency of the stages from camera to command.
        information_age: Age of what a command was made from, while the arm follows.
        used: Predictions that were taken into use since `begin`, in steady time [s].
        seam_positions: Jumps from one chunk to the next.
        seam_velocities: The same of their velocities.
    """

    def __init__(self, steady: Callable[[], float], follow: Callable[[ChunkTimes], None]) -> None:
        self._steady = steady
        self._follow = follow
        self._newest: TimedPrediction | None = None
        self.commands = 0
        self.interventions: Counter[str] = Counter()
        self.latency = LatencyWindow()
        self.information_age = Window()
        self.used = RateWindow()
        self.seam_positions, self.seam_velocities = Window(), Window()

    def begin(self) -> None:
        """The arm is commanded anew."""
        self._newest = None
        self.commands = 0
        self.used = RateWindow()

    def took(self, timed: TimedPrediction, seam: Seam | None, steady: float) -> None:
        """A prediction was taken into use at `steady` [s]; the next command may say so."""
        if seam is not None:
            self.seam_positions.add(seam.position)
            self.seam_velocities.add(seam.velocity)
        self.used.add(steady)
        self._newest = timed

    def sent(self, command: Command, now: float, seen: float | None) -> None:
        """A command was sent.

        Args:
            command: Command that was sent.
            now: Time that it was for [s].
            seen: Capture time of what it was made from [s]; None without a chunk.
        """
        self.commands += 1
        self.interventions.update(command.interventions)
        if command.holding:
            return
        if seen is not None:
            self.information_age.add(now - seen)
        if self._newest is not None:
            timed, self._newest = self._newest, None
            times = ChunkTimes(
                timed.captured,
                timed.taken,
                timed.decoded,
                timed.predicted,
                self._steady(),
            )
            self.latency.add(times)
            self._follow(times)
