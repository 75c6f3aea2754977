# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Context -> actions in physical units; normalised here and nowhere else."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .policy_config import Statistics


class Normaliser(nn.Module):
    """Physical numbers <-> numbers of about unit size."""

    mean: Tensor
    scale: Tensor

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(statistics.mean, dtype=torch.float32))
        self.register_buffer('scale', torch.tensor(statistics.scale, dtype=torch.float32))

    def normalise(
        self, physical: Float[Tensor, '*batch numbers']
    ) -> Float[Tensor, '*batch numbers']:
        """To about unit size."""
        return (physical - self.mean) / self.scale

    def physical(
        self, normalised: Float[Tensor, '*batch numbers']
    ) -> Float[Tensor, '*batch numbers']:
        """Back to physical units."""
        return normalised.float() * self.scale + self.mean


class ActionHead(nn.Module):
    """One linear reading of each query: the target of that step."""

    def __init__(self, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.units = Normaliser(statistics)
        self.linear = nn.Linear(width, len(statistics.mean))

    def forward(
        self, context: Float[Tensor, 'batch steps width']
    ) -> Float[Tensor, 'batch steps actions']:
        """Actions in normalised units, as training compares them."""
        return self.linear(context)

    def loss(
        self,
        context: Float[Tensor, 'batch steps width'],
        actions: Float[Tensor, 'batch steps actions'],
    ) -> Float[Tensor, '']:
        """Mean absolute error against physical `actions`, in normalised units."""
        return (self(context).float() - self.units.normalise(actions)).abs().mean()

    def actions(
        self, context: Float[Tensor, 'batch steps width']
    ) -> Float[Tensor, 'batch steps actions']:
        """Actions in physical units."""
        return self.units.physical(self(context))
