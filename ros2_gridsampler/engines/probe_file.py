# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Inputs that try an engine out and what PyTorch made of them <-> one safetensors file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .engine import Inputs, Outputs

PROBES = 'probes.safetensors'


def pack_probes(inputs: Sequence[Inputs], outputs: Sequence[Outputs]) -> bytes:
    """The content of the file."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for number, (given, expected) in enumerate(zip(inputs, outputs, strict=True)):
        arrays |= {f'{number}.{name}': np.ascontiguousarray(a) for name, a in given.named.items()}
        arrays |= {f'{number}.actions': expected.actions, f'{number}.points': expected.points}
    return save(arrays)


def unpack_probes(data: bytes) -> tuple[list[Inputs], list[Outputs]]:
    """What `pack_probes` packed.

    Raises:
        ValueError: Something is missing.
    """
    try:
        arrays = load(data)
        count = 1 + max(int(name.partition('.')[0]) for name in arrays)
        inputs = [
            Inputs(
                arrays[f'{i}.images'],
                arrays[f'{i}.proprioception'],
                arrays[f'{i}.words'],
                *(arrays.get(f'{i}.{name}') for name in ('point_shift', 'prefix', 'given')),
            )
            for i in range(count)
        ]
        outputs = [Outputs(arrays[f'{i}.actions'], arrays[f'{i}.points']) for i in range(count)]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f'It is incomplete: {error!r}.') from error
    return inputs, outputs
