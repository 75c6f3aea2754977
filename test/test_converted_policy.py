# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A converted policy predicts what the policy predicts, where PyTorch cannot even be imported."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from policies import tiny_policy

pytest.importorskip('openvino')

from ros2_gridsampler.calibrating.reference_views import save_reference_view
from ros2_gridsampler.engines.converted_policy import (
    CONVERTED,
    PROBES,
    convert,
    is_converted,
    load_converted,
)
from ros2_gridsampler.engines.engine import Settings
from ros2_gridsampler.engines.table import ENGINES
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.manifest import (
    BadCheckpoint,
    golden_observation,
    golden_picture,
    load_manifest,
    write_manifest,
)
from ros2_gridsampler.seeing.camera_record import CameraRecord

ROOT = Path(__file__).parents[1]
# Read by every Python that starts with its folder in PYTHONPATH.
NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError('no PyTorch here', name=name)

sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A tiny policy that wants to go up."""
    folder = tmp_path_factory.mktemp('checkpoint')
    policy = tiny_policy()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    save_checkpoint(policy, folder, training={}, results={})
    return folder


@pytest.fixture(scope='module')
def converted(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp('converted')
    convert(load_checkpoint(checkpoint)[0], checkpoint, folder)
    return folder


@pytest.fixture
def copy(converted, tmp_path):
    """One that may be spoiled."""
    for file in converted.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def without_torch(tmp_path_factory):
    """A folder for PYTHONPATH in which PyTorch cannot be imported."""
    folder = tmp_path_factory.mktemp('no_torch')
    (folder / 'sitecustomize.py').write_text(NO_TORCH)
    return folder


def python(folder, *arguments):
    """Run Python with that folder in PYTHONPATH."""
    environment = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}'}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )


def test_it_predicts_what_the_policy_predicts(checkpoint, converted):
    policy, manifest = load_checkpoint(checkpoint)
    loaded, same = load_converted(converted)
    assert same == manifest
    golden = golden_observation(policy.config)
    got, wanted = loaded.predict(golden), policy.predict(golden)
    np.testing.assert_allclose(got.chunk.targets, wanted.chunk.targets, atol=1e-5)
    assert loaded.report.agreement.inputs >= 4


def test_the_golden_chunk_is_predicted_where_pytorch_cannot_be_imported(converted, without_torch):
    blocked = python(without_torch, '-c', 'import torch')
    assert 'no PyTorch here' in blocked.stderr
    done = python(without_torch, '-m', 'ros2_gridsampler.command_line', 'check', converted)
    assert done.returncode == 0, done.stderr
    assert 'every hash and the golden chunk agree' in done.stdout
    assert 'PyTorch was not imported' in done.stdout


def test_the_robots_path_imports_nothing_that_a_robot_lacks():
    pytest.importorskip('rclpy')
    large = {'torch', 'cv2', 'scipy', 'matplotlib', 'rosbags', 'zstandard', 'rich', 'mcap'}
    program = f"""
import sys
from ros2_gridsampler.nodes import policy_node
from ros2_gridsampler.vla import deployed_policy
print(sorted({large!r} & set(sys.modules)))
"""
    assert python(ROOT, '-c', program).stdout == '[]\n'


def test_a_robot_without_opencv_goes_on_with_a_policy_that_has_reference_views(
    copy, without_torch
):
    views = {'front': CameraRecord(save_reference_view(copy, 'front', golden_picture(96, 72, 0)))}
    manifest = dataclasses.replace(load_manifest(copy), cameras=views)
    write_manifest(copy, manifest)
    program = f"""
import sys
sys.modules['cv2'] = None
from pathlib import Path
from ros2_gridsampler.seeing.opencv import has_opencv
from ros2_gridsampler.vla import deployed_policy
from ros2_gridsampler.policy import manifest
known = manifest.load_manifest(Path({str(copy)!r}))
print(has_opencv(), deployed_policy.reference_views(Path({str(copy)!r}), known))
"""
    done = python(without_torch, '-c', program)
    assert done.stdout == 'False {}\n', done.stderr


def test_a_checkpoint_that_needs_pytorch_says_so_in_one_sentence(checkpoint, without_torch):
    done = python(without_torch, '-m', 'ros2_gridsampler.command_line', 'check', checkpoint)
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert 'needs PyTorch, which is not installed here' in done.stderr


@pytest.mark.parametrize('name', ['graph.bin', 'graph.xml', 'probes.safetensors'])
def test_one_flipped_byte_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BadCheckpoint, match='was changed or cut'):
        load_converted(copy)


def test_a_folder_that_was_not_written_to_the_end_is_no_converted_policy(copy):
    (copy / CONVERTED).write_text((copy / CONVERTED).read_text()[:50])
    with pytest.raises(BadCheckpoint, match='Export the policy again'):
        load_converted(copy)


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda m: m.update(weights_sha256='0' * 64), 'from other weights'),
        (lambda m: m['policy']['action_statistics'].update(mean=[1.0] * 7), 'were changed'),
        (lambda m: m['policy'].update(resolution=[80, 72]), 'becomes other numbers'),
        (lambda m: m['golden_actions'][3].__setitem__(2, 5.0), 'another chunk'),
    ],
)
def test_a_manifest_of_something_else_is_found(copy, spoil, words):
    content = json.loads((copy / 'manifest.json').read_text())
    spoil(content)
    (copy / 'manifest.json').write_text(json.dumps(content))
    with pytest.raises(BadCheckpoint, match=words):
        load_converted(copy)


def test_the_policy_node_moves_an_arm_where_pytorch_cannot_be_imported(
    converted, without_torch, watcher, start_node, monkeypatch
):
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import FakeArm

    twists = watcher.collect(TwistStamped, '/policy_node/twist_command')
    monkeypatch.setenv('PYTHONPATH', str(without_torch), prepend=os.pathsep)
    node = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *('-r', '~/instruction:=/instruction'),
        policy=converted,
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
    )
    FakeArm(watcher).say('Lift the cup.')
    watcher.until(lambda: len(twists) > 3 and twists[-1].twist.linear.z > 0.05, node)
    assert '(openvino)' in node.text
    assert node.end() == 0
    assert 'Traceback' not in node.text


def test_a_folder_that_holds_another_checkpoint_is_left_as_it_is(checkpoint, tmp_path):
    policy = load_checkpoint(checkpoint)[0]
    save_checkpoint(tiny_policy(seed=1), tmp_path / 'other', training={}, results={})
    before = {path.name: path.read_bytes() for path in (tmp_path / 'other').iterdir()}
    with pytest.raises(FileExistsError, match='another kind of checkpoint.*name a new folder'):
        convert(policy, checkpoint, tmp_path / 'other')
    assert {path.name: path.read_bytes() for path in (tmp_path / 'other').iterdir()} == before


def test_a_conversion_that_was_cut_is_made_again(checkpoint, copy):
    (copy / CONVERTED).unlink()
    convert(load_checkpoint(checkpoint)[0], checkpoint, copy)
    load_converted(copy)


def test_reference_views_go_with_the_conversion(checkpoint, tmp_path):
    policy = load_checkpoint(checkpoint)[0]
    viewed = tmp_path / 'viewed'
    save_checkpoint(policy, viewed, training={}, results={})
    save_reference_view(viewed, 'front', golden_picture(96, 72, 0))
    convert(policy, viewed, tmp_path / 'converted')
    assert is_converted(tmp_path / 'converted')
    assert not is_converted(viewed)
    copied, views = (
        {path.name: path.read_bytes() for path in (folder / 'reference_views').iterdir()}
        for folder in (tmp_path / 'converted', viewed)
    )
    assert len(views) == 1
    assert copied == views


def test_an_engine_that_needs_pytorch_is_not_put_into_a_folder(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"Only openvino.* runs without PyTorch; 'eager' cannot"):
        convert(load_checkpoint(checkpoint)[0], checkpoint, tmp_path, 'eager')
    assert not any(tmp_path.iterdir())


def test_in_another_precision_probes_alone_are_compared(copy):
    others = [each for each in ENGINES['openvino'].look(Settings())[1] if each != 'fp32']
    if not others:
        pytest.skip('OpenVINO computes in float32 alone here')
    loaded, _ = load_converted(copy, Settings(precision=others[0]))
    assert loaded.report.settings.precision == others[0]


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda about: about.update(format=99), 'has format 99 of .*this package reads format'),
        (lambda about: about.update(surprise=1), r'cannot be read: .*Export the policy again'),
        (lambda about: about['sha256'].pop(PROBES), 'this package reads format'),
    ],
)
def test_a_conversion_of_another_kind_is_refused_with_what_can_be_read(copy, spoil, words):
    about = json.loads((copy / CONVERTED).read_text())
    spoil(about)
    (copy / CONVERTED).write_text(json.dumps(about))
    with pytest.raises(BadCheckpoint, match=words):
        load_converted(copy)


def test_a_file_that_is_gone_or_no_probes_is_named(copy):
    damaged = b'no probes'
    (copy / PROBES).write_bytes(damaged)
    with pytest.raises(BadCheckpoint, match=f'{PROBES} was changed or cut'):
        load_converted(copy)
    about = json.loads((copy / CONVERTED).read_text())
    about['sha256'][PROBES] = hashlib.sha256(damaged).hexdigest()
    (copy / CONVERTED).write_text(json.dumps(about))
    with pytest.raises(BadCheckpoint, match=f'{PROBES}: '):
        load_converted(copy)
    (copy / PROBES).unlink()
    with pytest.raises(BadCheckpoint, match=f'{PROBES} cannot be read'):
        load_converted(copy)
