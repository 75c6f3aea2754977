# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of somebody else's policy -> what engines compile; what lies between stays outside.

A policy that denoises its actions is two networks: the prefix, which turns pictures, words and
state into keys and values once, and the step, which is called for every step of the denoising.
The loop, the noise and the times are not part of any graph.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..engines.exported_graph import run_eagerly
from ..policy.prediction import ACTION_TOLERANCE, POINT_TOLERANCE
from ..policy.signature import Arrays, ArraySpec, Precision, ResultSpec, Signature
from ..seeing.observation import Observation

# What people look for in a name of a module that must stay exact.
_EXACT = 'token_reducer'
# The largest of some hundred thousand numbers; what counts is what becomes of them.
_FEATURES: Mapping[Precision, float] = {'fp32': 2e-3, 'fp16': 0.1, 'bf16': 0.5, 'int8': 1.0}
_TYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}

ACTIONS = ResultSpec(np.array(1.0), 'scales', ACTION_TOLERANCE)
"""Normalised actions, or what they change by."""
MASK = ResultSpec(np.array(1.0), 'places', dict.fromkeys(ACTION_TOLERANCE, 0.0))
"""Ones and zeros, which are right or wrong."""


def features(reference: Float[np.ndarray, '...']) -> ResultSpec:
    """Returns how features are compared: in root mean squares of what PyTorch gives."""
    size = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    return ResultSpec(np.array(max(size, 1e-12)), 'root mean squares', _FEATURES)


def points(cells: Float[np.ndarray, '2']) -> ResultSpec:
    """Returns how sampled points are compared: in cells of a map of so many columns and rows."""
    return ResultSpec(1 / np.maximum(cells - 1, 1), 'cells', POINT_TOLERANCE)


class Part:
    """One network of a policy, for engines.

    Args:
        module: Its `forward` takes arguments in the order of the example, and returns a tensor
            or a tuple of them.
        example: Arguments; they say names, shapes and types.
        results: Name of a result -> how it is compared, in the order of `forward`; or a function
            that says it of the results of the example.
        probes: Makes the arguments that try an engine out.

    Attributes:
        signature: The arguments and results of the network.
    """

    def __init__(
        self,
        module: nn.Module,
        example: Arrays,
        results: Mapping[str, ResultSpec | Callable[[Any], ResultSpec]],
        probes: Callable[[Sequence[Observation]], list[Arrays]],
    ) -> None:
        self._module = module.eval()
        self._probes = probes
        inputs = {name: ArraySpec(each.shape, str(each.dtype)) for name, each in example.items()}
        unit = dict.fromkeys(results, MASK)
        self.signature = Signature(inputs, unit)
        self.signature.check(example)
        found = run_eagerly(self, example)
        self.signature = Signature(
            inputs,
            {
                name: spec if isinstance(spec, ResultSpec) else spec(found[name])
                for name, spec in results.items()
            },
        )

    def network(self, precision: Precision) -> nn.Module:
        """Returns the module, or a copy that computes in 16 bits."""
        return self._module if precision == 'fp32' else reduced(self._module, precision)

    def probes(self, examples: Sequence[Observation]) -> list[Arrays]:
        return self._probes(examples)


def reduced(network: nn.Module, precision: Precision) -> nn.Module:
    """Returns a copy whose linear layers, convolutions and attentions of PyTorch take 16 bits.

    Norms, softmax, coordinates and what is handed from layer to layer stay in float32.

    Args:
        network: In float32.
        precision: 'fp16' or 'bf16'.
    """
    dtype = _TYPES[precision]
    small = copy.deepcopy(network)
    inside: set[int] = set()
    for name, module in small.named_modules():
        if _EXACT in name or id(module) in inside:
            continue
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention):
            # An attention uses the weights of its own linear layer without calling it.
            inside |= {id(each) for each in module.modules()}
            module.to(dtype)
            module.register_forward_pre_hook(_lower(dtype), with_kwargs=True)
            module.register_forward_hook(_raise)
    return small


def _lower(dtype: torch.dtype) -> Callable[..., Any]:
    def cast(value: Any) -> Any:
        floats = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(dtype) if floats else value

    def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
        return tuple(map(cast, args)), {name: cast(each) for name, each in kwargs.items()}

    return hook


def _raise(module: nn.Module, args: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(each if each is None else each.float() for each in result)
    return result.float()


def integrate(
    velocity: Callable[[Float[np.ndarray, '*n'], float], Float[np.ndarray, '*n']],
    noise: Float[np.ndarray, '*n'],
    steps: int,
) -> Float[np.ndarray, '*n']:
    """Returns actions from noise: forward Euler from time 1 to time 0, as openpi does it.

    Args:
        velocity: What the step gives for noisy actions at a time in (0, 1].
        noise: At time 1.
        steps: Times that the step is called.
    """
    pace = -1.0 / steps
    actions = noise
    for number in range(steps):
        actions = actions + np.float32(pace) * velocity(actions, 1.0 + number * pace)
    return actions
