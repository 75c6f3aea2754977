# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What to record or to show on the simulated arm; the commands' flags are made from it."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..bounds import checked

Placements = Literal['official', 'widened', 'anywhere', 'anywhere_scored']
"""Which evaluation states: LIBERO's, those widened by 5 cm, or everything over the whole table."""
PLACEMENTS: tuple[Placements, ...] = get_args(Placements)
Perturbation = Literal[
    'none', 'camera', 'light', 'distractor', 'start', 'paraphrase', 'unseen_sentence', 'site'
]
"""What is changed in every episode after its reset."""
FIRST_TRAINING_SEED = 1000
"""Smaller seeds are those of evaluation."""
MAX_NOISE = 5.0
"""No expert finds its way back from more [m/s]."""
MAX_WANDER = 40
"""In 2 s the hand can be out of every picture [periods]."""


@dataclass(frozen=True)
@checked
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
        perturbation: What is changed in every episode; 'site' is a place with another camera and
            another table, the same in all of them.
    """

    suite: str = 'libero_spatial'
    tasks: tuple[int, ...] = (0,)
    episodes: int = field(default=50, metadata={'minimum': 1})
    widened: float = field(default=0.75, metadata={'minimum': 0, 'maximum': 1})
    noise: float = field(
        default=0.25, metadata={'unit': 'm/s', 'minimum': 0, 'maximum': MAX_NOISE}
    )
    wander: int = field(
        default=12, metadata={'unit': 'periods', 'minimum': 1, 'maximum': MAX_WANDER}
    )
    slips: float = field(default=0.0, metadata={'minimum': 0, 'maximum': 1})
    seed: int = field(
        default=FIRST_TRAINING_SEED,
        metadata={
            'minimum': FIRST_TRAINING_SEED,
            'why': 'smaller ones are those of evaluation, which no training may see',
        },
    )
    anywhere: float = field(default=0.0, metadata={'minimum': 0, 'maximum': 1})
    perturbation: Perturbation = 'none'


@dataclass(frozen=True)
@checked
class DemonstrationConfig:
    """What to show; the flags of `gridsampler demo` are made from it.

    Attributes:
        policy: Checkpoint folder, or the name of one that comes with the package.
        tasks: Numbers of the suite's tasks, from 0.
        episodes: Episodes of each task.
        placements: 'official' (LIBERO's initial states), 'widened' (by 5 cm, fixed seeds) or
            'anywhere' (everything over the whole table, fixed seeds).
        more_episodes: Episodes after these, each 'TASK PLACEMENTS NUMBER', like '5 anywhere 0';
            words behind that are said instead of the suite's own instruction.
        encoder: Encoder folder, or the name of one; once the arm moves, a server offers it to the
            policy, which compares it, and swaps to it or refuses it, while the arm goes on.
        suite: LIBERO suite.
        arm: Limits of the arm, a name in calibration/ or a YAML file.
    """

    policy: str = 'libero_spatial'
    tasks: tuple[int, ...] = (0, 1, 2, 3, 4)
    more_episodes: tuple[str, ...] = ()
    episodes: int = field(default=1, metadata={'minimum': 1})
    placements: Placements = 'official'
    encoder: str = ''
    suite: str = 'libero_spatial'
    arm: str = 'panda'
