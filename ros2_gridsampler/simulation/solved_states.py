# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks and something that tries them -> which evaluation states it solved."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tqdm import tqdm

from ..evaluating.success_rate import wilson_interval
from .benchmark import check_tasks
from .libero_arm import LiberoArm
from .placements import EVALUATION_SEEDS, Official, Placement, Widened

Placements = Literal['official', 'widened']
PLACEMENTS: dict[str, Callable[[int], Placement]] = {'official': Official, 'widened': Widened}
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


def check_episodes(episodes: int) -> None:
    """Refuses more than there are evaluation states of a task, and none."""
    if not 1 <= episodes <= len(EVALUATION_SEEDS):
        raise ValueError(
            f'There are {len(EVALUATION_SEEDS)} evaluation states per task, got {episodes} '
            'episodes; ask for 1 to that many.'
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
    image_size: int = 128,
    rendering: Literal['simplified', 'original'] = 'simplified',
) -> dict[str, tuple[bool, ...]]:
    """Tries every task from its first `episodes` evaluation states.

    Args:
        attempt: Tries one state, given its number; returns whether it was solved.
        suite: LIBERO suite.
        tasks: Numbers of the tasks, from 0.
        episodes: Evaluation states per task.
        placements: Official initial states, or those widened by 5 cm with fixed seeds.
        image_size: Width and height of the cameras' pictures [px].
        rendering: How the cameras' pictures are drawn.

    Returns:
        Instruction, with its number where another task has the same -> whether each state was
        solved.

    Raises:
        ValueError: There are not so many evaluation states, or no such tasks.
    """
    check_episodes(episodes)
    check_tasks(suite, tasks)
    outcomes: dict[str, tuple[bool, ...]] = {}
    title = f'{suite} {placements}'
    with tqdm(total=len(tasks) * episodes, desc=title, unit='episode') as progress:
        for task in tasks:
            arm = LiberoArm(suite, task, image_size=image_size, rendering=rendering)
            solved: list[bool] = []
            try:
                for number in range(episodes):
                    arm.reset(PLACEMENTS[placements](number))
                    solved.append(attempt(arm, number))
                    progress.update()
            finally:
                arm.close()
            outcomes[task_name(arm.instruction, task, outcomes)] = tuple(solved)
            progress.set_postfix(successes=Tally(outcomes).successes)
    return outcomes
