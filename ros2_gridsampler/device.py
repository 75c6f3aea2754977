# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""'auto', 'cpu', 'cuda' or 'cuda:1' -> where PyTorch computes, or the sentence why it cannot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

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
