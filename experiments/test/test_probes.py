# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The probes find what is in the features, and nothing where there is nothing."""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

import cattrs
import cv2
import numpy as np
import pytest
import torch
import yaml
from camera_bags import SIDE, TOPIC, TWIST, write_bag

from experiments.compare_encoders import Comparison, table
from experiments.labelled_pictures import read_idx, read_labelled
from experiments.probes import (
    bootstrap,
    probe_classes,
    probe_places,
    read_places,
    ridge,
)
from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.bags.observation_replay import StreamTopics
from ros2_gridsampler.datasets.episodes import ActionTopics, EpisodeConfig
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder, save_encoder
from ros2_gridsampler.encoders.probe_scores import Score, read_scores
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.seeing.observation import ObservationConfig
from ros2_gridsampler.simulation import arm_messages

PREPARATION = ImagePreparation(SIDE, SIDE)
FASHION = Path('/usr/share/datasets/fashion-mnist')
EPISODES = EpisodeConfig(
    ObservationConfig({'agentview': PREPARATION}, (SIDE, SIDE), ('panda_finger_joint1',), True),
    StreamTopics({'agentview': TOPIC}, pose=arm_messages.POSE),
    ActionTopics(*TWIST, arm_messages.LANDMARKS),
    ActionSpace('end_effector_twist', TWIST_NAMES, arm_messages.BASE_FRAME),
    steps=2,
    period=0.05,
)


@pytest.fixture(scope='module')
def encoder():
    """Untrained: a plain projection of the patches is enough for these pictures."""
    torch.manual_seed(0)
    return Encoder(EncoderConfig(SIDE, SIDE, patch=8, width=32, depth=1, heads=2, stem=())).eval()


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Eight episodes of a spot and an arm that is where the spot is."""
    folder = tmp_path_factory.mktemp('bags')
    return [write_bag(folder / f'spot_{seed}', seed, frames=30) for seed in range(8)]


def class_folders(folder, count=40):
    """Bright-left and bright-right pictures."""
    generator = np.random.default_rng(0)
    for side in ('left', 'right'):
        (folder / side).mkdir(parents=True)
        for number in range(count):
            image = generator.integers(0, 100, (20, 20, 3), dtype=np.uint8)
            half = slice(0, 10) if side == 'left' else slice(10, 20)
            image[:, half] += 100
            cv2.imwrite(str(folder / side / f'{number:03d}.png'), image)
    return folder


def test_the_place_of_a_thing_is_read_from_the_map_and_not_from_the_sentence(
    encoder, bags, tmp_path
):
    places, names = read_places(bags, EPISODES, tmp_path, every=1)
    assert names == [bag.name for bag in bags]
    scores = probe_places(encoder, places, np.array([6, 7]))
    found = {(score.probe, score.features): score for score in scores}
    blind, seen = found['gripper', 'none'], found['gripper', 'map']
    # One pixel is 1 cm; uniform over 26 px in two directions, the middle is 10 cm off.
    assert 8 < blind.value < 12
    assert seen.value < 0.4 * blind.value
    assert seen.interval[0] <= seen.value <= seen.interval[1]
    assert seen.samples == 2
    assert found['object', 'map'].value == pytest.approx(seen.value, rel=0.01)


def test_held_out_bags_with_an_unknown_instruction_are_refused(encoder, bags, tmp_path):
    places, _ = read_places(bags, EPISODES, tmp_path, every=10)
    for held_out in ([], list(range(8))):
        with pytest.raises(ValueError, match='give more bags'):
            probe_places(encoder, places, np.array(held_out, np.int64))


def test_what_leaves_nothing_to_fit_is_refused(encoder, bags, tmp_path):
    with pytest.raises(ValueError, match='every must be at least 1'):
        read_places(bags, EPISODES, tmp_path, every=0)
    places, _ = read_places(bags, EPISODES, tmp_path, every=10)
    one = dataclasses.replace(places, sentence=np.zeros_like(places.sentence))
    with pytest.raises(ValueError, match='at least two of them'):
        probe_places(encoder, one, np.arange(7))
    with pytest.raises(ValueError, match='One episode is held out'):
        bootstrap(np.ones(1))


@pytest.mark.parametrize(
    ('methods', 'seeds', 'compute'),
    [((), (0,), 1e9), (('mae',), (), 1e9), (('mae',), (0,), float('inf')), (('mae',), (0,), 0.0)],
)
def test_a_comparison_of_nothing_is_refused(methods, seeds, compute):
    with pytest.raises(ValueError, match='compare nothing'):
        Comparison(methods, seeds, compute)


def test_ridge_in_its_dual_is_ridge():
    generator = np.random.default_rng(0)
    features, asked = generator.normal(size=(60, 5)), generator.normal(size=(9, 5))
    truth = generator.normal(size=(5, 2))
    noisy = features @ truth + 1e-3 * generator.normal(size=(60, 2))
    answers = ridge(features, noisy, np.repeat(np.arange(6), 10), asked)
    np.testing.assert_allclose(answers, asked @ truth, atol=0.02)


def test_the_interval_over_episodes_covers_the_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = bootstrap(generator.normal(3, 1, 40))[1]
        covered += low <= 3 <= high
    assert 0.88 < covered / 200 < 0.99


def test_the_table_gives_mean_and_interval_over_seeds_beside_what_no_picture_tells():
    def scores(value):
        none = Score('gripper', 'none', 9.0, 'cm', (8.0, 10.0), 5)
        return [none, Score('gripper', 'map', value, 'cm', (0.0, 9.0), 5)]

    rows = table({'mae': [scores(3.0), scores(4.0), scores(5.0)]}, {'mae': 2e12}).splitlines()
    assert rows[0] == '| method | seeds | TFLOP | gripper, map [cm] |'
    assert rows[2] == '| no picture |  |  | 9.00 |'
    # Student's t for two degrees of freedom: 4.303 * 1 / sqrt(3).
    assert rows[3] == '| mae | 3 | 2.000 | 4.00 ± 2.48 |'


def test_classes_of_a_folder_are_told_apart_and_shuffled_labels_are_not(encoder, tmp_path):
    fit, measure = read_labelled(class_folders(tmp_path / 'pictures'), PREPARATION, 1000)
    assert len(fit.labels) == 60
    assert len(measure.labels) == 20
    linear, near = probe_classes(encoder, fit, measure)
    assert linear.value == 100
    assert near.value > 80
    assert linear.interval[0] > 80
    np.random.default_rng(0).shuffle(fit.labels)
    assert probe_classes(encoder, fit, measure)[0].value < 90


def test_fashion_mnist_is_read(encoder):
    if not FASHION.exists():
        pytest.skip('dataset-fashion-mnist is not installed; apt-get install it')
    fit, measure = read_labelled(FASHION, PREPARATION, 300)
    assert len(fit.labels) == len(measure.labels) == 300
    assert fit.images.shape[1:] == (SIDE, SIDE, 3)
    linear, near = probe_classes(encoder, fit, measure)
    # Ten classes: guessing is right in 10%.
    assert min(linear.interval[0], near.interval[0]) > 20


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'nothing', 'cannot be read'),
        # Without the time, or the processes that share the tests would have others.
        (gzip.compress(b'\0\0\x0d\1\0\0\0\1', mtime=0), 'no IDX file of bytes'),
        (gzip.compress(b'\0\0\x08\1\0\0\0\5abc', mtime=0), '3 bytes, 5 were announced'),
        (gzip.compress(b'\0\0\x08\1\0\0\0\3abc', mtime=0)[:-6], 'cannot be read'),
    ],
)
def test_a_damaged_file_of_labels_is_refused(tmp_path, data, reason):
    path = tmp_path / 'labels.gz'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_idx(path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match='nor a recording nor folders of pictures'):
        read_labelled(tmp_path, PREPARATION, 10)
    with pytest.raises(ValueError, match='no folder'):
        read_labelled(tmp_path / 'nowhere', PREPARATION, 10)
    folder = class_folders(tmp_path / 'pictures', count=4)
    (folder / 'left' / '001.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='is no PNG or JPEG'):
        read_labelled(folder, PREPARATION, 10)


def probe(*arguments):
    """`python -m experiments.probes` in a process of its own."""
    return subprocess.run(
        [sys.executable, '-m', 'experiments.probes', *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_probes_what_the_data_is_and_never_bags_of_the_pretraining(
    encoder, bags, tmp_path
):
    recipe = tmp_path / 'recipe.yaml'
    content = {'episodes': cattrs.unstructure(EPISODES), 'encoder': {}, 'trunk': {}}
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    names = [bag.name for bag in bags]
    for name, seen in (
        ('clean', {'bags': []}),
        ('leaky', {'bags': names}),
        ('adapted', {'bags': [], 'adapted on': names}),
    ):
        save_encoder(
            encoder,
            tmp_path / name,
            preparation=PREPARATION,
            method='untrained',
            loss_weights={},
            steps=0,
            compute=0.0,
            training=seen,
            results={},
        )
    data = ('--data', bags[0].parent, class_folders(tmp_path / 'pictures'))
    common = ('--recipe', recipe, '--cache', tmp_path, '--held-out', 0.3)
    out = tmp_path / 'out.json'
    result = probe('--encoder', tmp_path / 'clean', *data, *common, '--json', out, '--keep')
    assert result.returncode == 0, result.stderr
    scores = json.loads(out.read_text())['scores']
    assert {score['unit'] for score in scores} == {'%', 'cm'}
    assert len(scores) == 2 + 9
    kept = read_scores(load_encoder(tmp_path / 'clean')[1])
    assert [json.loads(json.dumps(cattrs.unstructure(score))) for score in kept] == scores
    assert {score.data for score in kept} == {'pictures', bags[0].parent.name}
    for name in ('leaky', 'adapted'):
        result = probe('--encoder', tmp_path / name, *data, *common)
        assert result.returncode == 1
        assert 'was trained on' in result.stderr
        assert 'Traceback' not in result.stderr
