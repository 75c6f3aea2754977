# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks and something that tries them -> which evaluation states it solved."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tqdm import tqdm

from ..evaluating.success_rate import wilson_interval
from .anywhere import DEVELOPMENT_SEEDS, SCORED_SEEDS, Anywhere
from .benchmark import check_tasks
from .job_configs import Placements
from .libero_arm import LiberoArm
from .placements import EVALUATION_SEEDS, Official, Placement, Widened

PLACEMENTS: dict[Placements, Sequence[Placement]] = {
    'official': [Official(index) for index in range(50)],
    'widened': [Widened(seed) for seed in EVALUATION_SEEDS],
    'anywhere': [Anywhere(seed) for seed in DEVELOPMENT_SEEDS],
    'anywhere_scored': [Anywhere(seed) for seed in SCORED_SEEDS],
}
"""The evaluation states of every task; no training may see them."""
Attempt = Callable[[LiberoArm, int], bool]
"""An arm that was reset into evaluation state `number` -> whether the task was solved."""


@dataclass(frozen=True)
class Tally:
    """Counts of the evaluation states that were tried and solved.

    Attributes:
        outcomes: Instruction -> whether each evaluation state was solved, in order.
    """

    outcomes: Mapping[str, Sequence[bool]]

    @property
    def episodes(self) -> int:
        """Number of all episodes."""
        return sum(map(len, self.outcomes.values()))

    @property
    def successes(self) -> int:
        """Number of all solved episodes."""
        return sum(map(sum, self.outcomes.values()))

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the rate."""
        return wilson_interval(self.successes, self.episodes)

    @property
    def per_task(self) -> dict[str, tuple[int, int]]:
        """Instruction -> successes and episodes."""
        return {name: (sum(solved), len(solved)) for name, solved in self.outcomes.items()}

    def __str__(self) -> str:
        rows = [
            f'{done:3d} / {tried:<3d}  {name}' for name, (done, tried) in self.per_task.items()
        ]
        low, high = (100 * bound for bound in self.interval)
        rate = 100 * self.successes / self.episodes
        summary = (
            f'{self.successes} of {self.episodes} episodes ({rate:.0f}%, 95% interval '
            f'{low:.0f} to {high:.0f}%)'
        )
        return '\n'.join([*rows, summary])


def check_episodes(episodes: int, placements: Placements = 'official', first: int = 0) -> None:
    """Refuses more than there are evaluation states of a task from the first one on, and none."""
    there = len(PLACEMENTS[placements])
    if not 0 <= first < there:
        raise ValueError(
            f"There are {there} evaluation states '{placements}' per task, numbered from 0; got "
            f'{first} as the first one.'
        )
    if not 1 <= episodes <= there - first:
        raise ValueError(
            f"There are {there - first} evaluation states '{placements}' per task from number "
            f'{first} on, got {episodes} episodes; ask for 1 to that many.'
        )


def task_name(instruction: str, task: int, others: Collection[str]) -> str:
    """Returns an instruction, with the task's number where another task has the same."""
    return f'{instruction} (task {task})' if instruction in others else instruction


def try_states(
    attempt: Attempt,
    *,
    suite: str,
    tasks: Sequence[int],
    episodes: int,
    placements: Placements,
    first: int = 0,
    image_size: int = 128,
    rendering: Literal['simplified', 'original'] = 'simplified',
) -> dict[str, tuple[bool, ...]]:
    """Tries every task from `episodes` of its evaluation states.

    Args:
        attempt: Tries one state, given its number; returns whether it was solved.
        suite: LIBERO suite.
        tasks: Numbers of the tasks, from 0.
        episodes: Evaluation states per task.
        placements: Which evaluation states, see `PLACEMENTS`.
        first: Number of the first state.
        image_size: Width and height of the cameras' pictures [px].
        rendering: How the cameras' pictures are drawn.

    Returns:
        Instruction, with its number where another task has the same -> whether each state was
        solved.

    Raises:
        ValueError: There are not so many evaluation states, or no such tasks.
    """
    check_episodes(episodes, placements, first)
    check_tasks(suite, tasks)
    outcomes: dict[str, tuple[bool, ...]] = {}
    title = f'{suite} {placements}'
    with tqdm(total=len(tasks) * episodes, desc=title, unit='episode') as progress:
        for task in tasks:
            arm = LiberoArm(suite, task, image_size=image_size, rendering=rendering)
            solved: list[bool] = []
            try:
                for number in range(first, first + episodes):
                    arm.reset(PLACEMENTS[placements][number])
                    solved.append(attempt(arm, number))
                    progress.update()
            finally:
                arm.close()
            outcomes[task_name(arm.instruction, task, outcomes)] = tuple(solved)
            progress.set_postfix(successes=Tally(outcomes).successes)
    return outcomes
