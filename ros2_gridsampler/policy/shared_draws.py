# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Random numbers of a training step -> the same on every device, by any number of processes.

They are drawn on the CPU, for the batch of all processes, and each process takes its own rows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

Rows = TypeVar('Rows', bound=Any)


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process works on.

    Attributes:
        rank: Number of the process, from 0.
        processes: Number of processes.
    """

    rank: int = 0
    processes: int = 1

    def of(self, whole: Rows) -> Rows:
        """Returns the rows of this process: of an array or tensor, as many in every process."""
        own = len(whole) // self.processes
        return whole[self.rank * own : (self.rank + 1) * own]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Lets the networks that run inside draw for all processes."""
        token = _SHARE.set(self)
        try:
            yield
        finally:
            _SHARE.reset(token)


ALONE = Share()
_SHARE: ContextVar[Share] = ContextVar('share', default=ALONE)


def draw(make: Callable[[int], Tensor], rows: int, device: torch.device) -> Tensor:
    """Returns random rows of this process on a device.

    Args:
        make: Draws so many rows on the CPU.
        rows: Rows of this process.
        device: Where they are needed.
    """
    share = _SHARE.get()
    return share.of(make(rows * share.processes)).to(device)


def draw_given(
    batch: int, steps: int, device: torch.device
) -> tuple[Bool[Tensor, 'batch steps'], float]:
    """Draws which steps of each chunk a head in training is told: the first few, of half of them.

    Returns:
        The steps that are told, and the factor for a mean over the others: the mean over all
        processes of the means so weighted is the mean over the whole batch.
    """
    share = _SHARE.get()
    rows = batch * share.processes
    count = torch.randint(0, steps, (rows, 1))
    count = count * (torch.rand(rows, 1) < 0.5)
    free = torch.arange(steps) >= count
    own = share.of(free)
    weight = share.processes * int(own.sum()) / int(free.sum())
    return ~own.to(device), weight
