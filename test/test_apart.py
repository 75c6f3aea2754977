# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What another process makes is what this one would have made, and nobody is left behind."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzed_encoders import save_small_encoder
from policies import tiny_policy

from ros2_gridsampler.encoders.apart import run_apart
from ros2_gridsampler.encoders.compatibility import config_with_encoder, with_encoder
from ros2_gridsampler.encoders.encoder_checkpoint import (
    load_encoder,
    load_encoder_manifest,
    save_encoder,
)
from ros2_gridsampler.encoders.engine_maker import EngineMaker, hand_over, take_over
from ros2_gridsampler.encoders.received_folder import check_received, check_received_apart
from ros2_gridsampler.engines import build
from ros2_gridsampler.engines.engine import EngineRefused, Settings
from ros2_gridsampler.engines.table import find_engines
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.manifest import BadCheckpoint, golden_observation

PATIENT = """
import sys, time
from ros2_gridsampler.encoders.apart import answer, run_apart
def work():
    print(sys.argv[1:], file=sys.stderr, flush=True)
    if sys.argv[1] == 'refuse':
        raise ValueError('not today')
    if sys.argv[1] == 'break':
        raise KeyError('nobody foresaw this')
    time.sleep(float(sys.argv[1]))
    return 'done'
if __name__ == '__main__':
    answer(work)
"""


@pytest.fixture
def patient(tmp_path, monkeypatch):
    """A module whose work takes as long as it is told."""
    (tmp_path / 'patient.py').write_text(PATIENT)
    paths = (str(tmp_path), str(Path(__file__).parents[1]))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(paths))
    return 'patient'


def children():
    return set(Path('/proc/thread-self/children').read_text().split())


def test_an_answer_a_refusal_and_a_failure_come_back(patient):
    assert run_apart(patient, ['0']) == 'done'
    with pytest.raises(ValueError, match='^not today$'):
        run_apart(patient, ['refuse'])
    with pytest.raises(ValueError, match='nobody foresaw this'):
        run_apart(patient, ['break'])


def test_whoever_does_not_want_to_wait_leaves_no_process_behind(patient):
    before = children()

    def wait():
        assert children() - before
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_apart(patient, ['1000'], wait)
    assert children() == before


def test_the_work_ends_with_the_process_that_asked_for_it(patient):
    program = (
        'import threading, time\n'
        'from pathlib import Path\n'
        'from ros2_gridsampler.encoders.apart import run_apart\n'
        'def wait():\n'
        '    print(Path("/proc/thread-self/children").read_text(), flush=True)\n'
        '    time.sleep(0.05)\n'
        f'run_apart({patient!r}, ["1000"], wait)\n'
    )
    with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE) as asking:
        worker = Path('/proc') / asking.stdout.readline().decode().strip()
        asking.kill()
    deadline = time.monotonic() + 60
    while worker.exists() and 'Z' not in (worker / 'stat').read_text().split()[2]:
        assert time.monotonic() < deadline, 'it works for nobody'
        time.sleep(0.05)


@pytest.fixture(scope='module')
def made():
    """A policy and its engine."""
    pytest.importorskip('openvino')
    torch.manual_seed(0)
    policy = tiny_policy(sample_after=3)
    examples = [golden_observation(policy.config)]
    return policy, build(policy, examples, find_engines(['openvino']), Settings())


def test_an_engine_that_was_handed_over_predicts_the_same(made, tmp_path):
    policy, engine = made
    hand_over(engine, tmp_path)
    taken = take_over(tmp_path, policy.interface)
    for given in engine.inputs:
        actions = [session.run(given)['actions'] for session in (taken._session, engine.session)]
        assert np.array_equal(*actions)
    assert taken.report.agreement.inputs == len(engine.inputs)


@pytest.mark.parametrize('name', ['graph.bin', 'probes.safetensors', 'report.json'])
def test_a_part_of_an_engine_is_not_taken_over(made, tmp_path, name):
    policy, engine = made
    hand_over(engine, tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EngineRefused):
        take_over(tmp_path, policy.interface)


def test_an_engine_that_computes_something_else_than_pytorch_is_not_taken_over(made, tmp_path):
    policy, engine = made
    other = [results | {'actions': results['actions'] + 1} for results in engine.expected]
    hand_over(replace(engine, expected=other), tmp_path)
    with pytest.raises(EngineRefused, match='something else'):
        take_over(tmp_path, policy.interface)


@pytest.mark.timeout(1800)
def test_an_engine_made_apart_sees_through_the_encoder_that_was_asked_for(tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    torch.manual_seed(1)
    policy = tiny_policy(sample_after=3)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    save_small_encoder(tmp_path / 'other', config=policy.config.encoder)
    encoder, manifest = load_encoder(tmp_path / 'other')
    expected = with_encoder(policy, encoder).predict(golden_observation(policy.config))
    maker = EngineMaker(tmp_path / 'policy', 'openvino', Settings(), lambda text: None)
    own = maker.here(policy).predict(golden_observation(policy.config))
    config = config_with_encoder(policy.config, manifest.encoder)
    other = maker.apart(tmp_path / 'other', config, lambda: time.sleep(0.02))
    found = other.predict(golden_observation(policy.config)).chunk.targets
    assert np.allclose(found, expected.chunk.targets, atol=1e-4)
    assert not np.allclose(found, own.chunk.targets, atol=1e-4)


def test_a_received_folder_is_refused_apart_with_the_same_words(tmp_path):
    save_small_encoder(tmp_path / 'good')
    check_received_apart(tmp_path / 'good')
    encoder, _ = load_encoder(tmp_path / 'good')
    manifest = load_encoder_manifest(tmp_path / 'good')
    with torch.no_grad():
        encoder.norm.weight.mul_(1.5)
    save_encoder(
        encoder,
        tmp_path / 'changed',
        preparation=manifest.preparation,
        method='untrained',
        loss_weights={},
        steps=0,
        compute=0.0,
        training={},
        results={},
    )
    (tmp_path / 'changed' / 'manifest.json').write_bytes(
        (tmp_path / 'good' / 'manifest.json').read_bytes()
    )
    with pytest.raises(BadCheckpoint) as here:
        check_received(tmp_path / 'changed')
    with pytest.raises(ValueError, match='sha256') as there:
        check_received_apart(tmp_path / 'changed')
    assert str(here.value) == str(there.value)
