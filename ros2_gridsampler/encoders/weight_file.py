# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Architecture of an encoder -> the one file that may hold its weights, checked before loading."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..policy.encoder import Encoder
from ..policy.policy_config import EncoderConfig
from .strict_json import NotBelieved

MAX_HEADER_BYTES = 1 << 20
_LIMITS = {
    'image_height': 2048,
    'image_width': 2048,
    'patch': 64,
    'width': 2048,
    'depth': 48,
    'heads': 64,
}


def check_architecture(config: EncoderConfig) -> None:
    """Refuses sizes that no encoder of an arm has, before anything is computed from them.

    Raises:
        NotBelieved: A size is out of bounds.
    """
    for name, most in _LIMITS.items():
        if not 1 <= (value := getattr(config, name)) <= most:
            raise NotBelieved(f'An encoder with {name} {value} is not taken; 1 to {most} are.')
    if len(config.stem) > 4 or any(not 1 <= channels <= 1024 for channels in config.stem):
        raise NotBelieved(
            f'A stem of {str(config.stem)[:80]} is not taken; at most 4 convolutions of 1 to '
            '1024 channels are.'
        )
    rows, columns = config.grid
    if rows * columns > 4096:
        raise NotBelieved(f'{rows * columns} patches per picture are not taken; 4096 are.')


@lru_cache(maxsize=64)
def expected_tensors(config: EncoderConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns each tensor's type, as safetensors names it, and shape, without making any."""
    with torch.device('meta'):
        tensors = Encoder(config).state_dict()
    return {
        name: ('F16' if tensor.is_floating_point() else 'I64', tuple(tensor.shape))
        for name, tensor in tensors.items()
    }


def bytes_range(config: EncoderConfig) -> tuple[int, int]:
    """Returns the smallest and largest file that can hold these weights."""
    check_architecture(config)
    data = sum(
        (2 if kind == 'F16' else 8) * int(np.prod(shape, dtype=np.int64))
        for kind, shape in expected_tensors(config).values()
    )
    return data + 8, data + 8 + MAX_HEADER_BYTES


def check_weight_file(path: Path, config: EncoderConfig) -> None:
    """Reads names, types, shapes and values of a file, one tensor in memory at a time.

    Raises:
        NotBelieved: The file is none of this architecture, or holds a number that is not finite.
    """
    low, high = bytes_range(config)
    size = path.stat().st_size
    if not low <= size <= high:
        raise NotBelieved(
            f'{path.name} has {size} bytes; this architecture needs {low} to {high}.'
        )
    with path.open('rb') as file:
        header = int.from_bytes(file.read(8), 'little')
    if header > MAX_HEADER_BYTES:
        raise NotBelieved(f'{path.name} has a header of {header} bytes, at most 1 MiB is read.')
    expected = expected_tensors(config)
    try:
        with safe_open(path, 'pt') as file:
            names = set(file.keys())
            if names != set(expected):
                missing, more = sorted(set(expected) - names), sorted(names - set(expected))
                raise NotBelieved(
                    f'{path.name} lacks {_few(missing)} and has {_few(more)} besides; it is not '
                    'an encoder of the architecture that its manifest names.'
                )
            for name, (kind, shape) in expected.items():
                part = file.get_slice(name)
                found = (part.get_dtype(), tuple(part.get_shape()))
                if found != (kind, shape):
                    raise NotBelieved(
                        f'{name} in {path.name} is {found[0]} {found[1]}, expected {kind} {shape}.'
                    )
                tensor = file.get_tensor(name)
                if not torch.isfinite(tensor).all():
                    raise NotBelieved(
                        f'{name} in {path.name} holds numbers that are not finite; the training '
                        'diverged or the file was damaged.'
                    )
    except SafetensorError as error:
        raise NotBelieved(f'{path.name} is no safetensors file: {error}.') from error


def _few(names: list[str]) -> str:
    return f'{", ".join(names[:3]) or "nothing"}{", ..." if len(names) > 3 else ""}'
