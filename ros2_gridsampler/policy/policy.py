# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk: the stages, joined."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..acting.action_prefix import Prefix
from ..device import to_arrays, to_device
from ..seeing.observation import Observation
from .action_head import ActionHead, ContinuingHead, FlowHead, Normaliser
from .encoder import Block, Encoder
from .graph import Graph, probes, reduced
from .instruction import BUCKETS, WORDS
from .policy_config import PolicyConfig, TrunkConfig
from .prediction import (
    PolicyInterface,
    Prediction,
    as_arrays,
    as_prediction,
    prefix_arrays,
)
from .sentence_encoder import NUMBERS
from .signature import Arrays, Precision, Signature
from .token_reducers import make_reducer


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
        """Sums the pieces of each word."""
        return self.pieces(words).sum(2) + self.places


class SentenceEmbedding(nn.Module):
    """The vector of a sentence -> one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(NUMBERS, elementwise_affine=False),
            nn.Linear(NUMBERS, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )

    def forward(self, words: Float[Tensor, 'batch numbers']) -> Float[Tensor, 'batch 1 width']:
        """A small network of its own on the frozen numbers."""
        return self.layers(words)[:, None]


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
        """Lets every token and every query look at each other; returns the queries."""
        queries = self.queries.expand(len(tokens), -1, -1)
        mixed = torch.cat([tokens, queries.to(tokens.dtype)], 1)
        return self.answer(mixed, self.blocks)

    def answer(
        self, mixed: Float[Tensor, 'batch tokens width'], blocks: nn.ModuleList
    ) -> Float[Tensor, 'batch queries width']:
        """Applies the last blocks; tokens end with the queries, all that the last one keeps."""
        count = self.queries.shape[0]
        for block in blocks[:-1]:
            mixed = block(mixed)
        for block in blocks[-1:]:
            mixed = block(mixed, last=count)
        return self.norm(mixed[:, -count:])


class Policy(nn.Module):
    """The network from tensors to tensors, and `predict` from Observation to ActionChunk."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        width = config.trunk.width
        self.encoder = Encoder(config.encoder)
        self.reducer = make_reducer(
            config.reducer,
            config.encoder.width,
            config.tokens,
            context=2 * width if config.conditioned else 0,
        )
        # Where they have one width there is nothing between encoder and trunk.
        same = config.encoder.width == width
        self.widen: nn.Module = nn.Identity() if same else nn.Linear(config.encoder.width, width)
        self.camera_embedding = nn.Parameter(torch.zeros(len(config.cameras), 1, width))
        hashed = config.instruction == 'hashed_words'
        self.words = WordEmbedding(width) if hashed else SentenceEmbedding(width)
        self.body_units = Normaliser(config.proprioception_statistics)
        self.body = nn.Linear(len(config.proprioception_statistics.mean), width)
        self.trunk = Trunk(config.trunk, queries=config.steps + (config.landmarks > 0))
        self.action_head = _make_head(config)
        if config.landmarks:
            self.landmark_head = nn.Linear(width, 3 * config.landmarks)
        nn.init.normal_(self.camera_embedding, std=0.02)

    def context(
        self,
        images: UInt8[Tensor, 'batch cameras height width 3'],
        proprioception: Float[Tensor, 'batch numbers'],
        words: Int[Tensor, 'batch words pieces'] | Float[Tensor, 'batch numbers'],
    ) -> tuple[Float[Tensor, 'batch queries width'], Float[Tensor, 'batch cameras tokens 2']]:
        """Runs all stages up to the trunk.

        Args:
            images: RGB at the encoder's size.
            proprioception: Physical units, see the function of that name.
            words: What `read_instruction` returned.

        Returns:
            The queries (one per step, then the landmarks' one) and the sampled points.
        """
        config = self.config
        cameras = images.shape[1]
        word_tokens = self.words(words)
        body_token = self.body(self.body_units.normalise(proprioception))[:, None]
        task = None
        if config.conditioned:
            task = torch.cat([word_tokens.mean(1), body_token[:, 0]], -1)
            task = task.repeat_interleave(cameras, 0)

        tokens, points = self.see(images.flatten(0, 1), task)
        tokens = self.widen(tokens)
        visual = (tokens.unflatten(0, (-1, cameras)) + self.camera_embedding).flatten(1, 2)
        queries = self.trunk(torch.cat([visual, word_tokens, body_token], 1))
        return queries, points.unflatten(0, (-1, cameras))

    def see(
        self,
        images: UInt8[Tensor, 'batch height width 3'],
        task: Float[Tensor, 'batch context'] | None,
    ) -> tuple[Float[Tensor, 'batch tokens width'], Float[Tensor, 'batch tokens 2']]:
        """Returns the few tokens of each picture and where they were read."""
        config = self.config
        if config.reducer == 'blind':
            # The tower need not run for nobody.
            size = (len(images), *config.encoder.grid, config.encoder.width)
            return self.reducer(torch.zeros(size, device=images.device))
        features = self.encoder.early(images, config.sample_after)
        tokens, points = self.reducer(features, task)
        return self.encoder.late(tokens, config.sample_after), points

    def forward(
        self,
        images: UInt8[Tensor, 'batch cameras height width 3'],
        proprioception: Float[Tensor, 'batch numbers'],
        words: Int[Tensor, 'batch words pieces'] | Float[Tensor, 'batch numbers'],
        prefix: Float[Tensor, 'batch steps actions'] | None = None,
        given: Float[Tensor, 'batch steps'] | None = None,
    ) -> tuple[Float[Tensor, 'batch steps actions'], Float[Tensor, 'batch cameras tokens 2']]:
        """Returns actions in physical units and the sampled points; the graph of the engines.

        A policy that `continues` may be told a prefix; `given` is 1 for its steps.
        """
        queries, points = self.context(images, proprioception, words)
        origin = self.origin(proprioception)
        told = () if prefix is None or given is None else (prefix - origin, given > 0.5)
        actions = self.action_head.actions(queries[:, : self.config.steps], *told)
        return actions + origin, points

    def origin(
        self, proprioception: Float[Tensor, 'batch numbers']
    ) -> Float[Tensor, 'batch 1 actions']:
        """Returns what the head's actions are relative to, in physical units, or zero."""
        actions = len(self.config.action_space.names)
        if not self.config.relative:
            return proprioception.new_zeros(1, 1, actions)
        start = self.config.observation.origin
        return proprioception[:, None, start : start + actions]

    @torch.inference_mode()
    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Predicts one chunk from one observation; it begins with the prefix.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or cannot go on from a
                prefix.
        """
        config = self.config
        given = (*as_arrays(config, observation), *prefix_arrays(config, prefix))
        results = self(*to_device(given, self.camera_embedding.device))
        return as_prediction(config, observation, *to_arrays(results))

    @property
    def interface(self) -> PolicyInterface:
        """How observations become arguments of the network; see there."""
        return PolicyInterface(self.config)

    @property
    def signature(self) -> Signature:
        """The arguments and results of the network that engines compile."""
        return self.interface.signature

    def network(self, precision: Precision) -> Graph:
        """Returns what engines compile: these weights, or a copy in 'fp16' or 'bf16'."""
        return Graph(self if precision == 'fp32' else reduced(self, precision)).eval()

    def probes(self, examples: Sequence[Observation]) -> list[Arrays]:
        """Returns arguments that try an engine out; see the function of that name."""
        return probes(self.interface, examples)


def _make_head(config: PolicyConfig) -> ActionHead | ContinuingHead | FlowHead:
    width, statistics = config.trunk.width, config.action_statistics
    if config.head == 'flow':
        return FlowHead(width, statistics, config.steps)
    if config.head == 'continuing':
        return ContinuingHead(width, statistics)
    return ActionHead(width, statistics)


def as_tensors(config: PolicyConfig, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the arguments of `Policy.forward` for a batch of one."""
    images, body, words = (torch.from_numpy(each) for each in as_arrays(config, observation))
    return images, body, words
