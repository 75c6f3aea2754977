# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted and recorded chunks -> error by horizon and joint, beside two that do nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
    mean,
    some,
)

Numbers = NDArray[np.float64]
_MEANS = {
    'mean_absolute_error': '`policy`, `hold_state` and `hold_action`: one number for each step of '
    'the horizon, the mean over the entries of an action, in its units.',
    'mean_absolute_error_overall': 'The same as one number for each.',
    'mean_squared_error_overall': 'The mean squared error as one number for each.',
    'mean_absolute_error_by_action': 'The mean absolute error of each entry of the action.',
    'mean_absolute_error_by_action_and_step': 'The same for each step of the horizon.',
}


class ActionErrors(Metric):
    """Mean absolute errors of the policy and of two baselines, over the same frames.

    'hold_state' commands where the arm is (a twist: to stand still, the gripper as it is);
    'hold_action' goes on with the action recorded one period before. A policy that does not beat
    them has learned nothing that these frames could show.
    """

    keys: ClassVar = {
        **_MEANS,
        'beats_hold_state': 'Whether the mean error is smaller than that of holding the state.',
        'beats_hold_action': 'Whether it is smaller than that of holding the previous action.',
        'actions_worse_than_hold_action': 'Entries of the action for which it is not.',
        'frames_compared': 'Frames compared with recorded actions.',
    }
    compares = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._names = setting.space.names
        shape = (setting.steps, len(self._names))
        self._sums = {name: np.zeros(shape) for name in (POLICY, HOLD_STATE, HOLD_ACTION)}
        self._squares = np.zeros(shape)
        self._counts = np.zeros(setting.steps)
        self._frames = 0

    def add(self, frame: ComparedFrame) -> None:
        """Compares one chunk where the recording reaches."""
        self._frames += 1
        mask = frame.valid[:, None]
        predicted = frame.chunk.targets
        for name, value in (
            (POLICY, predicted),
            (HOLD_STATE, frame.state),
            (HOLD_ACTION, frame.previous),
        ):
            self._sums[name] += np.where(mask, np.abs(value - frame.targets), 0.0)
        self._squares += np.where(mask, (predicted - frame.targets) ** 2, 0.0)
        self._counts += frame.valid

    def summary(self) -> dict[str, Any]:
        """Returns errors in physical units, by step as means over the entries of an action."""
        counts = np.maximum(self._counts, 1)[:, None]
        means = {name: total / counts for name, total in self._sums.items()}
        overall = {name: self._overall(name) for name in means}
        by_action = {
            name: dict(zip(self._names, self._per_action(name).tolist(), strict=True))
            for name in means
        }
        return {
            'mean_absolute_error': {name: each.mean(1).tolist() for name, each in means.items()},
            'mean_absolute_error_overall': overall,
            'mean_squared_error_overall': float(
                self._squares.sum() / max(self._counts.sum() * len(self._names), 1)
            ),
            'mean_absolute_error_by_action': by_action,
            'mean_absolute_error_by_action_and_step': {
                action: means[POLICY][:, i].tolist() for i, action in enumerate(self._names)
            },
            **_judged(overall, by_action),
            'frames_compared': self._frames,
        }

    def _overall(self, name: str) -> float:
        return float(self._sums[name].sum() / max(float(self._counts.sum()) * len(self._names), 1))

    def _per_action(self, name: str) -> Numbers:
        return np.asarray(self._sums[name].sum(0) / max(float(self._counts.sum()), 1))

    @classmethod
    def merge(cls, reports: Sequence[Report], weights: Numbers) -> dict[str, Any]:
        """Returns means over frames, judged anew."""
        means = {key: mean([report[key] for report in reports], weights) for key in _MEANS}
        overall = means['mean_absolute_error_overall']
        judged = _judged(overall, means['mean_absolute_error_by_action'])
        frames = sum(report['frames_compared'] for report in reports)
        return {**means, **judged, 'frames_compared': frames}

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        """Returns the error over whole chunks, and of three steps of the horizon."""
        if not report['frames_compared']:
            return []
        overall, by_step = report['mean_absolute_error_overall'], report['mean_absolute_error']
        last = len(by_step[POLICY]) - 1
        rows = [
            Row.of(
                'mean absolute error, whole chunk',
                overall,
                column='error',
                meaning='mean absolute error over all entries and steps of the chunk, in the '
                'units of the actions',
            )
        ]
        for step in dict.fromkeys((0, last // 2, last)):
            rows.append(
                Row.of(
                    f'mean absolute error, step {step + 1} of {last + 1}',
                    {name: errors[step] for name, errors in by_step.items()},
                    column=f'step {step + 1}',
                    meaning=f'the same of step {step + 1} of {last + 1} alone: farther ahead the '
                    'pictures matter more',
                )
            )
        return rows

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns whether to run it at all, and which entries are not worth it."""
        if not report['frames_compared']:
            return []
        if not (report['beats_hold_state'] and report['beats_hold_action']):
            return [
                'Do not run it: first see whether topics, joint order, units and rates are those '
                'of its training; if they are, train on more recordings like these.'
            ]
        worse = report['actions_worse_than_hold_action']
        if not worse:
            return []
        entries = len(report['mean_absolute_error_by_action'][POLICY])
        return [
            f'{len(worse)} of {entries} entries are no better than {BASELINES[HOLD_ACTION]}: '
            f'{some(worse)}.'
        ]


def _judged(
    overall: Mapping[str, float], by_action: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Whether the policy beats the baselines, and the entries in which it does not."""
    return {
        **{f'beats_{name}': bool(overall[POLICY] < overall[name]) for name in reversed(BASELINES)},
        'actions_worse_than_hold_action': [
            action
            for action, error in by_action[POLICY].items()
            if error >= by_action[HOLD_ACTION][action]
        ],
    }
