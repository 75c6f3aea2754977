# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted and recorded chunks -> their error where it decides about success (CI-MSE).

Critical Interval MSE (arXiv:2606.29898): only frames inside task-critical intervals count;
predictions of successive frames are averaged as a rollout would (temporal ensemble); and the two
chunks are compared by dynamic time warping, so that the same motion a step later costs little.
The paper has the intervals marked by a person or a vision-language model; where no file gives
them, the moments around every opening and closing of the gripper are taken, which is our choice.
Errors are in the units of `action_scale`, as metres and radians do not add up.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk
from .evaluation_config import CriticalConfig
from .metric import (
    BASELINES,
    HOLD_ACTION,
    HOLD_STATE,
    POLICY,
    ComparedFrame,
    Metric,
    Report,
    Row,
    Setting,
    accumulate,
)

Numbers = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Frames that are compared at once; bounds the memory of the cost matrices.
_BATCH = 32


def read_intervals(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Intervals as the paper's tools write them, by bag.

    A list of `{"episode": "name of the bag", "intervals": [{"start": 1.2, "end": 2.5}]}`, in
    seconds from the bag's first message.

    Raises:
        ValueError: The file is of another form.
    """
    try:
        return {
            str(entry['episode']): [
                (float(part['start']), float(part['end'])) for part in entry['intervals']
            ]
            for entry in json.loads(path.read_text('utf-8'))
        }
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is not a list of {{"episode": BAG, "intervals": [{{"start": s, "end": s}}]}}'
            f': {type(error).__name__} {error}.'
        ) from error


@dataclass
class GripperWatch:
    """Where the recorded gripper moves, as the bag is read.

    Attributes:
        config: What counts as moving.
        known_until: Up to here all is known [s].
    """

    config: CriticalConfig
    known_until: float = -np.inf
    _recent: deque[tuple[float, Numbers]] = field(default_factory=deque)
    _moves: deque[float] = field(default_factory=deque)
    moments: int = 0

    def cut(self) -> None:
        """What comes now has nothing to do with what was."""
        self.known_until = -np.inf
        self._recent.clear()
        self._moves.clear()

    def add(self, time: float, opening: Numbers) -> None:
        """The recorded gripper command at `time` [s], each joint as a share of its range."""
        self.known_until = time
        while self._recent and time - self._recent[0][0] > self.config.window:
            self._recent.popleft()
        self._recent.append((time, opening))
        if np.abs(opening - self._recent[0][1]).max() > self.config.movement:
            self._moves.append(time)
            self.moments += 1

    def critical(self, time: float) -> bool:
        """Whether the gripper moves near `time`; ask in order of time."""
        while self._moves and self._moves[0] < time - self.config.after:
            self._moves.popleft()
        return bool(self._moves) and self._moves[0] <= time + self.config.before


class CriticalError(Metric):
    """CI-MSE of the policy and of the two baselines, over the same critical frames."""

    keys: ClassVar = {
        'critical_interval_mse': 'CI-MSE of the policy; null where no frame is critical.',
        'critical_frames': 'Frames in critical intervals.',
        'critical_interval_mse_baselines': 'CI-MSE of `hold_action` and of `hold_state`.',
    }

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._errors = {
            name: WarpedError(setting.config.critical, setting.scale)
            for name in (POLICY, *BASELINES)
        }

    def add(self, frame: ComparedFrame) -> None:
        """Takes every frame, as the predictions of those before a critical one count in it."""
        for name, chunk in frame.contenders.items():
            error = self._errors[name]
            ensembled = error.ensembled(chunk)
            if frame.critical:
                error.add(ensembled[frame.valid], frame.targets[frame.valid])

    def cut(self) -> None:
        """Average no prediction with those before the cut."""
        for error in self._errors.values():
            error.cut()

    def summary(self) -> dict[str, Any]:
        """Returns squared errors in units of the arm; None where no frame was critical."""
        return {
            'critical_interval_mse': self._errors[POLICY].mean(),
            'critical_frames': self._errors[POLICY].frames,
            'critical_interval_mse_baselines': {
                name: self._errors[name].mean() for name in BASELINES
            },
        }

    @classmethod
    def merge(cls, reports: Sequence[Report], weights: Numbers) -> dict[str, Any]:
        """Returns means over the critical frames, which are what these errors weigh by."""
        frames = np.array([report['critical_frames'] for report in reports], float)
        return {
            key: int(frames.sum())
            if key == 'critical_frames'
            else accumulate([report[key] for report in reports], frames)
            for key in cls.keys
        }

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        """Returns CI-MSE beside that of the baselines."""
        held = report['critical_interval_mse_baselines']
        return [
            Row(
                f'CI-MSE, {report["critical_frames"]} critical frames [u\u00b2]',
                report['critical_interval_mse'],
                held and held[HOLD_ACTION],
                held and held[HOLD_STATE],
                column='CI-MSE',
                meaning='squared error around the moments that decide, warped in time, in units '
                'of the arm; less is better',
            )
        ]

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns whether the policy is no better than a baseline where it decides."""
        error, held = report['critical_interval_mse'], report['critical_interval_mse_baselines']
        as_good = [
            f'{words} ({held[name]:.4g})'
            for name, words in BASELINES.items()
            if error is not None and held[name] <= error
        ]
        if not as_good:
            return []
        return [
            f'Where it decides, {" and ".join(as_good)} is as good as the policy (CI-MSE '
            f'{error:.4g}).'
        ]


class WarpedError:
    """Sums up the warped squared error of critical frames.

    Args:
        config: How chunks are compared.
        scale: Unit of each entry of an action, see `action_scale`.
    """

    def __init__(self, config: CriticalConfig, scale: Numbers) -> None:
        self._config = config
        self._scale = scale
        self._chunks: deque[ActionChunk] = deque(maxlen=config.ensemble)
        self._batch: list[tuple[Numbers, Numbers]] = []
        self._sum, self.frames = 0.0, 0

    def cut(self) -> None:
        """What comes now has nothing to do with the chunks so far."""
        self._chunks.clear()

    def ensembled(self, chunk: ActionChunk) -> Numbers:
        """The chunk, averaged with what the frames before said about the same moments."""
        if self._chunks and chunk.start_time < self._chunks[-1].start_time:
            self._chunks.clear()
        self._chunks.append(chunk)
        total = np.zeros_like(chunk.targets)
        count = np.zeros((len(chunk.targets), 1))
        moments = np.arange(len(chunk.targets))
        for other in self._chunks:
            ahead = (chunk.start_time - other.start_time) / other.period + moments
            inside = ahead <= len(other.targets) - 1 + 1e-6
            steps = np.minimum(ahead[inside], len(other.targets) - 1)
            low = steps.astype(int)
            high = np.minimum(low + 1, len(other.targets) - 1)
            share = (steps - low)[:, None]
            total[inside] += (1 - share) * other.targets[low] + share * other.targets[high]
            count[inside] += 1
        return np.asarray(total / count)

    def add(self, predicted: Numbers, recorded: Numbers) -> None:
        """Compares one critical frame; both [steps, actions], physical units."""
        self.frames += 1
        self._batch.append((predicted / self._scale, recorded / self._scale))
        if len(self._batch) == _BATCH:
            self._flush()

    def mean(self) -> float | None:
        """CI-MSE over all critical frames; None where there were none."""
        self._flush()
        return self._sum / self.frames if self.frames else None

    def _flush(self) -> None:
        # A chunk that the end of the bag cuts short has another length.
        lengths = {len(recorded) for _, recorded in self._batch}
        for length in sorted(lengths):
            pairs = [(p[:length], r) for p, r in self._batch if len(r) == length]
            first, second = (
                _interpolate(np.array(side), self._config.interpolation)
                for side in zip(*pairs, strict=True)
            )
            self._sum += float(warped_error(first, second).sum())
        self._batch.clear()


def warped_error(
    first: Float[np.ndarray, 'batch steps actions'],
    second: Float[np.ndarray, 'batch steps actions'],
) -> Float[np.ndarray, ' batch']:
    """Dynamic time warping with squared distances, per step and action.

    The symmetric form in which a diagonal step counts twice (Sakoe and Chiba 1978), divided by
    the sum of both lengths and the number of actions. All cells of one diagonal at once.
    """
    steps, others, size = first.shape[1], second.shape[1], first.shape[2]
    squares = (first**2).sum(2)[:, :, None] + (second**2).sum(2)[:, None, :]
    cost = np.maximum(squares - 2 * first @ second.transpose(0, 2, 1), 0.0)
    total = np.full((len(first), steps + 1, others + 1), np.inf)
    total[:, 1, 1] = cost[:, 0, 0]
    for diagonal in range(1, steps + others - 1):
        row = np.arange(max(0, diagonal - others + 1), min(steps, diagonal + 1))
        column = diagonal - row
        here = cost[:, row, column]
        straight = np.minimum(total[:, row, column + 1], total[:, row + 1, column]) + here
        total[:, row + 1, column + 1] = np.minimum(straight, total[:, row, column] + 2 * here)
    return np.asarray(total[:, steps, others] / ((steps + others) * size))


def _interpolate(chunks: Numbers, factor: int) -> Numbers:
    steps = chunks.shape[1]
    if factor < 2 or steps < 2:
        return chunks
    at = np.linspace(0, steps - 1, steps * factor)
    low = np.minimum(at.astype(int), steps - 2)
    share = (at - low)[:, None]
    return np.asarray((1 - share) * chunks[:, low] + share * chunks[:, low + 1])
