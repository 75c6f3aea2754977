# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy -> the one network that every engine compiles, and the arguments that try it out."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..seeing.observation import Observation
from .encoder import Block, PatchEmbedding
from .grid_sampler import PointReader
from .prediction import PolicyInterface
from .signature import Arrays

if TYPE_CHECKING:
    from .policy import Policy

# At least so many probes try out an engine.
PROBES = 4
_TYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}


class Graph(nn.Module):
    """`Policy.forward`, with one more argument: how far every sampled point is moved.

    Nothing that a camera shows makes a given policy look at the very corner, and just there
    engines are known to read bilinearly in their own ways. With zeros it is the policy itself.

    Args:
        policy: In float32.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self,
        images: Tensor,
        proprioception: Tensor,
        words: Tensor,
        point_shift: Tensor,
        *prefix: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Returns actions and points, as the policy gives them."""
        with shifted_points(self.policy, point_shift):
            # Engines take bytes in, but may be able to do no more with them than to cast.
            return self.policy(images.float(), proprioception, words, *prefix)


@contextlib.contextmanager
def shifted_points(
    network: nn.Module,
    shift: Float[Tensor, '1 tokens 2'],
    kinds: tuple[type[Any], ...] = (PointReader,),
) -> Iterator[None]:
    """While it lasts, a network reads its maps beside the points that it predicts.

    Args:
        network: Its readers are those of these kinds.
        shift: How far a point is moved; it stays inside the map.
        kinds: Modules with a method `read(feature_map, points)`.
    """

    def move(reader: Any) -> None:
        def read(feature_map: Tensor, points: Tensor) -> Tensor:
            place = (points + shift).clamp(0.0, 1.0)
            found: Tensor = type(reader).read(reader, feature_map, place)
            return found

        reader.__dict__['read'] = read

    readers = [module for module in network.modules() if isinstance(module, kinds)]
    try:
        for reader in readers:
            move(reader)
        yield
    finally:
        for reader in readers:
            reader.__dict__.pop('read', None)


def point_shifts(tokens: int) -> list[Float[np.ndarray, '1 tokens 2']]:
    """Returns shifts to two opposite corners, along the edges, and all over the picture."""
    shape = (1, tokens, 2)
    generator = np.random.default_rng(0)
    shifts = (
        np.ones(shape),
        -np.ones(shape),
        generator.integers(-1, 2, shape),
        generator.uniform(-1, 1, shape),
    )
    return [shift.astype(np.float32) for shift in shifts]


def probes(interface: PolicyInterface, examples: Sequence[Observation]) -> list[Arrays]:
    """Returns arguments that try an engine out: the examples, and the first looking elsewhere.

    Returns:
        At least `PROBES`; in four of them the points are at two opposite corners, along the
        edges, and all over the picture. Where the policy takes a prefix, two more begin with one.

    Raises:
        ValueError: There is no example.
    """
    if not examples:
        raise ValueError('Give at least one example observation, for instance the golden one.')
    config = interface.config
    found = [interface.arrays(observation) for observation in examples]
    found += [{**found[0], 'point_shift': shift} for shift in point_shifts(config.tokens)]
    if config.continues:
        generator = np.random.default_rng(0)
        scale = np.array(config.action_statistics.scale)
        known = generator.normal(config.action_statistics.mean, scale, (config.steps, len(scale)))
        lengths = (config.steps // 2, config.steps - 1)
        found += [interface.arrays(examples[0], known[:length]) for length in lengths]
    return found


def reduced(policy: Policy, precision: str) -> Policy:
    """Returns a copy whose blocks and patches compute in 16 bits; the rest stays in float32.

    Coordinates, units and attention over places are cheap and must be exact; the blocks are
    nearly all of the work.

    Args:
        policy: In float32.
        precision: 'fp16' or 'bf16'.
    """
    dtype = _TYPES[precision]
    small = copy.deepcopy(policy)
    for module in small.modules():
        if isinstance(module, Block | PatchEmbedding):
            module.to(dtype)
            module.register_forward_pre_hook(lambda _, given: tuple(x.to(dtype) for x in given))
            module.register_forward_hook(lambda _, given, result: result.float())
    return small
