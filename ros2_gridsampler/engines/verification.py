# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An engine, inputs and what PyTorch makes of them -> how far it is off, or a refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..policy.policy_config import PolicyConfig
from .engine import Engine, EngineRefused, Inputs, Outputs, Precision

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


@dataclass(frozen=True)
class Tolerance:
    """What an engine may be off by.

    Attributes:
        actions: In scales of the action statistics.
        points: In cells of the feature map.
    """

    actions: float
    points: float


# 16 bits move the features, and with them the points; the arithmetic of coordinates is exact.
# fp32: engines add in another order; 1.1e-4 is the most of a published policy (libero_goal, ONNX
# Runtime), a kernel that was wrong was off by more than 1e-3.
TOLERANCES: dict[Precision, Tolerance] = {
    'fp32': Tolerance(2e-4, 0.01),
    'fp16': Tolerance(2e-2, 0.05),
    'bf16': Tolerance(5e-2, 0.2),
    'int8': Tolerance(1e-1, 0.4),
}


@dataclass(frozen=True)
class Agreement:
    """What an engine was off by at most, over all inputs.

    Attributes:
        actions: In scales of the action statistics.
        points: In cells of the feature map.
        inputs: That were tried.
    """

    actions: float
    points: float
    inputs: int


def verify(
    engine: Engine,
    inputs: Sequence[Inputs],
    expected: Sequence[Outputs],
    config: PolicyConfig,
    precision: Precision,
) -> Agreement:
    """Run all inputs and compare.

    Args:
        engine: To be tried.
        inputs: From `probes`.
        expected: What the policy in float32 made of them.
        config: Of the policy.
        precision: Of the engine; says what is tolerable.

    Raises:
        EngineRefused: It fails, gives another shape or a number that is not finite, or is off by
            more than `TOLERANCES`.
    """
    rows, columns = config.encoder.grid
    cells = np.array([columns - 1, rows - 1])
    scale = np.array(config.action_statistics.scale)
    actions = points = 0.0
    for number, (given, wanted) in enumerate(zip(inputs, expected, strict=True)):
        try:
            got = engine.run(given)
        except Exception as error:  # every engine has classes of its own
            raise EngineRefused(f'it fails on input {number}: {error}') from error
        for name in ('actions', 'points'):
            _compare_form(name, getattr(got, name), getattr(wanted, name), number)
        actions = max(actions, _largest((got.actions - wanted.actions) / scale))
        points = max(points, _largest((got.points - wanted.points) * cells))
    allowed = TOLERANCES[precision]
    if actions > allowed.actions or points > allowed.points:
        raise EngineRefused(
            f'it computes something else than PyTorch: actions are off by {actions:.2g} scales '
            f'({allowed.actions:.2g} allowed in {precision}), points by {points:.2g} cells '
            f'({allowed.points:.2g} allowed).'
        )
    return Agreement(actions, points, len(inputs))


def _compare_form(
    name: str, got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], number: int
) -> None:
    shape = wanted.shape
    if got.shape != shape:
        raise EngineRefused(f'its {name} have shape {got.shape} instead of {shape}.')
    if not np.isfinite(got).all():
        raise EngineRefused(f'its {name} for input {number} are not all finite.')


def _largest(difference: np.ndarray[Any, Any]) -> float:
    """The largest absolute number; 0 of none."""
    return float(np.abs(difference).max(initial=0.0))
