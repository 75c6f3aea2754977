# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A metric is one object: what it says of a bag reaches the report, the sum and the page."""

from typing import ClassVar

import numpy as np
import pytest
from arm_recordings import ARM, arm_policy, write_arm
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import read_topics
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.evaluation_report import KEYS, conclude, merge
from ros2_gridsampler.evaluating.gripper_events import GripperEvents, GripperScale
from ros2_gridsampler.evaluating.metric import ComparedFrame, Metric, Row, Setting
from ros2_gridsampler.evaluating.metrics import METRICS
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics

PERIOD = 0.1


class LargestError(Metric):
    """A new metric, whole: nothing else knows of it."""

    keys: ClassVar = {'largest_error': 'The largest error of any entry, and of how many frames.'}

    def __init__(self, setting):
        super().__init__(setting)
        self.largest = 0.0
        self.frames = 0

    def add(self, frame):
        self.frames += 1
        self.largest = max(self.largest, float(np.abs(frame.chunk.targets - frame.targets).max()))

    def summary(self):
        return {'largest_error': {'max': self.largest, 'frames': self.frames}}

    @classmethod
    def rows(cls, report):
        return [Row('largest error', report['largest_error']['max'], column='largest')]

    @classmethod
    def findings(cls, report):
        return [f'Once it is off by {report["largest_error"]["max"]:.2f}.']


def test_a_new_metric_is_in_the_report_of_a_bag_and_of_several_and_in_what_to_do(tmp_path):
    metrics = (*METRICS, LargestError)
    policy = arm_policy()
    reports = []
    for name, frames in (('short', 20), ('long', 40)):
        bag = write_arm(tmp_path / name, frames)
        evaluation = evaluate_bag(
            bag,
            [Contestant('a', policy, policy.config, {})] * 2,
            map_topics(read_topics(bag), policy.config, TopicChoice()),
            load_arm(ARM),
            EvaluationConfig(),
            clock=lambda: 0.0,
            metrics=metrics,
        )
        other = {'policy': {'name': 'b'}, **evaluation.report['compare']}
        reports.append({'bag': name, 'arm': 'so101', **evaluation.report, 'compare': other})
    merged = conclude({'arm': 'so101', **merge(reports, metrics)}, metrics)
    expected = {'max': max(r['largest_error']['max'] for r in reports), 'frames': 19 + 39}
    assert merged['largest_error'] == expected
    assert merged['compare']['largest_error'] == expected
    assert any('Once it is off by' in text for text in merged['findings'])


def test_every_metric_fills_the_keys_that_it_names_alone_and_in_sums(tmp_path):
    bag = write_arm(tmp_path / 'arm', 20)
    policy = arm_policy()
    evaluation = evaluate_bag(
        bag,
        [Contestant('a', policy, policy.config, {})],
        map_topics(read_topics(bag), policy.config, TopicChoice()),
        load_arm(ARM),
        EvaluationConfig(),
        clock=lambda: 0.0,
    )
    report = {'bag': 'arm', 'arm': 'so101', **evaluation.report}
    merged = merge([report, report])
    named = [key for metric in METRICS for key in metric.keys]
    assert len(named) == len(set(named))
    assert report.keys() | merged.keys() <= KEYS.keys() | set(named)
    for metric in METRICS:
        for content in (report, merged):
            assert all(text.endswith('.') for text in metric.keys.values())
            assert set(metric.keys) <= set(content)
            assert all(isinstance(row, Row) for row in metric.rows(content))
    for name, errors in report['mean_absolute_error'].items():
        assert merged['mean_absolute_error'][name] == pytest.approx(errors)


HANDS = ActionSpace('joint_position', ('kLeftHandIndex', 'kRightHandIndex'))
G1 = load_arm(ARM.parent / 'g1.yaml')


def events_of(opening, chunk_of, steps=4, cut=None):
    """Gripper events of what an operator did, a row per frame, and of a policy's chunks."""
    setting = Setting(HANDS, steps, PERIOD, G1, np.ones(2), EvaluationConfig(), None, None, {})
    metric = GripperEvents(setting)
    for k in range(1, len(opening)):
        if k == cut:
            metric.cut()
        future = opening[np.minimum(np.arange(k, k + steps), len(opening) - 1)]
        chunk = ActionChunk(k * PERIOD, PERIOD, np.array(chunk_of(k, future), float))
        valid = np.ones(steps, bool)
        metric.add(ComparedFrame(chunk, future, valid, opening[k - 1], opening[k - 1], False))
    return metric.summary()['gripper_events']


def handover(frames=60, at=30):
    """The left hand opens as the right one closes: their mean never moves."""
    left = (np.arange(frames) >= at).astype(float)
    return np.stack([left, 1 - left], 1)


def test_a_handover_is_an_event_of_each_gripper_and_holding_foresees_none_of_them():
    events = events_of(handover(), lambda k, future: future)
    assert (events['recorded'], events['met'], events['predicted']) == (2, 2, 2)
    assert {name: row['met'] for name, row in events['by_gripper'].items()} == {
        'left': 1,
        'right': 1,
    }
    for name in ('hold_action', 'hold_state'):
        assert events[name]['met'] == events[name]['predicted'] == 0


@settings(max_examples=40)
@given(st.lists(st.integers(3, 12), min_size=1, max_size=6), st.integers(2, 6))
def test_whoever_repeats_what_was_done_one_step_before_foresees_nothing(lengths, steps):
    sides = np.repeat(np.arange(len(lengths)) % 2, lengths).astype(float)
    opening = np.stack([sides, sides], 1)
    previous = {k: opening[k - 1] for k in range(1, len(opening))}
    copied = events_of(opening, lambda k, future: np.repeat(previous[k][None], steps, 0), steps)
    known = events_of(opening, lambda k, future: future, steps)
    assert copied['met'] == copied['predicted'] == 0
    assert copied['recorded'] == known['recorded']
    assert known['met'] == known['predicted'] == known['recorded']


def test_what_differs_across_a_cut_is_no_movement():
    whole = events_of(handover(), lambda k, future: future)
    apart = events_of(handover(), lambda k, future: future, cut=30)
    assert (whole['recorded'], apart['recorded']) == (2, 0)


def test_a_movement_that_the_operator_does_not_make_is_counted_once_however_long_it_is_said():
    opening = handover()

    def says(k, future):
        return np.where(10 <= k < 16, 1 - future, future) if k < 20 else future

    events = events_of(opening, says)
    assert events['met'] == 2
    assert events['predicted'] == 4


def test_fingers_of_one_hand_are_one_gripper_and_hands_are_two():
    scale = GripperScale(ActionSpace('joint_position', G1.joints.names), G1)
    assert list(scale.grippers) == ['left', 'right']
    assert sum(len(places) for places in scale.grippers.values()) == len(scale.indices) == 12
    chunk = np.tile(G1.joints.max_position, (5, 1))
    assert scale.openings(chunk) == pytest.approx(np.ones((5, 2)))
