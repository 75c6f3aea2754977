# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Where and how a training computes: the part that all recipes share."""

from dataclasses import dataclass
from typing import Literal

from ..bounds import checked, setting
from ..device import check_device


@dataclass(frozen=True, kw_only=True)
@checked
class Compute:
    """Where and how a training computes.

    Attributes:
        device: Where the network computes: 'auto' (the GPU, if any), 'cpu', 'cuda' or 'cuda:1'.
            Processes of torchrun take one GPU each.
        precision: Arithmetic of the network; with 'bf16-mixed' its weights, the places where it
            looks and the losses stay in 32 bits.
        workers: Threads that prepare the next batches; by default four beside a GPU and none
            beside a CPU.
        threads: CPU threads of each process.
    """

    device: str = 'auto'
    precision: Literal['32-true', 'bf16-mixed'] = '32-true'
    workers: int | None = setting(None, minimum=0, maximum=256)
    threads: int = setting(1, minimum=1, maximum=512)

    def __post_init__(self) -> None:
        """Refuses a device of an unknown name."""
        check_device(self.device)


FREE = ('threads', 'save_every', 'device', 'workers')
"""Keys of a recipe that may change when a run goes on."""
