# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations -> report.json: the verdict, the sum of many bags, and a gate for a lab's CI."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bags.bag_reader import RESULT
from ..files import read_yaml
from .metric import BASELINES, POLICY, Metric, Report, mean, some
from .metrics import METRICS

SCHEMA = 'ros2_gridsampler evaluation 5'
REPORT = RESULT
KEYS = {
    'schema': 'Version of this layout.',
    'verdict': 'One sentence: whether the policy is any good on this recording.',
    'judged': 'Whether that is a verdict.',
    'findings': 'What to do, a sentence each, the most urgent first; may be empty.',
    'bag': 'Name of the recording.',
    'policy': 'Which policy it was: name, hashes, engine.',
    'arm': 'Name of the arm whose limits hold.',
    'topics': 'Which recorded topic was read as what.',
    'frames': 'Observations from which was predicted.',
    'frames_without_action': 'Frames before the first recorded action.',
    'frames_dark': 'Frames that show nothing.',
    'pictures': 'Pictures of the first camera.',
    'pictures_missing': 'How many more it had given, had it not ended before the recording.',
    'least_share': 'Share of the pictures on which a verdict has to rest.',
    'look_at': 'Cameras to look at, and why.',
    'withheld': 'Why there were fewer frames than pictures; empty where there were enough.',
    'actions_refused': 'Why recorded actions could not be used; empty where they could.',
    'duration_s': 'From the first message to the last [s].',
    'critical_intervals': '`gripper`, or `given` by `--intervals`.',
    'latency_ms': '`assumed` (an option, nothing measured) and `injected`.',
    'streams': 'For each stream: messages, rate, gaps (2.5 usual intervals), stamps out of order '
    'or zero, log minus header time, frozen, black, blank and broken frames.',
    'skew_ms': 'Skew between the cameras.',
    'complete': 'Whether the recording is whole and nothing about it in doubt.',
    'problems': 'What is wrong with the recording, a sentence each.',
    'compare': 'With `--compare`: the same scores of the other policy, `drift` between both, and '
    'a `verdict`: better or worse where mean error and CI-MSE agree.',
    'without_pictures': 'With `--without-pictures`: the same scores of the policy without its '
    'pictures, a `verdict`, and `share_of_gain`.',
    'bags': 'Of several bags: their names.',
    'failed': 'Of several bags: those that gave no report.',
    'left_out': 'Of several bags: those that no figure counts, for want of pictures that show '
    'something.',
}
"""What a key of the report says; those of the metrics stand with each metric."""
COMPARE, BLIND = 'compare', 'without_pictures'
"""Keys of the same scores of another policy, and of the same policy without its pictures."""
# Cameras to look at that are named in a list of what to do.
_LISTED = 5
LEAST_SHARE = 0.2
"""Pictures that give less of what a policy gains on the better baseline hardly matter."""


def _rests_on(report: Report) -> int:
    """How many frames were compared and show something."""
    return int(min(report['frames'] - report['frames_dark'], report['frames_compared']))


def sees_enough(report: Report) -> bool:
    """Whether enough of the pictures show something and could be compared."""
    return bool(_rests_on(report) >= report['least_share'] * _expected(report))


def _expected(report: Report) -> int:
    """How many pictures there are, or would be with a first camera that did not end early."""
    return int(report['pictures'] + report['pictures_missing'])


def no_verdict(report: Report) -> str:
    """Returns why a report says nothing about the policy; empty where it does."""
    if not report['frames_compared']:
        reason = report['actions_refused'] or (
            'the recording has no action to compare with; name its topic with --action-topic'
        )
        return f'No verdict: {reason.rstrip(".")}.'
    if sees_enough(report):
        return ''
    without = report['frames_without_action']
    reasons = [
        *report['look_at'],
        *(['The first camera ends before the recording.'] if report['pictures_missing'] else []),
        *([f'Of the others: {report["withheld"]}'] if report['withheld'] else []),
        f'{without} frames have no recorded action.',
    ]
    return (
        f'No verdict: it would rest on {_rests_on(report)} of {_expected(report)} frames, at '
        f'least {report["least_share"]:.0%} are needed. {reasons[0]}'
    )


def verdict(report: Mapping[str, Any]) -> str:
    """The one line that a person reads first."""
    reason = no_verdict(report)
    if reason:
        return reason
    overall, named = report['mean_absolute_error_overall'], BASELINES
    many = 'left_out' in report
    beaten = [key for key in named if report[f'beats_{key}']]
    lost = [key for key in named if key not in beaten]
    error = f'its mean error is {overall["policy"]:.4f}'
    listed = ' and '.join(f'{named[key]} ({overall[key]:.4f})' for key in (lost or beaten))
    if lost:
        sentence = f'Not good: the policy does not beat {listed}; {error}.'
    else:
        sentence = f'The policy beats {listed}; {error}.'
    if not report['complete']:
        which = 'A' if many else 'The'
        sentence += f' {which} recording is not whole, or in doubt: see its problems.'
    if left_out := report.get('left_out'):
        sentence += f' Without verdict, and left out: {some(left_out)}.'
    return sentence


def findings(report: Report, metrics: Sequence[type[Metric]] = METRICS) -> list[str]:
    """Returns what a person should do, the most urgent first; empty where that is nothing."""
    cameras = list(report['look_at'][:_LISTED])
    if len(report['look_at']) > _LISTED:
        cameras.append(f'And {len(report["look_at"]) - _LISTED} more cameras in other recordings.')
    if no_verdict(report) and report['frames_compared']:
        # What the metrics say rests on the same few frames.
        return cameras
    return [*cameras, *(text for metric in metrics for text in metric.findings(report))]


def comparison(report: Mapping[str, Any]) -> str:
    """How the policy does against the one that it is compared with, in one line."""
    other = report[COMPARE]
    if no_verdict(report):
        return f'No verdict on {other["policy"]["name"]} either.'
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


def share_of_gain(report: Report) -> float | None:
    """Returns how much of what the policy gains on the better baseline is lost without pictures.

    None where it gains nothing, so that there is nothing to owe.
    """
    overall = report['mean_absolute_error_overall']
    gain = min(overall[name] for name in BASELINES) - overall[POLICY]
    lost = report[BLIND]['mean_absolute_error_overall'][POLICY] - overall[POLICY]
    return lost / gain if gain > 0 else None


def pictures_matter(report: Report) -> str:
    """How much the policy loses without its pictures, in one line."""
    if no_verdict(report):
        return 'No verdict on the pictures either.'
    overall = report['mean_absolute_error_overall']
    numbers = (
        f'without them the mean error is '
        f'{report[BLIND]["mean_absolute_error_overall"][POLICY]:.4f} instead of '
        f'{overall[POLICY]:.4f}'
    )
    share = share_of_gain(report)
    if share is None:
        return f'What the pictures are worth is not seen here: {numbers}, no better than holding.'
    best = BASELINES[min(BASELINES, key=lambda name: overall[name])]
    worth = f'they give {share:.0%} of what the policy gains on {best}'
    if share < LEAST_SHARE:
        return (
            f'The pictures hardly matter here: {numbers}; {worth}. This does not show that the '
            'policy looks.'
        )
    return f'The pictures matter: {numbers}; {worth}.'


def conclude(
    report: Mapping[str, Any], metrics: Sequence[type[Metric]] = METRICS
) -> dict[str, Any]:
    """The report with its sentences."""
    concluded = {
        **report,
        'verdict': verdict(report),
        'judged': not no_verdict(report),
        'findings': findings(report, metrics),
    }
    if COMPARE in report:
        concluded[COMPARE] = {'verdict': comparison(report), **report[COMPARE]}
    if BLIND in report:
        matter = {'verdict': pictures_matter(report), 'share_of_gain': share_of_gain(report)}
        concluded[BLIND] = {**matter, **report[BLIND]}
    return concluded


def dump(report: Mapping[str, Any]) -> str:
    """JSON whose bytes depend on nothing but the report."""
    return json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + '\n'


def merge(
    reports: Sequence[Mapping[str, Any]], metrics: Sequence[type[Metric]] = METRICS
) -> dict[str, Any]:
    """One report of many bags.

    Every metric says how its own figures add up: as a rule means are weighted by the frames
    compared, counts are added up, and of percentiles over bags p50 is the weighted mean, p99 and
    max are the largest. Streams stay with the reports of the bags. A bag of which too few
    pictures could be used is `left_out`: neither its frames nor its figures count.
    """
    if len(reports) == 1:
        return dict(reports[0])
    everything = reports
    reports = [report for report in reports if sees_enough(report)] or everything
    weights = np.array([report['frames_compared'] for report in reports], float)
    sums = ('frames', 'frames_without_action', 'frames_dark', 'pictures', 'pictures_missing')
    merged: dict[str, Any] = {
        **{key: sum(report[key] for report in reports) for key in sums},
        'duration_s': round(sum(report['duration_s'] for report in reports), 6),
        'complete': all(report['complete'] for report in everything),
        'left_out': [report['bag'] for report in everything if report not in reports],
        'problems': [f'{r["bag"]}: {text}' for r in everything for text in r['problems']],
        'look_at': [f'{r["bag"]}: {text}' for r in everything for text in r['look_at']],
        **{key: _first(everything, key) for key in ('withheld', 'actions_refused')},
        'least_share': reports[0]['least_share'],
        'latency_ms': reports[0]['latency_ms'],
        'critical_intervals': reports[0]['critical_intervals'],
        'streams': {report['bag']: report['streams'] for report in everything},
        **_merge_scores(reports, weights, metrics),
    }
    for key in (COMPARE, BLIND):
        compared = [report[key] for report in reports if key in report]
        if len(compared) == len(reports):
            merged[key] = _merge_scores(compared, weights, metrics)
    if COMPARE in merged:
        compared = [report[COMPARE] for report in reports]
        frames = np.array([report['frames'] for report in reports], float)
        merged[COMPARE] = {
            'policy': compared[0]['policy'],
            **merged[COMPARE],
            'drift': mean([each['drift'] for each in compared], frames),
        }
    return merged


def _first(reports: Sequence[Report], key: str) -> str:
    """The first bag that says something, by its name."""
    found = (f'{report["bag"]}: {report[key]}' for report in reports if report[key])
    return next(found, '')


def _merge_scores(
    reports: Sequence[Report], weights: np.ndarray, metrics: Sequence[type[Metric]]
) -> dict[str, Any]:
    return {key: v for metric in metrics for key, v in metric.merge(reports, weights).items()}


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


def check_gate(
    report: Mapping[str, Any],
    gate: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[type[Metric]] = METRICS,
) -> list[str]:
    """What of the gate does not hold, a sentence each.

    Raises:
        ValueError: The gate asks for something that no report has.
    """
    failed = []
    comparing = {key for metric in metrics if metric.compares for key in metric.keys}
    reason = no_verdict(report)
    for path, bounds in gate.items():
        if reason and path.split('.')[0] in comparing:
            failed.append(f'{path}: {reason}')
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
