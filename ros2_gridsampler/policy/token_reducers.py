# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Feature map -> tokens in other ways than GridS: the controls it must be compared with.

Each has the call of `GridSampler`: `tokens, points = reducer(feature_map, context)`, and those
that read at places add the same coordinate embedding. Where a token stands for an area, its point
lies in that area.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .grid_sampler import GridSampler, PointReader, exact, spread_points
from .point_locator import PointLocator, cell_centres
from .shared_draws import draw
from .token_learner import TokenLearner
from .token_merging import TokenMerging

Reduced = tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]
Map = Float[Tensor, 'batch rows columns channels']

REDUCERS = (
    'grid_sampler',
    'point_locator',
    'dense',
    'fixed_grid',
    'constant_points',
    'random_points',
    'learned_queries',
    'top_k',
    'token_merging',
    'token_learner',
    'blind',
)
CONDITIONED = ('grid_sampler', 'point_locator')


class Dense(nn.Module):
    """Keeps all tokens."""

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        """Returns all cells of the map, row by row."""
        centres = cell_centres(*feature_map.shape[1:3], device=feature_map.device)
        return feature_map.flatten(1, 2), centres.expand(len(feature_map), -1, -1)


class Blind(nn.Module):
    """No token at all: what can be done without a camera."""

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        """Returns no token and no point."""
        return feature_map.flatten(1, 2)[:, :0], feature_map.new_zeros(len(feature_map), 0, 2)


class FixedGrid(PointReader):
    """Means of square areas; one area is mean pooling."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__(channels)
        self.side = math.isqrt(tokens)
        if self.side**2 != tokens or tokens < 1:
            raise ValueError(f'A fixed grid has a square number of tokens, got {tokens}.')

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        """Averages the cells of each area."""
        rows, columns = feature_map.shape[1:3]
        if rows % self.side or columns % self.side:
            raise ValueError(
                f'A map of {rows}x{columns} cells cannot be cut into {self.side}x{self.side} '
                'equal areas; choose another number of tokens.'
            )
        areas = feature_map.unflatten(2, (self.side, -1)).unflatten(1, (self.side, -1))
        tokens = areas.mean((2, 4)).flatten(1, 2)
        points = spread_points(self.side**2).to(feature_map.device)
        return self.place(tokens, points), points.expand(len(tokens), -1, -1)


class ConstantPoints(PointReader):
    """GridS without eyes: points are learned, but the same in every picture."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__(channels)
        self.logits = nn.Parameter(torch.logit(spread_points(tokens)))

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        points = torch.sigmoid(self.logits.float()).expand(len(feature_map), -1, -1)
        return self.read(feature_map, points), points


class RandomPoints(PointReader):
    """Points at random: others for every picture in training, a fixed draw afterwards."""

    points: Tensor

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__(channels)
        self.register_buffer('points', torch.rand(tokens, 2))

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        points = self.points.expand(len(feature_map), -1, -1)
        if self.training:
            points = draw(
                lambda rows: torch.rand(rows, *points.shape[1:]), len(points), points.device
            )
        return self.read(feature_map, points), points


class LearnedQueries(nn.Module):
    """Cross-attention from learned queries (Perceiver, arXiv:2103.03206)."""

    def __init__(self, channels: int, tokens: int, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(tokens, channels) / math.sqrt(channels))
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        """Gathers; the point of a query is the mean place of what it attends to."""
        cells = self.norm(feature_map.flatten(1, 2))
        queries = self.queries.expand(len(cells), -1, -1)
        tokens, weights = self.attention(queries, cells, cells)
        centres = cell_centres(*feature_map.shape[1:3], device=feature_map.device)
        with exact(feature_map.device):
            return queries + tokens, weights.float() @ centres


class TopK(PointReader):
    """The K tokens with the highest attention of a query made from the mean of the map.

    Their coordinates stay: without them pruning is known to fail. The kept tokens are weighted
    by their attention, or nothing would ever teach the query.
    """

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__(channels)
        self.count = tokens
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)

    def forward(self, feature_map: Map, context: Tensor | None = None) -> Reduced:
        """Scores all cells, keeps the best ones and weights them by their scores."""
        cells = feature_map.flatten(1, 2)
        normed = self.norm(cells)
        query = self.query(normed.mean(1, keepdim=True))
        scores = (query * self.key(normed)).sum(-1) / math.sqrt(cells.shape[-1])
        kept, index = scores.topk(self.count, dim=1)
        weights = 2 * torch.sigmoid(kept)[..., None]
        tokens = cells.gather(1, index[..., None].expand(-1, -1, cells.shape[-1])) * weights
        points = cell_centres(*feature_map.shape[1:3], device=feature_map.device)[index]
        return self.place(tokens, points), points


def check_reducer(name: str, tokens: int, grid: tuple[int, int], *, context: bool) -> None:
    """Refuses a reducer that cannot work on a map.

    Args:
        name: One of `REDUCERS`.
        tokens: Number of tokens that are kept.
        grid: Rows and columns of the map.
        context: Whether the points are to depend on instruction and arm.

    Raises:
        ValueError: There is no such reducer, it takes no context, or not so many tokens.
    """
    _check_name(name, context)
    rows, columns = grid
    cells = rows * columns
    fewest, most = {'dense': (cells, cells), 'blind': (0, 0)}.get(name, (1, cells))
    if not fewest <= tokens <= most:
        raise ValueError(
            f'Reducer {name!r} keeps {fewest} to {most} tokens of a map of {rows}x{columns} '
            f'cells, got {tokens}.'
        )
    side = math.isqrt(tokens)
    if name == 'fixed_grid' and (side**2 != tokens or rows % side or columns % side):
        raise ValueError(
            f'A fixed grid cuts a map of {rows}x{columns} cells into a square number of equal '
            f'areas; {tokens} are not.'
        )


def make_reducer(name: str, channels: int, tokens: int, context: int) -> nn.Module:
    """Returns the reducer of that name.

    Args:
        name: One of `REDUCERS`.
        channels: Channels of the map.
        tokens: Tokens per map; all of them for 'dense', none for 'blind'.
        context: Channels of the context; 0 if it is not used.

    Raises:
        ValueError: There is no such reducer, or it takes no context.
    """
    _check_name(name, context > 0)
    if name == 'grid_sampler':
        return GridSampler(channels, tokens, context=context)
    if name == 'point_locator':
        return PointLocator(channels, tokens, context=context)
    if name == 'dense':
        return Dense()
    if name == 'blind':
        return Blind()
    controls = {
        'fixed_grid': FixedGrid,
        'constant_points': ConstantPoints,
        'random_points': RandomPoints,
        'learned_queries': LearnedQueries,
        'top_k': TopK,
        'token_merging': TokenMerging,
        'token_learner': TokenLearner,
    }
    return controls[name](channels, tokens)


def _check_name(name: str, context: bool) -> None:
    if name not in REDUCERS:
        raise ValueError(f'Reducer {name!r} is not known; use one of {list(REDUCERS)}.')
    if context and name not in CONDITIONED:
        raise ValueError(f'Reducer {name!r} takes no context; only {list(CONDITIONED)} do.')
