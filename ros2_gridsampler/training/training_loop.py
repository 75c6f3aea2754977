# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Batches -> the steps that are left of a run: logged, saved, ended in order by a signal."""

import contextlib
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO, TypeVar

from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from ..stop_request import StopRequest
from .processes import any_process, mean_over_ranks
from .run_state import RunState

Batch = TypeVar('Batch')
LOG = 'log.jsonl'


def make_steps(
    fabric: Fabric,
    state: RunState,
    batches: Generator[Batch, None, None],
    step: Callable[[Batch], dict[str, Tensor]],
    out: Path,
    *,
    steps: int,
    save_every: int,
    log_every: int,
    what: str = 'training',
    validate: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Makes the steps that are left of a run.

    Args:
        fabric: The processes that share each step.
        state: Saved into `out` every `save_every` steps, at the end, and when a signal comes.
        batches: One for each step that is left; closed at the end.
        step: Changes the weights once; returns losses of this process.
        out: Folder of the run.
        steps: Number of steps of the whole run.
        save_every: Steps between two saved states; a validation comes half as often.
        log_every: Steps between two lines of the log, which hold the mean over the processes.
        what: Said beside the bar.
        validate: Returns scores on what is not trained on; asked in the first process only.

    Raises:
        InterruptedError: A signal stopped the run; its state is saved.
    """
    first = fabric.is_global_zero
    with (
        StopRequest() as stop,
        (out / LOG).open('a') as log,
        contextlib.closing(batches),
        tqdm(
            total=steps, initial=state.step, desc=what, unit='step', disable=not first
        ) as progress,
    ):
        for batch in batches:
            losses = step(batch)
            state.advance()
            progress.update()
            last = state.step == steps
            if state.step % log_every == 0 or last:
                means = {
                    name: round(mean_over_ranks(fabric, value), 6)
                    for name, value in losses.items()
                }
                progress.set_postfix(means)
                if first:
                    log.write(json.dumps({'step': state.step, **means}) + '\n')
                    log.flush()
            stopped = any_process(fabric, stop.requested)
            if first and (state.step % save_every == 0 or stopped or last):
                state.save(out)
            between = state.step % (2 * save_every) == 0 and not last
            if first and between and validate is not None:
                report(state.step, validate(), log)
            if stopped:
                raise InterruptedError(f'Stopped at step {state.step}; the same command goes on.')


def report(step: int, scores: dict[str, float], log: TextIO) -> None:
    """Writes a validation to the log and to the terminal."""
    log.write(json.dumps({'step': step, 'validation': scores}) + '\n')
    tqdm.write(f'step {step}: validation {scores}')
