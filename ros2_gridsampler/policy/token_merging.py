# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Feature map -> K tokens, by merging those that are most alike."""

import torch
from jaxtyping import Float
from torch import Tensor

from .grid_sampler import PointReader
from .point_locator import cell_centres


class TokenMerging(PointReader):
    """Bipartite soft matching (ToMe, arXiv:2210.09461), repeated until K tokens are left.

    Every round pairs the tokens at even places with their likest at odd places and merges the
    closest pairs, at most half of the tokens. A merged token is the mean of its cells and its
    point the mean of their places. Likeness is the cosine of the features themselves; ToMe
    takes the keys of an attention layer, which a feature map does not have.

    Args:
        channels: Channels of the map.
        tokens: Tokens that are left (K).
    """

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__(channels)
        if tokens < 1:
            raise ValueError(f'At least one token must be left, got {tokens}.')
        self.count = tokens

    def forward(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None = None,
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Merges tokens; as `GridSampler`, in the type of the map."""
        cells = feature_map.flatten(1, 2).float()
        if cells.shape[1] < self.count:
            raise ValueError(f'{cells.shape[1]} cells cannot become {self.count} tokens.')
        rows, columns = feature_map.shape[1:3]
        centres = cell_centres(rows, columns, device=feature_map.device)
        places = centres.expand(len(cells), -1, -1)
        # Sums over what was merged, and of how many cells.
        sums = torch.cat([cells, places, torch.ones_like(places[..., :1])], -1)
        while sums.shape[1] > self.count:
            sums = _merge(sums, min(sums.shape[1] - self.count, sums.shape[1] // 2))
        means = sums[..., :-1] / sums[..., -1:]
        points = means[..., -2:]
        return self.place(means[..., :-2].to(feature_map.dtype), points), points


def _merge(sums: Float[Tensor, 'batch before numbers'], count: int) -> Tensor:
    """Adds `count` of the even tokens to their likest odd ones."""
    even, odd = sums[:, ::2], sums[:, 1::2]
    # The last three numbers are place and size.
    directions = torch.nn.functional.normalize(sums[..., :-3], dim=-1)
    likeness, partner = (directions[:, ::2] @ directions[:, 1::2].transpose(1, 2)).max(-1)
    order = likeness.argsort(-1, descending=True)
    numbers = sums.shape[-1]

    def rows(index: Tensor) -> Tensor:
        return index[..., None].expand(-1, -1, numbers)

    merged, kept = order[:, :count], order[:, count:]
    target = partner.gather(1, merged)
    joined = odd.scatter_add(1, rows(target), even.gather(1, rows(merged)))
    return torch.cat([even.gather(1, rows(kept)), joined], 1)
