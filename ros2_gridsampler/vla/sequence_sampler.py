# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Token sequence with its class token -> the same sequence with few of its patches."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policy.grid_sampler import GridSampler, PointReader
from ..policy.token_reducers import make_reducer


class SequenceSampler(nn.Module):
    """A reducer for sequences: the tokens before the patches stay, the patches become few.

    Args:
        reducer: Anything with the call of `GridSampler`.
        prefix: Tokens before the patches: class token, register tokens.
    """

    def __init__(self, reducer: nn.Module, prefix: int = 0) -> None:
        super().__init__()
        self.reducer = reducer
        self.prefix = prefix

    def forward(
        self, sequence: Float[Tensor, 'batch length channels'], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, 'batch kept channels'], Float[Tensor, 'batch tokens 2']]:
        """Reduces the patches; the prefix stays as it is.

        Args:
            sequence: Prefix, then the patches row by row.
            grid: Rows and columns of the patches.

        Returns:
            The prefix and what the reducer made of the patches, and its points.

        Raises:
            ValueError: The sequence has another length.
        """
        rows, columns = grid
        if sequence.shape[1] != self.prefix + rows * columns:
            raise ValueError(
                f'A sequence of {sequence.shape[1]} tokens is not {self.prefix} tokens and a map '
                f'of {rows}x{columns} cells; say how many tokens come before the patches.'
            )
        feature_map = sequence[:, self.prefix :].unflatten(1, grid)
        tokens, points = self.reducer(feature_map)
        if not self.prefix:
            return tokens, points
        return torch.cat([sequence[:, : self.prefix], tokens], 1), points


def sampler_for_trained_host(
    channels: int, tokens: int = 16, reducer: str = 'grid_sampler'
) -> nn.Module:
    """Returns a reducer whose tokens are at first exactly what the host's own map holds.

    The coordinate embedding starts at zero: a trained host has never seen one, and its tokens
    carry their positions already.

    Args:
        channels: Channels of the host's map.
        tokens: Tokens kept per picture (K).
        reducer: One of `token_reducers.REDUCERS`.
    """
    sampler = make_reducer(reducer, channels, tokens, context=0)
    if isinstance(sampler, PointReader):
        for parameter in sampler.coordinate_embedding[-1].parameters():
            nn.init.zeros_(parameter)
    return sampler


def read_at(sampler: GridSampler, points: Float[Tensor, 'tokens 2']) -> None:
    """Makes a sampler read at these points whatever it sees; training moves them from there.

    Args:
        sampler: Changed in place.
        points: (x, y) in [0, 1], one per token of the sampler.
    """
    last: Any = sampler.predict[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.logit(points).flatten())
