# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Batches, an error on what is held out -> as many steps as still bring that error down."""

import contextlib
import copy
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from .learning_rate import check_gradient
from .processes import mean_over_ranks
from .run_state import RunState
from .training_loop import make_steps

Batch = TypeVar('Batch')

WARM_UP = 20
"""Steps to the full learning rate."""
COOL_DOWN = 0.25
"""Steps in which the learning rate falls to zero, as a share of those before."""
LEAST_FALL = 0.01
"""Share of an error by which it has to fall, or it has not fallen."""


@dataclass(frozen=True)
class Plan:
    """How long a fit may last, and when it has been long enough.

    The learning rate stays at its peak until `patience` checks in a row have not brought the
    error down, or until the steps that are left are needed for the way down. Then it falls to
    zero, and the fit ends. So `steps` is a limit, and changes nothing where it is not reached.

    Attributes:
        steps: Most steps.
        every: Steps between two checks.
        patience: Checks in a row without a fall of the error, after which it falls no longer.
        learning_rate: Its peak.
    """

    steps: int
    every: int
    patience: int
    learning_rate: float

    @property
    def checks(self) -> int:
        """Number of checks of a run that makes all steps; the first one is before them."""
        return math.ceil(self.steps / self.every) + 1

    def settled(self, errors: Sequence[float]) -> int | None:
        """Returns the step from which the error was seen to fall no longer; None where it falls.

        Args:
            errors: Those of the checks so far, the first at step 0. More of them do not change
                what fewer have told.
        """
        for number in range(self.patience, len(errors)):
            first = number + 1 - self.patience
            if min(errors[first : number + 1]) >= (1 - LEAST_FALL) * min(errors[:first]):
                return number * self.every
        return None

    def cool_down(self, errors: Sequence[float]) -> tuple[int, int]:
        """Returns the step where the learning rate begins to fall, and the one where it is zero.

        Where the error still falls, that is the latest there can be.
        """
        latest = math.floor(self.steps / (1 + COOL_DOWN)) // self.every * self.every
        begin = self.settled(errors)
        if begin is None or begin >= latest:
            return latest, self.steps
        lasts = max(math.ceil(COOL_DOWN * begin / self.every), 1) * self.every
        return begin, min(begin + lasts, self.steps)

    def rate(self, step: int, errors: Sequence[float]) -> float:
        """Returns the learning rate of a step, counted from 0."""
        begin, end = self.cool_down(errors)
        falling = (end - step) / max(end - begin, 1)
        return self.learning_rate * min((step + 1) / WARM_UP, falling, 1.0)


@dataclass(frozen=True)
class Fitted:
    """What a fit did.

    Attributes:
        plan: What it was allowed.
        made: Steps that were made.
        errors: Of the checks, the first before any step.
    """

    plan: Plan
    made: int
    errors: tuple[float, ...]

    @property
    def kept(self) -> int:
        """The step whose weights were kept: that of the least error."""
        return min(self.errors.index(min(self.errors)) * self.plan.every, self.made)

    def __str__(self) -> str:
        """For people."""
        why = (
            'The error fell until the last: more steps may bring it down further.'
            if self.plan.settled(self.errors) is None
            else 'Then it fell no longer.'
        )
        return (
            f'{self.made} steps of at most {self.plan.steps} were made, step {self.kept} is kept: '
            f'error on held-out bags {self.errors[0]:.4f} before, {min(self.errors):.4f} there. '
            f'{why}'
        )


class Checks(nn.Module):
    """Errors of the checks so far, and the weights of the least: part of the state of a run.

    Args:
        student: What learns; copied.
        plan: Says how many checks there can be.
    """

    def __init__(self, student: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.best = copy.deepcopy(student)
        self._errors: Tensor
        self.register_buffer('_errors', torch.full((plan.checks,), math.nan, dtype=torch.float64))

    @property
    def errors(self) -> tuple[float, ...]:
        """Those that there are."""
        return tuple(error for error in self._errors.tolist() if not math.isnan(error))

    def add(self, error: float, student: nn.Module) -> None:
        """Notes the error of a check, and what made it where there is no better one.

        Raises:
            ValueError: It is not finite.
        """
        if not math.isfinite(error):
            raise ValueError(
                f'The error on held-out bags is {error}; give a new output folder and a smaller '
                'learning rate, or look for values that are not finite in what it learns from.'
            )
        found = self.errors
        if not found or error < min(found):
            self.best.load_state_dict(student.state_dict())
        self._errors[len(found)] = error


def fit(
    fabric: Fabric,
    student: nn.Module,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    batches: Callable[[int], Generator[Batch, None, None]],
    loss: Callable[[Batch, int], Tensor],
    error: Callable[[], float],
    out: Path,
    *,
    save_every: int,
    what: str,
) -> Fitted:
    """Makes the steps that are left of a fit; the student then has the weights of its best check.

    Args:
        fabric: The processes that share each step.
        student: What learns.
        optimiser: Of its parameters.
        plan: How long it may last.
        batches: Number of a step -> the batches from there on.
        loss: Batch, number of the step -> what is to be brought down on it.
        error: What is to be brought down on what is held out.
        out: Folder of the state to go on from and of the log.
        save_every: Steps between two saved states.
        what: Said beside the bar.

    Raises:
        InterruptedError: A signal stopped the run; its state is saved.
        ValueError: It has diverged.
    """
    checks = Checks(student, plan).to(fabric.device)
    state = RunState(nn.ModuleDict({'student': student, 'checks': checks}), optimiser)
    state.restore(out)

    def check() -> None:
        found = torch.tensor(error(), dtype=torch.float64, device=fabric.device)
        checks.add(mean_over_ranks(fabric, found), student)

    def step(batch: Batch) -> dict[str, Tensor]:
        for group in optimiser.param_groups:
            group['lr'] = plan.rate(state.step, checks.errors)
        value = loss(batch, state.step)
        descend(fabric, optimiser, value, state.step)
        made = state.step + 1
        if made % plan.every == 0 or made == plan.steps:
            check()
        last = torch.tensor(checks.errors[-1], device=fabric.device)
        return {'loss': value.detach(), 'held out': last}

    def left() -> Generator[Batch, None, None]:
        with contextlib.closing(batches(state.step)) as ready:
            for batch in ready:
                if state.step >= plan.cool_down(checks.errors)[1]:
                    return
                yield batch

    if not checks.errors:
        check()
    make_steps(
        fabric,
        state,
        left(),
        step,
        out,
        steps=plan.steps,
        save_every=save_every,
        log_every=plan.every,
        what=what,
    )
    if fabric.is_global_zero:
        state.save(out)
    student.load_state_dict(checks.best.state_dict())
    return Fitted(plan, state.step, checks.errors)


def descend(fabric: Fabric, optimiser: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    """Makes one step, whose number from 0 is for the sentence if it cannot be made."""
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    trained = [p for group in optimiser.param_groups for p in group['params']]
    check_gradient(torch.nn.utils.clip_grad_norm_(trained, 1.0), step)
    optimiser.step()
