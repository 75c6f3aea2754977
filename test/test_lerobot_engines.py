# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Engines compute lerobot's policies, processors included, as lerobot does."""

import dataclasses
import os

import numpy as np
import pytest
import torch

os.environ.setdefault('HF_HUB_OFFLINE', '1')
pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
import lerobot_policies as small

from ros2_gridsampler.engines.engine import Settings
from ros2_gridsampler.engines.engine_cache import EngineCache
from ros2_gridsampler.engines.exported_graph import export as export_graph
from ros2_gridsampler.engines.exported_graph import fingerprint
from ros2_gridsampler.engines.table import find_engines
from ros2_gridsampler.vla.deployed_policy import load_policy
from ros2_gridsampler.vla.lerobot import SamplerPlan, attach
from ros2_gridsampler.vla.lerobot_checkpoint import save_model_folder
from ros2_gridsampler.vla.lerobot_config import golden_observation
from ros2_gridsampler.vla.lerobot_engines import compile_policy, try_outs
from ros2_gridsampler.vla.lerobot_graphs import cut
from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy, adopt

# Several builds; a busy machine takes minutes.
pytestmark = [pytest.mark.filterwarnings('ignore'), pytest.mark.timeout(1200)]
LIBRARIES = {'openvino': 'openvino', 'onnxruntime': 'onnxscript'}
CASES = [
    ('act', None, 'onnxruntime'),
    ('act', SamplerPlan(2, per_camera=True), 'openvino'),
    ('smolvla', None, 'openvino'),
    ('smolvla', SamplerPlan(2), 'onnxruntime'),
    ('smolvla', SamplerPlan(2, after=1), 'openvino'),
    ('pi0', SamplerPlan(2), 'openvino'),
    ('pi0', SamplerPlan(2), 'onnxruntime'),
    ('pi05', None, 'openvino'),
]


@pytest.fixture(scope='module')
def vlm(tmp_path_factory):
    return small.language_model(tmp_path_factory.mktemp('vlm'))


@pytest.fixture
def make(vlm, monkeypatch):
    """Makes a small policy of a kind, as the node calls it."""

    def policy(kind, plan=None):
        if kind in ('pi0', 'pi05'):
            small.shrink_pi(monkeypatch, kind, vlm)
        own = small.policy(kind, vlm)
        seen = None if plan is None else attach(own, plan)
        language = '' if kind == 'act' else str(vlm)
        return LerobotPolicy(small.model(kind, vlm, plan, seen, own), small.robot(language))

    return policy


def compiled(policy, backend, precision='fp32', **options):
    if backend in LIBRARIES:
        pytest.importorskip(LIBRARIES[backend])
    engines = find_engines([backend])
    return compile_policy(policy, engines, Settings(precision), strict=True, **options)


def others(policy):
    """Observations that no engine was compared by."""
    generator = np.random.default_rng(5)
    golden = golden_observation(policy.config)
    for sentence in ('pick up the bowl', 'the'):
        yield dataclasses.replace(
            golden,
            images={
                name: generator.integers(0, 256, picture.shape, np.uint8)
                for name, picture in golden.images.items()
            },
            joints=golden.joints + generator.normal(size=golden.joints.shape),
            instruction=sentence,
            time=3.0,
        )


@pytest.mark.parametrize(('kind', 'plan', 'backend'), CASES)
def test_an_engine_predicts_as_lerobot_does_from_pictures_to_radians(kind, plan, backend, make):
    policy = make(kind, plan)
    engine = compiled(policy, backend)
    for observation in others(policy):
        got, wanted = engine.predict(observation), policy.predict(observation)
        # Its processors make 0.1 of 1.
        np.testing.assert_allclose(got.chunk.targets, wanted.chunk.targets, atol=2e-5)
        assert got.chunk.start_time == 3.0
        assert got.points.keys() == wanted.points.keys()
        for camera, points in wanted.points.items():
            np.testing.assert_allclose(got.points[camera], points, atol=1e-4)
    parts = {'network'} if kind == 'act' else {'prefix', 'step'}
    assert {name.split()[0] for name in engine.report.agreement.errors} == parts | {'targets'}


def test_points_are_tried_at_the_corners_where_a_policy_samples(make):
    for kind in ('act', 'smolvla'):
        dense, sampled = make(kind), make(kind, SamplerPlan(2))
        examples = try_outs(sampled)
        plain, moved = (next(iter(cut(each).parts.values())) for each in (dense, sampled))
        assert len(plain.probes(examples)) == 2
        shifts = [each['point_shift'] for each in moved.probes(examples)]
        assert len(shifts) == 6
        assert {shift.max() for shift in shifts[2:4]} == {1.0, -1.0}


def test_a_shift_of_the_points_moves_what_windows_inside_a_tower_see(make):
    part = cut(make('smolvla', SamplerPlan(2, after=1))).parts['prefix']
    network = part.network('fp32')
    first, *_, last = part.probes(try_outs(make('smolvla')))
    with torch.inference_mode():
        here, there = (
            network(*(torch.from_numpy(array) for array in {**first, **given}.values()))[0]
            for given in ({}, {'point_shift': last['point_shift']})
        )
    assert not torch.allclose(here, there)


def test_a_longer_sentence_needs_no_other_graph_and_padding_is_not_read(make):
    policy = make('smolvla')
    prefix = cut(policy).parts['prefix']
    short, long = (
        prefix.probes([dataclasses.replace(golden_observation(policy.config), instruction=each)])
        for each in ('move', 'pick up the bowl')
    )
    for name, array in short[0].items():
        assert array.shape == long[0][name].shape
    assert short[0]['read'].sum() < long[0]['read'].sum()
    limit = policy.model.policy.config.tokenizer_max_length
    assert short[0]['words'].shape == (1, limit)


def test_an_engine_is_taken_from_the_cache_and_compared_again(make, tmp_path):
    cache = EngineCache(tmp_path)
    assert 'Built and kept' in compiled(make('act'), 'openvino', cache=cache).report.origin
    again = compiled(make('act'), 'openvino', cache=cache).report
    assert 'Loaded' in again.origin
    assert again.agreement.errors['targets'] < 2e-4


def test_the_same_policy_has_the_same_fingerprint_and_another_one_has_another(make):
    def print_of(policy):
        part = next(iter(cut(policy).parts.values()))
        return fingerprint(part, part.probes(try_outs(policy))[0])

    for kind in ('smolvla', 'act'):
        first, again = (make(kind, SamplerPlan(2)) for _ in range(2))
        assert print_of(first) == print_of(again) != print_of(make(kind))
    with torch.no_grad():
        again.model.policy.model.action_head.bias += 1e-3
    assert print_of(first) != print_of(again)


@pytest.mark.parametrize(
    ('kind', 'plan'),
    [('act', SamplerPlan(2)), ('smolvla', SamplerPlan(2, after=1)), ('pi0', None)],
)
def test_fewer_bits_are_close_and_never_exact_even_after_an_export(kind, plan, make):
    policy = make(kind, plan)
    for part in cut(policy).parts.values():
        export_graph(part, part.probes(try_outs(policy))[0], 'fp32')
    report = compiled(policy, 'eager', 'bf16').report
    assert 1e-6 < report.agreement.errors['targets'] < 5e-2


def folder_of(policy, path):
    save_model_folder(policy.model, path)
    adopt(path, policy.config.robot)
    return path


def test_the_node_takes_an_adopted_policy_on_an_engine(make, tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    folder = folder_of(make('act', SamplerPlan(2)), tmp_path / 'policy')
    told = []
    for choice in ('automatic', 'openvino'):
        deployed = load_policy(folder, choice, None, progress=told.append)
        assert deployed.about['backend'] == 'openvino'
        found = deployed.backend.predict(deployed.example).chunk.targets
        off = np.abs((found - deployed.golden.actions) / deployed.golden.unit).max()
        assert off < 1e-3
    assert len(told) == 2, 'the second start built again'
    eager = load_policy(folder, 'eager', None)
    assert eager.about['backend'] == 'eager'
    with pytest.raises(ValueError, match='TensorRT'):
        load_policy(folder, 'tensorrt', None)
    with pytest.raises(ValueError, match='cuda'):
        load_policy(folder, 'eager', None, Settings(device='cuda:1'))


def test_export_check_and_evaluate_take_an_adopted_folder(make, tmp_path, monkeypatch, capsys):
    pytest.importorskip('openvino')
    from ros2_gridsampler.command_line.check_command import check
    from ros2_gridsampler.command_line.engine_commands import export
    from ros2_gridsampler.evaluating.contestants import load_contestant
    from ros2_gridsampler.evaluating.evaluation_config import PolicyChoice

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    folder = folder_of(make('act', SamplerPlan(2)), tmp_path / 'policy')
    export('openvino', str(folder))
    assert 'targets by' in capsys.readouterr().out
    check(str(folder), 'openvino', runs=1)
    assert 'parts of its range at most' in capsys.readouterr().out
    with pytest.raises(ValueError, match='cannot become a folder that runs without PyTorch'):
        export('openvino', str(folder), out=tmp_path / 'converted')
    for backend in ('eager', 'openvino'):
        contestant = load_contestant(PolicyChoice(folder, backend=backend))
        assert contestant.identity['backend'] == backend
        assert contestant.config.steps == small.STEPS
    with pytest.raises(ValueError, match='keeps its own encoder'):
        load_contestant(PolicyChoice(folder, encoder=tmp_path))
