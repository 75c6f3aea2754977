# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted and recorded chunks -> error by horizon and joint, beside two that do nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
POLICY, HOLD_STATE, HOLD_ACTION = 'policy', 'hold_state', 'hold_action'


class ActionErrors:
    """Mean absolute errors of the policy and of two baselines, over the same frames.

    'hold_state' commands where the arm is (a twist: to stand still, the gripper as it is);
    'hold_action' goes on with the action recorded one period before. A policy that does not beat
    them has learned nothing that these frames could show.

    Args:
        names: Of the entries of an action.
        steps: Targets per chunk.
    """

    def __init__(self, names: Sequence[str], steps: int) -> None:
        self._names = tuple(names)
        shape = (steps, len(names))
        self._sums = {name: np.zeros(shape) for name in (POLICY, HOLD_STATE, HOLD_ACTION)}
        self._squares = np.zeros(shape)
        self._counts = np.zeros(steps)
        self.frames = 0
        """Chunks that were compared."""

    def add(
        self,
        predicted: Float[np.ndarray, 'steps actions'],
        recorded: Float[np.ndarray, 'steps actions'],
        valid: Bool[np.ndarray, ' steps'],
        state: Float[np.ndarray, ' actions'],
        previous: Float[np.ndarray, ' actions'],
    ) -> None:
        """Compare one chunk where the recording reaches (`valid`)."""
        self.frames += 1
        mask = valid[:, None]
        for name, value in ((POLICY, predicted), (HOLD_STATE, state), (HOLD_ACTION, previous)):
            self._sums[name] += np.where(mask, np.abs(value - recorded), 0.0)
        self._squares += np.where(mask, (predicted - recorded) ** 2, 0.0)
        self._counts += valid

    def summary(self) -> dict[str, Any]:
        """Errors in physical units; `by_step` are means over the entries of an action."""
        counts = np.maximum(self._counts, 1)[:, None]
        means = {name: total / counts for name, total in self._sums.items()}
        overall = {name: self._overall(name) for name in means}
        per_action = {name: self._per_action(name) for name in means}
        worse = [
            action
            for index, action in enumerate(self._names)
            if per_action[POLICY][index] >= per_action[HOLD_ACTION][index]
        ]
        return {
            'mean_absolute_error': {name: mean.mean(1).tolist() for name, mean in means.items()},
            'mean_absolute_error_overall': overall,
            'mean_squared_error_overall': float(
                self._squares.sum() / max(self._counts.sum() * len(self._names), 1)
            ),
            'mean_absolute_error_by_action': {
                name: dict(zip(self._names, values.tolist(), strict=True))
                for name, values in per_action.items()
            },
            'mean_absolute_error_by_action_and_step': {
                action: means[POLICY][:, i].tolist() for i, action in enumerate(self._names)
            },
            'beats_hold_state': bool(overall[POLICY] < overall[HOLD_STATE]),
            'beats_hold_action': bool(overall[POLICY] < overall[HOLD_ACTION]),
            'actions_worse_than_hold_action': worse,
        }

    def _overall(self, name: str) -> float:
        return float(self._sums[name].sum() / max(float(self._counts.sum()) * len(self._names), 1))

    def _per_action(self, name: str) -> Numbers:
        return np.asarray(self._sums[name].sum(0) / max(float(self._counts.sum()), 1))
