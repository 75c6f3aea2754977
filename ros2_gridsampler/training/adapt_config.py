# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""How long and from what an encoder is fitted to a policy."""

from dataclasses import dataclass, field

from ..bounds import checked


@dataclass(frozen=True)
@checked
class AdaptConfig:
    """How an encoder is fitted to a policy; the defaults suit two CPU cores."""

    steps: int = field(
        default=400, metadata={'help': 'Of feature alignment; needs no labels', 'minimum': 0}
    )
    batch: int = field(default=32, metadata={'help': 'Pictures per step', 'minimum': 1})
    learning_rate: float = field(default=5e-4, metadata={'help': 'Peak of the cosine', 'above': 0})
    cloning_steps: int = field(
        default=0,
        metadata={
            'help': 'Of behaviour cloning after it, all but the encoder frozen',
            'minimum': 0,
        },
    )
    cloning_batch: int = field(default=32, metadata={'help': 'Samples per step', 'minimum': 1})
    cloning_learning_rate: float = field(
        default=2e-4, metadata={'help': 'Peak of the cosine', 'above': 0}
    )
    every: int = field(
        default=4, metadata={'help': 'One in so many frames of the bags is used', 'minimum': 1}
    )
    held_out: float = field(
        default=0.1, metadata={'help': 'Share of bags to measure on', 'minimum': 0, 'maximum': 1}
    )
    seed: int = field(default=0, metadata={'help': 'Of the order', 'minimum': 0})
    threads: int = field(default=1, metadata={'help': 'CPU threads', 'minimum': 1, 'maximum': 512})
