# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A report says what to do, and nothing where there is nothing to do."""

import copy

import pytest

from ros2_gridsampler.evaluating.evaluation_report import comparison, findings

GOOD = {
    'arm': 'so101',
    'frames': 100,
    'frames_compared': 100,
    'frames_dark': 0,
    'pictures': 100,
    'pictures_missing': 0,
    'least_share': 0.5,
    'look_at': [],
    'withheld': '',
    'actions_refused': '',
    'critical_interval_mse': 0.01,
    'critical_interval_mse_baselines': {'hold_action': 0.02, 'hold_state': 0.03},
    'beats_hold_state': True,
    'beats_hold_action': True,
    'actions_worse_than_hold_action': [],
    'mean_absolute_error_by_action': {'policy': {'shoulder': 0.1, 'elbow': 0.1}},
    'gripper_events': {
        'recorded': 2, 'predicted': 2, 'met': 2, 'lateness_s': {'median': 0.1, 'largest': 0.2},
        'hold_action': {'recorded': 2, 'predicted': 0, 'met': 0, 'lateness_s': None},
        'hold_state': {'recorded': 2, 'predicted': 0, 'met': 0, 'lateness_s': None},
    },
    'deadlines': {
        '50': {'deadline_misses': 0, 'misses_without_frame': 0, 'commands': 200},
        '250': {'deadline_misses': 0, 'misses_without_frame': 0, 'commands': 200},
        '120': {'deadline_misses': 0, 'misses_without_frame': 0, 'commands': 200},
    },
    'holds': {
        'commands': {'FOLLOWING': 195, 'HOLDING': 5},
        'began': {'HOLD -> FOLLOW': 1, "camera 'front': silent or too old": 1},
    },
    'filter_interventions': {'commands': 2, 'by_entry': {'position:elbow': 2}},
    'jerk': {'ratio': 1.2},
}  # fmt: skip

FILTERED = {'commands': 90, 'by_entry': {'gripper': 60, 'position:elbow': 40}}


def changed(path, value):
    report = copy.deepcopy(GOOD)
    place = report
    *keys, last = path.split('.')
    for key in keys:
        place = place[key]
    place[last] = value
    return report


def test_of_a_good_policy_there_is_nothing_to_do():
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ('path', 'value', 'words'),
    [
        ('beats_hold_state', False, 'Do not run it'),
        ('actions_worse_than_hold_action', ['elbow'], '1 of 2 entries are no better'),
        ('gripper_events.met', 1, 'misses 1 of 2 movements'),
        ('gripper_events.predicted', 5, '3 times when the operator does not'),
        ('gripper_events.lateness_s.median', -0.5, '0.50 s too early'),
        ('deadlines.250.deadline_misses', 7, 'under 120 ms: at 250 ms 7 of 200'),
        ('deadlines.50.deadline_misses', 7, 'At 50 ms of inference 7 of 200'),
        (
            'deadlines.50',
            {'deadline_misses': 9, 'misses_without_frame': 9, 'commands': 200},
            'For 9 of 200 commands no frame had come for so long',
        ),
        (
            'filter_interventions',
            FILTERED,
            'up to 40 of 200 commands (20%), most often pos',
        ),
        ('jerk.ratio', 3.0, '3.0 times as much'),
        (
            'holds.commands',
            {'FOLLOWING': 120, 'BRAKING': 8, 'HOLDING': 72},
            "held the arm for 80 of 200 commands (40%): camera 'front': silent or too old (1)",
        ),
        ('look_at', ['Look at camera front: 90 of 100 frames are black.'], 'Look at camera front'),
        (
            'critical_interval_mse_baselines.hold_action',
            0.01,
            'holding the previous action (0.01) is as good as the policy (CI-MSE 0.01)',
        ),
        (
            'gripper_events.hold_state.met',
            2,
            'Holding the state foresees as many movements of the gripper as the policy (2 of 2)',
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_number(path, value, words):
    assert any(words in text for text in findings(changed(path, value)))


def test_a_gripper_that_takes_its_time_to_close_is_nothing_to_do():
    only_gripper = {'commands': 90, 'by_entry': {'gripper': 90}}
    assert findings(changed('filter_interventions', only_gripper)) == []


def test_an_arm_without_a_gripper_has_nothing_to_do_with_it():
    assert findings(changed('gripper_events', None)) == []


@pytest.mark.parametrize(
    ('error', 'critical', 'words'),
    [
        (0.2, 0.02, 'Better than other: mean error 0.1 against 0.2'),
        (0.05, 0.005, 'Worse than'),
        (0.1, 0.01, 'As good as'),
        (0.2, 0.005, 'Not clearly better or worse than'),
        (0.2, None, 'Better than'),
    ],
)
def test_two_policies_are_compared_by_both_errors(error, critical, words):
    report = {
        **GOOD,
        'mean_absolute_error_overall': {'policy': 0.1},
        'critical_interval_mse': 0.01,
        'compare': {
            'policy': {'name': 'other'},
            'mean_absolute_error_overall': {'policy': error},
            'critical_interval_mse': critical,
        },
    }
    assert comparison(report).startswith(words)
    assert comparison({**report, 'frames_compared': 0}).startswith('No verdict on other')
