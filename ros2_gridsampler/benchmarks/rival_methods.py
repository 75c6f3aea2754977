# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> the same policy with the token reduction of other papers, to compare their speed.

They take the weights of the policy as they are; how well such a policy acts would have to be
trained. Average pooling is the reducer 'fixed_grid'.
"""

import dataclasses

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..policy.encoder import Attention, Block, Encoder
from ..policy.point_locator import cell_centres
from ..policy.policy import Policy, Trunk
from ..policy.policy_config import PolicyConfig


def with_reducer(policy: Policy, reducer: str, tokens: int, sample_after: int) -> Policy:
    """The policy with another reducer in another place; what fits is taken over.

    Args:
        policy: Gives the weights.
        reducer: One of `token_reducers.REDUCERS`.
        tokens: Kept per camera.
        sample_after: Encoder blocks that see all tokens.
    """
    conditioned = policy.config.conditioned and reducer == policy.config.reducer
    config = dataclasses.replace(
        policy.config,
        reducer=reducer,
        tokens=tokens,
        sample_after=sample_after,
        conditioned=conditioned,
    )
    return take_over(Policy(config), policy)


def take_over(changed: Policy, policy: Policy) -> Policy:
    """Gives `changed` those weights of `policy` that have their name and shape there."""
    own = changed.state_dict()
    fitting = {
        name: tensor
        for name, tensor in policy.state_dict().items()
        if name in own and own[name].shape == tensor.shape
    }
    changed.load_state_dict({**own, **fitting})
    return changed.eval()


def _dense(config: PolicyConfig) -> PolicyConfig:
    return dataclasses.replace(
        config,
        reducer='dense',
        tokens=config.dense_tokens,
        sample_after=config.encoder.depth,
        conditioned=False,
    )


def _blocks(model: Encoder | Trunk) -> list[Block]:
    return [block for block in model.blocks if isinstance(block, Block)]


def _heads(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, [batch, heads, tokens, width of a head]."""
    qkv = attention.qkv(tokens).unflatten(-1, (3, attention.heads, -1))
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    return query, key, value


class MergingPolicy(Policy):
    """ToMe (arXiv:2210.09461): every block merges the most similar tokens by bipartite matching.

    Tokens carry their size; attention is proportional to it; the class token never merges.

    Args:
        config: Configuration of the policy; its reducer is replaced.
        kept: Visual tokens that are left per camera.
    """

    def __init__(self, config: PolicyConfig, kept: int) -> None:
        super().__init__(_dense(config))
        depth, surplus = config.encoder.depth, config.dense_tokens - kept
        # As evenly as it goes.
        self.merged = [surplus * (i + 1) // depth - surplus * i // depth for i in range(depth)]

    def see(
        self, images: UInt8[Tensor, 'batch height width 3'], task: Tensor | None
    ) -> tuple[Float[Tensor, 'batch tokens width'], Float[Tensor, 'batch tokens 2']]:
        """Pictures -> merged tokens and the middle of what each stands for."""
        encoder = self.encoder
        patches = encoder.patches(images)
        first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], 1)
        centres = cell_centres(*encoder.config.grid).to(tokens.device)
        places = torch.cat([centres.new_zeros(1, 2), centres]).expand(len(tokens), -1, -1)
        size = torch.ones_like(tokens[..., :1])
        for block, count in zip(_blocks(encoder), self.merged, strict=True):
            query, key, value = _heads(block.attn, block.norm1(tokens))
            read = nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=size.log().transpose(1, 2)[:, None]
            )
            tokens = tokens + block.attn.proj(read.transpose(1, 2).flatten(2))
            tokens, places, size = merge_tokens(key.mean(1), tokens, places, size, count)
            tokens = tokens + block.mlp(block.norm2(tokens))
        return encoder.norm(tokens)[:, 1:], places[:, 1:]


def merge_tokens(
    keys: Float[Tensor, 'batch tokens keys'],
    tokens: Float[Tensor, 'batch tokens width'],
    places: Float[Tensor, 'batch tokens 2'],
    size: Float[Tensor, 'batch tokens 1'],
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Merges the `count` most similar pairs between even and odd tokens, weighted by size.

    Returns:
        Tokens, places and sizes, `count` fewer; the first token stays the first.
    """
    if count < 1:
        return tokens, places, size
    unit = keys / keys.norm(dim=-1, keepdim=True)
    scores = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    best, partner = scores.max(-1)
    protected = torch.zeros_like(best)
    protected[:, 0] = 4.0  # a cosine is at most 1
    order = (best - protected).argsort(1, descending=True)
    leaving, staying = order[:, :count], order[:, count:].sort(1).values
    # Matrix of ones where an even token goes to an odd one: no scatter, which engines lack.
    odd = torch.arange(scores.shape[2], device=keys.device)
    joins = (partner.gather(1, leaving)[:, None] == odd[:, None]).to(tokens.dtype)

    def combine(values: Tensor) -> Tensor:
        def pick(index: Tensor) -> Tensor:
            return values[:, ::2].gather(1, index[..., None].expand(-1, -1, values.shape[-1]))

        return torch.cat([pick(staying), values[:, 1::2] + joins @ pick(leaving)], 1)

    total = combine(size)
    return combine(tokens * size) / total, combine(places * size) / total, total


class PruningTrunk(Trunk):
    """FastV (arXiv:2403.06764): after some blocks only the most attended visual tokens go on.

    Where a language model asks how much the last token attended to each, here the queries do:
    they are the ones that answer.
    """

    visual = 0
    kept = 0
    full_blocks = 2

    def forward(
        self, tokens: Float[Tensor, 'batch tokens width']
    ) -> Float[Tensor, 'batch queries width']:
        """Computes what the trunk does, on fewer visual tokens in its last blocks."""
        queries = self.queries.expand(len(tokens), -1, -1)
        mixed = torch.cat([tokens, queries], 1)
        for block in self.blocks[: self.full_blocks]:
            before, mixed = mixed, block(mixed)
        last = _blocks(self)[self.full_blocks - 1]
        query, key, _ = _heads(last.attn, last.norm1(before))
        asking = query[:, :, -self.queries.shape[0] :]
        weights = (asking @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
        received = weights.mean((1, 2))[:, : self.visual]
        index = received.topk(self.kept, dim=1).indices.sort(1).values
        chosen = mixed.gather(1, index[..., None].expand(-1, -1, mixed.shape[-1]))
        mixed = torch.cat([chosen, mixed[:, self.visual :]], 1)
        return self.answer(mixed, self.blocks[self.full_blocks :])


class PruningPolicy(Policy):
    """FastV on the trunk of a policy that sees all tokens.

    Args:
        config: Configuration of the policy; its reducer is replaced.
        kept: Visual tokens per camera, on average, that are left after two blocks.
    """

    def __init__(self, config: PolicyConfig, kept: int) -> None:
        super().__init__(_dense(config))
        if config.trunk.depth < PruningTrunk.full_blocks:
            raise ValueError(f'FastV needs two trunk blocks, there are {config.trunk.depth}.')
        self.trunk = PruningTrunk(config.trunk, queries=config.steps + (config.landmarks > 0))
        self.trunk.visual = len(config.cameras) * config.dense_tokens
        self.trunk.kept = len(config.cameras) * kept
