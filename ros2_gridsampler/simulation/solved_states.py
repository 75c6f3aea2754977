# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks and something that tries them -> which evaluation states it solved."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

from ..evaluating.success_rate import wilson_interval
from .simulator import SimulatedArm, Simulator, check_episodes

Tried = TypeVar('Tried', bound=SimulatedArm)


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


def task_name(instruction: str, task: int, others: Collection[str]) -> str:
    """Returns an instruction, with the task's number where another task has the same."""
    return f'{instruction} (task {task})' if instruction in others else instruction


def try_states(
    attempt: Callable[[Tried, int], bool],
    simulator: Simulator[Tried],
    *,
    tasks: Sequence[int],
    episodes: int,
    placements: str,
    first: int = 0,
    image_size: int = 128,
) -> dict[str, tuple[bool, ...]]:
    """Tries every task from `episodes` of its evaluation states.

    Args:
        attempt: Tries one state on an arm that has begun with it, given the state's number;
            returns whether it was solved.
        simulator: Simulator whose tasks are tried.
        tasks: Numbers of the tasks, from 0.
        episodes: Evaluation states per task.
        placements: Which evaluation states, one of the simulator's kinds.
        first: Number of the first state.
        image_size: Width and height of the cameras' pictures [px].

    Returns:
        Instruction, with its number where another task has the same -> whether each state was
        solved.

    Raises:
        ValueError: There are not so many evaluation states, or no such tasks.
    """
    check_episodes(simulator.states, placements, episodes, first)
    simulator.check_tasks(tasks)
    outcomes: dict[str, tuple[bool, ...]] = {}
    title = f'{simulator.name} {placements}'
    with tqdm(total=len(tasks) * episodes, desc=title, unit='episode') as progress:
        for task in tasks:
            arm = simulator.open(task, image_size)
            solved: list[bool] = []
            try:
                for number in range(first, first + episodes):
                    arm.begin(placements, number)
                    solved.append(attempt(arm, number))
                    so_far = Tally(outcomes).successes + sum(solved)
                    progress.set_postfix(successes=so_far, refresh=False)
                    progress.update()
            finally:
                arm.close()
            outcomes[task_name(arm.instruction, task, outcomes)] = tuple(solved)
    return outcomes
