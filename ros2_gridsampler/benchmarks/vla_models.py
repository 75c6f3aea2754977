# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Published vision-language-action models -> their products of matrices, on shapes alone.

The layers run on PyTorch's meta device, so that its counter sees every product; no weight exists.
Elementwise work is left out: it does not count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stack:
    """Layers of a transformer.

    Attributes:
        layers: Number of layers.
        width: Channels of a token.
        hidden: Channels of the feed-forward part.
        heads: Heads of the queries.
        key_heads: Heads of keys and values.
        head_width: Channels of a head.
        gated: Whether the feed-forward part has a third matrix.
    """

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head_width: int
    gated: bool

    def layer(self, tokens: Tensor, seen: int) -> None:
        """One layer: the tokens attend to `seen` others and to each other."""
        count = tokens.shape[0]
        read = self.heads * self.head_width
        stored = self.key_heads * self.head_width
        matrix(tokens, read)
        matrix(tokens, stored)
        matrix(tokens, stored)
        query = meta(self.heads, count, self.head_width)
        key = meta(self.heads, self.head_width, count + seen)
        torch.bmm(torch.bmm(query, key), key.transpose(1, 2))
        matrix(meta(count, read), self.width)
        for _ in range(1 + self.gated):
            matrix(tokens, self.hidden)
        matrix(meta(count, self.hidden), self.width)

    def run(self, count: int, seen: int = 0, layers: int | None = None) -> None:
        """Some or all layers on so many tokens."""
        for _ in range(self.layers if layers is None else layers):
            self.layer(meta(count, self.width), seen)


def meta(*shape: int) -> Tensor:
    """A tensor without content."""
    return torch.empty(*shape, device='meta')


def matrix(tokens: Tensor, width: int) -> Tensor:
    """A linear layer to so many channels."""
    return tokens @ meta(tokens.shape[-1], width)


@dataclass(frozen=True)
class Tower:
    """A vision encoder of square pictures.

    Attributes:
        stack: Its blocks.
        patch: Side of a patch [px].
        tokens: Patches of a picture.
        extra: Class and register tokens.
    """

    stack: Stack
    patch: int
    tokens: int
    extra: int = 0

    def run(self, kept: int, sample_after: int, once: bool) -> None:
        """All tokens up to a block, the kept ones from there; or one dense block alone."""
        matrix(meta(self.tokens, 3 * self.patch**2), self.stack.width)
        if once:
            self.stack.run(self.tokens + self.extra, layers=1)
            return
        self.stack.run(self.tokens + self.extra, layers=sample_after)
        self.stack.run(kept + self.extra, layers=self.stack.layers - sample_after)


@dataclass(frozen=True)
class Model:
    """What a control step of a published model computes.

    Attributes:
        towers: Vision encoders that see every picture; the first decides how deep sampling is,
            the others follow in proportion.
        projector: Widths of the layers between tower and language model.
        shuffle: Tokens of the tower that the projector joins into one.
        language: The language model.
        language_layers: That are run.
        act: Runs the action part on so many prefix tokens; told to count loops once.
        cameras: Number of cameras, as published.
        language_tokens: Tokens of the prompt, as published.
    """

    towers: tuple[Tower, ...]
    projector: tuple[int, ...]
    shuffle: int
    language: Stack
    act: Callable[[int, bool], None]
    cameras: int
    language_tokens: int

    @property
    def dense_tokens(self) -> int:
        """Visual tokens per camera that reach the language model."""
        return self.towers[0].tokens // self.shuffle


SIGLIP = Tower(
    Stack(layers=27, width=1152, hidden=4304, heads=16, key_heads=16, head_width=72, gated=False),
    14,
    256,
)
DINO_LARGE = Tower(
    Stack(layers=24, width=1024, hidden=4096, heads=16, key_heads=16, head_width=64, gated=False),
    14,
    256,
    5,
)
SIGLIP_BASE = Tower(
    Stack(layers=12, width=768, hidden=3072, heads=12, key_heads=12, head_width=64, gated=False),
    16,
    1024,
)
GEMMA_2B = Stack(
    layers=18, width=2048, hidden=16384, heads=8, key_heads=1, head_width=256, gated=True
)
GEMMA_300M = Stack(
    layers=18, width=1024, hidden=4096, heads=8, key_heads=1, head_width=256, gated=True
)
LLAMA_7B = Stack(
    layers=32, width=4096, hidden=11008, heads=32, key_heads=32, head_width=128, gated=True
)
SMOL_TEXT = Stack(
    layers=16, width=960, hidden=2560, heads=15, key_heads=5, head_width=64, gated=True
)
SMOL_EXPERT = Stack(
    layers=16, width=720, hidden=2048, heads=15, key_heads=5, head_width=64, gated=True
)


def _flow(
    expert: Stack, suffix: int, actions: int, *, state: bool, adaptive: bool
) -> Callable[[int, bool], None]:
    """Ten Euler steps of an action expert that reads the prefix's keys and values."""

    def act(prefix: int, once: bool) -> None:
        if once:
            expert.run(suffix, prefix, layers=1)
            return
        width = expert.width
        if state:
            matrix(meta(1, 32), width)
        for _ in range(10):
            matrix(meta(actions, 32), width)
            # Time enters beside every action, or once by way of the norms.
            joint = meta(1, width) if adaptive else meta(actions, 2 * width)
            matrix(matrix(joint, width), width)
            if adaptive:
                for _ in range(2 * expert.layers + 1):
                    matrix(meta(1, width), 3 * width)
            expert.run(suffix, prefix)
            matrix(meta(actions, width), 32)

    return act


def _words(count: int) -> Callable[[int, bool], None]:
    """Action words one by one; the first comes out of the prefill."""

    def act(prefix: int, once: bool) -> None:
        for number in range(count):
            if number:
                LLAMA_7B.run(1, prefix + number - 1, layers=1 if once else None)
            matrix(meta(1, LLAMA_7B.width), 32064)

    return act


def _parallel_words(prefix: int, once: bool) -> None:
    """56 placeholders (8 steps of 7 numbers) and a regression head, in one pass."""
    LLAMA_7B.run(56, prefix, layers=1 if once else None)
    width = LLAMA_7B.width
    matrix(matrix(meta(1, 8), width), width)
    joined = matrix(meta(8, 7 * width), width)
    for _ in range(2):
        joined = matrix(joined, width)
    matrix(joined, 7)


_PI0 = _flow(GEMMA_300M, 51, 50, state=True, adaptive=False)
_PI05 = _flow(GEMMA_300M, 10, 10, state=False, adaptive=True)
_SMOLVLA = _flow(SMOL_EXPERT, 50, 50, state=True, adaptive=False)
_PALIGEMMA = ((SIGLIP,), (2048,), 1, GEMMA_2B)
_PRISMATIC = ((SIGLIP, DINO_LARGE), (8704, 4096, 4096), 1, LLAMA_7B)
Name = Literal['pi0', 'pi05', 'openvla', 'openvla-oft', 'smolvla']
# arXiv 2410.24164, 2504.16054, 2406.09246, 2502.19645, 2506.01844.
MODELS: dict[Name, Model] = {
    'pi0': Model(*_PALIGEMMA, _PI0, 3, 48),
    'pi05': Model(*_PALIGEMMA, _PI05, 3, 200),
    'openvla': Model(*_PRISMATIC, _words(7), 1, 32),
    'openvla-oft': Model(*_PRISMATIC, _parallel_words, 2, 32),
    'smolvla': Model(
        towers=(SIGLIP_BASE,),
        projector=(960,),
        shuffle=16,
        language=SMOL_TEXT,
        act=_SMOLVLA,
        cameras=2,
        language_tokens=48,
    ),
}
