# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recipe -> the device and the processes that compute it, and batches that wait for them."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from ..device import torch_device
from ..policy.shared_draws import Share
from .compute import Compute

Item = TypeVar('Item')
Made = TypeVar('Made')

# The first process reads the bags for all; the others wait for it.
_PATIENCE = timedelta(days=2)
_WORKERS_BESIDE_A_GPU = 4


@contextmanager
def joined_processes(
    compute: Compute, *, norms: bool = False, precision: str = '32-true'
) -> Iterator[Fabric]:
    """Joins the processes that torchrun has started; without torchrun there is this one.

    Afterwards they are let go: threads of gloo that outlive the interpreter abort the process.

    Args:
        compute: Device, threads and precision of the recipe.
        norms: Whether the network has batch norms that learn.
        precision: What Fabric itself converts all arguments of the network to.

    Raises:
        ValueError: The device or the precision is not to be had here, or the norms cannot be
            shared by the processes.
    """
    processes = int(os.environ.get('WORLD_SIZE', 1))
    local = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    device = _device(compute, processes, local)
    if processes > 1 and norms and device.type == 'cpu':
        raise ValueError(
            'The norms of a stem are shared between processes on GPUs only; on CPUs use one '
            'process, or an encoder with stem: [].'
        )
    torch.set_num_threads(compute.threads)
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if processes == 1 and device.type == 'cuda' else local,
        num_nodes=processes // local,
        # Not every policy uses every weight: a blind one has no use for its encoder.
        strategy=DDPStrategy(timeout=_PATIENCE, find_unused_parameters=True)
        if processes > 1
        else 'auto',
        # Else Fabric would start the other processes itself, by this very command.
        plugins=[TorchElasticEnvironment()] if processes > 1 else None,
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    try:
        yield fabric
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _device(compute: Compute, processes: int, local: int) -> torch.device:
    if processes > 1 and ':' in compute.device:
        raise ValueError(
            f'{processes} processes were started by torchrun, and device is {compute.device!r}; '
            "each takes a GPU of its own: set device to 'cuda'."
        )
    device = torch_device(compute.device)
    if device.type != 'cuda':
        return device
    if processes > 1 and local > torch.cuda.device_count():
        raise ValueError(
            f'torchrun started {local} processes here, and PyTorch sees '
            f'{torch.cuda.device_count()} GPUs; start as many processes as there are GPUs.'
        )
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    if compute.precision == 'bf16-mixed' and not able:
        raise ValueError(
            f'{torch.cuda.get_device_name(device)} does not compute in bfloat16; set precision to '
            "'32-true'."
        )
    return device


def first_alone(fabric: Fabric, read: Callable[[], Made]) -> Made:
    """Reads in the first process, then in the others, which find what it has written."""
    if fabric.is_global_zero:
        made = read()
    fabric.barrier()
    return made if fabric.is_global_zero else read()


def share_of(fabric: Fabric) -> Share:
    """Returns which part of every batch this process works on."""
    return Share(fabric.global_rank, fabric.world_size)


def check_batch(batch: int, processes: int, what: str = 'samples') -> None:
    """Refuses a batch that cannot be shared equally.

    Raises:
        ValueError: It is no multiple of the number of processes.
    """
    if batch % processes:
        raise ValueError(
            f'{batch} {what} per step cannot be shared by {processes} processes; take a multiple.'
        )


def share_norms(model: nn.Module, fabric: Fabric) -> None:
    """Lets the batch norms of a model measure the batch of all processes."""
    if fabric.world_size > 1:
        # Only a model that is itself a norm would not be changed in place.
        nn.SyncBatchNorm.convert_sync_batchnorm(model)


def any_process(fabric: Fabric, decided: bool) -> bool:
    """Returns whether one of the processes has decided so; all of them learn the same."""
    return fabric.strategy.reduce_boolean_decision(decided, all=False)


def mean_over_ranks(fabric: Fabric, value: Tensor) -> float:
    """Returns the mean of a number that every process has."""
    return float(torch.as_tensor(fabric.all_reduce(value.detach(), reduce_op='mean')))


def prepared(
    make: Callable[[Item], Made], items: Iterable[Item], compute: Compute, device: torch.device
) -> Generator[Made, None, None]:
    """Yields what is made of each item, in order; workers make the next ones meanwhile.

    Args:
        make: Called in threads, so that reading and pictures, which need no lock of Python, go on
            beside the training.
        items: What batches are made from; read no further ahead than the workers are.
        compute: Says how many workers there are.
        device: Where the training computes.
    """
    beside = _WORKERS_BESIDE_A_GPU if device.type == 'cuda' else 0
    workers = beside if compute.workers is None else compute.workers
    if not workers:
        yield from map(make, items)
        return
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix='batches')
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
