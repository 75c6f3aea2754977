# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A signal of any length -> a few hundred of its samples, for a plot."""

import numpy as np
from jaxtyping import Float


class Curve:
    """Keeps every n-th sample, where n doubles whenever there are too many.

    Args:
        most: Samples to keep at most.
    """

    def __init__(self, most: int = 400) -> None:
        self._most = most
        self._every = 1
        self._count = 0
        self._rows: list[np.ndarray] = []

    def add(self, row: Float[np.ndarray, ' numbers']) -> None:
        """Append one sample."""
        if self._count % self._every == 0:
            self._rows.append(row)
            if len(self._rows) > self._most:
                self._rows = self._rows[::2]
                self._every *= 2
        self._count += 1

    def rows(self) -> Float[np.ndarray, 'samples numbers']:
        """What was kept."""
        return np.array(self._rows) if self._rows else np.empty((0, 0))
