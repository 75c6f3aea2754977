# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Picture, word and joint tokens -> what to do, in one vector per future step."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .encoder import Block
from .instruction import BUCKETS, WORDS
from .policy_config import TrunkConfig


class WordEmbedding(nn.Module):
    """Hashed words -> tokens; an absent word is a learned blank."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pieces = nn.Embedding(BUCKETS, width, padding_idx=0)
        self.places = nn.Parameter(torch.zeros(WORDS, width))
        nn.init.normal_(self.pieces.weight, std=0.1)
        nn.init.normal_(self.places, std=0.02)
        with torch.no_grad():
            self.pieces.weight[0] = 0

    def forward(
        self, words: Int[Tensor, 'batch words pieces']
    ) -> Float[Tensor, 'batch words width']:
        """Sum the pieces of each word."""
        return self.pieces(words).sum(2) + self.places


class Trunk(nn.Module):
    """A transformer over all tokens; learned queries collect the answer."""

    def __init__(self, config: TrunkConfig, *, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(queries, config.width))
        nn.init.normal_(self.queries, std=0.02)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, tokens: Float[Tensor, 'batch tokens width']
    ) -> Float[Tensor, 'batch queries width']:
        """Let every token and every query look at each other, return the queries."""
        queries = self.queries.expand(len(tokens), -1, -1)
        mixed = torch.cat([tokens, queries.to(tokens.dtype)], 1)
        return self.answer(mixed, self.blocks)

    def answer(
        self, mixed: Float[Tensor, 'batch tokens width'], blocks: nn.ModuleList
    ) -> Float[Tensor, 'batch queries width']:
        """The last blocks on tokens that end with the queries; the very last for those alone."""
        count = self.queries.shape[0]
        for block in blocks[:-1]:
            mixed = block(mixed)
        for block in blocks[-1:]:
            mixed = block(mixed, last=count)
        return self.norm(mixed[:, -count:])
