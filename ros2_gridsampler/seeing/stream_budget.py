# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A user's bounds -> what the streams of one observation must keep."""

from dataclasses import dataclass, field

from ..bounds import checked


@dataclass(frozen=True)
@checked
class StreamBudget:
    """How old and how far apart the streams of one observation may be."""

    max_age: float = field(
        default=0.5,
        metadata={'help': 'Oldest capture time that still counts', 'unit': 's', 'minimum': 0.0},
    )
    max_skew: float = field(
        default=0.1,
        metadata={
            'help': 'Largest capture-time difference between two streams of one observation',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    settle_time: float = field(
        default=0.02,
        metadata={
            'help': 'How long a frame waits for samples of other streams captured by then',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    max_ahead: float = field(
        default=0.1,
        metadata={
            'help': 'How far a stamp may be ahead of the clock',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    frozen_time: float = field(
        default=0.5,
        metadata={
            'help': 'A camera that gives the same bytes for so long, while the arm moves by '
            'frozen_motion, is frozen',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    frozen_motion: float = field(
        default=0.01,
        metadata={
            'help': 'See frozen_time; 0 for cameras whose noise makes every picture another',
            'unit': 'rad, m',
            'minimum': 0.0,
        },
    )
    min_contrast: float = field(
        default=1.0,
        metadata={
            'help': 'Least standard deviation of the pixels (0 to 255) of a picture that shows '
            'something; live only',
            'minimum': 0.0,
        },
    )

    @property
    def span(self) -> float:
        """So far back from the newest sample another one may still be asked for [s]."""
        return self.max_age + self.max_ahead
