# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Feature map -> K tokens, each a weighted mean of the map with weights that it learns."""

from jaxtyping import Float
from torch import Tensor, nn

from .grid_sampler import PointReader, exact
from .point_locator import cell_centres


class TokenLearner(PointReader):
    """TokenLearner (arXiv:2106.11297), in the version with an MLP and a softmax over the cells.

    Args:
        channels: Channels of the map.
        tokens: Tokens made per map (K).
        hidden: Width of the MLP that gives a cell its K weights.
    """

    def __init__(self, channels: int, tokens: int, hidden: int = 64) -> None:
        super().__init__(channels)
        if tokens < 1:
            raise ValueError(f'At least one token must be made, got {tokens}.')
        self.weigh = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, tokens),
        )

    def forward(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None = None,
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Weighs; a point is the weighted mean of the cells' places. As `GridSampler`."""
        cells = feature_map.flatten(1, 2)
        centres = cell_centres(*feature_map.shape[1:3], device=feature_map.device)
        with exact(feature_map.device):
            weights = self.weigh(cells.to(self._dtype)).float().softmax(1).transpose(1, 2)
            points = weights @ centres
        return self.place(weights.to(cells.dtype) @ cells, points), points
