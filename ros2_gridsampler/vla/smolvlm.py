# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLM's vision tower -> few windows of 4x4 patches, which its connector can join.

The connector of SmolVLM (and Idefics3) lays 4x4 neighbouring patches side by side into one wide
token before it projects (pixel shuffle), so single tokens between patches mean nothing to it.
Windows do: a point is the place of a whole window, and its cells are read one patch apart. Thus
the tower's later blocks run on K windows, too.
"""

from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policy.grid_sampler import PointReader, read_bilinear
from .vision_tower import TowerAttachment


class WindowSampler(nn.Module):
    """Feature map -> K windows of neighbouring cells, at points that a sampler predicts.

    Points are (x, y) in [0, 1] between the first and the last window of the dense tiling, so
    the places of the dense windows are one possible choice of points.

    Args:
        sampler: Predicts the points and embeds the coordinates of every cell.
        side: Cells along a window's side; the connector's `scale_factor`.
    """

    def __init__(self, sampler: PointReader, side: int = 4) -> None:
        super().__init__()
        self.sampler = sampler
        self.side = side

    def forward(
        self, feature_map: Float[Tensor, 'batch rows columns channels']
    ) -> tuple[Float[Tensor, 'batch cells channels'], Float[Tensor, 'batch tokens 2']]:
        """Read the windows.

        Returns:
            K * side * side cells, window by window and in each row by row, and K points.

        Raises:
            ValueError: The map cannot be cut into windows.
        """
        rows, columns = feature_map.shape[1:3]
        if rows % self.side or columns % self.side:
            raise ValueError(
                f'A map of {rows}x{columns} cells cannot be cut into windows of '
                f'{self.side}x{self.side}.'
            )
        _, points = self.sampler(feature_map)
        spans = torch.tensor([columns - self.side, rows - self.side], device=points.device)
        last = torch.tensor([columns - 1, rows - 1], device=points.device)
        offset = torch.arange(self.side, device=points.device, dtype=torch.float32)
        down, right = torch.meshgrid(offset, offset, indexing='ij')
        inside = torch.stack([right, down], -1).flatten(0, 1)
        cells = ((points * spans)[:, :, None] + inside) / last
        cells = cells.flatten(1, 2)
        return self.sampler.place(read_bilinear(feature_map, cells), cells), points


class WindowAttachment(TowerAttachment):
    """Windows inside the tower, and a connector that takes them.

    Args:
        vision_model: `SmolVLMVisionTransformer`.
        connector: `SmolVLMConnector`; one token per window comes out of it.
        sampler: For the channels of the tower.
        after: Blocks that run on all patches; None for all of them.
    """

    def __init__(
        self,
        vision_model: nn.Module,
        connector: Any,
        sampler: PointReader,
        after: int | None = None,
    ) -> None:
        side = int(connector.scale_factor)
        super().__init__(vision_model, WindowSampler(sampler, side), after)
        self._connector = connector
        # The cells of a window follow each other: joining them is the whole shuffle.
        self._connector.pixel_shuffle = MethodType(_join_windows, connector)

    def remove(self) -> None:
        """Give the dense tower and its connector back."""
        super().remove()
        del self._connector.pixel_shuffle


def _join_windows(connector: Any, cells: Tensor, scale_factor: int) -> Tensor:
    return cells.unflatten(1, (-1, scale_factor**2)).flatten(2)
