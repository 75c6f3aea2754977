# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Feature map -> the few tokens that matter, at points that queries find in the map."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .grid_sampler import PointReader, exact, spread_points


class PointLocator(PointReader):
    """Points as the centres of attention of K queries; our extension of GridS.

    GridS predicts its points from the mean of the map. A mean forgets where things are unless
    attention has mixed places into the features before, so it cannot find an object in an early
    map. Here every query looks at all cells, and its point is the mean place of what it attends
    to (the spatial softmax of arXiv:1504.00702, with queries); the map is then read at the point
    bilinearly, as in GridS. `context` tells the queries what to look for.

    Args:
        channels: Channels of the map.
        tokens: Points read per map (K).
        context: Channels of the context vector; 0 for queries that are always the same.
        width: Channels in which queries and cells are compared.
    """

    # How far from its home a query looks at first, in pictures: wide, but not everywhere.
    _reach = 0.35

    def __init__(
        self, channels: int, tokens: int = 4, *, context: int = 0, width: int = 64
    ) -> None:
        super().__init__(channels)
        if tokens < 1:
            raise ValueError(f'A locator finds at least one point, got {tokens}.')
        self.norm = nn.LayerNorm(channels)
        self.keys = nn.Linear(channels, width)
        self.queries = nn.Parameter(torch.randn(tokens, width) / math.sqrt(width))
        self.homes = nn.Parameter(spread_points(tokens))
        self.ask = nn.Linear(context, tokens * width) if context else None

    def forward(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None = None,
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Locates the points and reads them; as `GridSampler`."""
        if (context is None) != (self.ask is None):
            raise ValueError(
                f'This locator was made {"without" if self.ask is None else "for"} a context, '
                f'got {"none" if context is None else tuple(context.shape)}.'
            )
        with exact(feature_map.device):
            points = self._points(feature_map, context)
        return self.read(feature_map, points), points

    def _points(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None,
    ) -> Float[Tensor, 'batch tokens 2']:
        centres = cell_centres(*feature_map.shape[1:3], device=feature_map.device)
        cells = self.keys(self.norm(feature_map.flatten(1, 2).to(self._dtype))).float()
        queries = self.queries.expand(len(cells), -1, -1)
        if self.ask is not None and context is not None:
            asked = self.ask(context.to(self._dtype))
            queries = queries + asked.unflatten(-1, queries.shape[1:])
        match = queries.float() @ cells.transpose(1, 2) / math.sqrt(cells.shape[-1])
        distance = (self.homes[:, None] - centres).square().sum(-1)
        attention = (match - distance / (2 * self._reach**2)).softmax(-1)
        return attention @ centres


def cell_centres(
    rows: int, columns: int, *, device: torch.device | None = None
) -> Float[Tensor, 'cells 2']:
    """Returns where the cells of a map are, (x, y), row by row; the first is 0, the last 1."""

    def line(cells: int) -> Tensor:
        return torch.arange(cells, device=device, dtype=torch.float32) / max(cells - 1, 1)

    y, x = torch.meshgrid(line(rows), line(columns), indexing='ij')
    return torch.stack([x, y], -1).flatten(0, 1)
