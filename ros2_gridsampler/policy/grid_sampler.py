# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Feature map -> the few tokens that matter, and where they were read."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    # For readers and type checkers alone: the module runs wherever torch does.
    from jaxtyping import Float


class PointReader(nn.Module):
    """Reads a map at points and adds an embedding of where each was read.

    Args:
        channels: Channels of the map.
        hidden: Width of the coordinate embedding.
    """

    def __init__(self, channels: int, hidden: int = 256) -> None:
        super().__init__()
        self.coordinate_embedding = nn.Sequential(
            nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def place(
        self, tokens: Float[Tensor, 'batch tokens channels'], points: Float[Tensor, '*batch 2']
    ) -> Float[Tensor, 'batch tokens channels']:
        """Returns the tokens with their coordinates added; `points` (x, y) in [0, 1]."""
        return tokens + self.coordinate_embedding(points.to(self._dtype)).to(tokens.dtype)

    def read(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        points: Float[Tensor, 'batch tokens 2'],
    ) -> Float[Tensor, 'batch tokens channels']:
        """Returns the map at these points, with their coordinates; in the type of the map."""
        return self.place(read_bilinear(feature_map, points), points)


class GridSampler(PointReader):
    """GridS (arXiv:2605.11817): K predicted points, read bilinearly, with their coordinates.

    Works on any feature map. Points are (x, y) in [0, 1]; 0 and 1 are the centres of the first
    and last cell, so a map of ones reads as one everywhere. The arithmetic of coordinates stays
    in float32 whatever the type of the map: bfloat16 near 1 steps by 0.06 of a patch.
    In the paper the points depend on the picture alone; `context` adds what the arm is asked to
    do and where it is.

    Example:
        tokens, points = GridSampler(channels=384, tokens=16)(feature_map)

    Args:
        channels: Channels of the map.
        tokens: Points read per map (K).
        context: Channels of the context vector; 0 for the paper's sampler.
        hidden: Width of the point predictor.
        coordinate_hidden: Width of the coordinate embedding.
    """

    def __init__(
        self,
        channels: int,
        tokens: int = 16,
        *,
        context: int = 0,
        hidden: int = 512,
        coordinate_hidden: int = 256,
    ) -> None:
        super().__init__(channels, coordinate_hidden)
        if tokens < 1:
            raise ValueError(f'A sampler reads at least one point, got {tokens}.')
        self.context = context
        # Without an affine part: the layer that follows is linear.
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        last = nn.Linear(hidden, 2 * tokens)
        self.predict = nn.Sequential(nn.Linear(channels + context, hidden), nn.ReLU(), last)
        # With the default initialisation all points start within 4% of the picture.
        nn.init.normal_(last.weight, std=0.02 / math.sqrt(hidden))
        with torch.no_grad():
            last.bias.copy_(torch.logit(spread_points(tokens)).flatten())

    def forward(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None = None,
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Predicts the points and reads them.

        Args:
            feature_map: Any floating type; rows and columns may differ.
            context: Needed exactly if the sampler was made for one.

        Returns:
            The tokens, in the type of the map, and the points (x, y) in [0, 1], float32.
        """
        if (context is None) != (self.context == 0):
            raise ValueError(
                f'This sampler was made for a context of {self.context} channels, '
                f'got {"none" if context is None else tuple(context.shape)}.'
            )
        points = self._points(feature_map, context)
        return self.read(feature_map, points), points

    def _points(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None,
    ) -> Float[Tensor, 'batch tokens 2']:
        with exact(feature_map.device):
            pooled = self.norm(feature_map.mean((1, 2)).to(self._dtype))
            if context is not None:
                pooled = torch.cat([pooled, context.to(pooled.dtype)], -1)
            return torch.sigmoid(self.predict(pooled).float()).unflatten(-1, (-1, 2))


def exact(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Suspends autocast, where it is on: the arithmetic of coordinates stays in full precision."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


def read_bilinear(
    feature_map: Float[Tensor, 'batch rows columns channels'],
    points: Float[Tensor, 'batch tokens 2'],
) -> Float[Tensor, 'batch tokens channels']:
    """Reads a map at points between its cells.

    Equals `grid_sample(align_corners=True, padding_mode='border')` in values and gradients, but
    is one product of hat-function weights and cells: no permutation, no gather, and exact at
    the border.

    Args:
        feature_map: Any floating type.
        points: (x, y) in [0, 1]; 0 and 1 are the centres of the first and last cell.
    """
    rows, columns = feature_map.shape[1:3]
    x, y = points.float().clamp(0, 1).unbind(-1)
    weight_x = _hat(x, columns)
    weight_y = _hat(y, rows)
    weights = (weight_y[..., :, None] * weight_x[..., None, :]).flatten(2)
    return weights.to(feature_map.dtype) @ feature_map.flatten(1, 2)


def _hat(
    coordinate: Float[Tensor, 'batch tokens'], cells: int
) -> Float[Tensor, 'batch tokens cells']:
    centres = torch.arange(cells, device=coordinate.device, dtype=torch.float32)
    return (1 - (coordinate[..., None] * (cells - 1) - centres).abs()).clamp(min=0)


def spread_points(tokens: int) -> Float[Tensor, 'tokens 2']:
    """Returns the points (x, y) in (0, 1) spread over the picture, row by row."""
    columns = math.ceil(math.sqrt(tokens))
    rows = math.ceil(tokens / columns)
    index = torch.arange(tokens)
    row = index // columns
    in_row = torch.full((tokens,), float(columns))
    in_row[row == rows - 1] = tokens - columns * (rows - 1)
    x = (index % columns + 0.5) / in_row
    y = (row + 0.5) / rows
    return torch.stack([x, y], -1)
