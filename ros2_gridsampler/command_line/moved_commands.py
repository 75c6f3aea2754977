# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that became experiments -> their new names, for one release."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

MOVED = {
    ('compare',): 'comparison',
    ('compare-encoders',): 'compare_encoders',
    ('compare-success',): 'paired_outcomes',
    ('experts',): 'expert_success',
    ('obedience',): 'obedience',
    ('probe',): 'probes',
    ('rank-metrics',): 'metric_ranking',
    ('benchmark', 'evaluation'): 'evaluation_benchmark',
    ('benchmark', 'step'): 'lerobot_step_cost',
    ('benchmark', 'transfer'): 'transfer_benchmark',
    ('calibrate', 'drift-rates'): 'drift_rates',
}


def run_moved(arguments: Sequence[str]) -> None:
    """Names the new command where an old one was asked for, and runs it in a clone.

    Does not return if it was: this process becomes the new command, or ends with 1 where
    the package was installed without the repository.

    Args:
        arguments: What follows `gridsampler`.
    """
    for words, name in MOVED.items():
        if tuple(arguments[: len(words)]) == words:
            _run_experiment(words, name, arguments[len(words) :])


def _run_experiment(words: Sequence[str], name: str, rest: Sequence[str]) -> None:
    clone = Path(__file__).resolve().parents[2]
    print(
        f'gridsampler: `gridsampler {" ".join(words)}` is now `python -m experiments.{name}`, run '
        'in a clone of the repository; the old name ends with the next release.',
        file=sys.stderr,
        flush=True,
    )
    if not (clone / 'experiments' / f'{name}.py').is_file():
        sys.exit(1)
    paths = [str(clone), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
    command = [sys.executable, '-m', f'experiments.{name}', *rest]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own module
