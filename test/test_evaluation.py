# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation says of known policies what is known of them, and the same every time."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from arm_recordings import (
    ARM,
    CAMERA,
    FRAMES,
    JOINTS,
    PERIOD,
    START,
    STEPS,
    arm_policy,
    run_command,
    wanted,
    write_arm,
)

from ros2_gridsampler.acting.action_chunk import ActionChunk
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import read_messages, read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.evaluating.critical_error import warped_error
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.evaluation_report import check_gate, merge, read_gate, verdict
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice, load_topic_choice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.prediction import Prediction

CONFIG = arm_policy().config


class Operator:
    """A policy that commands what the operator will, `late` seconds late and `off` by so much."""

    def __init__(self, late=0.0, off=0.0):
        self.late, self.off = late, off

    def predict(self, observation):
        due = observation.time - self.late + PERIOD * np.arange(STEPS)
        return Prediction(ActionChunk(observation.time, PERIOD, wanted(due) + self.off), {})


class Holder:
    """A policy that has learned to stay where it is."""

    def predict(self, observation):
        targets = np.repeat(observation.joints[None], STEPS, 0)
        return Prediction(ActionChunk(observation.time, PERIOD, targets), {})


def evaluate(bag, *backends, choice=None, config=None, **options):
    contestants = [Contestant(f'{i}', backend, CONFIG, {}) for i, backend in enumerate(backends)]
    topics = map_topics(read_topics(bag), CONFIG, choice or TopicChoice())
    ticks = iter(range(10**9))
    return evaluate_bag(
        bag,
        contestants,
        topics,
        load_arm(ARM),
        config or EvaluationConfig(latency_ms=20.0),
        clock=lambda: float(next(ticks)),
        **options,
    )


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_arm(tmp_path_factory.mktemp('bags') / 'arm')


def test_a_policy_that_does_what_the_operator_did_has_no_error_and_beats_both_baselines(bag):
    report = evaluate(bag, Operator()).report
    assert report['frames'] == FRAMES
    assert report['frames_compared'] == FRAMES - 1, 'the first frame has no action before it'
    assert max(report['mean_absolute_error']['policy']) < 1e-9
    assert report['beats_hold_state']
    assert report['beats_hold_action']
    assert report['critical_interval_mse'] < 1e-12
    foreseen = {
        'recorded': 1, 'predicted': 1, 'met': 1, 'lateness_s': {'median': 0.0, 'largest': 0.0}
    }  # fmt: skip
    nothing = {'recorded': 1, 'predicted': 0, 'met': 0, 'lateness_s': None}
    assert report['gripper_events'] == {
        **foreseen,
        'hold_action': nothing,
        'hold_state': nothing,
        'by_gripper': {'gripper': foreseen},
    }
    assert report['problems'] == []
    assert verdict({**report, 'complete': True}).startswith('The policy beats')


def test_a_policy_that_holds_the_state_scores_as_that_baseline_and_does_not_beat_it(bag):
    report = evaluate(bag, Holder()).report
    error = report['mean_absolute_error']
    assert error['policy'] == pytest.approx(error['hold_state'], abs=1e-9)
    assert not report['beats_hold_state']
    assert verdict(report).startswith('Not good')


def test_baselines_are_what_their_names_say(bag):
    times = START + PERIOD * np.arange(FRAMES)
    error = evaluate(bag, Operator()).report['mean_absolute_error']
    for step in range(STEPS):
        whole = times[1 : FRAMES - step]
        target = wanted(whole + step * PERIOD)
        assert error['hold_action'][step] == pytest.approx(
            np.abs(wanted(whole - PERIOD) - target).mean(), abs=1e-9
        )
        assert error['hold_state'][step] == pytest.approx(
            np.abs(wanted(whole - 0.1) - target).mean(), abs=1e-9
        )


def test_the_later_a_policy_closes_the_gripper_the_larger_its_critical_error(bag):
    delays = (-0.3, 0.0, 0.05, 0.1, 0.3)
    reports = [evaluate(bag, Operator(late=late)).report for late in delays]
    errors = [report['critical_interval_mse'] for report in reports]
    assert errors[1:] == sorted(errors[1:])
    lateness = [report['gripper_events']['lateness_s'] for report in reports]
    assert [late['median'] for late in lateness[:-1]] == pytest.approx(delays[:-1], abs=1e-3)
    # A chunk lasts 0.2 s: whoever is later than that has said nothing before the operator did it.
    assert lateness[-1] is None


def test_only_frames_near_a_movement_of_the_gripper_are_critical_unless_a_file_says_so(bag):
    config = EvaluationConfig(latency_ms=20.0)
    near = evaluate(bag, Operator(), config=config).report['critical_frames']
    moving = 0.6 + config.critical.window
    expected = (config.critical.before + config.critical.after + moving) / PERIOD
    assert near == pytest.approx(expected, abs=4)
    given = evaluate(bag, Operator(), intervals=[(0.0, 0.5), (3.0, 3.2)]).report
    assert given['critical_intervals'] == 'given'
    assert given['critical_frames'] == pytest.approx(0.7 / PERIOD, abs=2)


def test_warping_is_squared_error_for_equal_timing_and_less_for_a_shift():
    generator = np.random.default_rng(1)
    chunk = np.cumsum(generator.normal(size=(4, 12, 3)), 1)
    assert warped_error(chunk, chunk) == pytest.approx(0)
    apart = warped_error(chunk, chunk + 5.0)
    assert (apart <= 25.0 + 1e-9).all()
    shifted = np.roll(chunk, 1, 1)
    shifted[:, 0] = chunk[:, 0]
    assert (warped_error(chunk, shifted) < ((chunk - shifted) ** 2).mean((1, 2))).all()
    # Symmetric, and both ends stay together.
    assert warped_error(chunk, shifted) == pytest.approx(warped_error(shifted, chunk))


def test_warping_is_the_best_of_all_ways(bag):
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=(2, 4, 1))

    def best(i, j):
        here = float((a[i, 0] - b[j, 0]) ** 2)
        if i == j == 0:
            return here
        ways = []
        if i:
            ways.append(best(i - 1, j) + here)
        if j:
            ways.append(best(i, j - 1) + here)
        if i and j:
            ways.append(best(i - 1, j - 1) + 2 * here)
        return min(ways)

    assert warped_error(a[None], b[None])[0] == pytest.approx(best(3, 3) / 8)


def test_slower_inference_gives_older_commands_more_skipped_frames_and_in_the_end_misses(bag):
    config = EvaluationConfig(latency_ms=20.0, injected_ms=(60.0, 120.0, 250.0, 600.0))
    rows = list(evaluate(bag, Operator(), config=config).report['deadlines'].values())
    assert [*evaluate(bag, Operator(), config=config).report['deadlines']] == [
        '20', '60', '120', '250', '600'
    ]  # fmt: skip
    ages = [row['age_ms']['p50'] for row in rows if row['age_ms']]
    assert ages == sorted(ages)
    assert [row['frames_skipped'] for row in rows] == sorted(r['frames_skipped'] for r in rows)
    assert rows[0]['deadline_misses'] == 0
    # A chunk lasts 0.2 s: after 0.6 s of thinking it is over before it begins.
    assert rows[-1]['deadline_misses'] > 0
    for row, latency in zip(rows, (20.0, *config.injected_ms), strict=True):
        assert row['chunks_used'] + row['frames_skipped'] <= FRAMES
        if row['age_ms']:
            assert row['age_ms']['p50'] >= latency


def test_no_seam_of_a_consistent_policy_jumps_and_no_command_needs_the_filter(bag):
    report = evaluate(bag, Operator()).report
    assert report['seams']['count'] > 50
    assert report['seams']['jump']['max'] < 0.01
    steady = evaluate(bag, Operator(off=0.0)).report['filter_interventions']
    wild = evaluate(bag, Operator(off=1.0)).report['filter_interventions']
    assert wild['commands'] > steady['commands']
    assert wild['by_limit']['position'] > 0


def test_two_policies_on_the_same_frames_differ_by_what_they_differ(bag):
    report = evaluate(bag, Operator(), Operator(off=0.01)).report
    drift = report['compare']['drift']['mean_absolute_difference']
    assert drift == pytest.approx([0.01] * STEPS)
    same = evaluate(bag, Operator(), Operator()).report['compare']
    assert max(same['drift']['mean_absolute_difference']) == 0
    assert same['mean_absolute_error'] == report['mean_absolute_error']


def test_policies_that_read_other_cameras_are_not_compared(bag):
    other = dataclasses.replace(CONFIG, resolution=(640, 480))
    contestants = [
        Contestant('a', Operator(), CONFIG, {}),
        Contestant('b', Operator(), other, {}),
    ]
    topics = map_topics(read_topics(bag), CONFIG, TopicChoice())
    with pytest.raises(ValueError, match='something else than a, namely resolution'):
        evaluate_bag(
            bag, contestants, topics, load_arm(ARM), EvaluationConfig(), clock=lambda: 0.0
        )


def test_many_bags_weigh_by_their_frames(tmp_path, bag):
    short = write_arm(tmp_path / 'short', 30)
    reports = [
        {'bag': name, **evaluate(path, Operator(off=off)).report}
        for name, path, off in (('long', bag, 0.01), ('short', short, 0.03))
    ]
    merged = merge(reports)
    assert merged['frames'] == FRAMES + 30
    expected = np.average([0.01, 0.03], weights=[FRAMES - 1, 29])
    assert merged['mean_absolute_error_overall']['policy'] == pytest.approx(expected)
    assert merged['seams']['count'] == sum(r['seams']['count'] for r in reports)
    assert merge(reports[:1]) == reports[0]
    nothing = [{**report, 'frames_compared': 0} for report in reports]
    assert verdict(merge(nothing)).startswith('No verdict')


def test_a_gate_names_what_does_not_hold_and_refuses_what_no_report_has(tmp_path, bag):
    report = evaluate(bag, Operator(off=0.02)).report
    gate = tmp_path / 'gate.yaml'
    gate.write_text(
        'mean_absolute_error_overall.policy: {max: 0.01}\n'
        'mean_absolute_error.policy.0: {max: 1.0}\n'
        'beats_hold_state: {equals: true}\n'
        'gripper_events.met: {min: 1}\n'
    )
    (text,) = check_gate(report, read_gate(gate))
    assert text.startswith('mean_absolute_error_overall.policy is 0.0')
    with pytest.raises(ValueError, match="no 'nothing' there"):
        check_gate(report, {'nothing.at.all': {'max': 1}})
    empty = {**report, 'frames_compared': 0}
    texts = check_gate(empty, {'mean_absolute_error.policy.0': {'max': 1}, 'frames': {'min': 1}})
    (text,) = texts
    assert text.startswith('mean_absolute_error.policy.0: No verdict: the recording has no action')
    for wrong in (
        'frames: {about: 3}',
        'frames: {max: null}',
        'frames: {max: abc}',
        'frames: {min: true}',
        'frames: {min: .nan}',
        '3: {max: 1}',
    ):
        gate.write_text(wrong)
        with pytest.raises(ValueError, match='max, min or equals'):
            read_gate(gate)


def test_topics_that_are_obvious_are_guessed_and_others_asked_for(tmp_path, bag):
    recorded = read_topics(bag)
    topics = map_topics(recorded, CONFIG, TopicChoice())
    assert topics.streams.cameras == {'front': CAMERA}
    assert topics.labels.action == '/arm/joint_trajectory'
    assert len(topics.guessed) == 4
    two = {**recorded, '/other/joint_trajectory': 'trajectory_msgs/msg/JointTrajectory'}
    with pytest.raises(ValueError, match='Which topic is action'):
        map_topics(two, CONFIG, TopicChoice())
    assert map_topics(two, CONFIG, TopicChoice(action='/arm/joint_trajectory')) is not None
    blind = {topic: kind for topic, kind in recorded.items() if topic != CAMERA}
    with pytest.raises(ValueError, match='no topic of type Image'):
        map_topics(blind, CONFIG, TopicChoice())
    silent = {topic: kind for topic, kind in recorded.items() if topic != '/instruction'}
    assert map_topics(silent, CONFIG, TopicChoice(fixed_instruction='go')) is not None
    file = tmp_path / 'topics.yaml'
    file.write_text(yaml.safe_dump({'cameras': {'front': CAMERA}, 'action': '/nowhere'}))
    with pytest.raises(ValueError, match=r'/nowhere, which is not in the bag'):
        map_topics(recorded, CONFIG, load_topic_choice(file))
    file.write_text('acton: /typo\n')
    with pytest.raises(ValueError, match='keys among'):
        load_topic_choice(file)


def test_where_no_command_was_recorded_the_way_that_the_arm_went_may_serve(bag):
    choice = TopicChoice(action='/joint_states')
    report = evaluate(bag, Operator(late=0.1), choice=choice).report
    assert max(report['mean_absolute_error']['policy']) < 1e-9


def test_the_command_gives_the_same_report_twice_resumes_and_keeps_the_gate(tmp_path, capsys):
    """In this process and on two workers; one story, because workers are slow to start."""
    save_checkpoint(arm_policy(), tmp_path / 'policy', training={}, results={})
    bags = tmp_path / 'bags'
    write_arm(bags / 'good', 25)
    broken = write_arm(bags / 'cut', 25)
    (file,) = broken.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: int(0.8 * file.stat().st_size)])
    (bags / 'garbage').mkdir()
    (bags / 'garbage/garbage.mcap').write_bytes(b'nothing')
    arguments = ((bags,), tmp_path / 'policy')
    assert run_command(*arguments, tmp_path / 'first') == 1
    assert 'garbage failed' in capsys.readouterr().err
    distributed = pytest.importorskip(
        'distributed', reason='dask is not installed; pip install .[evaluate]'
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        jobs = cluster.scheduler_address
        assert run_command(*arguments, tmp_path / 'second', jobs=jobs) == 1
    for name in ('report.json', 'good/report.json', 'cut/report.json'):
        one, other = (tmp_path / out / name for out in ('first', 'second'))
        assert one.read_bytes() == other.read_bytes(), name
    report = json.loads((tmp_path / 'first/report.json').read_text())
    assert report['bags'] == ['cut', 'good']
    assert report['failed'] == ['garbage']
    assert not report['complete']
    assert any('could be read, the rest is lost' in text for text in report['problems'])
    for key in (
        *('verdict', 'frames', 'mean_absolute_error', 'beats_hold_state', 'beats_hold_action'),
        *('seams', 'filter_interventions', 'streams', 'latency_ms'),
    ):
        assert key in report

    # What is done is not done again: a mark in the page would be gone.
    page = tmp_path / 'first/good/report.html'
    page.write_text('kept')
    gate = tmp_path / 'gate.yaml'
    gate.write_text('frames: {min: 1000}\n')
    capsys.readouterr()
    assert run_command(*arguments, tmp_path / 'first', gate=gate) == 2
    assert 'gate: frames is' in capsys.readouterr().err
    assert page.read_text() == 'kept'
    assert run_command((bags / 'cut',), tmp_path / 'policy', tmp_path / 'part') == 1
    partly = {'allow_partial': True}
    assert run_command((bags / 'cut',), tmp_path / 'policy', tmp_path / 'part', **partly) == 0


def test_the_bag_of_predictions_holds_recorded_topics_chunks_and_pictures(tmp_path):
    from ros2_gridsampler.evaluating.evaluation_task import PredictionBag
    from ros2_gridsampler.seeing.camera_message import decode_image

    bag = write_arm(tmp_path / 'arm', 12)
    policy = arm_policy()
    contestant = Contestant('a', policy, policy.config, {})
    topics = map_topics(read_topics(bag), CONFIG, TopicChoice())
    with BagWriter(tmp_path / 'out') as writer:
        evaluate_bag(
            bag,
            [contestant],
            topics,
            load_arm(ARM),
            EvaluationConfig(),
            clock=lambda: 0.0,
            listeners=[PredictionBag(writer, [contestant])],
        )
    before = [(m.topic, m.time, m.serialised) for m in read_messages(bag)]
    messages = list(read_messages(tmp_path / 'out'))
    after = [(m.topic, m.time, m.serialised) for m in messages if 'evaluation' not in m.topic]
    assert after == before
    chunks = [m.message for m in messages if m.topic == '/evaluation/action_chunk']
    assert len(chunks) == 12
    assert list(chunks[0].joint_names) == list(JOINTS)
    assert len(chunks[0].points) == STEPS
    pictures = [m for m in messages if m.topic == '/evaluation/sampled_points/compressed']
    assert len(pictures) == 12
    assert decode_image(pictures[0].message).shape == (128, 128, 3)
