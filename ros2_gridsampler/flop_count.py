# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Something that runs -> the floating-point operations of its products, whole and by module."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def counted(work: Callable[[], object]) -> FlopCounterMode:
    """Run `work` without gradients under PyTorch's counter, 2 FLOP per multiply-add.

    The fused attention of CPUs is missing in PyTorch's table, its plain products are not; so
    attention is computed by those.
    """
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        work()
    return counter


def count_flops(work: Callable[[], object]) -> int:
    """Operations of what `work` runs."""
    return counted(work).get_total_flops()
