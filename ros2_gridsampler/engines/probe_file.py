# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Inputs that try an engine out and what PyTorch made of them <-> one safetensors file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..policy.signature import Arrays, Signature

PROBES = 'probes.safetensors'


def pack_probes(inputs: Sequence[Arrays], results: Sequence[Arrays]) -> bytes:
    """Returns the content of the file."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for number, (given, expected) in enumerate(zip(inputs, results, strict=True)):
        for name, array in {**given, **expected}.items():
            arrays[f'{number}.{name}'] = np.ascontiguousarray(array)
    return save(arrays)


def unpack_probes(data: bytes, signature: Signature) -> tuple[list[Arrays], list[Arrays]]:
    """Returns what `pack_probes` packed: arguments and results of a network.

    Raises:
        ValueError: Something is missing, or has another form than the signature says.
    """
    try:
        arrays = load(data)
        count = 1 + max(int(name.partition('.')[0]) for name in arrays)
        inputs, results = (
            [{name: arrays[f'{number}.{name}'] for name in names} for number in range(count)]
            for names in (signature.inputs, signature.outputs)
        )
        for given in inputs:
            signature.check(given)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f'It is incomplete: {error!r}.') from error
    return [*inputs], [*results]
