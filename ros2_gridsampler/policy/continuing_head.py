# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Context and the steps under way -> actions that go on from them, by regression."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..acting.action_prefix import draw_given
from .action_head import Normaliser
from .encoder import Block
from .policy_config import Statistics


class ContinuingHead(nn.Module):
    """As `ActionHead`, for chunks whose first steps are already decided (arXiv:2512.05964).

    Args:
        width: Channels of the context.
        statistics: Of the actions, in physical units.
        heads: Attention heads of the block that mixes the steps.
    """

    def __init__(self, width: int, statistics: Statistics, heads: int = 4) -> None:
        super().__init__()
        actions = len(statistics.mean)
        self.units = Normaliser(statistics)
        self.lift = nn.Linear(actions + 1, width)
        self.block = Block(width, heads)
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, actions)

    def forward(
        self,
        context: Float[Tensor, 'batch steps width'],
        known: Float[Tensor, 'batch steps actions'],
        given: Bool[Tensor, 'batch steps'],
    ) -> Float[Tensor, 'batch steps actions']:
        """Actions in normalised units; `known` is read where `given` only."""
        seen = torch.where(given[..., None], known, torch.zeros_like(known))
        told = torch.cat([seen, given[..., None].to(seen.dtype)], -1)
        return self.linear(self.norm(self.block(context + self.lift(told))))

    def loss(
        self,
        context: Float[Tensor, 'batch steps width'],
        actions: Float[Tensor, 'batch steps actions'],
    ) -> Float[Tensor, '']:
        """Mean absolute error against physical `actions`, where they were not told."""
        target = self.units.normalise(actions)
        given = draw_given(target)
        error = (self(context, target, given).float() - target).abs().mean(-1)
        return error[~given].mean()

    def actions(
        self,
        context: Float[Tensor, 'batch steps width'],
        prefix: Float[Tensor, 'batch steps actions'] | None = None,
        given: Bool[Tensor, 'batch steps'] | None = None,
    ) -> Float[Tensor, 'batch steps actions']:
        """Actions in physical units; those given come back as they are.

        Args:
            context: One vector per step.
            prefix: Physical units; read where `given`.
            given: The steps that are already decided; none by default.
        """
        if prefix is None or given is None:
            batch, steps = context.shape[:2]
            prefix = self.units.mean.expand(batch, steps, -1)
            given = torch.zeros(batch, steps, dtype=torch.bool, device=context.device)
        free = self.units.physical(self(context, self.units.normalise(prefix), given))
        return torch.where(given[..., None], prefix, free)
