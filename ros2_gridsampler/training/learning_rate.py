# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Step of a run -> the learning rate of its optimiser."""

import math

import torch


def set_rate(
    optimiser: torch.optim.Optimizer, peak: float, warm_up: float, step: int, steps: int
) -> None:
    """Linear warm-up, then a cosine to zero.

    Args:
        optimiser: All of its groups get the same rate.
        peak: Of the cosine.
        warm_up: Steps to it.
        step: Of now, from 0.
        steps: Of the whole run.
    """
    rising = (step + 1) / max(warm_up, 1)
    falling = 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimiser.param_groups:
        group['lr'] = peak * min(rising, falling)
