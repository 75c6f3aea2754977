# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pretraining: exact to resume, the same on one process and on two, refused in a sentence."""

import dataclasses
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cattrs
import cv2
import numpy as np
import pytest
import torch
import yaml
from camera_bags import SIDE, TOPIC, write_bag

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build
from ros2_gridsampler.datasets.frames import FrameConfig, store_frames
from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS, load_encoder
from ros2_gridsampler.policy.encoder import cut_patches
from ros2_gridsampler.policy.manifest import MANIFEST, BadCheckpoint
from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.seeing.calibration import ImagePreparation, prepare_image
from ros2_gridsampler.seeing.camera_message import decode_image
from ros2_gridsampler.training.mi_mae import METHODS, MiMaeConfig
from ros2_gridsampler.training.pretrain_config import (
    PretrainConfig,
    forward_operations,
    is_held_out,
    with_compute,
)
from ros2_gridsampler.training.pretrain_encoder import pretrain, read_log
from ros2_gridsampler.training.recipe import read_recipe
from ros2_gridsampler.training.run_state import STATE

PLAIN = EncoderConfig(SIDE, SIDE, patch=8, width=16, depth=1, heads=2, stem=())
CONFIG = PretrainConfig(
    FrameConfig(ImagePreparation(SIDE, SIDE)),
    MiMaeConfig(PLAIN, decoder_width=16, decoder_depth=1, likelihood_width=8, projection=8),
    views=32,
    steps=6,
    learning_rate=3e-3,
    held_out=0.3,
    device='cpu',
    log_every=1,
)
STEM = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(
        CONFIG.model, encoder=dataclasses.replace(PLAIN, stem=(4, 8), stem_within_patches=True)
    ),
)


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Five bags of 12 frames, of which some are held out."""
    folder = tmp_path_factory.mktemp('bags')
    written = [write_bag(folder / f'spot_{seed}', seed) for seed in range(5)]
    assert 0 < sum(is_held_out(bag.name, 0.3) for bag in written) < 4
    return written


@pytest.fixture(autouse=True)
def signals():
    """A run takes SIGINT and SIGTERM; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope='module')
def finished(bags, tmp_path_factory):
    """A finished run with a stem."""
    out = tmp_path_factory.mktemp('run')
    return pretrain(STEM, bags, out, out / 'cache'), out


def log(folder):
    """The logged losses by step."""
    lines = [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]
    return {line['step']: line for line in lines}


def test_frames_are_stored_as_the_policy_would_see_them(bags, tmp_path):
    small = FrameConfig(ImagePreparation(16, 16, crop=(0, 0, 0.5, 1)), every=5)
    store = store_frames(bags, small, tmp_path)
    assert len(store) == 5 * 3
    recorded = list(read_messages(bags[1], (TOPIC,)))[5].message
    expected = prepare_image(decode_image(recorded), small.preparation)
    np.testing.assert_array_equal(store.images(np.array([4]))[0], expected)
    again = store_frames(bags, small, tmp_path)
    np.testing.assert_array_equal(again.images(np.arange(15)), store.images(np.arange(15)))


def test_frames_of_a_real_robot_are_read(shared_bag, tmp_path):
    bag = shared_bag('g1_real_bottle_small/001')
    store = store_frames([bag], FrameConfig(ImagePreparation(64, 48), every=40), tmp_path)
    assert len(store) > 3
    assert store.images(np.arange(len(store))).std() > 20


def test_a_run_that_got_sigterm_goes_on_to_the_same_losses(bags, tmp_path):
    config = dataclasses.replace(STEM, steps=60)
    whole = pretrain(config, bags, tmp_path / 'whole', tmp_path / 'cache')

    def stop_soon():
        while not (tmp_path / 'cut' / 'log.jsonl').exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_soon, daemon=True).start()
    with pytest.raises(InterruptedError, match='Stopped at step'):
        pretrain(config, bags, tmp_path / 'cut', tmp_path / 'cache')
    assert 0 < max(log(tmp_path / 'cut')) < 60
    resumed = pretrain(config, bags, tmp_path / 'cut', tmp_path / 'cache')
    assert log(tmp_path / 'cut') == log(tmp_path / 'whole')
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_mixed_precision_learns_nearly_the_same_and_keeps_whole_weights(bags, tmp_path):
    runs = {}
    for precision in ('32-true', 'bf16-mixed'):
        config = dataclasses.replace(STEM, precision=precision)
        encoder = pretrain(config, bags, tmp_path / precision, tmp_path / 'cache')
        assert {p.dtype for p in encoder.parameters()} == {torch.float32}
        runs[precision] = read_log(tmp_path / precision)
    whole, mixed = (np.array([line['reconstruction'] for line in run]) for run in runs.values())
    assert np.abs(mixed / whole - 1).max() < 0.02
    assert (mixed != whole).any(), 'nothing was computed in bfloat16'
    manifest = json.loads((tmp_path / 'bf16-mixed' / MANIFEST).read_text())
    assert manifest['training']['precision'] == 'bf16-mixed'
    looked_at = manifest['training']['recordings']
    assert looked_at['pictures'] == manifest['training']['frames']
    assert looked_at['dark_episodes'] == looked_at['left_out'] == []


def test_two_processes_have_the_losses_of_one(bags, tmp_path):
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(cattrs.unstructure(CONFIG)))))
    pretrain(CONFIG, bags, tmp_path / 'one', tmp_path / 'cache')
    torchrun = ['torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    command = ['pretrain', recipe, *bags, '--out', tmp_path / 'two']
    result = subprocess.run(
        [sys.executable, '-m', *torchrun, '-m', 'ros2_gridsampler.command_line', *command],
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1]), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    one, two = log(tmp_path / 'one'), log(tmp_path / 'two')
    terms = ('reconstruction', 'infonce', 'vclub')
    described = {f'{term} [{unit}]' for term in terms for unit in ('bits', 'share')}
    assert set(one[6]) == {'step', *terms, 'likelihood', *described}
    assert sum(one[6][f'{term} [share]'] for term in terms) == pytest.approx(1, abs=1e-4)
    for step in range(1, 7):
        # The bound of a fresh q is about 0, so its last digits are noise.
        assert two[step] == pytest.approx(one[step], rel=1e-3, abs=1e-3), step
    assert load_encoder(tmp_path / 'two')[1].training['pictures_per_step'] == 8


def test_a_stem_is_not_shared_by_processes_on_a_cpu(bags, tmp_path, monkeypatch):
    # What torchrun sets for the first of two processes; the refusal comes before they meet.
    for name, value in {'LOCAL_WORLD_SIZE': '2', 'WORLD_SIZE': '2'}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match='on CPUs use one process, or an encoder with stem'):
        pretrain(STEM, bags, tmp_path / 'run', tmp_path / 'cache')


@pytest.mark.parametrize('method', METHODS)
def test_equal_compute_means_equal_operations_and_masked_views(method):
    config = dataclasses.replace(CONFIG, model=CONFIG.model.as_method(method))
    assert config.pictures * config.model.masks == config.views
    budget = 50.4 * forward_operations(CONFIG)
    spent = with_compute(config, budget).steps * forward_operations(config)
    assert abs(spent - budget) <= 0.5 * forward_operations(config)
    with pytest.raises(ValueError, match='do not last for a step'):
        with_compute(config, 1000)


def test_the_encoder_comes_back_as_it_was_saved(finished):
    encoder, out = finished
    loaded, manifest = load_encoder(out)
    assert manifest.method == 'mi_mae'
    assert manifest.steps == 6
    assert manifest.compute == 6 * forward_operations(STEM)
    assert not any(is_held_out(bag, 0.3) for bag in manifest.training['bags'])
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert (out / 'config.yaml').read_text().count('infonce: 0.1') == 1
    assert read_recipe(out / 'config.yaml', PretrainConfig) == STEM


def test_the_norms_of_the_stem_are_those_of_whole_pictures(finished, bags):
    encoder, out = finished
    training = [bag for bag in bags if not is_held_out(bag.name, 0.3)]
    store = store_frames(training, STEM.frames, out / 'cache')
    images = torch.from_numpy(store.images(np.arange(len(store))))
    tiles = cut_patches(images, 8).flatten(0, 1)
    pixels = (tiles.permute(0, 3, 1, 2).float() / 255 - encoder._mean) / encoder._deviation
    first, norm = encoder.patch_embed.stem[:2]
    torch.testing.assert_close(
        norm.running_mean, first(pixels).mean((0, 2, 3)), atol=3e-3, rtol=3e-3
    )


def test_the_run_is_drawn(finished):
    _, out = finished
    for name in ('losses.png', 'reconstructions.png'):
        drawn = cv2.imread(str(out / name))
        assert drawn.std() > 5
        assert min(drawn.shape[:2]) > 200


@pytest.mark.parametrize(
    ('edit', 'reason'),
    [
        (lambda m: m.pop('compute'), 'compute'),
        (lambda m: m['encoder'].pop('patch'), 'lacks fields'),
        (lambda m: m.update(surprise=1), 'surprise'),
        (lambda m: m.update(format=9), 'format 9'),
        (lambda m: m['encoder'].update(depth=2), 'does not fit'),
        (lambda m: m.update(encoder_sha256='0' * 64), 'not the one'),
        (lambda m: m.update(weights_sha256='0' * 64), 'changed or cut'),
        (lambda m: m['golden_features'].__setitem__(0, 9.0), 'other features'),
    ],
)
def test_an_encoder_that_does_not_agree_with_its_manifest_is_refused(
    finished, tmp_path, edit, reason
):
    content = json.loads((finished[1] / MANIFEST).read_text())
    edit(content)
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    (tmp_path / ENCODER_WEIGHTS).write_bytes((finished[1] / ENCODER_WEIGHTS).read_bytes())
    with pytest.raises(BadCheckpoint, match=reason):
        load_encoder(tmp_path)


def test_a_policy_is_no_encoder(request):
    with pytest.raises(BadCheckpoint, match=ENCODER_WEIGHTS):
        load_encoder(request.config.rootpath / 'models' / 'libero_spatial')


def test_a_folder_with_another_run_is_not_gone_on_with(finished, bags):
    other = dataclasses.replace(STEM, steps=7, seed=3)
    with pytest.raises(ValueError, match='another recipe \\(seed, steps differ\\)'):
        pretrain(other, bags, finished[1], finished[1] / 'cache')


def test_bags_without_the_camera_are_refused_by_name(bags, tmp_path):
    with BagWriter(tmp_path / 'blind') as writer:
        writer.write('/instruction', build('std_msgs/msg/String', data='go'), 1.0)
    with pytest.raises(ValueError, match='blind has no pictures on any topic; its camera topics'):
        store_frames([tmp_path / 'blind'], CONFIG.frames, tmp_path)
    elsewhere = dataclasses.replace(CONFIG.frames, topics=('/front',))
    with pytest.raises(ValueError, match=f"on \\['/front'\\]; its camera topics are \\['{TOPIC}"):
        store_frames(bags, elsewhere, tmp_path)
    everything = dataclasses.replace(CONFIG, held_out=1.0)
    with pytest.raises(ValueError, match='All 5 bags are held out'):
        pretrain(everything, bags, tmp_path / 'run', tmp_path)
    greedy = dataclasses.replace(CONFIG, views=4000)
    with pytest.raises(ValueError, match='frames, a step takes 1000'):
        pretrain(greedy, bags, tmp_path / 'greedy', tmp_path)


def test_a_run_that_never_began_binds_nobody(bags, tmp_path):
    with BagWriter(tmp_path / 'blind') as writer:
        writer.write('/instruction', build('std_msgs/msg/String', data='go'), 1.0)
    short, run = dataclasses.replace(CONFIG, steps=2), tmp_path / 'run'
    with pytest.raises(ValueError, match='leave this bag out'):
        pretrain(short, [*bags, tmp_path / 'blind'], run, tmp_path / 'cache')
    pretrain(short, bags, run, tmp_path / 'cache')


def test_a_finished_run_of_an_older_version_knows_its_bags_from_its_manifest(bags, tmp_path):
    short, run = dataclasses.replace(CONFIG, steps=2), tmp_path / 'run'
    pretrain(short, bags, run, tmp_path / 'cache')
    (run / 'bags.json').unlink()
    with pytest.raises(ValueError, match=r'another recipe \(bags differ\)'):
        pretrain(short, bags[:-1], run, tmp_path / 'cache')
    assert not (run / 'bags.json').exists()


def test_a_folder_in_which_a_policy_is_trained_is_left_alone(bags, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'config.json').write_text('{}')
    with pytest.raises(ValueError, match='holds the training of a policy'):
        pretrain(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')


def test_a_run_goes_on_with_the_bags_that_it_began_with(bags, tmp_path):
    short, run = dataclasses.replace(CONFIG, steps=2), tmp_path / 'run'
    pretrain(short, bags, run, tmp_path / 'cache')
    (run / MANIFEST).unlink()
    with pytest.raises(ValueError, match=r'another recipe \(bags differ\)'):
        pretrain(short, bags[:-1], run, tmp_path / 'cache')
    pretrain(short, bags, run, tmp_path / 'cache')
    (run / 'config.yaml').write_text('')
    with pytest.raises(ValueError, match=r'config\.yaml is of no such run'):
        pretrain(short, bags, run, tmp_path / 'cache')


def test_a_state_that_cannot_be_written_is_one_sentence_and_spoils_nothing(bags, tmp_path):
    pretrain(dataclasses.replace(CONFIG, steps=2), bags, tmp_path / 'run', tmp_path / 'cache')
    state = (tmp_path / 'run' / STATE).read_bytes()
    (tmp_path / 'run' / 'config.yaml').unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(state) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match='state of step 6 could not be written .* Free some'):
            pretrain(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / 'run' / STATE).read_bytes() == state


def test_a_disk_full_of_frames_is_one_sentence(bags, tmp_path, full_disk):
    store_frames(bags, CONFIG.frames, tmp_path / 'cache')
    (frames,) = [path for path in (tmp_path / 'cache').iterdir() if path.is_dir()]
    (frames / 'index.json').unlink()
    full_disk(frames / 'frames.bin')
    with pytest.raises(OSError, match=r'disk of .* is full; free some space, keep fewer frames'):
        store_frames(bags, CONFIG.frames, tmp_path / 'cache')
    assert not (frames / 'index.json').exists()


def test_a_torn_line_of_the_log_does_not_cost_the_encoder(bags, tmp_path):
    out = tmp_path / 'run'
    pretrain(dataclasses.replace(CONFIG, steps=4), bags, out, tmp_path / 'cache')
    log = out / 'log.jsonl'
    whole = log.read_bytes()
    torn = whole[: len(whole) - 9] + b'\xff{"step": 99\n'
    log.write_bytes(torn + whole.splitlines(keepends=True)[0])
    assert [line['step'] for line in read_log(out)] == [1, 2, 3]
    (out / MANIFEST).unlink()
    pretrain(dataclasses.replace(CONFIG, steps=4), bags, out, tmp_path / 'cache')
    assert (out / MANIFEST).exists()


def test_the_published_recipe_masks_three_quarters(request):
    recipe = request.config.rootpath / 'models' / 'recipes' / 'mi_mae_libero.yaml'
    config = read_recipe(recipe, PretrainConfig)
    assert config.model.method == 'mi_mae'
    assert config.model.masks == config.model.parts == 4
    assert math.isclose(config.views / config.pictures, 4)
