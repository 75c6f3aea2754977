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

    Both fits end by themselves when the error on bags that are held out falls no longer, and keep
    the weights with the least error.

    The flags of `gridsampler adapt` are made from it.

    Attributes:
        steps: Most steps of feature alignment, which needs no labels.
        batch: Pictures per step of feature alignment.
        learning_rate: Learning rate of feature alignment, until the error falls no longer.
        cloning_steps: Most steps of behaviour cloning after it, all but the encoder frozen.
        cloning_batch: Samples per step of behaviour cloning.
        cloning_learning_rate: Learning rate of behaviour cloning, until the error falls no longer.
        check_every: Steps between two looks at the error on held-out bags.
        patience: So many looks in a row at which it has not fallen by 1% begin the last steps.
        save_every: Steps between two saved states, from which the same command goes on.
        every: One in so many frames of the bags is used for the features.
        held_out: Share of the bags that is held out. Every other one of them tells when to end,
            the rest is measured on; a single one does both.
        seed: Seed of the order of the frames.
    """

    steps: int = field(default=2000, metadata={'minimum': 0})
    batch: int = field(default=32, metadata={'minimum': 1})
    learning_rate: float = field(default=5e-4, metadata={'above': 0})
    cloning_steps: int = field(default=0, metadata={'minimum': 0})
    cloning_batch: int = field(default=32, metadata={'minimum': 1})
    cloning_learning_rate: float = field(default=2e-4, metadata={'above': 0})
    check_every: int = field(default=50, metadata={'minimum': 1})
    patience: int = field(default=3, metadata={'minimum': 1})
    save_every: int = field(default=200, metadata={'minimum': 1})
    every: int = field(default=4, metadata={'minimum': 1})
    held_out: float = field(default=0.1, metadata={'minimum': 0, 'maximum': 1})
    seed: int = field(default=0, metadata={'minimum': 0})
