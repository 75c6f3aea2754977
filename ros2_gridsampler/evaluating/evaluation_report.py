# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations -> report.json: the verdict, the sum of many bags, and a gate for a lab's CI."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_yaml
from .findings import findings

SCHEMA = 'ros2_gridsampler evaluation 2'
REPORT = 'report.json'
_ERRORS = (
    'mean_absolute_error',
    'mean_absolute_error_overall',
    'mean_absolute_error_by_action',
    'mean_absolute_error_by_action_and_step',
    'mean_squared_error_overall',
)
_JUDGED = ('beats_hold_state', 'beats_hold_action', 'actions_worse_than_hold_action')


def verdict(report: Mapping[str, Any]) -> str:
    """The one line that a person reads first."""
    overall = report['mean_absolute_error_overall']
    if not report['frames_compared']:
        return (
            'No verdict: the recording has no action to compare with; name its topic with '
            '--action-topic.'
        )
    named = {'hold_action': 'holding the previous action', 'hold_state': 'holding the state'}
    beaten = [key for key in named if report[f'beats_{key}']]
    lost = [key for key in named if key not in beaten]
    error = f'its mean error is {overall["policy"]:.4f}'
    listed = ' and '.join(f'{named[key]} ({overall[key]:.4f})' for key in (lost or beaten))
    if lost:
        sentence = f'Not good: the policy does not beat {listed}; {error}.'
    else:
        sentence = f'The policy beats {listed}; {error}.'
    if not report['complete']:
        sentence += ' The recording is not whole.'
    return sentence


def comparison(report: Mapping[str, Any]) -> str:
    """How the policy does against the one that it is compared with, in one line."""
    other = report['compare']
    if not report['frames_compared']:
        return f'No verdict on {other["policy"]["name"]}: no frame could be compared.'
    pairs = [
        (label, mine, its)
        for label, mine, its in (
            (
                'mean error',
                report['mean_absolute_error_overall']['policy'],
                other['mean_absolute_error_overall']['policy'],
            ),
            ('CI-MSE', report['critical_interval_mse'], other['critical_interval_mse']),
        )
        if mine is not None and its is not None
    ]
    listed = ', '.join(f'{label} {mine:.4g} against {its:.4g}' for label, mine, its in pairs)
    words = 'Not clearly better or worse than'
    if all(mine == its for _, mine, its in pairs):
        words = 'As good as'
    elif all(mine <= its for _, mine, its in pairs):
        words = 'Better than'
    elif all(mine >= its for _, mine, its in pairs):
        words = 'Worse than'
    return f'{words} {other["policy"]["name"]}: {listed}.'


def conclude(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with its sentences."""
    concluded = {**report, 'verdict': verdict(report), 'findings': findings(report)}
    if 'compare' in report:
        concluded['compare'] = {'verdict': comparison(report), **report['compare']}
    return concluded


def dump(report: Mapping[str, Any]) -> str:
    """JSON whose bytes depend on nothing but the report."""
    return json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + '\n'


def merge(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One report of many bags.

    Means are weighted by the frames compared, counts are added up. Of percentiles over bags, p50
    is the weighted mean, p99 and max are the largest. Streams stay with the reports of the bags.
    """
    if len(reports) == 1:
        return dict(reports[0])
    weights = np.array([report['frames_compared'] for report in reports], float)
    merged: dict[str, Any] = {
        'frames': sum(report['frames'] for report in reports),
        'frames_compared': int(weights.sum()),
        'frames_without_action': sum(report['frames_without_action'] for report in reports),
        'duration_s': round(sum(report['duration_s'] for report in reports), 6),
        'complete': all(report['complete'] for report in reports),
        'problems': [f'{r["bag"]}: {text}' for r in reports for text in r['problems']],
        'latency_ms': reports[0]['latency_ms'],
        'streams': {report['bag']: report['streams'] for report in reports},
    }
    merged.update(_merge_scores(reports, weights))
    compared = [report['compare'] for report in reports if 'compare' in report]
    if len(compared) == len(reports):
        drift = [c['drift'] for c in compared]
        merged['compare'] = {
            'policy': compared[0]['policy'],
            **_merge_scores(compared, weights),
            'drift': _mean(drift, np.array([r['frames'] for r in reports], float)),
        }
    return merged


def _merge_scores(reports: Sequence[Mapping[str, Any]], weights: np.ndarray) -> dict[str, Any]:
    merged: dict[str, Any] = {key: _mean([r[key] for r in reports], weights) for key in _ERRORS}
    overall, by_action = (
        merged['mean_absolute_error_overall'],
        merged['mean_absolute_error_by_action'],
    )
    for key in ('hold_state', 'hold_action'):
        merged[f'beats_{key}'] = overall['policy'] < overall[key]
    merged['actions_worse_than_hold_action'] = [
        name
        for name, value in by_action['policy'].items()
        if value >= by_action['hold_action'][name]
    ]
    critical = np.array([report['critical_frames'] for report in reports], float)
    known = [i for i, r in enumerate(reports) if r['critical_interval_mse'] is not None]
    merged['critical_frames'] = int(critical.sum())
    merged['critical_interval_mse'] = (
        float(sum(critical[i] * reports[i]['critical_interval_mse'] for i in known))
        / float(critical[known].sum())
        if known
        else None
    )
    for key in ('gripper_events', 'seams', 'jerk', 'filter_interventions', 'deadlines'):
        merged[key] = _accumulate([report[key] for report in reports], weights)
    return merged


def _mean(values: Sequence[Any], weights: np.ndarray) -> Any:
    """Weighted mean of numbers at the leaves of equal trees."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _mean([value[key] for value in values], weights) for key in first}
    if isinstance(first, list):
        return [_mean(list(column), weights) for column in zip(*values, strict=True)]
    # Where nothing was compared anywhere, all are 0.
    share = weights if weights.any() else None
    return float(np.average(np.array(values, float), weights=share))


def _accumulate(values: Sequence[Any], weights: np.ndarray) -> Any:
    """Counts added up, p99 and max the largest, every other number averaged."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    if not pairs:
        return None
    first = pairs[0][0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for value, _ in pairs for key in value)
        merged = {}
        for key in keys:
            inner = [(v[key], w) for v, w in pairs if key in v]
            there = [v for v, _ in inner if v is not None]
            if key in ('p99', 'max', 'largest') and there:
                merged[key] = max(there)
            else:
                merged[key] = _accumulate([v for v, _ in inner], np.array([w for _, w in inner]))
        return merged
    if isinstance(first, int):
        return sum(value for value, _ in pairs)
    share = np.array([weight for _, weight in pairs])
    return float(np.average([value for value, _ in pairs], weights=share if share.any() else None))


def read_gate(path: Path) -> dict[str, dict[str, Any]]:
    """Thresholds: a dotted path into the report, and its `max`, `min` or `equals`.

    Raises:
        ValueError: The file is of another form.
    """
    content = read_yaml(path)
    whole = isinstance(content, dict) and all(
        isinstance(path, str)
        and isinstance(bounds, dict)
        and bounds
        and not set(bounds) - {'max', 'min', 'equals'}
        and all(_is_number(bounds[key]) for key in ('max', 'min') if key in bounds)
        for path, bounds in content.items()
    )
    if not whole:
        raise ValueError(
            f'{path} must hold lines like "critical_interval_mse: {{max: 0.2}}" with max, min or '
            f'equals, the first two with a number, got {content!r}.'
        )
    return dict(content)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_gate(report: Mapping[str, Any], gate: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of the gate does not hold, a sentence each.

    Raises:
        ValueError: The gate asks for something that no report has.
    """
    failed = []
    for path, bounds in gate.items():
        first = path.split('.')[0]
        if first in (*_ERRORS, *_JUDGED) and not report['frames_compared']:
            failed.append(f'{path}: no frame could be compared with recorded actions')
            continue
        value: Any = report
        for key in path.split('.'):
            index = key if isinstance(value, Mapping) else _index(key)
            try:
                value = value[index]
            except (KeyError, IndexError, TypeError):
                raise ValueError(
                    f'The gate asks for {path!r}, but the report has no {key!r} there; it has '
                    f'{list(value) if isinstance(value, Mapping) else value!r}.'
                ) from None
        for bound, limit in bounds.items():
            if not _holds(value, bound, limit):
                failed.append(f'{path} is {value}, but {bound} is {limit}')
    return failed


def _index(key: str) -> Any:
    return int(key) if key.lstrip('-').isdigit() else key


def _holds(value: Any, bound: str, limit: Any) -> bool:
    if bound == 'equals':
        return bool(value == limit)
    if not isinstance(value, (int, float)):
        return False  # nothing was measured, so nothing is shown to be good
    return bool(value <= limit if bound == 'max' else value >= limit)
