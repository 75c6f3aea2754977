# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is believed only when everything in it agrees."""

import dataclasses
import hashlib
import json

import pytest
import torch
from policies import tiny_policy

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS, save_encoder
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.manifest import MANIFEST, WEIGHTS, BadCheckpoint, golden_observation
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import Statistics
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.seeing.camera_record import CameraRecord, LensRecord


@pytest.fixture
def folder(tmp_path):
    """A whole checkpoint."""
    save_checkpoint(tiny_policy(), tmp_path, training={'seed': 0}, results={'success': 'none'})
    return tmp_path


def edit(folder, change):
    """Apply `change` to the manifest."""
    path = folder / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_was_saved_is_loaded_and_predicts_the_same(folder):
    policy, manifest = load_checkpoint(folder)
    original = tiny_policy()
    assert policy.config == original.config == manifest.policy
    golden = golden_observation(policy.config)
    chunk = policy.predict(golden).chunk.targets
    assert abs(chunk - original.predict(golden).chunk.targets).max() < 1e-2
    assert manifest.results == {'success': 'none'}


@pytest.mark.parametrize('place', [0.1, 0.5, 0.99])
def test_one_flipped_byte_is_found(folder, place):
    path = folder / WEIGHTS
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match='copy it again'):
        load_checkpoint(folder)


def test_a_cut_file_and_a_missing_file_are_found(folder):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadCheckpoint, match='sha256'):
        load_checkpoint(folder)
    path.unlink()
    with pytest.raises(BadCheckpoint, match='cannot be read'):
        load_checkpoint(folder)
    with pytest.raises(BadCheckpoint, match='a checkpoint is a folder with'):
        load_checkpoint(folder / 'nowhere')


def test_a_manifest_without_end_of_brackets_is_found(folder):
    (folder / MANIFEST).write_text('[' * 200_000)
    with pytest.raises(BadCheckpoint, match='cannot be read'):
        load_checkpoint(folder)


def test_statistics_of_another_robot_are_found(folder):
    edit(folder, lambda m: m['policy']['action_statistics'].update(mean=[1.0] * 7))
    with pytest.raises(BadCheckpoint, match='statistics'):
        load_checkpoint(folder)


@pytest.mark.parametrize('field', ['resolution', 'joints', 'period', 'encoder', 'trunk'])
def test_a_missing_field_is_named(folder, field):
    edit(folder, lambda m: m['policy'].pop(field))
    with pytest.raises(BadCheckpoint, match=field):
        load_checkpoint(folder)


def test_a_joint_that_never_moved_in_the_statistics_is_refused_in_words(folder):
    edit(folder, lambda m: m['policy']['action_statistics']['scale'].__setitem__(0, 0.0))
    with pytest.raises(BadCheckpoint, match=r'[Ss]cale.* @ \$\.policy\.action_statistics'):
        load_checkpoint(folder)


def test_the_manifest_named_instead_of_its_folder_is_told_so(folder):
    with pytest.raises(BadCheckpoint, match='is a file; name the folder'):
        load_checkpoint(folder / MANIFEST)


def test_a_missing_field_does_not_take_its_default(folder):
    edit(folder, lambda m: m['policy']['encoder'].pop('patch'))
    with pytest.raises(BadCheckpoint, match='lacks fields'):
        load_checkpoint(folder)


def test_an_unknown_field_is_named(folder):
    edit(folder, lambda m: m['policy'].update(surprise=1))
    with pytest.raises(BadCheckpoint, match='surprise'):
        load_checkpoint(folder)


def test_weights_of_another_architecture_are_refused(folder, tmp_path):
    edit(folder, lambda m: m['policy']['trunk'].update(depth=2))
    with pytest.raises(
        BadCheckpoint, match='another architecture: .* weights are missing'
    ) as seen:
        load_checkpoint(folder)
    assert '\n' not in str(seen.value)


def test_other_preprocessing_is_found_by_the_golden_observation(folder):
    edit(folder, lambda m: m['policy'].update(resolution=[80, 72]))
    with pytest.raises(BadCheckpoint, match='golden observation'):
        load_checkpoint(folder)


def test_another_result_is_found_by_the_golden_chunk(folder):
    edit(folder, lambda m: m['golden_actions'][3].__setitem__(2, 5.0))
    with pytest.raises(BadCheckpoint, match='another chunk'):
        load_checkpoint(folder)


def test_another_format_is_refused(folder):
    edit(folder, lambda m: m.update(format=99))
    with pytest.raises(BadCheckpoint, match='format 99'):
        load_checkpoint(folder)


def test_where_a_joint_hardly_moves_is_kept_to_the_last_digit(tmp_path):
    config = tiny_policy().config
    narrow = Statistics((2.50123,) + (0.5,) * 9, (1e-3,) + (0.2,) * 9)
    policy = Policy(dataclasses.replace(config, proprioception_statistics=narrow))
    save_checkpoint(policy, tmp_path, training={}, results={})
    loaded = load_checkpoint(tmp_path)[0]
    numbers = torch.full((1, 10), 2.50123)
    assert loaded.body_units.normalise(numbers)[0, 0].abs() < 1e-3
    assert loaded.body_units.mean[0] == torch.tensor(2.50123)


def test_the_encoder_has_a_hash_of_its_own(folder):
    content = json.loads((folder / MANIFEST).read_text())
    whole = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert content['weights_sha256'] == whole != content['encoder_sha256']


def test_a_manifest_from_before_cameras_were_recorded_is_read(folder):
    edit(folder, lambda m: m.pop('cameras'))
    assert load_checkpoint(folder)[1].cameras == {}


def test_what_is_known_of_the_cameras_comes_back(tmp_path):
    lens = LensRecord(96, 72, (50.0, 0, 48, 0, 50, 36, 0, 0, 1), 'plumb_bob', (0.1, 0, 0, 0, 0))
    known = {'front': CameraRecord('abc', '', lens), 'wrist': CameraRecord('', 'it rides')}
    save_checkpoint(tiny_policy(), tmp_path, training={}, results={}, cameras=known)
    assert load_checkpoint(tmp_path)[1].cameras == known
    assert known['front'].lens.of(lens.intrinsics) == lens


def test_rectification_is_part_of_the_golden_observation(tmp_path):
    config = dataclasses.replace(
        tiny_policy().config, preparation=ImagePreparation(64, 64, rectify=True)
    )
    save_checkpoint(Policy(config).eval(), tmp_path, training={}, results={})
    assert load_checkpoint(tmp_path)[0].config.preparation.rectify
    edit(tmp_path, lambda m: m['policy']['preparation'].update(rectify=False))
    with pytest.raises(BadCheckpoint, match='golden observation'):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_kind_is_not_written_over(tmp_path):
    policy = tiny_policy()
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    keep = {
        'preparation': policy.config.preparation,
        'method': 'mae',
        'loss_weights': {},
        'steps': 1,
        'compute': 1.0,
        'training': {},
        'results': {},
    }
    before = (tmp_path / 'policy' / MANIFEST).read_bytes()
    with pytest.raises(FileExistsError, match=r'another kind of checkpoint, without encoder\.'):
        save_encoder(policy.encoder, tmp_path / 'policy', **keep)
    assert (tmp_path / 'policy' / MANIFEST).read_bytes() == before
    assert not (tmp_path / 'policy' / ENCODER_WEIGHTS).exists()
    save_encoder(policy.encoder, tmp_path / 'encoder', **keep)
    with pytest.raises(FileExistsError, match=r'without policy\.safetensors; name a new folder'):
        save_checkpoint(policy, tmp_path / 'encoder', training={}, results={})
    # The same kind again is the same training again.
    save_encoder(policy.encoder, tmp_path / 'encoder', **keep)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})


@pytest.mark.parametrize('golden', [[], [[0.0] * 7], [[0.0] * 7] * 4 + [[0.0]]])
def test_a_golden_chunk_of_another_shape_is_refused(folder, golden):
    edit(folder, lambda content: content.update(golden_actions=golden))
    with pytest.raises(BadCheckpoint, match=r'golden chunk .* shape'):
        load_checkpoint(folder)
