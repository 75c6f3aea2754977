# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Step of a run -> the learning rate of its optimiser; gradients that nothing can be learnt by."""

import math

import torch
from torch import Tensor


def set_rate(
    optimiser: torch.optim.Optimizer, peak: float, warm_up: float, step: int, steps: int
) -> None:
    """Sets the learning rate: a linear warm-up, then a cosine to zero.

    Args:
        optimiser: All of its groups get the same rate.
        peak: Learning rate at the top of the cosine.
        warm_up: Number of steps until that top.
        step: Number of the current step, from 0.
        steps: Number of steps of the whole run.
    """
    rising = (step + 1) / max(warm_up, 1)
    falling = 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimiser.param_groups:
        group['lr'] = peak * min(rising, falling)


def check_gradient(norm: Tensor | None, step: int) -> None:
    """Stops the training before a gradient that is not finite spoils every weight.

    Args:
        norm: Norm of all gradients, as clipping returns it; None where nothing was clipped.
        step: Number of the current step, from 0.

    Raises:
        ValueError: The training has diverged.
    """
    if norm is not None and not torch.isfinite(norm):
        raise ValueError(
            f'The training has diverged: the gradient of step {step + 1} is {norm.item()}. What '
            'was saved before stays as it is; give a new output folder and a smaller '
            'learning_rate, or look for values that are not finite in what it learns from.'
        )
