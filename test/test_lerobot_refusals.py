# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Odd checkpoints of lerobot are driven rightly, or refused in a sentence; nothing is guessed."""

import dataclasses
import json
import os
import shutil
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

os.environ.setdefault('HF_HUB_OFFLINE', '1')
pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
import lerobot_policies as small
from lerobot.configs.types import FeatureType, PolicyFeature
from safetensors.torch import load_file, save_file
from test_lerobot_checkpoints import act_folder, change_json, run, smolvla_folder, write_robot
from test_plugins_lerobot import demonstrations, folder_of, recipe, simulated_robot  # noqa: F401

from ros2_gridsampler.engines.eager import Eager
from ros2_gridsampler.engines.engine import EngineRefused, Settings
from ros2_gridsampler.policy.manifest import BadCheckpoint
from ros2_gridsampler.vla.lerobot_checkpoint import (
    ROBOT,
    LerobotModel,
    hash_files,
    save_model_folder,
)
from ros2_gridsampler.vla.lerobot_config import golden_observation
from ros2_gridsampler.vla.lerobot_engines import compile_policy
from ros2_gridsampler.vla.lerobot_folder import CONFIG, WEIGHTS
from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy, adopt, load_lerobot_policy
from ros2_gridsampler.vla.lerobot_training import with_statistics
from ros2_gridsampler.vla.robot import load_robot

pytestmark = pytest.mark.filterwarnings('ignore')
ON_CPU = Settings(device='cpu')


@pytest.fixture(scope='module')
def vlm(tmp_path_factory):
    return small.language_model(tmp_path_factory.mktemp('vlm'))


def folder_with(folder, features=None, statistics=None, cameras=True):
    """An ACT whose features or statistics are otherwise than those of the small one."""
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    settings = small.config('act')
    if not cameras:
        for name in small.CAMERAS.values():
            del settings.input_features[name]
    settings.input_features.update(features or {})
    found = small.statistics(7) | (statistics or {})
    own = get_policy_class('act')(settings).eval()
    before, after = make_pre_post_processors(settings, dataset_stats=found)
    save_model_folder(LerobotModel(own, before, after, None, None), folder)
    return folder


# Sentences


def test_pi05_takes_sentences_that_fit_with_its_state_and_no_longer_ones(vlm, monkeypatch):
    small.shrink_pi(monkeypatch, 'pi05', vlm)
    own = small.policy('pi05', vlm)
    policy = LerobotPolicy(small.model('pi05', vlm, None, None, own), small.robot(str(vlm)))
    (tokenizer,) = (s for s in policy.model.preprocess.steps if hasattr(s, 'input_tokenizer'))
    policy.check_instruction('pick up the bowl')
    alone = ' '.join(['pick'] * (tokenizer.max_length - 2))
    assert len(tokenizer.input_tokenizer(alone)['input_ids']) < tokenizer.max_length
    with pytest.raises(ValueError, match='reads at most 40.* Say it in fewer words'):
        policy.check_instruction(alone)


def test_a_sentence_is_checked_while_another_thread_predicts(vlm, tmp_path):
    policy = adopt(smolvla_folder(tmp_path / 'policy', vlm), small.robot(str(vlm)))
    golden = dataclasses.replace(golden_observation(policy.config), instruction='pick up')
    wanted = policy.batch(golden)['observation.language.tokens']
    over, failed = threading.Event(), []

    def check():
        try:
            while not over.is_set():
                policy.check_instruction('pick up the bowl')
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        for _ in range(200):
            found = policy.batch(golden)['observation.language.tokens']
            assert torch.equal(found, wanted)
    finally:
        over.set()
        thread.join()
    assert not failed


# Folders


@pytest.mark.parametrize('value', [None, {}, []])
def test_a_config_without_actions_is_refused(value, tmp_path):
    folder = act_folder(tmp_path / 'policy')
    change_json(folder / CONFIG, lambda content: content.update(output_features=value))
    with pytest.raises(BadCheckpoint, match='cannot be loaded by lerobot: .* Copy the folder'):
        adopt(folder, small.robot())


def test_a_policy_that_reads_what_nobody_measures_is_refused(tmp_path):
    name = 'observation.environment_state'
    numbers = {'mean': torch.zeros(4), 'std': torch.ones(4)}
    feature = {name: PolicyFeature(FeatureType.ENV, (4,))}
    folder = folder_with(tmp_path / 'policy', feature, {name: numbers})
    with pytest.raises(BadCheckpoint, match='state of its environment .* train it on pictures'):
        adopt(folder, small.robot())
    assert not (folder / ROBOT).exists()


@pytest.mark.parametrize('text', ['{"base', '[]'])
def test_an_adapter_whose_config_is_torn_is_refused_by_the_name_of_its_file(text, tmp_path):
    folder = act_folder(tmp_path / 'policy')
    (folder / WEIGHTS).unlink()
    (folder / 'adapter_config.json').write_text(text)
    with pytest.raises(BadCheckpoint, match=r'adapter_config\.json .* [Cc]opy the folder again'):
        adopt(folder, small.robot())


def test_weights_of_eight_bits_do_not_become_a_policy(tmp_path):
    folder = act_folder(tmp_path / 'policy')
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name, each in tensors.items() if each.is_floating_point())
    for dtype in (torch.int8, torch.float8_e4m3fn):
        save_file(tensors | {name: tensors[name].to(dtype)}, folder / WEIGHTS)
        with pytest.raises(BadCheckpoint, match=f'{dtype}, not in floating point'):
            adopt(folder, small.robot())


def test_a_language_model_in_a_folder_of_another_machine_is_named(vlm, tmp_path):
    folder = smolvla_folder(tmp_path / 'policy', vlm)
    away = str(tmp_path / 'not here' / 'smolvlm')
    change_json(folder / CONFIG, lambda content: content.update(vlm_model_name=away))
    with pytest.raises(BadCheckpoint, match='not on this machine.* as language_model'):
        adopt(folder, small.robot())


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'resolution': (0, 480)}, 'resolution is 0 px, expected at least 1 px'),
        ({'resolution': (100000, 480)}, 'at most 16384 px'),
        ({'period': float('inf')}, 'period is inf s'),
        ({'period': 0.0}, 'period is 0.0 s, expected more than 0 s'),
    ],
)
def test_a_robot_that_cannot_be_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(small.robot(), **change)


def test_a_language_model_is_found_beside_the_file_of_the_robot_or_missed_in_a_sentence(
    vlm, tmp_path, capsys
):
    folder = smolvla_folder(tmp_path / 'policy', vlm)
    away = str(tmp_path / 'not here')
    change_json(folder / CONFIG, lambda content: content.update(vlm_model_name=away))
    described = tmp_path / 'robots'
    described.mkdir()
    robot = write_robot(described / 'robot.yaml', small.robot('words'))
    status, said = run(capsys, 'adopt', folder, robot)
    assert status == 1
    assert f'language model in {folder / "words"}, which is no folder here' in said
    # lerobot itself says something before.
    assert [line[:13] for line in said.splitlines()].count('gridsampler: ') == 1
    shutil.copytree(vlm, described / 'words')
    status, said = run(capsys, 'adopt', folder, robot)
    assert status == 0, said
    load_lerobot_policy(folder)


def test_a_joint_that_is_named_twice_is_refused(tmp_path):
    robot = write_robot(tmp_path / 'robot.yaml', small.robot())
    robot.write_text(robot.read_text().replace('thumb', 'finger'))
    with pytest.raises(ValueError, match=r"\['finger'\] are named twice"):
        load_robot(robot)


@pytest.mark.parametrize('golden', [[], [[0.0] * 7], [[0.0] * 7] * 5 + [[0.0]]])
def test_a_golden_chunk_of_another_shape_is_refused(golden, tmp_path):
    folder = act_folder(tmp_path / 'policy')
    adopt(folder, small.robot())
    change_json(folder / ROBOT, lambda content: content.update(golden_actions=golden))
    with pytest.raises(BadCheckpoint, match='golden chunk .* shape'):
        load_lerobot_policy(folder)


def test_a_file_is_hashed_in_parts(tmp_path):
    with (tmp_path / WEIGHTS).open('wb') as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        hash_files(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


# Engines


class WrongFromTheThirdCall(Eager):
    """Right as long as it is tried out by itself."""

    def session(self, files, signature, settings, source):
        inside = super().session(files, signature, settings, source)
        calls = []

        def run(arrays):
            calls.append(1)
            found = dict(inside.run(arrays))
            if len(calls) > 2:
                found['actions'] = found['actions'] + 5
            return found

        return SimpleNamespace(run=run)


@pytest.mark.parametrize('deviation', [0.1, 0.0])
def test_an_engine_is_compared_where_an_action_never_changed(deviation, tmp_path):
    numbers = {'mean': torch.full((7,), 0.3), 'std': torch.full((7,), 0.1)}
    numbers['std'][0] = deviation
    policy = adopt(folder_with(tmp_path / 'policy', statistics={'action': numbers}), small.robot())
    compile_policy(policy, [Eager()], ON_CPU, strict=True)
    with pytest.raises(EngineRefused, match='its chunks are off by'):
        compile_policy(policy, [WrongFromTheThirdCall()], ON_CPU, strict=True)


def test_cameras_whose_names_end_alike_are_two_on_an_engine(tmp_path):
    cameras = {'left': 'observation.images.left.rgb', 'right': 'observation.images.right.rgb'}
    colours = {'mean': torch.zeros(3, 1, 1), 'std': torch.ones(3, 1, 1)}
    features = {name: PolicyFeature(FeatureType.VISUAL, (3, 96, 128)) for name in cameras.values()}
    folder = folder_with(
        tmp_path / 'policy', features, dict.fromkeys(cameras.values(), colours), cameras=False
    )
    policy = adopt(folder, dataclasses.replace(small.robot(), cameras=cameras))
    compile_policy(policy, [Eager()], ON_CPU, strict=True)


@pytest.mark.parametrize('empty', [0, 1])
def test_an_engine_takes_a_policy_without_its_absent_camera(empty, vlm, tmp_path):
    folder = smolvla_folder(tmp_path / 'policy', vlm, empty_cameras=empty)
    front, wrist = small.CAMERAS.items()
    robot = dataclasses.replace(
        small.robot(str(vlm)), cameras=dict([wrist]), absent_cameras=(front[1],)
    )
    policy = adopt(folder, robot)
    engine = compile_policy(policy, [Eager()], ON_CPU, strict=True)
    golden = golden_observation(policy.config)
    here, there = (each.predict(golden).chunk.targets for each in (policy, engine))
    np.testing.assert_allclose(there, here, atol=2e-5)


# Training


def test_relative_actions_are_normalised_as_offsets_from_the_state(vlm, monkeypatch):
    small.shrink_pi(monkeypatch, 'pi0', vlm)
    settings = dataclasses.replace(small.config('pi0', vlm), use_relative_actions=True)
    settings.input_features['observation.state'] = PolicyFeature(FeatureType.STATE, (7,))
    draw = np.random.default_rng(0)
    state = draw.normal(3.0, 1.0, (400, 7))
    chunks = state[:, None] + draw.normal(0.2, 0.01, (400, 6, 7))
    model = LerobotModel(SimpleNamespace(config=settings), None, None, None, None)
    pictures = np.zeros((2, 96, 128, 3), np.uint8)
    made = with_statistics(model, state, chunks, pictures)
    batch = made.preprocess(
        {
            'observation.state': torch.from_numpy(state).float(),
            'action': torch.from_numpy(chunks).float(),
            'task': ['pick'] * 400,
        }
    )
    assert batch['action'].mean().abs() < 0.05
    assert batch['action'].std() == pytest.approx(1.0, abs=0.05)


def test_what_is_not_fine_tuned_here_and_the_base_itself_as_output_are_refused(
    tmp_path,
    demonstrations,  # noqa: F811
):
    from ros2_gridsampler.training.fine_tune import fine_tune

    base = folder_of('act', None, tmp_path / 'base')
    adopt(base, simulated_robot(''))
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    with pytest.raises(FileExistsError, match='holds a policy of lerobot.*name a new folder'):
        fine_tune(base, recipe(None, 1), demonstrations, base, tmp_path / 'cache')
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before
    kept = json.loads((base / CONFIG).read_text())
    features = {name: kept[name] for name in ('input_features', 'output_features')}
    (base / CONFIG).write_text(json.dumps({'type': 'diffusion', **features}))
    change_json(base / ROBOT, lambda content: content['sha256'].update(hash_files(base)))
    with pytest.raises(BadCheckpoint, match="is of type 'diffusion'.* not trained here"):
        fine_tune(base, recipe(None, 1), demonstrations, tmp_path / 'run', tmp_path / 'cache')
    assert not (tmp_path / 'run').exists()
