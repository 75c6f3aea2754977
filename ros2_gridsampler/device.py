# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""'auto', 'cpu', 'cuda' or 'cuda:1' -> where PyTorch computes, or the sentence why it cannot.

Arrays go there through `to_device` and come back through `to_arrays`, once each way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_DEVICE = re.compile(r'auto|cpu|cuda(:\d{1,3})?')


def check_device(name: str) -> None:
    """Refuses a name that is none; imports nothing.

    Raises:
        ValueError: It is neither 'auto', 'cpu', 'cuda' nor 'cuda:' and a number.
    """
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"Device {name!r} is not known; use 'auto', 'cpu', 'cuda' or 'cuda:1'.")


def torch_device(name: str) -> torch.device:
    """Returns the device of that name; 'auto' is the first GPU where PyTorch sees one.

    Raises:
        ValueError: There is no such device here.
    """
    import torch

    check_device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == 'auto':
        name = 'cuda' if count else 'cpu'
    if name == 'cpu':
        return torch.device('cpu')
    index = int(name.partition(':')[2] or 0)
    if index >= count:
        found = ', '.join(f"'cuda:{number}'" for number in range(count))
        raise ValueError(
            f'Device {name!r} was asked for, but PyTorch sees '
            + (f"only {found}; use one of them or 'cpu'." if found else "no GPU; use 'cpu'.")
        )
    return torch.device('cuda', index)


def to_device(given: Iterable[NDArray[Any] | Tensor], device: torch.device) -> list[Tensor]:
    """Returns arrays, or tensors of the CPU, as tensors of a device.

    What goes to a GPU is pinned first, so that the copies need not be waited for: PyTorch keeps
    the order of copies and computations. On the CPU nothing is copied.
    """
    import torch

    tensors = [
        each if isinstance(each, torch.Tensor) else torch.from_numpy(each) for each in given
    ]
    if device.type == 'cuda' and torch.cuda.is_available():
        tensors = [
            each if each.is_cuda or each.is_pinned() else each.pin_memory() for each in tensors
        ]
    return [each.to(device, non_blocking=True) for each in tensors]


def to_arrays(results: Iterable[Tensor]) -> list[NDArray[Any]]:
    """Returns tensors of any device as arrays, when they are computed; bfloat16 as float32."""
    import torch

    whole = [each.float() if each.dtype == torch.bfloat16 else each for each in results]
    return [each.detach().cpu().numpy() for each in whole]
