# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation gives: to its listeners on the way, and at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bags.bag_health import Fault
from ..bags.bag_storage import RecordedMessage
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from .policy_scores import PolicyScores

Numbers = NDArray[np.float64]


class Listener(Protocol):
    """Anything that wants to see an evaluation on its way, to draw or to write."""

    def message(self, recorded: RecordedMessage) -> None:
        """A message was read."""

    def prediction(
        self, now: float, observation: Observation, predictions: Sequence[Prediction]
    ) -> None:
        """All policies have answered the frame that became ready at `now` [s]."""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        scores: One per policy.
        report: JSON, the same whenever it is computed.
        measured: JSON, what depends on the machine.
        scale: Unit of each entry of an action, see `action_scale`.
        units: The same in words.
        curves: Time, recorded action, then the commands of each policy, in a row.
        faults: The faults of the streams.
        begin: Time of the first message [s].
        end: Time of the last message [s].
    """

    scores: tuple[PolicyScores, ...]
    report: dict[str, Any]
    measured: dict[str, Any]
    scale: Numbers
    units: tuple[str, ...]
    curves: Numbers
    faults: tuple[Fault, ...]
    begin: float
    end: float
