# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks -> how often their scripted demonstrators succeed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.simulation.benchmark import all_tasks
from ros2_gridsampler.simulation.experts import ScriptedExpert
from ros2_gridsampler.simulation.job_configs import Placements
from ros2_gridsampler.simulation.libero_arm import Libero, LiberoArm
from ros2_gridsampler.simulation.solved_states import Tally, try_states

from . import run

MAXIMUM_STEPS = 300
"""Control periods before an episode counts as failed; an expert may try again meanwhile."""


@dataclass(frozen=True)
class ExpertSuccess:
    """How often demonstrators succeed.

    Attributes:
        suite: LIBERO suite.
        placements: Which evaluation states.
        first: Number of the first state of every task.
        tally: What was solved.
    """

    suite: str
    placements: Placements
    first: int
    tally: Tally

    def to_json(self) -> str:
        """All of it."""
        tally = self.tally
        content = {
            'suite': self.suite,
            'placements': self.placements,
            'first': self.first,
            'episodes': tally.episodes,
            'successes': tally.successes,
            'interval': tally.interval,
            'per_task': tally.per_task,
            'outcomes': tally.outcomes,
        }
        return json.dumps(content, indent=1)

    def __str__(self) -> str:
        return f'{self.tally}, {self.placements} placements, scripted experts without noise'


def measure_experts(
    suite: str, tasks: Sequence[int], episodes: int, placements: Placements, first: int = 0
) -> ExpertSuccess:
    """Let the experts try the evaluation states, without execution noise and without pictures.

    Args:
        suite: LIBERO suite.
        tasks: Numbers from 0.
        episodes: Per task.
        placements: Which evaluation states.
        first: Number of the first state.
    """
    outcomes = try_states(
        _attempt,
        Libero(suite),
        tasks=tasks,
        episodes=episodes,
        placements=placements,
        first=first,
    )
    return ExpertSuccess(suite, placements, first, Tally(outcomes))


def _attempt(arm: LiberoArm, number: int) -> bool:
    expert = ScriptedExpert(arm)
    for _ in range(MAXIMUM_STEPS):
        arm.step(*expert.command(arm.observe(images=False)))
        if arm.success():
            return True
    return False


def main(
    suite: str = 'libero_spatial',
    placements: Placements = 'official',
    tasks: tuple[int, ...] = (),
    episodes: int = 10,
    first: int = 0,
    json: Json = None,
) -> None:
    """Measure how often the scripted demonstrators succeed, without noise.

    Args:
        suite: LIBERO suite.
        placements: 'official' (LIBERO's initial states), 'widened' (by 5 cm, fixed seeds),
            'anywhere' (all over the table, to develop with) or 'anywhere_scored' (others, to be
            run once per published policy).
        tasks: Numbers of the tasks, from 0; all of them if left out.
        episodes: Evaluation states per task, up to 50; up to 100 'anywhere'.
        first: Number of the first state.
        json: File for the result, or - for standard output.
    """
    with json_output(json) as write:
        numbers = tasks or all_tasks(suite)
        result = measure_experts(suite, numbers, episodes, placements, first)
        print(result)
        write(result.to_json())


if __name__ == '__main__':
    from experiments.expert_success import main as command

    run(command)
