# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that torchrun started -> one pretraining: who works on what, and what all have."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from .pretrain_config import PretrainConfig


@contextmanager
def joined_processes(config: PretrainConfig) -> Iterator[Fabric]:
    """Join the processes that torchrun has started; without torchrun there is this one.

    Afterwards they are let go: threads of gloo that outlive the interpreter abort the process.

    Raises:
        ValueError: The encoder cannot be shared by them.
    """
    processes = int(os.environ.get('WORLD_SIZE', 1))
    local = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=local,
        num_nodes=processes // local,
        strategy='ddp' if processes > 1 else 'auto',
        precision=config.precision,
    )
    if processes > 1 and config.model.encoder.stem and fabric.device.type == 'cpu':
        raise ValueError(
            'The norms of a stem are shared between processes on GPUs only; on CPUs use one '
            'process, or an encoder with stem: [].'
        )
    fabric.launch()
    try:
        yield fabric
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def slice_of(count: int, rank: int, processes: int) -> slice:
    """The part of a batch that a process works on."""
    share = count // processes
    return slice(rank * share, (rank + 1) * share)


def gather(fabric: Fabric, tensor: Tensor) -> Tensor:
    """Rows of all processes, with gradients to each."""
    if fabric.world_size == 1:
        return tensor
    gathered: Any = fabric.all_gather(tensor, sync_grads=True)
    # Gloo sends the memory of a gradient whatever its strides: wrong numbers, no error.
    gathered.register_hook(Tensor.contiguous)
    return gathered.flatten(0, 1)


def mean_over_ranks(fabric: Fabric, value: Tensor) -> float:
    """The mean of a number that every process has."""
    return float(torch.as_tensor(fabric.all_reduce(value.detach(), reduce_op='mean')))
