# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS clock beside a steady one -> whether it jumped, or stands still."""

from dataclasses import dataclass

from ..seeing.stream_health import Fault


@dataclass(frozen=True)
class _Look:
    """What the clocks said last, and when the first of them moved last, in steady time [s]."""

    ros: float
    steady: float
    moved: float


class ClockWatch:
    """Compares the two clocks at every command.

    Args:
        max_jump: How far the ROS clock may go ahead of the steady one between two looks [s].
        max_back: How far it may go back [s].
        patience: How long it may stand still, as simulated time does [s].
    """

    def __init__(self, max_jump: float, max_back: float, patience: float) -> None:
        self._max_jump = max_jump
        self._max_back = max_back
        self._patience = patience
        self._last: _Look | None = None

    def begin(self) -> None:
        """Forgets what was seen."""
        self._last = None

    def look(self, ros: float, steady: float) -> list[tuple[Fault, str]]:
        """What is wrong with the ROS clock, which says `ros` [s] at steady time `steady` [s]."""
        if self._last is None:
            self._last = _Look(ros, steady, steady)
        last = self._last
        moved = steady if ros != last.ros else last.moved
        self._last = _Look(ros, steady, moved)
        wrong = []
        allowed = steady - last.steady + self._max_jump
        if last.ros > 0 and not -self._max_back <= ros - last.ros <= allowed:
            text = f'The clock jumped from {last.ros:.3f} s to {ros:.3f} s.'
            wrong.append((Fault.CLOCK_JUMPED, text))
        if ros <= 0 or steady - moved > self._patience:
            text = 'The clock stands still; is use_sim_time set and nobody publishes /clock?'
            wrong.append((Fault.CLOCK_STOPPED, text))
        return wrong
