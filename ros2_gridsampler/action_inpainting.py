# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A velocity field and the steps already under way -> a field whose chunks go on from them.

Real-time chunking (arXiv:2506.07339) for any flow-matching head, without training for it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Actions = Float[Tensor, 'batch steps actions']
Field = Callable[[Actions, float], Actions]
"""Noisy actions at a time in [0, 1] (0 is noise, 1 are actions) -> where they flow to."""


def continuity_weights(steps: int, frozen: int, overlap: int) -> Float[Tensor, ' steps']:
    """How much each step must agree with the chunk before (arXiv:2506.07339, eq. 5).

    Args:
        steps: Of the chunk.
        frozen: The first so many are being executed and cannot be changed: weight 1.
        overlap: From this step on the chunk before says nothing: weight 0; in between the
            weights fall.

    Raises:
        ValueError: Not 0 <= frozen <= overlap <= steps.
    """
    if not 0 <= frozen <= overlap <= steps:
        raise ValueError(
            f'Of {steps} steps {frozen} are frozen and {overlap} known; expected '
            '0 <= frozen <= known <= steps.'
        )
    position = torch.arange(steps, dtype=torch.float32)
    falling = (overlap - position) / (overlap - frozen + 1)
    soft = falling * torch.expm1(falling) / torch.expm1(torch.ones(()))
    weights = torch.where(position < frozen, torch.ones(()), soft)
    return torch.where(position < overlap, weights, torch.zeros(()))


def inpaint(
    field: Field,
    noise: Actions,
    known: Actions,
    weights: Float[Tensor, ' steps'],
    integration_steps: int,
    max_guidance: float = 5.0,
) -> Actions:
    """Integrate the field by Euler, pulled towards what is known (arXiv:2506.07339, eq. 2 to 4).

    Args:
        field: The head's velocity; it is differentiated, so not under `inference_mode`.
        noise: Where the flow begins.
        known: The chunk before, shifted to this chunk's steps; anything where the weight is 0.
        weights: See `continuity_weights`.
        integration_steps: Of Euler.
        max_guidance: Largest factor of the pull; the paper's beta.

    Returns:
        Normalised actions, like all of these.
    """
    state = noise
    for step in range(integration_steps):
        time = step / integration_steps
        with torch.enable_grad():
            begin = state.detach().requires_grad_(True)
            velocity = field(begin, time)
            end = begin + (1 - time) * velocity
            error = ((known - end) * weights[:, None]).detach()
            (pull,) = torch.autograd.grad(end, begin, error)
        variance = (1 - time) ** 2 / (time**2 + (1 - time) ** 2)
        factor = max_guidance if time == 0 else min(max_guidance, (1 - time) / (time * variance))
        state = (begin + (velocity + factor * pull) / integration_steps).detach()
    return state


def give_prefix(
    actions: Actions, filler: Actions, frozen: Int[Tensor, ' batch']
) -> tuple[Actions, Float[Tensor, 'batch steps']]:
    """What a head sees that learns to go on from given steps (arXiv:2512.05964).

    For direct heads: feed the result beside the context and weight the loss by the second.

    Args:
        actions: The true chunk, normalised.
        filler: What stands where nothing is given (zeros, noise).
        frozen: How many of the first steps are given, for each chunk; whole numbers.

    Returns:
        The given steps, then the filler; and 1 for the steps that count in the loss, 0 for
        those that were given.
    """
    given = torch.arange(actions.shape[1], device=actions.device) < frozen[:, None]
    return torch.where(given[..., None], actions, filler), (~given).to(actions.dtype)
