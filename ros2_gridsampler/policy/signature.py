# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a network reads and gives, by name: all that an engine has to know of a policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Precision = Literal['fp32', 'fp16', 'bf16', 'int8']
Arrays = Mapping[str, np.ndarray[Any, Any]]
"""Name -> array: arguments or results of a network."""


@dataclass(frozen=True)
class ArraySpec:
    """Form of one argument of a network.

    Attributes:
        shape: All sizes, that of the batch included; engines compile fixed shapes.
        dtype: NumPy's name of the type.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class ResultSpec:
    """How one result of a network is compared with what PyTorch makes of the same arguments.

    Attributes:
        unit: A difference of one; anything that broadcasts against the result.
        unit_name: Its name, in the plural.
        tolerance: Precision of an engine -> what it may be off by, in that unit.
    """

    unit: Float[np.ndarray, '...']
    unit_name: str
    tolerance: Mapping[Precision, float]


@dataclass(frozen=True, eq=False)
class Signature:
    """The arguments and results of a network, each in the order of its `forward`.

    Attributes:
        inputs: Name -> form.
        outputs: Name -> how it is compared.
    """

    inputs: Mapping[str, ArraySpec]
    outputs: Mapping[str, ResultSpec]

    def check(self, arrays: Arrays) -> None:
        """Refuses arguments that are not those of the network.

        Raises:
            ValueError: One is missing, unknown, or has another shape or type.
        """
        if arrays.keys() != self.inputs.keys():
            raise ValueError(f'The network reads {list(self.inputs)}, got {list(arrays)}.')
        for name, spec in self.inputs.items():
            array = arrays[name]
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise ValueError(
                    f'The network reads {name!r} in shape {spec.shape} of {spec.dtype}, got '
                    f'{array.shape} of {array.dtype}.'
                )
