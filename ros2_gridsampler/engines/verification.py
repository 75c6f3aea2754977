# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An engine, arguments and what PyTorch makes of them -> how far it is off, or a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..policy.signature import Arrays, Precision, Signature
from .engine import EngineRefused, Session

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


@dataclass(frozen=True)
class Agreement:
    """What an engine was off by at most, over all arguments that were tried.

    Attributes:
        errors: Result -> the largest difference, in the unit of the signature.
        units: Result -> the name of that unit.
        inputs: How often it was tried.
    """

    errors: dict[str, float]
    units: dict[str, str]
    inputs: int

    def __str__(self) -> str:
        """Says it for a reader: 'actions by 1e-06 scales, points by 2e-07 cells'."""
        return ', '.join(
            f'{name} by {error:.1g} {self.units[name]}' for name, error in self.errors.items()
        )


def merge(agreements: Mapping[str, Agreement]) -> Agreement:
    """Returns several agreements as one; each name is put before the names of its results."""
    return Agreement(
        {f'{name}{key}': each for name, a in agreements.items() for key, each in a.errors.items()},
        {f'{name}{key}': each for name, a in agreements.items() for key, each in a.units.items()},
        sum(each.inputs for each in agreements.values()),
    )


def verify(
    session: Session,
    inputs: Sequence[Arrays],
    expected: Sequence[Arrays],
    signature: Signature,
    precision: Precision,
) -> Agreement:
    """Runs all arguments and compares.

    Args:
        session: Session that is tried.
        inputs: Arguments of the network.
        expected: What the network in float32 made of them.
        signature: Signature of the network; says in which unit results are compared.
        precision: Precision of the engine; says what is tolerable.

    Raises:
        EngineRefused: It fails, gives another shape or a number that is not finite, or is off by
            more than the signature tolerates.
    """
    errors = dict.fromkeys(signature.outputs, 0.0)
    for number, (given, wanted) in enumerate(zip(inputs, expected, strict=True)):
        try:
            got = session.run(given)
        except Exception as error:  # every engine has classes of its own
            raise EngineRefused(f'it fails on input {number}: {error}') from error
        for name, spec in signature.outputs.items():
            if name not in got:
                raise EngineRefused(f'it gives {list(got)} and no {name}.')
            _compare_form(name, got[name], wanted[name], number)
            difference = np.abs((got[name] - wanted[name]) / spec.unit).max(initial=0.0)
            errors[name] = max(errors[name], float(difference))
    units = {name: spec.unit_name for name, spec in signature.outputs.items()}
    allowed = {name: spec.tolerance[precision] for name, spec in signature.outputs.items()}
    if any(errors[name] > allowed[name] for name in errors):
        told = ', '.join(
            f'{name} are off by {error:.2g} {units[name]} ({allowed[name]:.2g} allowed in '
            f'{precision})'
            for name, error in errors.items()
        )
        raise EngineRefused(f'it computes something else than PyTorch: {told}.')
    return Agreement(errors, units, len(inputs))


def _compare_form(
    name: str, got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], number: int
) -> None:
    shape = wanted.shape
    if got.shape != shape:
        raise EngineRefused(f'its {name} have shape {got.shape} instead of {shape}.')
    if not np.isfinite(got).all():
        raise EngineRefused(f'its {name} for input {number} are not all finite.')
