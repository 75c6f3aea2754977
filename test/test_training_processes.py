# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Training by several processes, in mixed precision, on batches that are prepared ahead."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import cattrs
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_training import CONFIG, bags, losses  # noqa: F401

pytest.importorskip('lightning_fabric')
from ros2_gridsampler.training import train_policy
from ros2_gridsampler.training.compute import Compute
from ros2_gridsampler.training.processes import check_batch, prepared
from ros2_gridsampler.training.run_state import STATE
from ros2_gridsampler.training.train_policy import train

# Everything that draws: noise, pictures, points, the head's times and prefixes.
DRAWS = dataclasses.replace(
    CONFIG,
    encoder=dataclasses.replace(CONFIG.encoder, stem=()),
    reducer='random_points',
    conditioned=False,
    head='flow',
    dimming=0.3,
    save_every=100,
)
PROCESSES = 2


def by_torchrun(config, recordings, out, cache):
    """The command as the documentation writes it."""
    recipe = out.parent / f'{out.name}.yaml'
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(cattrs.unstructure(config)))))
    command = ['train', recipe, *recordings, '--out', out, '--cache', cache]
    result = subprocess.run(
        [
            *(sys.executable, '-m', 'torch.distributed.run', '--standalone'),
            *('--nproc-per-node', str(PROCESSES), '-m', 'ros2_gridsampler.command_line'),
            *map(str, command),
        ],
        env={
            **os.environ,
            'PYTHONPATH': str(Path(__file__).parents[1]),
            'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr


def alike(one, two):
    """Sums of two processes are added in another order."""
    assert set(one) == set(two)
    for name, tensor in one.items():
        if name.startswith(('model.', 'average.')):
            torch.testing.assert_close(tensor, two[name], atol=2e-4, rtol=2e-3, msg=name)


def test_two_processes_train_to_what_one_does(bags, tmp_path):  # noqa: F811
    cache = tmp_path / 'cache'
    train(DRAWS, bags, tmp_path / 'one', cache)
    by_torchrun(dataclasses.replace(DRAWS, workers=1), bags, tmp_path / 'two', cache)
    last = DRAWS.steps
    one, two = (losses(tmp_path / name)[last] for name in ('one', 'two'))
    assert two == pytest.approx(one, rel=1e-3)
    alike(*(load_file(tmp_path / name / STATE) for name in ('one', 'two')))
    scores = [
        json.loads((tmp_path / name / 'manifest.json').read_text())['results']['validation']
        for name in ('one', 'two')
    ]
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)


def test_a_run_that_one_process_began_is_ended_by_two(bags, tmp_path, monkeypatch):  # noqa: F811
    cache = tmp_path / 'cache'
    whole = dataclasses.replace(DRAWS, save_every=4)
    train(whole, bags, tmp_path / 'whole', cache)

    class PowerCut(Exception):
        pass

    step = train_policy.CloningRun.step

    def cut(run, batch):
        if run.state.step == 5:
            raise PowerCut
        return step(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(train_policy.CloningRun, 'step', cut)
        with pytest.raises(PowerCut):
            train(whole, bags, tmp_path / 'cut', cache)
    by_torchrun(whole, bags, tmp_path / 'cut', cache)
    alike(*(load_file(tmp_path / name / STATE) for name in ('whole', 'cut')))


def test_a_stem_is_not_shared_by_processes_on_a_cpu(tmp_path, monkeypatch):
    # What torchrun sets for the first of two processes; the refusal comes before they meet.
    for name, value in {'LOCAL_WORLD_SIZE': '2', 'WORLD_SIZE': '2'}.items():
        monkeypatch.setenv(name, value)
    on_a_cpu = dataclasses.replace(CONFIG, device='cpu')
    with pytest.raises(ValueError, match='on CPUs use one process, or an encoder with stem'):
        train(on_a_cpu, [tmp_path / 'nowhere'], tmp_path / 'run', tmp_path / 'cache')


def test_a_batch_is_shared_equally_or_not_at_all():
    check_batch(8, PROCESSES)
    with pytest.raises(ValueError, match='7 samples per step cannot be shared by 2 processes'):
        check_batch(7, PROCESSES)


def test_workers_change_nothing_but_the_time(bags, tmp_path):  # noqa: F811
    results = [
        train(dataclasses.replace(DRAWS, workers=workers), bags, tmp_path / f'{workers}', tmp_path)
        for workers in (0, 3)
    ]
    for name, tensor in results[0].state_dict().items():
        assert torch.equal(tensor, results[1].state_dict()[name]), name
    assert not [t for t in threading.enumerate() if t.name.startswith('batches')]


@pytest.mark.parametrize('reducer', ['point_locator', 'grid_sampler'])
def test_mixed_precision_learns_nearly_the_same_and_keeps_whole_weights(
    bags,  # noqa: F811
    tmp_path,
    reducer,
):
    config = dataclasses.replace(CONFIG, reducer=reducer)
    found = {}
    for precision in ('32-true', 'bf16-mixed'):
        out = tmp_path / precision
        policy = train(dataclasses.replace(config, precision=precision), bags, out, tmp_path)
        assert {p.dtype for p in policy.parameters()} == {torch.float32}
        found[precision] = losses(out)[config.steps]['action']
        record = json.loads((out / 'manifest.json').read_text())['training']
        assert record['precision'] == precision
    assert found['bf16-mixed'] == pytest.approx(found['32-true'], rel=0.02)
    assert found['bf16-mixed'] != found['32-true'], 'nothing was computed in bfloat16'
    with pytest.raises(ValueError, match=r'another recipe \(precision differ\)'):
        train(config, bags, tmp_path / 'bf16-mixed', tmp_path)


@given(st.lists(st.integers()), st.integers(0, 4))
def test_what_is_prepared_comes_in_order_and_no_further_ahead_than_there_are_workers(
    items, workers
):
    begun = []

    def asked():
        for item in items:
            begun.append(item)
            yield item

    cpu = torch.device('cpu')
    for count, made in enumerate(
        prepared(lambda item: item + 1, asked(), Compute(workers=workers), cpu)
    ):
        assert made == items[count] + 1
        assert len(begun) <= count + 1 + workers
    assert begun == items


def test_what_cannot_be_prepared_is_said_where_it_is_wanted_and_leaves_no_thread():
    def make(item):
        if item == 2:
            raise ValueError('the second is broken')
        return item

    batches = prepared(make, range(9), Compute(workers=2), torch.device('cpu'))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match='the second is broken'):
        next(batches)
    assert not [t for t in threading.enumerate() if t.name.startswith('batches')]


def test_noise_of_a_batch_does_not_depend_on_how_many_share_it(bags, tmp_path):  # noqa: F811
    from ros2_gridsampler.datasets.episodes import store_episodes
    from ros2_gridsampler.policy.shared_draws import Share
    from ros2_gridsampler.training.batches import Batches
    from ros2_gridsampler.training.new_policy import policy_config

    store = store_episodes(bags, CONFIG.episodes, tmp_path)
    config = policy_config(CONFIG, store, np.arange(len(store)))

    def read(share):
        return Batches(store, config, 0.5, 0, 0.7, share=share)(np.arange(8), 3)

    whole = read(Share())
    for name, *parts in zip(
        whole._fields,
        whole,
        *(read(Share(rank, PROCESSES)) for rank in range(PROCESSES)),
        strict=True,
    ):
        assert torch.equal(parts[0], torch.cat(parts[1:])), name
