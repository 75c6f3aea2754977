# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an encoder has to show before, and while, an arm is driven through it."""

from dataclasses import dataclass, field

from ..bounds import checked


@dataclass(frozen=True)
@checked
class SwapConfig:
    """Thresholds of the shadow run and of the trial after it; see the fields' help."""

    allow_unvalidated: bool = field(
        default=False,
        metadata={'help': 'Take an encoder that was never measured with this policy'},
    )
    store: str = field(
        default='', metadata={'help': 'Folder of received encoders; empty for the user cache'}
    )
    shadow_observations: int = field(
        default=20,
        metadata={
            'help': 'Observations that the old and the new encoder have to answer alike',
            'minimum': 2,
            'maximum': 10000,
        },
    )
    shadow_time: float = field(
        default=30.0,
        metadata={'help': 'Longest wait for them', 'unit': 's', 'minimum': 0.1},
    )
    shadow_bag: str = field(
        default='',
        metadata={'help': 'Recording whose observations are used where none come live'},
    )
    min_cosine: float = field(
        default=0.9,
        metadata={
            'help': 'Of what the two predict for each joint, as deviations from the mean',
            'minimum': -1.0,
            'maximum': 1.0,
        },
    )
    max_deviation: float = field(
        default=0.3,
        metadata={
            'help': 'Mean absolute difference of what they predict for each joint',
            'unit': 'standard deviations of the actions',
            'minimum': 0.0,
        },
    )
    max_latency_ratio: float = field(
        default=1.5,
        metadata={'help': 'Fastest inference of the new against the old', 'minimum': 0.0},
    )
    max_latency: float = field(
        default=1.0,
        metadata={'help': 'Fastest inference of the new', 'unit': 's', 'minimum': 0.0},
    )
    trial_time: float = field(
        default=5.0,
        metadata={
            'help': 'After a swap: so long the old encoder comes back by itself',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    trial_commands: int = field(
        default=25,
        metadata={'help': 'Commands before interventions are judged', 'minimum': 1},
    )
    max_more_interventions: float = field(
        default=0.2,
        metadata={
            'help': 'Interventions of the safety filter per command, beyond those before the swap',
            'minimum': 0.0,
        },
    )
