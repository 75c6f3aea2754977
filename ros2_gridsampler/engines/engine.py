# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays -> actions and points, whatever computes them: what engines have in common."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..acting.action_prefix import Prefix
from ..policy.policy_config import PolicyConfig
from ..policy.prediction import as_arrays, prefix_arrays
from ..seeing.observation import Observation

Precision = Literal['fp32', 'fp16', 'bf16', 'int8']
# Files of a built engine: name -> content.
Built = Mapping[str, bytes | bytearray]


class EngineRefused(ValueError):
    """An engine that may not compute a policy here; the text says why and what to do."""


@dataclass(frozen=True)
class Inputs:
    """The arguments of the exported graph, in order, batch of one.

    Attributes:
        images: RGB at the encoder's size.
        proprioception: Physical units.
        words: From `read_instruction`.
        point_shift: Added to every point before the map is read there, and cut to the picture:
            zeros when deployed, others to try out the border; None where no points are read.
        prefix: Steps that are already decided, physical units; None where the policy takes none.
        given: 1 for those steps.
    """

    images: UInt8[np.ndarray, '1 cameras height width 3']
    proprioception: Float[np.ndarray, '1 numbers']
    words: Int[np.ndarray, '1 words pieces'] | Float[np.ndarray, '1 numbers']
    point_shift: Float[np.ndarray, '1 tokens 2'] | None
    prefix: Float[np.ndarray, '1 steps actions'] | None = None
    given: Float[np.ndarray, '1 steps'] | None = None

    @property
    def arrays(self) -> tuple[np.ndarray[Any, Any], ...]:
        """Those that the graph takes."""
        return tuple(self.named.values())

    @property
    def named(self) -> dict[str, np.ndarray[Any, Any]]:
        """By the name of the graph's input."""
        arrays = {name: getattr(self, name) for name in INPUT_NAMES}
        return {name: array for name, array in arrays.items() if array is not None}


def as_inputs(
    config: PolicyConfig, observation: Observation, prefix: Prefix | None = None
) -> Inputs:
    """The policy's view of an observation, no point moved."""
    shift = np.zeros((1, config.tokens, 2), np.float32)
    return Inputs(*as_arrays(config, observation), shift, *prefix_arrays(config, prefix))


@dataclass(frozen=True)
class Machine:
    """What a built engine depends on besides the graph.

    Attributes:
        engine: Library and version.
        device: Processor or GPU, with its compute capability.
        driver: Of the GPU; empty without one.
        flags: Of the build.
    """

    engine: str
    device: str
    driver: str = ''
    flags: str = ''


def versions(*distributions: str) -> str:
    """Of libraries that take part in a build, for the flags; those not installed are left out."""
    found = []
    for name in distributions:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f'{name} {version(name)}')
    return ', '.join(found)


INPUT_NAMES = ('images', 'proprioception', 'words', 'point_shift', 'prefix', 'given')
OUTPUT_NAMES = ('actions', 'points')


@dataclass(frozen=True)
class Outputs:
    """What the graph gives, batch of one.

    Attributes:
        actions: Physical units.
        points: (x, y) in [0, 1].
    """

    actions: Float[np.ndarray, '1 steps actions']
    points: Float[np.ndarray, '1 cameras tokens 2']


class Engine(Protocol):
    """Anything that computes the graph."""

    def run(self, inputs: Inputs) -> Outputs:
        """Once."""


def missing(package: str, command: str) -> EngineRefused:
    """The refusal of an engine whose library is not installed."""
    return EngineRefused(f'{package} is not installed; pip install {command}')
