# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as people have them: each loads rightly, or one sentence says what helps."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import shlex
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

os.environ.setdefault('HF_HUB_OFFLINE', '1')
pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
import lerobot_policies as small
from safetensors.torch import load_file, save_file
from test_plugins_lerobot import demonstrations  # noqa: F401

from ros2_gridsampler.command_line import main
from ros2_gridsampler.policy.manifest import BadCheckpoint
from ros2_gridsampler.vla.deployed_policy import load_policy
from ros2_gridsampler.vla.lerobot_checkpoint import (
    ROBOT,
    LerobotModel,
    load_model_folder,
    save_model_folder,
)
from ros2_gridsampler.vla.lerobot_config import golden_observation
from ros2_gridsampler.vla.lerobot_folder import WEIGHTS
from ros2_gridsampler.vla.lerobot_policy import adopt, load_lerobot_policy
from ros2_gridsampler.vla.robot import Units, load_robot

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(scope='module')
def vlm(tmp_path_factory):
    return small.language_model(tmp_path_factory.mktemp('vlm'))


def act_folder(folder, **changes):
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    torch.manual_seed(0)
    settings = dataclasses.replace(small.config('act'), **changes)
    own = get_policy_class('act')(settings).eval()
    before, after = make_pre_post_processors(settings, dataset_stats=small.statistics(7))
    save_model_folder(LerobotModel(own, before, after, None, None), folder)
    return folder


def smolvla_folder(folder, vlm, **changes):
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    torch.manual_seed(0)
    settings = dataclasses.replace(small.config('smolvla', vlm), **changes)
    own = get_policy_class('smolvla')(settings).eval()
    before, after = make_pre_post_processors(settings, dataset_stats=small.statistics(7))
    save_model_folder(LerobotModel(own, before, after, None, None), folder)
    return folder


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def golden_chunk(policy):
    return policy.predict(golden_observation(policy.config)).chunk.targets


def run(capsys, *words):
    """Runs a command in this process; returns its exit status and all that it said."""
    status = 0
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    said = capsys.readouterr()
    return status, said.out + said.err


def write_robot(path, robot):
    import cattrs
    import yaml

    path.write_text(yaml.safe_dump(json.loads(json.dumps(cattrs.unstructure(robot)))))
    return path


# Statistics


def without_statistics(folder, *, of='', keep=()):
    """Takes statistics out of the processors' files."""
    for path in folder.glob('policy_*normalizer_processor.safetensors'):
        tensors = load_file(path)
        left = {n: t for n, t in tensors.items() if not n.startswith(of) or n in keep}
        # A file of safetensors may be empty.
        save_file(left, path)
    return folder


@pytest.mark.parametrize('mode', ['MEAN_STD', 'MIN_MAX', 'QUANTILES'])
@pytest.mark.parametrize('lost', ['', 'observation.state', 'action'])
def test_processors_that_lack_statistics_are_refused_with_the_command_that_gives_them(
    mode, lost, tmp_path, capsys
):
    from lerobot.configs.types import NormalizationMode

    statistics = {
        name: {
            **({'mean': [0.5], 'std': [0.25]} if len(v['mean'].shape) == 3 else {}),
            **{k: [s] * len(v['mean']) for k, s in zip(('mean', 'std'), (0.5, 0.25), strict=True)},
            **{k: [s] * len(v['mean']) for k, s in (('min', -1.0), ('max', 3.0))},
            **{k: [s] * len(v['mean']) for k, s in (('q01', -0.5), ('q99', 2.0))},
        }
        for name, v in small.statistics(7).items()
    }
    modes = {k: NormalizationMode[mode] for k in ('STATE', 'ACTION')}
    modes['VISUAL'] = NormalizationMode.IDENTITY
    folder = act_folder(tmp_path / 'act', normalization_mapping=modes)
    without_statistics(folder, of=lost)
    robot = write_robot(tmp_path / 'robot.yaml', small.robot())
    status, said = run(capsys, 'adopt', folder, robot)
    assert status == 1
    assert f'by {mode}' in said
    assert f'gridsampler adopt {folder} ROBOT.yaml --statistics' in said
    assert said.count('\n') == 1
    assert not (folder / ROBOT).exists()
    (tmp_path / 'stats.json').write_text(json.dumps(statistics))
    assert run(capsys, 'adopt', folder, robot, '--statistics', tmp_path / 'stats.json')[0] == 0
    policy, _ = load_lerobot_policy(folder)
    # What the network gives, in the units of the dataset, by lerobot's own formulas.
    model = policy._model
    observation = golden_observation(policy.config)
    raw = policy.features(observation)
    state, scale = (
        raw['observation.state'],
        {
            'MEAN_STD': lambda x: (x - 0.5) / 0.25,
            'MIN_MAX': lambda x: 2 * (x + 1) / 4 - 1,
            'QUANTILES': lambda x: 2 * (x + 0.5) / 2.5 - 1,
        }[mode](raw['observation.state']),
    )
    batch = model.preprocess(raw)
    torch.testing.assert_close(batch['observation.state'][0], scale, atol=1e-5, rtol=1e-5)
    assert not torch.equal(state, scale)


def test_statistics_of_another_arm_are_refused(tmp_path):
    folder = act_folder(tmp_path)
    path = next(folder.glob('policy_postprocessor*.safetensors'))
    save_file({n: t[:6].contiguous() for n, t in load_file(path).items()}, path)
    with pytest.raises(BadCheckpoint, match=r'no usable mean and no std of its 7 numbers'):
        adopt(folder, small.robot())


# Cameras


def test_a_policy_fine_tuned_on_fewer_cameras_drives_without_the_absent_one(vlm, tmp_path):
    from lerobot.configs.types import FeatureType, PolicyFeature

    inputs = small.features(7)['input_features']
    third = 'observation.images.camera3'
    inputs[third] = PolicyFeature(FeatureType.VISUAL, (3, 96, small.SIDE))
    folder = smolvla_folder(tmp_path, vlm, input_features=inputs)
    with pytest.raises(BadCheckpoint, match='under absent_cameras'):
        adopt(folder, small.robot(str(vlm)))
    robot = load_robot(
        write_robot(
            tmp_path / 'robot.yaml',
            dataclasses.replace(small.robot(str(vlm)), absent_cameras=(third,)),
        )
    )
    adopt(folder, robot)
    policy, adoption = load_lerobot_policy(folder)
    assert adoption.robot.absent_cameras == (third,)
    # lerobot leaves the camera out as it did in training: two pictures, not a third black one.
    two = smolvla_folder(tmp_path / 'two', vlm)
    expected = adopt(two, small.robot(str(vlm)))
    np.testing.assert_array_equal(golden_chunk(policy), golden_chunk(expected))


def test_absent_cameras_that_cannot_be_are_refused(vlm, tmp_path):
    folder = act_folder(tmp_path / 'act')
    robot = small.robot()
    wrist = small.CAMERAS['wrist']
    one = dataclasses.replace(
        robot, cameras={'front': small.CAMERAS['front']}, absent_cameras=(wrist,)
    )
    with pytest.raises(BadCheckpoint, match="'act' reads every one of its cameras"):
        adopt(folder, one)
    with pytest.raises(ValueError, match='name each once'):
        dataclasses.replace(robot, absent_cameras=(wrist,))
    with pytest.raises(BadCheckpoint, match='does not look at'):
        adopt(folder, dataclasses.replace(robot, absent_cameras=('observation.images.top',)))


# Adapters


def adapter_folder(folder, base):
    """As lerobot saves a policy that was trained with LoRA: adapter, config, processors."""
    from peft import LoraConfig, get_peft_model

    model = load_model_folder(base, '')
    model.policy.name_or_path = str(base)
    adapted = get_peft_model(
        model.policy, LoraConfig(r=2, target_modules=r'model\.action_head', lora_alpha=8)
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if 'lora_' in name:
                parameter.normal_(std=0.3)
    adapted.save_pretrained(folder)
    save_model_folder(model, folder)
    (folder / WEIGHTS).unlink()
    return folder, adapted


def test_an_adapter_is_merged_into_its_base_and_needs_it_no_more(tmp_path):
    base = act_folder(tmp_path / 'base')
    folder, adapted = adapter_folder(tmp_path / 'adapter', base)
    before = golden_chunk(adopt(base, small.robot()))
    policy = adopt(folder, small.robot())
    batch = policy._model.preprocess(policy.features(golden_observation(policy.config)))
    with torch.no_grad():
        expected = adapted.base_model.model.predict_action_chunk(batch)
        found = policy._model.policy.predict_action_chunk(batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert np.abs(golden_chunk(policy) - before).max() > 1e-3
    (base / WEIGHTS).unlink()
    again, _ = load_lerobot_policy(folder)
    np.testing.assert_array_equal(golden_chunk(again), golden_chunk(policy))


def test_an_adapter_whose_base_is_elsewhere_says_how_to_get_it(tmp_path):
    folder, _ = adapter_folder(tmp_path / 'adapter', act_folder(tmp_path / 'base'))

    def elsewhere(content):
        content['base_model_name_or_path'] = 'lerobot/act_base'

    change_json(folder / 'adapter_config.json', elsewhere)
    with pytest.raises(BadCheckpoint, match=r'hf download lerobot/act_base\)'):
        adopt(folder, small.robot())
    assert not (folder / WEIGHTS).exists()


# Other versions of lerobot


def test_a_checkpoint_before_processors_names_the_migration_and_loads_after_it(tmp_path):
    folder = act_folder(tmp_path / 'old')
    expected = golden_chunk(adopt(act_folder(tmp_path / 'new'), small.robot()))
    tensors = load_file(folder / WEIGHTS)
    for layer, names in (
        ('normalize_inputs', ('observation.state', *small.CAMERAS.values())),
        ('normalize_targets', ('action',)),
        ('unnormalize_outputs', ('action',)),
    ):
        for name in names:
            for statistic, value in small.statistics(7)[name].items():
                key = f'{layer}.buffer_{name.replace(".", "_")}.{statistic}'
                tensors[key] = value.clone()
    save_file(tensors, folder / WEIGHTS)
    for path in folder.glob('policy_*'):
        path.unlink()
    with pytest.raises(BadCheckpoint, match='before lerobot kept') as refusal:
        adopt(folder, small.robot())
    command = str(refusal.value).partition('once: ')[2].partition(';')[0]
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # At the end it asks the hub to look at a model card.
    assert done.returncode == 0 or 'validate-yaml' in done.stderr, done.stderr
    migrated = adopt(tmp_path / 'old_migrated', small.robot())
    np.testing.assert_allclose(golden_chunk(migrated), expected, atol=1e-5)


def test_a_folder_without_processors_that_never_had_others_is_refused(tmp_path):
    folder = act_folder(tmp_path)
    (folder / 'policy_postprocessor.json').unlink()
    with pytest.raises(BadCheckpoint, match=r'no policy_postprocessor\.json; copy the whole'):
        adopt(folder, small.robot())


def test_keys_of_another_version_are_named(tmp_path):
    folder = act_folder(tmp_path)

    def later(content):
        content |= {'rtc_training_max_delay': 4, 'a_later_key': True}

    change_json(folder / 'config.json', later)
    with pytest.raises(BadCheckpoint, match=r"\['a_later_key', 'rtc_training_max_delay'\]"):
        adopt(folder, small.robot())


def test_a_type_that_is_not_known_and_a_value_that_is_not_one_are_refused(tmp_path):
    folder = act_folder(tmp_path)
    change_json(folder / 'config.json', lambda content: content.update(chunk_size='many'))
    with pytest.raises(BadCheckpoint, match=r'cannot be read by lerobot [\d.]+: '):
        adopt(folder, small.robot())
    change_json(folder / 'config.json', lambda content: content.update(type='act7'))
    with pytest.raises(BadCheckpoint, match="type 'act7'"):
        adopt(folder, small.robot())


# Weights


@contextlib.contextmanager
def tiny_pi0():
    """Within it lerobot builds a pi0 of 16 channels; its own sizes are fixed."""
    from lerobot.policies.pi0 import modeling_pi0
    from transformers import PaliGemmaConfig, SiglipVisionConfig

    original = modeling_pi0.PaliGemmaForConditionalGenerationWithPiGemma

    def build(config):
        config.vision_config.projection_dim, config.vision_config.intermediate_size = 16, 32
        return original(config=config)

    def sizes(variant):
        return modeling_pi0.GemmaConfig(
            width=16, depth=2, mlp_dim=32, num_heads=2, num_kv_heads=1, head_dim=8
        )

    def paligemma():
        vision = SiglipVisionConfig(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=14
        )
        config = PaliGemmaConfig(projection_dim=16)
        config.vision_config = vision
        return config

    mapping = {**dict(modeling_pi0.CONFIG_MAPPING.items()), 'paligemma': paligemma}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_pi0, 'get_gemma_config', sizes)
        patch.setattr(modeling_pi0, 'CONFIG_MAPPING', mapping)
        patch.setattr(modeling_pi0, original.__name__, build)
        yield


def save_pi0(folder: Path) -> None:
    """Writes a tiny pi0 as lerobot does; within `tiny_pi0`."""
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy
    from lerobot.policies.pi0.processor_pi0 import make_pi0_pre_post_processors
    from lerobot.processor import tokenizer_processor

    settings = PI0Config(
        **small.features(7),
        device='cpu',
        chunk_size=small.STEPS,
        n_action_steps=small.STEPS,
        max_state_dim=8,
        max_action_dim=8,
        image_resolution=(28, 28),
    )
    torch.manual_seed(0)
    own = PI0Policy(settings).eval()
    # The processors are made for a tokenizer that is on the hub alone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tokenizer_processor, 'AutoTokenizer', types.SimpleNamespace(from_pretrained=str)
        )
        before, after = make_pi0_pre_post_processors(settings, dataset_stats=small.statistics(7))
    save_model_folder(LerobotModel(own, before, after, None, None), folder)


@pytest.fixture(scope='module')
def pi0(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pi0')
    with tiny_pi0():
        save_pi0(folder)
        yield folder


def pi0_robot(language):
    return small.robot(str(language))


def copy_of(folder, out):
    import shutil

    shutil.copytree(folder, out)
    return out


def test_pi0_s_keys_are_repaired_as_lerobot_repairs_them(pi0, vlm, tmp_path):
    own, openpi = copy_of(pi0, tmp_path / 'own'), copy_of(pi0, tmp_path / 'openpi')
    tensors = load_file(own / WEIGHTS)
    host = 'model.paligemma_with_expert.paligemma'
    words = f'{host}.model.language_model.embed_tokens.weight'
    tensors[words] = tensors[f'{host}.lm_head.weight'].clone()
    save_file(tensors, own / WEIGHTS)
    # As openpi's converter leaves them: without the policy's own prefix, words as lm_head alone.
    del tensors[words]
    bare = {name.removeprefix('model.'): tensor for name, tensor in tensors.items()}
    save_file(bare, openpi / WEIGHTS)
    expected = golden_chunk(adopt(own, pi0_robot(vlm)))
    np.testing.assert_array_equal(golden_chunk(adopt(openpi, pi0_robot(vlm))), expected)


@pytest.mark.parametrize('fault', ['missing', 'shape', 'damaged', 'absent'])
def test_weights_that_do_not_fit_never_become_a_policy_of_random_ones(pi0, vlm, tmp_path, fault):
    folder = copy_of(pi0, tmp_path / 'pi0')
    tensors = load_file(folder / WEIGHTS)
    name = 'model.action_out_proj.weight'
    if fault == 'missing':
        del tensors[name]
    elif fault == 'shape':
        tensors[name] = tensors[name][:3].contiguous()
    if fault == 'absent':
        (folder / WEIGHTS).unlink()
    elif fault == 'damaged':
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    else:
        save_file(tensors, folder / WEIGHTS)
    said = {'missing': name, 'shape': name, 'absent': 'has no model.safetensors'}
    with pytest.raises(BadCheckpoint, match=said.get(fault, 'model.safetensors')):
        adopt(folder, pi0_robot(vlm))


def test_a_tokenizer_comes_from_a_local_folder_or_is_named(pi0, vlm, tmp_path):
    folder = copy_of(pi0, tmp_path / 'pi0')
    with pytest.raises(BadCheckpoint, match='hf download google/paligemma-3b-pt-224') as refusal:
        adopt(folder, small.robot())
    assert 'language_model' in str(refusal.value)
    policy = adopt(folder, pi0_robot(vlm))
    said = dataclasses.replace(golden_observation(policy.config), instruction='pick up the bowl')
    assert not np.array_equal(policy.predict(said).chunk.targets, golden_chunk(policy))


def test_a_smolvla_without_its_language_model_is_refused_at_once(vlm, tmp_path):
    folder = smolvla_folder(tmp_path / 'policy', vlm)

    def by_name(content):
        content['vlm_model_name'] = 'HuggingFaceTB/SmolVLM2-500M-Video-Instruct'

    change_json(folder / 'config.json', by_name)
    with pytest.raises(BadCheckpoint, match='hf download HuggingFaceTB/SmolVLM2-500M'):
        adopt(folder, small.robot())
    adopt(folder, small.robot(str(vlm)))


# Temporal ensembling and several observations


def test_temporal_ensembling_weighs_the_chunks_as_lerobot_does(tmp_path):
    from lerobot.policies.act.modeling_act import ACTTemporalEnsembler

    from ros2_gridsampler.acting.action_chunk import ActionChunk
    from ros2_gridsampler.acting.chunk_schedule import ChunkSchedule, ScheduleConfig

    folder = act_folder(tmp_path, temporal_ensemble_coeff=0.3, n_action_steps=1)
    config = adopt(folder, small.robot()).config
    with pytest.raises(ValueError, match=r"schedule.seams to 'ensemble'.* to 6;"):
        ScheduleConfig().check_policy(config.ensemble_decay)
    usual = ScheduleConfig.of_policy(config.ensemble_decay)
    usual.check_policy(config.ensemble_decay)
    schedule = ChunkSchedule(dataclasses.replace(usual, blend_time=0.0))
    theirs = ACTTemporalEnsembler(0.3, small.STEPS)
    draw = np.random.default_rng(0)
    for step in range(12):
        targets = draw.normal(size=(small.STEPS, 7))
        now = 10 + config.period * step
        schedule.add(ActionChunk(now, config.period, targets), now)
        expected = theirs.update(torch.from_numpy(targets)[None])[0].numpy()
        np.testing.assert_allclose(schedule.action(now), expected, atol=1e-6)


def test_a_backbone_that_was_pretrained_elsewhere_is_not_fetched_again(tmp_path, monkeypatch):
    folder = act_folder(tmp_path)
    expected = golden_chunk(adopt(folder, small.robot()))

    def pretrained(content):
        content['pretrained_backbone_weights'] = 'ResNet18_Weights.IMAGENET1K_V1'

    def fetch(*words, **named):
        raise AssertionError('the network was asked')

    monkeypatch.setattr('urllib.request.urlopen', fetch)
    change_json(folder / 'config.json', pretrained)
    np.testing.assert_array_equal(golden_chunk(adopt(folder, small.robot())), expected)


@pytest.fixture
def diffusion(tmp_path):
    pytest.importorskip(
        'diffusers', reason="diffusers is missing: pip install 'lerobot[diffusion]'"
    )
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    settings = DiffusionConfig(
        **small.features(7),
        device='cpu',
        n_obs_steps=2,
        horizon=8,
        n_action_steps=6,
        down_dims=(16, 32),
        n_groups=4,
        spatial_softmax_num_keypoints=4,
        pretrained_backbone_weights=None,
        num_train_timesteps=10,
        num_inference_steps=3,
    )
    torch.manual_seed(0)
    own = get_policy_class('diffusion')(settings).eval()
    statistics = small.statistics(7)
    for each in statistics.values():
        each |= {'min': each['mean'] - 1, 'max': each['mean'] + 1}
    before, after = make_pre_post_processors(settings, dataset_stats=statistics)
    save_model_folder(LerobotModel(own, before, after, None, None), tmp_path / 'diffusion')
    return tmp_path / 'diffusion'


def test_diffusion_policy_reads_observations_as_lerobot_s_own_rollout_stacks_them(diffusion):
    policy = adopt(diffusion, small.robot())
    config, golden = policy.config, golden_observation(policy.config)
    assert (config.observation.earlier, config.observation.earlier_period) == (1, config.period)
    assert config.steps == 6
    before = dataclasses.replace(golden, joints=golden.joints + 0.3)
    dark = {name: picture // 2 for name, picture in golden.images.items()}
    before = dataclasses.replace(before, images=dark)
    both = dataclasses.replace(golden, earlier=(before,))
    found = policy.predict(both).chunk.targets
    theirs, model = policy._model.policy, policy._model
    theirs.reset()
    actions = []
    for each in (before, both):
        batch = model.preprocess(policy.features(each))
        # A rollout draws a new chunk only when the last one is used up.
        theirs._queues['action'].clear()
        torch.manual_seed(0)
        first = theirs.select_action(batch, noise=policy._noise.clone())
        actions = [first, *theirs._queues['action']]
    theirs.reset()
    expected = model.postprocess(torch.stack(actions, 1))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(policy.predict(both).chunk.targets, found)
    alone = policy.predict(golden).chunk.targets
    assert np.abs(alone - found).max() > 1e-4
    copied = policy.predict(dataclasses.replace(golden, earlier=(golden,))).chunk.targets
    np.testing.assert_array_equal(alone, copied)


def test_several_observations_of_another_kind_are_refused(vlm, tmp_path):
    folder = smolvla_folder(tmp_path, vlm)
    change_json(folder / 'config.json', lambda content: content.update(n_obs_steps=2))
    with pytest.raises(BadCheckpoint, match='reads 2 observations at once'):
        adopt(folder, small.robot(str(vlm)))


# Real-time chunking


@pytest.mark.parametrize('kind', ['smolvla', 'pi0'])
def test_a_policy_goes_on_from_the_steps_under_way(kind, vlm, pi0, tmp_path):
    if kind == 'pi0':
        policy = adopt(copy_of(pi0, tmp_path / 'pi0'), pi0_robot(vlm))
    else:
        policy = adopt(smolvla_folder(tmp_path, vlm, num_steps=10), small.robot(str(vlm)))
    assert policy.config.continues
    observation = golden_observation(policy.config)
    free = policy.predict(observation).chunk.targets
    later = dataclasses.replace(observation, time=policy.config.period)
    prefix = free[1:3] + 0.05
    alone = policy.predict(later).chunk.targets
    policy.predict(observation)
    told = policy.predict(later, prefix).chunk.targets
    np.testing.assert_array_equal(told[:2], prefix)
    # What follows is drawn to what was predicted last, which is due at the same times.
    before = np.abs(alone[2:5] - free[3:6]).mean()
    after = np.abs(told[2:5] - free[3:6]).mean()
    assert after < 0.6 * before or before < 1e-6
    assert policy._model.policy.config.rtc_config is None, 'lerobot could step it no more'
    # Without a prefix nothing is remembered.
    np.testing.assert_array_equal(policy.predict(observation).chunk.targets, free)


def test_prefixes_that_cannot_be_are_refused(vlm, tmp_path):
    policy = adopt(smolvla_folder(tmp_path / 'smolvla', vlm), small.robot(str(vlm)))
    observation = golden_observation(policy.config)
    for shape in ((small.STEPS, 7), (2, 6)):
        with pytest.raises(ValueError, match=f'chunks of {small.STEPS} steps with 7 actions'):
            policy.predict(observation, np.zeros(shape))
    act = adopt(act_folder(tmp_path / 'act'), small.robot())
    assert not act.config.continues
    with pytest.raises(ValueError, match="type 'act' of lerobot does not go on"):
        act.predict(observation, np.zeros((2, 7)))
    turned = smolvla_folder(tmp_path / 'aloha', vlm, adapt_to_pi_aloha=True)
    model = load_model_folder(turned, str(vlm))
    from ros2_gridsampler.vla.lerobot_chunking import continues

    assert not continues(model.policy)


# The hub

COMMIT = '0123456789abcdef0123456789abcdef01234567'


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as its client asks for, with one policy at one commit."""

    folder = Path()
    asked: ClassVar[list[str]] = []

    def log_message(self, *words):
        """Stays silent."""

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path = self.path.partition('?')[0]
        self.asked.append(path)
        files = sorted(each.name for each in self.folder.iterdir())
        resolved = f'/somebody/act/resolve/{COMMIT}/'
        if path in ('/api/models/somebody/act', f'/api/models/somebody/act/revision/{COMMIT}'):
            siblings = [{'rfilename': name} for name in [*files, 'optimizer.pt', 'a/b.json']]
            content = {'id': 'somebody/act', 'sha': COMMIT, 'siblings': siblings}
            self.answer(json.dumps(content).encode(), body)
        elif path.startswith(f'/api/models/somebody/act/tree/{COMMIT}'):
            rows = [
                {'type': 'file', 'path': n, 'size': (self.folder / n).stat().st_size, 'oid': n}
                for n in files
            ]
            self.answer(json.dumps(rows).encode(), body)
        elif path.startswith(resolved) and path.removeprefix(resolved) in files:
            self.answer((self.folder / path.removeprefix(resolved)).read_bytes(), body)
        else:
            self.send_response(404)
            self.send_header('X-Error-Code', 'RepoNotFound')
            self.send_header('Content-Length', '0')
            self.end_headers()

    def answer(self, content, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('ETag', f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path):
    Hub.folder, Hub.asked[:] = act_folder(tmp_path / 'published'), []
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    thread.join()
    server.server_close()


def command(folder, endpoint, offline, *words):
    """Runs a command in a process of its own: the hub's client reads its settings once."""
    settings = {'HF_ENDPOINT': endpoint, 'HF_HUB_OFFLINE': offline, 'HF_HOME': str(folder / 'hf')}
    return subprocess.run(
        [sys.executable, '-m', 'ros2_gridsampler.command_line', *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **settings},
    )


def test_a_checkpoint_of_the_hub_is_fetched_at_one_commit_and_never_asked_for_again(hub, tmp_path):
    robot, out = write_robot(tmp_path / 'robot.yaml', small.robot()), tmp_path / 'act'
    words = ('adopt', 'somebody/act', robot, '--out', out)
    # Left by a download of another commit that was stopped.
    (tmp_path / 'act.partial').mkdir()
    (tmp_path / 'act.partial/reducers.json').write_text('{}')
    done = command(tmp_path, hub, '0', *words)
    assert done.returncode == 0, done.stderr
    assert f'somebody/act@{COMMIT}' in done.stdout
    assert json.loads((out / ROBOT).read_text())['source'] == f'somebody/act@{COMMIT}'
    published = {path.name for path in Hub.folder.iterdir()}
    assert {path.name for path in out.iterdir()} == published | {ROBOT}
    assert not any('optimizer.pt' in path or 'a/b.json' in path for path in Hub.asked)
    Hub.asked.clear()
    again = command(tmp_path, hub, '1', 'check', out, '--runs', 1)
    assert again.returncode == 0, again.stderr
    assert not Hub.asked
    twice = command(tmp_path, hub, '0', *words)
    assert 'is there already' in twice.stderr
    wrong = command(tmp_path, hub, '0', 'adopt', 'somebody/other', robot, '--out', tmp_path / 'no')
    assert wrong.returncode == 1
    assert f'cannot be fetched from {hub}' in wrong.stderr
    assert wrong.stderr.count('\n') == 1
    assert not (tmp_path / 'no').exists()


# Commands


def panda_folder(tmp_path):
    robot = dataclasses.replace(
        small.robot(),
        cameras={'agentview': small.CAMERAS['front'], 'wrist': small.CAMERAS['wrist']},
        joints=('panda_finger_joint1', 'panda_finger_joint2', 'panda_joint2'),
        action=Units.same(7, 0.02),
    )
    folder = act_folder(tmp_path / 'act')
    adopt(folder, robot)
    return folder


def test_check_takes_an_adopted_folder(tmp_path, capsys):
    status, said = run(capsys, 'check', panda_folder(tmp_path), '--runs', 2)
    assert status == 0, said
    assert 'The golden chunk is off by' in said
    assert 'parts of its range' in said


def test_evaluate_takes_an_adopted_folder_and_knows_it_again(
    demonstrations,  # noqa: F811
    tmp_path,
    capsys,
):
    folder = panda_folder(tmp_path)
    words = ('evaluate', demonstrations[0], '--out', tmp_path / 'out', '--policy', folder)
    said = run(capsys, *words, '--allow-partial')[1]
    found = list((tmp_path / 'out').rglob('report.json'))
    assert found, said
    report = json.loads(found[0].read_text())
    assert report['policy']['name'] == 'act', said
    assert report['policy']['weights_sha256'] == load_lerobot_policy(folder)[1].sha256[WEIGHTS]


@pytest.mark.parametrize(
    'command',
    [
        ('encoders', 'list', '--policy'),
        ('flops', '--model'),
    ],
)
def test_a_command_that_cannot_take_the_folder_says_what_does(command, tmp_path, capsys):
    status, said = run(capsys, *command, panda_folder(tmp_path))
    assert status == 1
    assert 'holds a policy of lerobot' in said
    assert said.count('\n') == 1


def test_commands_say_at_once_that_a_folder_was_not_adopted(tmp_path, capsys):
    folder = act_folder(tmp_path / 'act')
    for command in (
        ('check', folder),
        ('evaluate', tmp_path, '--out', tmp_path / 'o', '--policy', folder),
    ):
        status, said = run(capsys, *command)
        assert status == 1
        assert 'gridsampler adopt' in said
        assert said.count('\n') == 1


def test_another_encoder_for_an_adopted_folder_is_refused(tmp_path):
    from ros2_gridsampler.evaluating.contestants import load_contestant
    from ros2_gridsampler.evaluating.evaluation_config import PolicyChoice

    folder = panda_folder(tmp_path)
    with pytest.raises(ValueError, match='keeps its own encoder'):
        load_contestant(PolicyChoice(folder, tmp_path / 'encoder'))
    assert load_policy(folder, 'automatic', None).config.tokens
