# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Outcomes of a row's evaluation states <-> a file beside its checkpoint."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ros2_gridsampler.files import write_whole
from ros2_gridsampler.simulation.solved_states import task_name

from .paired_outcomes import UNCHANGED


@dataclass
class RowOutcomes:
    """What is known of one row under one kind of placement.

    Attributes:
        suite: LIBERO suite.
        weights_sha256: Of the checkpoint that was measured.
        tasks: Number of a task -> its name.
        outcomes: Name of a task -> whether each of its first states was solved.
    """

    suite: str
    weights_sha256: str
    tasks: dict[int, str] = field(default_factory=dict)
    outcomes: dict[str, tuple[bool, ...]] = field(default_factory=dict)

    def episodes(self, task: int) -> int:
        """How many states of a task were tried."""
        return len(self.outcomes.get(self.tasks.get(task, ''), ()))

    def add(self, task: int, name: str, solved: tuple[bool, ...]) -> None:
        """Outcomes of a task, told by its number from another with the same instruction."""
        others = {known for number, known in self.tasks.items() if number != task}
        self.tasks[task] = task_name(name, task, others)
        self.outcomes[self.tasks[task]] = solved

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            'suite': self.suite,
            'weights_sha256': self.weights_sha256,
            **UNCHANGED,
            'tasks': self.tasks,
            'outcomes': self.outcomes,
        }
        write_whole(path, json.dumps(content, indent=1))


def load_outcomes(path: Path, suite: str, weights_sha256: str) -> RowOutcomes:
    """What a file knows; nothing if there is none.

    Args:
        path: As `RowOutcomes.save` writes it.
        suite: That is measured.
        weights_sha256: Of the checkpoint as it is now.

    Raises:
        ValueError: It was measured in another suite or with other weights, or by another
            command.
    """
    if not path.exists():
        return RowOutcomes(suite, weights_sha256)
    content = json.loads(path.read_text('utf-8'))
    for what, ours in (('suite', suite), ('weights_sha256', weights_sha256)):
        if (its := content.get(what)) != ours:
            raise ValueError(
                f'{path} was measured with the {what} {its}, here it is {ours}; move the file '
                'away to measure again.'
            )
    if 'tasks' not in content:
        raise ValueError(f'{path} does not say which task has which number; move it away.')
    return RowOutcomes(
        suite,
        weights_sha256,
        {int(number): name for number, name in content['tasks'].items()},
        {name: tuple(solved) for name, solved in content['outcomes'].items()},
    )
