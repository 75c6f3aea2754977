# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a person may set of the command loop, with units and bounds."""

from dataclasses import dataclass, field

from ..bounds import checked
from ..seeing.stream_health import LadderConfig, StreamBudget
from .chunk_schedule import ScheduleConfig


@dataclass(frozen=True)
@checked
class LoopConfig:
    """How the command loop judges the arm, its clock and its chunks; see the fields' help."""

    max_lag: float = field(
        default=0.15,
        metadata={
            'help': 'How long an arm may be behind its command, beyond schedule.actuation_delay, '
            'before it is held: it has to be within twice max_tracking_error of where it was '
            'commanded in that time, so a slow motion is led by little',
            'unit': 's',
            'minimum': 0.01,
        },
    )
    check_following: bool = field(
        default=True,
        metadata={
            'help': 'Hold an arm that does not follow or was moved. False for a recording, whose '
            'arm obeys nobody; refused without use_sim_time'
        },
    )
    command_rate: float = field(
        default=50.0,
        metadata={'help': 'Commands per second', 'unit': 'Hz', 'minimum': 1.0, 'maximum': 1000.0},
    )
    stop_time: float = field(
        default=5.0,
        metadata={
            'help': 'Longest time that a stop may take to bring the arm to rest',
            'unit': 's',
            'minimum': 0.1,
        },
    )
    max_clock_jump: float = field(
        default=1.0,
        metadata={
            'help': 'How far the clock may go ahead of a steady one between two commands',
            'unit': 's',
            'minimum': 0.01,
        },
    )
    clock_patience: float = field(
        default=0.5,
        metadata={
            'help': 'How long simulated time may stand still before the arm is stopped',
            'unit': 's',
            'minimum': 0.01,
        },
    )
    max_tracking_error: float = field(
        default=0.05,
        metadata={
            'help': 'An arm at rest farther than this from the held command was moved, or kept '
            'from moving, so commands begin where it is. Above what the arm sags by its weight',
            'unit': 'rad, m',
            'minimum': 0.005,
        },
    )
    rest_time: float = field(
        default=0.5,
        metadata={
            'help': 'Time an arm must be at rest before it counts as stopped',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    accept_zero_state: bool = field(
        default=False,
        metadata={
            'help': 'Believe a first state of the arm in which the joints, or the position of the '
            'hand, are exactly 0, which drivers say that have no arm yet. For simulated arms that '
            'begin there'
        },
    )
    max_excess: float = field(
        default=1.0,
        metadata={
            'help': 'A prediction beyond the limits by more than this share of their span is '
            'refused; what is nearer is brought back',
            'minimum': 0.0,
        },
    )
    streams: StreamBudget = field(default_factory=StreamBudget)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    ladder: LadderConfig = field(default_factory=LadderConfig)

    @property
    def period(self) -> float:
        """Between two commands [s]."""
        return 1 / self.command_rate
