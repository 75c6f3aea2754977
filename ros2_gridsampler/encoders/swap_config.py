# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an encoder has to show before, and while, an arm is driven through it."""

from dataclasses import dataclass

from ..bounds import checked, setting


@dataclass(frozen=True)
@checked
class SwapConfig:
    """Thresholds of the shadow run and of the trial after it; see the fields' help."""

    allow_unvalidated: bool = setting(
        False, 'Take an encoder that was never measured with this policy'
    )
    store: str = setting('', 'Folder of received encoders; empty for the user cache')
    shadow_observations: int = setting(
        20,
        'Observations that the old and the new encoder have to answer alike',
        minimum=2,
        maximum=10000,
    )
    shadow_time: float = setting(
        30.0, 'Longest wait for these observations', unit='s', minimum=0.1
    )
    shadow_bag: str = setting('', 'Recording whose observations are used where none come live')
    min_cosine: float = setting(
        0.9,
        'Least cosine between what the two predict for each joint, as deviations from the mean',
        minimum=-1.0,
        maximum=1.0,
    )
    max_deviation: float = setting(
        0.3,
        'Largest mean absolute difference of what they predict for each joint',
        unit='standard deviations of the actions',
        minimum=0.0,
    )
    max_latency_ratio: float = setting(
        1.5, 'Largest ratio of the fastest inference of the new to that of the old', minimum=0.0
    )
    max_latency: float = setting(
        1.0, 'Longest time that the fastest inference of the new may take', unit='s', minimum=0.0
    )
    trial_time: float = setting(
        40.0,
        'How long after a swap the old and the new encoder answer in turn, and the old one can '
        'come back by itself',
        unit='s',
        minimum=0.0,
    )
    trial_commands: int = setting(
        400, 'Least number of commands in which both answer in turn', minimum=1
    )
    max_more_interventions: float = setting(
        0.2,
        'How many more interventions of the safety filter per command than in the turns of the '
        'old encoder bring it back, where chance does not explain them',
        minimum=0.0,
    )
