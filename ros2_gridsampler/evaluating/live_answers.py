# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks that a live node answered to a recording -> the same call as a policy, for evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..acting.action_chunk import ActionChunk
from ..acting.action_prefix import Prefix
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from .command_replay import percentiles


class Unanswered(LookupError):
    """The live node gave no chunk for this frame."""


class LiveAnswers:
    """Says what the live node said, and how far an engine here is off that.

    Args:
        engine: The same policy in this process; gives the points that nodes do not publish.
        targets: Capture time in whole microseconds -> targets of the live chunk.
        stages: Stage -> how long it took the live node, for each chunk that was executed [s].
    """

    def __init__(
        self,
        engine: Backend,
        targets: Mapping[int, Float[np.ndarray, 'steps actions']],
        stages: Mapping[str, Sequence[float]],
    ) -> None:
        self._engine = engine
        self._targets = targets
        self._stages = stages
        self.largest_difference = 0.0
        """Of a live action from that of the engine here, in the units of the actions."""
        self.answered = self.unanswered = 0

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """What the live node said of the observation of that capture time.

        Raises:
            Unanswered: It said nothing.
        """
        targets = self._targets.get(microseconds(observation.time))
        if targets is None:
            self.unanswered += 1
            raise Unanswered(f'The live node did not answer the frame of {observation.time:.6f}.')
        own = self._engine.predict(observation, prefix)
        self.answered += 1
        difference = float(np.abs(targets - own.chunk.targets).max())
        self.largest_difference = max(self.largest_difference, difference)
        return replace(own, chunk=ActionChunk(observation.time, own.chunk.period, targets))

    def summary(self) -> dict[str, Any]:
        """JSON."""
        return {
            'frames_answered': self.answered,
            'frames_unanswered': self.unanswered,
            'largest_difference': self.largest_difference,
            'stages_ms': {
                name: percentiles(1e3 * np.array(values)) for name, values in self._stages.items()
            },
        }


def microseconds(time: float) -> int:
    """A capture time as a key; near 1.8e9 s a float64 is exact to a quarter of one."""
    return round(1e6 * time)
