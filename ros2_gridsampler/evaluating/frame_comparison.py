# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Frames with their chunks, and actions as they are recorded later -> every chunk compared."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk
from .critical_error import GripperWatch, Intervals
from .evaluation_config import CriticalConfig
from .gripper_events import GripperScale
from .policy_scores import PolicyScores
from .recorded_actions import RecordedActions

Numbers = NDArray[np.float64]
# A frame is compared so long after its last target at the latest, should labels have stopped [s].
_PATIENCE = 2.0


@dataclass(frozen=True)
class Frame:
    """A frame whose future is not recorded yet.

    Attributes:
        time: Capture time [s].
        state: Where the arm was, as an action; None where that is not known.
        chunks: One per policy.
    """

    time: float
    state: Numbers | None
    chunks: tuple[ActionChunk, ...]


class FrameComparison:
    """Holds frames back until what the operator did after them is known.

    Args:
        scores: One per policy.
        actions: As they are recorded.
        gripper: The gripper of the recorded arm; its movements make frames critical.
        config: Which frames these are.
        intervals: Critical ones, in seconds from the first message; None for the gripper's.
        horizon: Length of the longest chunk [s].
    """

    def __init__(
        self,
        scores: Sequence[PolicyScores],
        actions: RecordedActions,
        gripper: GripperScale,
        config: CriticalConfig,
        intervals: Intervals | None,
        horizon: float,
    ) -> None:
        self._scores = scores
        self._actions = actions
        self._gripper = gripper
        self._watch = GripperWatch(config)
        self._intervals = intervals
        self._ahead = max(horizon, config.before)
        self._pending: deque[Frame] = deque()
        self.unlabelled = 0
        """Frames before the first recorded action."""

    def cut(self, actions: RecordedActions, begin: float) -> None:
        """Compares what is left with what was recorded, and goes on with other actions."""
        self.until(np.inf, begin)
        self._actions = actions
        self._watch.cut()

    def add(self, frame: Frame) -> None:
        """Keeps a frame, which is compared when its time has come."""
        self._pending.append(frame)

    def label(self, time: float, action: Numbers) -> None:
        """The operator's newest action."""
        if self._gripper:
            self._watch.add(time, self._gripper.share(action))

    def until(self, now: float, begin: float) -> None:
        """Compares frames whose future is known at `now` [s]; the bag began at `begin` [s]."""
        while self._pending:
            frame = self._pending[0]
            known = min(self._actions.known_until, now)
            if self._gripper and self._intervals is None:
                known = min(known, self._watch.known_until)
            last = frame.time + self._ahead
            if known < last and now < last + _PATIENCE:
                return
            self._pending.popleft()
            self._compare(frame, begin)

    def _compare(self, frame: Frame, begin: float) -> None:
        self._actions.forget_before(frame.time)
        recorded = self._actions.targets(frame.time)
        if recorded is None:
            self.unlabelled += 1
            return
        previous = self._actions.previous(frame.time)
        critical = self._is_critical(frame.time, begin)
        if frame.state is None or previous is None:
            return  # No score without its baselines.
        for score, chunk in zip(self._scores, frame.chunks, strict=True):
            score.compare(chunk, recorded, (frame.state, previous), critical)

    def _is_critical(self, time: float, begin: float) -> bool:
        if self._intervals is None:
            return self._watch.critical(time)
        return any(first <= time - begin <= last for first, last in self._intervals)
