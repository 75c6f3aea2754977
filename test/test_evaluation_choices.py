# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Other encoders, heads that continue chunks, the live node: what an evaluation makes of them."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from arm_recordings import ARM, arm_policy, run_command, write_arm

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.chunk_schedule import ScheduleConfig
from ros2_gridsampler.bags.bag_reader import read_serialised, read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder_manifest, save_encoder
from ros2_gridsampler.evaluating import evaluation_task
from ros2_gridsampler.evaluating.command_replay import CommandConfig
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.live_answers import LiveAnswers, Unanswered
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.manifest import golden_observation

FRAMES = 15


@pytest.fixture
def policy(tmp_path):
    save_checkpoint(arm_policy(), tmp_path / 'policy', training={}, results={})
    return tmp_path / 'policy'


@pytest.fixture
def bag(tmp_path):
    return write_arm(tmp_path / 'arm', FRAMES)


def write_encoder(folder, encoder, preparation):
    save_encoder(
        encoder,
        folder,
        preparation=preparation,
        method='mae',
        loss_weights={},
        steps=1,
        compute=1.0,
        training={},
        results={},
    )
    return folder


def read_report(out):
    return json.loads((out / 'report.json').read_text())


def test_the_own_encoder_changes_nothing_and_another_one_drifts(tmp_path, policy, bag):
    config = arm_policy().config
    own = write_encoder(tmp_path / 'own', arm_policy().encoder, config.preparation)
    torch.manual_seed(7)
    other = write_encoder(tmp_path / 'other', Encoder(config.encoder), config.preparation)
    plain, swapped, compared = (tmp_path / name for name in ('plain', 'swapped', 'compared'))
    quick = {'bag': False}
    assert run_command((bag,), policy, plain, **quick) == 0
    assert run_command((bag,), policy, swapped, encoder=own, **quick) == 0
    assert run_command((bag,), policy, compared, compare_encoder=other, **quick) == 0

    before, same = read_report(plain), read_report(swapped)
    assert same['policy']['name'] == 'policy with own'
    assert same['mean_absolute_error'] == before['mean_absolute_error']
    report = read_report(compared)
    assert report['mean_absolute_error'] == before['mean_absolute_error']
    its = report['compare']['policy']
    assert its['name'] == 'policy with other'
    assert its['weights_sha256'] == report['policy']['weights_sha256']
    assert its['encoder_sha256'] == load_encoder_manifest(other).encoder_sha256
    assert its['encoder_sha256'] != report['policy']['encoder_sha256']
    assert min(report['compare']['drift']['mean_absolute_difference']) > 0


def test_a_recorder_with_another_clock_changes_nothing_where_the_stamps_are_believed(
    tmp_path, policy, bag
):
    shifted = tmp_path / 'shifted'
    with BagWriter(shifted) as writer:
        for m in read_serialised(bag):
            writer.write_serialised(m.topic, m.type, m.message, m.time + 7200)
    quick = {'bag': False, 'time': 'header'}
    assert run_command((bag,), policy, tmp_path / 'one', **quick) == 0
    assert run_command((shifted,), policy, tmp_path / 'other', **quick) == 0
    one, other = read_report(tmp_path / 'one'), read_report(tmp_path / 'other')
    assert other['mean_absolute_error'] == one['mean_absolute_error']
    assert other['duration_s'] == one['duration_s'] == pytest.approx((FRAMES - 1) * 0.05)


def test_a_stream_that_is_in_no_file_that_is_there_may_be_in_those_that_are_missing(
    tmp_path, policy, bag, capsys
):
    metadata = bag / 'metadata.yaml'
    text = metadata.read_text().replace('- arm.mcap', '- arm.mcap\n  - arm_1.mcap')
    metadata.write_text(text)
    assert run_command((bag,), policy, tmp_path / 'out', bag=False, action='/gone') == 1
    assert 'Files of the bag are missing: arm_1.mcap' in capsys.readouterr().err


def test_the_arm_is_guessed_where_only_one_has_the_joints(tmp_path, policy, bag, capsys):
    assert run_command((bag,), policy, tmp_path / 'out', arm='', bag=False) == 0
    assert 'guessed arm: so101' in capsys.readouterr().out
    assert read_report(tmp_path / 'out')['arm'] == load_arm(ARM).name


def test_metadata_that_was_repaired_is_evaluated_again(tmp_path, policy, bag):
    metadata = bag / 'metadata.yaml'
    whole = metadata.read_text()
    metadata.write_text(whole.replace(f'message_count: {FRAMES}\n', 'message_count: 99\n'))
    assert run_command((bag,), policy, tmp_path / 'out', bag=False) == 1
    metadata.write_text(whole)
    assert run_command((bag,), policy, tmp_path / 'out', bag=False) == 0


def test_the_report_of_several_bags_is_not_taken_for_that_of_one(tmp_path, policy, bag):
    other, out = write_arm(tmp_path / 'other', FRAMES), tmp_path / 'out'
    assert run_command((bag,), policy, out, bag=False) == 0
    alone = (out / 'report.json').read_bytes()
    assert run_command((bag, other), policy, out, bag=False) == 0
    assert read_report(out)['bags'] == ['arm', 'other']
    assert run_command((bag,), policy, out, bag=False) == 0
    assert (out / 'report.json').read_bytes() == alone


def test_a_bag_that_fails_keeps_no_older_result(tmp_path, policy, bag):
    out = tmp_path / 'out'
    assert run_command((bag,), policy, out, bag=False) == 0
    assert {'report.html', 'report.json', 'measured.json'} <= {path.name for path in out.iterdir()}
    (bag / 'arm.mcap').write_bytes(b'')
    assert run_command((bag,), policy, out, bag=False) == 1
    assert [path.name for path in out.iterdir()] == ['failed.json']


def test_where_every_bag_fails_no_older_report_stands_for_them(tmp_path, policy, bag):
    other, out = write_arm(tmp_path / 'other', FRAMES), tmp_path / 'out'
    assert run_command((bag, other), policy, out, bag=False) == 0
    for each in (bag, other):
        (each / f'{each.name}.mcap').write_bytes(b'')
    assert run_command((bag, other), policy, out, bag=False) == 1
    assert not (out / 'report.json').exists()
    assert json.loads((out / 'failed.json').read_text()).keys() == {'arm', 'other'}


def test_what_nobody_foresaw_fails_one_bag_alone(tmp_path, policy, bag, monkeypatch, capsys):
    other, out = write_arm(tmp_path / 'other', FRAMES), tmp_path / 'out'
    really = evaluation_task.evaluate_bag

    def sometimes(path, *arguments, **options):
        if path == bag:
            raise IndexError('nobody foresaw this')
        return really(path, *arguments, **options)

    monkeypatch.setattr(evaluation_task, 'evaluate_bag', sometimes)
    assert run_command((bag, other), policy, out, bag=False) == 1
    assert json.loads((out / 'failed.json').read_text()).keys() == {'arm'}
    assert read_report(out)['bags'] == ['other']
    assert 'nobody foresaw this' in capsys.readouterr().out


def test_an_encoder_of_another_architecture_is_refused(tmp_path, policy, bag):
    config = arm_policy().config
    deeper = dataclasses.replace(config.encoder, depth=config.encoder.depth + 1)
    folder = write_encoder(tmp_path / 'deeper', Encoder(deeper), config.preparation)
    with pytest.raises(ValueError, match='train the policy on this encoder'):
        run_command((bag,), policy, tmp_path / 'out', encoder=folder)


class Listener:
    """Keeps the chunks."""

    def __init__(self):
        self.chunks = []

    def message(self, recorded):
        pass

    def prediction(self, now, observation, predictions):
        self.chunks.append(predictions[0].chunk)


def evaluate(bag, contestant, **schedule):
    listener = Listener()
    evaluation = evaluate_bag(
        bag,
        [contestant],
        map_topics(read_topics(bag), contestant.config, TopicChoice()),
        load_arm(ARM),
        EvaluationConfig(
            latency_ms=20.0,
            commands=CommandConfig(schedule=ScheduleConfig(blend_time=0.0, **schedule)),
        ),
        clock=lambda: 0.0,
        listeners=[listener],
    )
    return evaluation, listener.chunks


@pytest.mark.parametrize(('head', 'continues'), [('direct', False), ('flow', True)])
def test_offline_too_a_chunk_begins_with_what_is_commanded_until_it_comes(bag, head, continues):
    policy = arm_policy(head=head)
    contestant = Contestant('a', policy, policy.config, {})
    chunks = evaluate(bag, contestant)[1]
    free = evaluate(bag, contestant, continue_chunks=False)[1]

    def changes(chunks):
        # As live, the arm follows after three good predictions; until then nothing is under way.
        pairs = itertools.pairwise(chunks[4:])
        return [np.abs(new.targets[0] - old.at(new.start_time)).max() for old, new in pairs]

    jumps, free_jumps = changes(chunks), changes(free)
    assert min(free_jumps) > 1e-4
    assert (max(jumps) < 1e-6) == continues


def test_frames_that_a_live_node_did_not_answer_are_told_and_not_compared(bag):
    policy = arm_policy()
    contestant = Contestant('a', policy, policy.config, {})
    chunks = evaluate(bag, contestant)[1]
    targets = {round(1e6 * c.start_time): c.targets + 0.125 for c in chunks[::2]}
    live = LiveAnswers(policy, targets, {'total': [0.01, 0.02]})
    evaluation, seen = evaluate(bag, dataclasses.replace(contestant, backend=live))
    assert [c.start_time for c in seen] == [c.start_time for c in chunks[::2]]
    assert evaluation.report['frames'] == len(chunks[::2])
    missing = len(chunks) - len(chunks[::2])
    assert any(
        f'did not answer {missing} frames' in text for text in evaluation.report['problems']
    )
    summary = live.summary()
    assert summary['largest_difference'] == pytest.approx(0.125)
    assert summary['frames_unanswered'] == missing
    assert summary['stages_ms']['total']['max'] == pytest.approx(20.0)
    with pytest.raises(Unanswered):
        LiveAnswers(policy, {}, {}).predict(golden_observation(policy.config))


@pytest.mark.timeout(900)
def test_the_live_node_answers_a_bag_as_an_evaluation_in_one_process_does(
    ros_domain, tmp_path, policy, bag
):
    assert run_command((bag,), policy, tmp_path / 'here', bag=False) == 0
    assert run_command((bag,), policy, tmp_path / 'live', bag=False, real_time=True) == 0
    here, live = read_report(tmp_path / 'here'), read_report(tmp_path / 'live')
    assert live == here
    measured = json.loads((tmp_path / 'live/measured.json').read_text())['live']
    assert measured['frames_answered'] == FRAMES
    assert measured['frames_unanswered'] == 0
    assert measured['largest_difference'] == 0
    assert (tmp_path / 'live/live/policy_node.log').exists()


def test_a_size_that_the_live_node_would_refuse_picture_by_picture_is_refused_at_once(
    ros_domain, bag
):
    from ros2_gridsampler.nodes.live_replay import refuse_other_sizes

    topics = map_topics(read_topics(bag), arm_policy().config, TopicChoice())
    refuse_other_sizes(bag, topics, (96, 72))
    with pytest.raises(ValueError, match='recorded at 96x72, and the live node takes 192x144'):
        refuse_other_sizes(bag, topics, (192, 144))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'compare': 'policy'}, 'leave --real-time, or --compare'),
        ({'jobs': '2'}, '--jobs is 2, not 1'),
        ({'time': 'log'}, "leave --time at 'recorded'"),
    ],
)
def test_what_a_live_node_cannot_do_is_refused(ros_domain, tmp_path, policy, bag, options, words):
    if 'compare' in options:
        options = {'compare': str(policy)}
    with pytest.raises(ValueError, match=words):
        run_command((bag,), policy, tmp_path / 'out', real_time=True, **options)
