# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Something that runs -> the floating-point operations of its products, whole and by module."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@contextlib.contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """PyTorch's counter of what runs inside, without gradients, 2 FLOP per multiply-add.

    The fused attention of CPUs is missing in PyTorch's table, its plain products are not; so
    attention is computed by those.
    """
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        yield counter


def count_flops(work: Callable[[], object]) -> int:
    """Returns how many operations `work` runs."""
    with counting() as counter:
        work()
    return counter.get_total_flops()
