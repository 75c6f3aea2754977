# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording whose clock was set is judged as its stretches are, each by itself."""

import pytest
from arm_recordings import CAMERA, FRAMES, PERIOD, START, write_arm
from test_bag_reader import TOPICS, buffer, write
from test_evaluation import Holder, evaluate

from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import read_messages, read_serialised
from ros2_gridsampler.bags.bag_writer import BagWriter, serialise
from ros2_gridsampler.bags.observation_replay import read_observations
from ros2_gridsampler.evaluating.bag_survey import look_at
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.metrics import Deadlines

HALF = START + FRAMES // 2 * PERIOD


def set_clock(source, target, seconds, *, log=True, stamps=True, at=HALF):
    """Copy a bag as if the clock had been set by so much at `at` [s]."""
    with BagWriter(target) as writer:
        for m in read_messages(source):
            later = m.time >= at - 1e-6
            header = getattr(m.message, 'header', None)
            if header is not None and stamps and later:
                nanoseconds = header.stamp.sec * 10**9 + header.stamp.nanosec
                moved = divmod(nanoseconds + round(seconds * 1e9), 10**9)
                header.stamp.sec, header.stamp.nanosec = moved
            time = m.time + seconds * (log and later)
            data = serialise(m.message)
            writer.write_serialised(m.topic, m.type, data, time, latched=header is None)
    return target


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return write_arm(tmp_path_factory.mktemp('whole') / 'arm')


@pytest.mark.parametrize('seconds', [-2.0, -0.4, 5.0, -60.0])
def test_stretches_are_judged_as_if_the_clock_had_gone_on(tmp_path, whole, seconds):
    expected = evaluate(whole, Holder()).report
    report = evaluate(set_clock(whole, tmp_path / 'set', seconds), Holder()).report
    assert report['frames'] == expected['frames'] == FRAMES
    # Each stretch has a first frame without an action before it, and a last one without targets.
    assert report['frames_compared'] >= expected['frames_compared'] - 3
    for key in ('policy', 'hold_state', 'hold_action'):
        error = report['mean_absolute_error_overall'][key]
        assert error == pytest.approx(expected['mean_absolute_error_overall'][key], rel=0.1)
    assert report['streams']['action']['out_of_order'] == 0
    assert (report['complete'], expected['complete']) == (False, True)
    # What may be a pause stays one: only a clock that was set back is undone.
    length = expected['duration_s'] + max(0.0, seconds)
    assert report['duration_s'] == pytest.approx(length, abs=0.1)
    (problem,) = [text for text in report['problems'] if 'the clock' in text]
    assert f'{abs(seconds):.2f} s' in problem
    place = float(problem.split()[0])
    assert place == pytest.approx(FRAMES // 2 * PERIOD, abs=0.1)


@pytest.mark.parametrize('seconds', [-2.0, 3.0])
def test_stamps_that_step_while_log_times_go_on_are_found(tmp_path, whole, seconds):
    report = evaluate(set_clock(whole, tmp_path / 'set', seconds, log=False), Holder()).report
    (problem,) = [text for text in report['problems'] if 'the clock' in text]
    assert f'was set {"back" if seconds < 0 else "forward"} by {abs(seconds):.2f} s' in problem
    assert '/joint_states' in problem
    assert report['frames'] >= FRAMES - 3


@pytest.mark.parametrize('seconds', [-2.0, 3.0])
def test_a_clock_of_the_recorder_alone_makes_no_stream_old(tmp_path, whole, seconds):
    bag = set_clock(whole, tmp_path / 'set', seconds, stamps=False)
    report = evaluate(bag, Holder()).report
    assert report['frames'] == FRAMES
    offsets = report['streams']['joint states']['log_minus_header_ms']
    assert offsets['max'] == pytest.approx(4, abs=1.5)


def test_a_camera_that_was_silent_is_no_reason_for_a_faster_engine(tmp_path, whole):
    with BagWriter(tmp_path / 'silent') as writer:
        for m in read_messages(whole):
            if not (m.topic == CAMERA and HALF - 1.0 < m.time < HALF):
                latched = m.topic == '/instruction'
                writer.write_serialised(m.topic, m.type, m.serialised, m.time, latched=latched)
    config = EvaluationConfig(latency_ms=20.0, injected_ms=(600.0,))
    report = evaluate(tmp_path / 'silent', Holder(), config=config).report
    quick, slow = report['deadlines']['20'], report['deadlines']['600']
    # A chunk lasts 0.2 s, so of the 1.0 s some 0.8 s are without an action, 40 commands.
    assert quick['deadline_misses'] == quick['misses_without_frame']
    assert quick['misses_without_frame'] == pytest.approx(40, abs=4)
    assert slow['deadline_misses'] > slow['misses_without_frame']
    fast = {**report, 'deadlines': {'20': quick}}
    assert [text.split(' no frame')[0] for text in Deadlines.findings(fast)] == [
        f'For {quick["deadline_misses"]} of {quick["commands"]} commands'
    ]


@pytest.mark.parametrize('seconds', [-2.0, 5.0])
def test_a_clock_that_was_set_is_in_the_table_of_bags_to_train_on(tmp_path, whole, seconds):
    bag = set_clock(whole, tmp_path / 'set', seconds)
    streams = {'camera front': CAMERA, 'joint states': '/joint_states'}
    before, after = (look_at(path, streams, [CAMERA]) for path in (whole, bag))
    assert not [text for text in before.problems if 'the clock' in text]
    (problem,) = [text for text in after.problems if 'the clock was set' in text]
    assert f'{abs(seconds):.2f} s' in problem
    assert before.counts == after.counts


def test_training_refuses_a_bag_whose_clock_was_set_back(tmp_path):
    bag = set_clock(write(tmp_path / 'bag'), tmp_path / 'set', -0.4, at=1.5)
    with pytest.raises(DamagedBag, match='the clock was set back by 0.40 s'):
        list(read_observations(bag, TOPICS, buffer()))
    assert len({m.stretch for m in read_serialised(bag)}) == 2
