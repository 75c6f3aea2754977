# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commanded and measured openings -> whether what was held still is, and where to begin anew."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

# What is held gives way a little; a jaw that opens by this share of its way was opened.
_OPENED = 0.1


class GripWatch:
    """Joints that hold things are kept from their command by what they hold.

    So they go on squeezing after a hold or a restart, unless they were opened meanwhile: then
    the old command would shut them at once, as fast as they can.

    Args:
        actions: Where these joints are in a command.
        states: Where they are in a measurement.
        ranges: How far each can move.
    """

    def __init__(
        self,
        actions: Int[np.ndarray, ' grips'],
        states: Int[np.ndarray, ' grips'],
        ranges: Float[np.ndarray, ' grips'],
    ) -> None:
        self._actions, self._states = actions, states
        self._most = _OPENED * ranges
        self._sent: NDArray[np.float64] | None = None
        self._gaps = np.full(ranges.shape, np.inf)

    def command(
        self, values: NDArray[np.float64], measured: NDArray[np.float64], moves: bool
    ) -> None:
        """`values` were commanded to an arm at `measured`; `moves` where they are no hold."""
        self._sent = values[self._actions]
        gaps = np.abs(measured[self._states] - self._sent)
        # A jaw that was still closing when the hold began gets nearer to its command.
        self._gaps = gaps if moves else np.minimum(self._gaps, gaps)

    def opened(self, state: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which are farther from their command than what they held kept them."""
        if self._sent is None:
            return np.zeros(self._states.shape, bool)
        return np.asarray(np.abs(state[self._states] - self._sent) > self._gaps + self._most)

    def start(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """`state`, but squeezing where something is still held."""
        if self._sent is None:
            return state
        start = np.array(state, np.float64)
        start[self._states] = np.where(self.opened(state), start[self._states], self._sent)
        return start
