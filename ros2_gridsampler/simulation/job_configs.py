# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What to record or to show on the simulated arm; the commands' flags are made from it."""

from dataclasses import dataclass
from typing import Literal

Placements = Literal['official', 'widened', 'anywhere', 'anywhere_scored']
"""Which evaluation states: LIBERO's, those widened by 5 cm, or everything over the whole table."""
Perturbation = Literal[
    'none', 'camera', 'light', 'distractor', 'start', 'paraphrase', 'unseen_sentence'
]
"""What is changed in every episode after its reset."""
FIRST_TRAINING_SEED = 1000
"""Smaller seeds are those of evaluation."""
MAX_NOISE = 5.0
"""No expert finds its way back from more [m/s]."""
MAX_WANDER = 40
"""In 2 s the hand can be out of every picture [periods]."""


@dataclass(frozen=True)
class RecordConfig:
    """What to record; the flags of `gridsampler record` are made from it.

    Attributes:
        suite: LIBERO suite.
        tasks: Numbers of the tasks, from 0.
        episodes: Successful episodes per task.
        widened: Share of placements widened by 5 cm; the rest as LIBERO's own problem files.
        noise: Standard deviation of the noise in the executed twist [m/s], and 0.6 of it [rad/s];
            labels stay clean.
        wander: The hand first moves somewhere for fewer than so many periods of 0.05 s, at up to
            0.5 m/s along each axis; 30 shows the policy other starts than LIBERO's.
        slips: Share of episodes in which the hand loses the object once and goes on without it;
            shows the policy how to try again.
        seed: Seed of the first try of every task, counted up from there; another one gives other
            placements.
        anywhere: Share of placements with everything drawn over the whole table; `widened` is a
            share of the others.
    """

    suite: str = 'libero_spatial'
    tasks: tuple[int, ...] = (0,)
    episodes: int = 50
    widened: float = 0.75
    noise: float = 0.25
    wander: int = 12
    slips: float = 0.0
    seed: int = FIRST_TRAINING_SEED
    anywhere: float = 0.0

    def __post_init__(self) -> None:
        if self.episodes < 1 or not (0 <= self.widened <= 1 and 0 <= self.noise <= MAX_NOISE):
            raise ValueError(
                'Record at least one episode, a widened share in 0 to 1 and noise of 0 to '
                f'{MAX_NOISE:g} m/s, not '
                f'{self.episodes}, {self.widened} and {self.noise}.'
            )
        if self.seed < FIRST_TRAINING_SEED:
            raise ValueError(
                f'Seeds below {FIRST_TRAINING_SEED} are those of evaluation, which no training '
                f'may see; got {self.seed}.'
            )
        for name in ('slips', 'anywhere'):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f'The share of episodes {name} is 0 to 1, not {share}.')
        if not 1 <= self.wander <= MAX_WANDER:
            raise ValueError(
                f'The hand may wander for 1 to {MAX_WANDER} periods, not {self.wander}.'
            )


@dataclass(frozen=True)
class DemonstrationConfig:
    """What to show; the flags of `gridsampler demo` are made from it.

    Attributes:
        policy: Checkpoint folder, or the name of one that comes with the package.
        tasks: Numbers of the suite's tasks, from 0.
        episodes: Episodes of each task.
        placements: 'official' (LIBERO's initial states) or 'widened' (by 5 cm, fixed seeds).
        suite: LIBERO suite.
        arm: Limits of the arm, a name in calibration/ or a YAML file.
    """

    policy: str = 'libero_spatial'
    tasks: tuple[int, ...] = (0, 1, 2, 3, 4)
    episodes: int = 1
    placements: Literal['official', 'widened'] = 'official'
    suite: str = 'libero_spatial'
    arm: str = 'panda'
