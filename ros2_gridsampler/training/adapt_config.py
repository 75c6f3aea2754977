# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""How long and from what an encoder is fitted to a policy."""

from dataclasses import dataclass, field

from ..bounds import checked
from .compute import Compute


@dataclass(frozen=True)
@checked
class AdaptConfig(Compute):
    """How an encoder is fitted to a policy; the defaults suit two CPU cores.

    The flags of `gridsampler adapt` are made from it.

    Attributes:
        steps: Steps of feature alignment, which needs no labels.
        batch: Pictures per step of feature alignment.
        learning_rate: Peak of the cosine schedule of feature alignment.
        cloning_steps: Steps of behaviour cloning after it, all but the encoder frozen.
        cloning_batch: Samples per step of behaviour cloning.
        cloning_learning_rate: Peak of the cosine schedule of behaviour cloning.
        every: One in so many frames of the bags is used for the features.
        held_out: Share of the bags that is held out to measure on.
        seed: Seed of the order of the frames.
    """

    steps: int = field(default=400, metadata={'minimum': 0})
    batch: int = field(default=32, metadata={'minimum': 1})
    learning_rate: float = field(default=5e-4, metadata={'above': 0})
    cloning_steps: int = field(default=0, metadata={'minimum': 0})
    cloning_batch: int = field(default=32, metadata={'minimum': 1})
    cloning_learning_rate: float = field(default=2e-4, metadata={'above': 0})
    every: int = field(default=4, metadata={'minimum': 1})
    held_out: float = field(default=0.1, metadata={'minimum': 0, 'maximum': 1})
    seed: int = field(default=0, metadata={'minimum': 0})
