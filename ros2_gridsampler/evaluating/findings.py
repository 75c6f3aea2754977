# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A report -> what a person should do about it, a sentence each, the most urgent first."""

from collections.abc import Mapping, Sequence
from typing import Any

# Fewer of the commands changed by the filter need no action.
_CHANGED = 0.01
# Later than this is seen in a film [s].
_LATE = 0.25
# Times the operator's jerk.
_ROUGH = 2.0
_LISTED = 3


def findings(report: Mapping[str, Any]) -> list[str]:
    """Empty where there is nothing to do."""
    return [
        *_errors(report),
        *_gripper(report['gripper_events']),
        *_latency(report['deadlines']),
        *_filter(report),
        *_jerk(report),
    ]


def _errors(report: Mapping[str, Any]) -> list[str]:
    if not report['frames_compared']:
        return []
    if not (report['beats_hold_state'] and report['beats_hold_action']):
        return [
            'Do not run it: first see whether topics, joint order, units and rates are those of '
            'its training; if they are, train on more recordings like these.'
        ]
    worse = report['actions_worse_than_hold_action']
    if not worse:
        return []
    entries = len(report['mean_absolute_error_by_action']['policy'])
    return [
        f'{len(worse)} of {entries} entries are no better than holding the previous action: '
        f'{_some(worse)}.'
    ]


def _gripper(events: Mapping[str, Any] | None) -> list[str]:
    if not events or not events['recorded']:
        return []
    found = []
    missed = events['recorded'] - events['met']
    extra = events['predicted'] - events['met']
    if missed:
        found.append(f'It misses {missed} of {events["recorded"]} movements of the gripper.')
    if extra:
        found.append(f'It moves the gripper {extra} times when the operator does not.')
    late = events['lateness_s']['median'] if events['lateness_s'] else 0.0
    if abs(late) > _LATE:
        found.append(
            f'It moves the gripper {abs(late):.2f} s too {"late" if late > 0 else "early"} in the '
            'median.'
        )
    return found


def _latency(deadlines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    fine = ''
    for latency, row in sorted(deadlines.items(), key=lambda item: float(item[0])):
        if row['deadline_misses']:
            share = f'{row["deadline_misses"]} of {row["commands"]} commands'
            if fine:
                return [f'Keep inference under {fine} ms: at {latency} ms {share} have no action.']
            return [f'At {latency} ms of inference {share} have no action: use a faster engine.']
        fine = latency
    return []


def _filter(report: Mapping[str, Any]) -> list[str]:
    interventions = report['filter_interventions']
    # A gripper is told to be open or closed and takes its time: nothing is wrong with that.
    entries = {k: v for k, v in interventions['by_entry'].items() if k != 'gripper'}
    changed = min(interventions['commands'], sum(entries.values()))
    commands = next(iter(report['deadlines'].values()))['commands']
    if changed <= _CHANGED * commands:
        return []
    ordered = sorted(entries.items(), key=lambda item: -item[1])
    named = [' of '.join(part for part in name.split(':') if part) for name, _ in ordered]
    beside = 'up to ' if len(entries) < len(interventions['by_entry']) else ''
    return [
        f'The safety filter changes {beside}{changed} of {commands} commands '
        f'({changed / commands:.0%}), most often {_some(named)}: see whether the limits of '
        f'{report["arm"]} are right, and whether the recordings keep them.'
    ]


def _jerk(report: Mapping[str, Any]) -> list[str]:
    ratio = report['jerk']['ratio']
    if ratio is None or ratio <= _ROUGH:
        return []
    return [
        f'The commands jerk {ratio:.1f} times as much as the operator: blend chunks for longer, '
        'or train for longer.'
    ]


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ', '.join(names[:_LISTED]) + (f' and {rest} more' if rest > 0 else '')
