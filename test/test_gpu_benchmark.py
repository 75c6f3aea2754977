# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark loses no row; what it measures is tried here on a CPU, at small sizes."""

import importlib.util
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy

from ros2_gridsampler.benchmarks.gpu_rows import Bench, jobs, machine_facts
from ros2_gridsampler.benchmarks.gpu_table import REFUSED, Job, RowFile, as_table, run_jobs
from ros2_gridsampler.command_line.engine_commands import benchmark_gpu
from ros2_gridsampler.policy.manifest import golden_observation

SMALL = {
    'hidden_size': 24,
    'intermediate_size': 32,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'image_size': 28,
    'patch_size': 7,
}


class Clock:
    """Time that passes only while something is measured."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def job(self, name, duration, log):
        def measure():
            self.now += duration
            log.append(name)
            return {'time [ms]': float(duration)}

        return Job(name, 'eager', measure)


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(0, 20))
def test_all_rows_are_measured_once_however_often_time_runs_out(tmp_path_factory, lengths, budget):
    path = tmp_path_factory.mktemp('rows') / 'gpu.json'
    clock, log = Clock(), []
    rows = [clock.job(str(number), length, log) for number, length in enumerate(lengths)]
    for _ in range(len(lengths) + 1):
        file = RowFile(path, {'device': 'x'})
        begin = clock()
        left = run_jobs(rows, file, budget, clock, lambda text: None)
        assert clock() - begin <= budget + max(lengths, default=0)
        assert left == len(lengths) - len(log)
    assert log == [str(number) for number in range(len(lengths))]
    assert [row['time [ms]'] for row in RowFile(path, {'device': 'x'}).rows] == lengths


def test_a_row_is_on_disk_before_the_next_one_begins(tmp_path):
    path, seen = tmp_path / 'gpu.json', []

    def look():
        seen.append(len(json.loads(path.read_text())['rows']) if path.exists() else 0)
        return {'x': 1.0}

    def stopped():
        raise KeyboardInterrupt

    rows = [Job('a', 'one', look), Job('b', 'one', look), Job('c', 'one', stopped)]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(rows, RowFile(path, {}), 1.0, lambda: 0.0, lambda text: None)
    assert seen == [0, 1]
    assert len(RowFile(path, {}).rows) == 2


def test_what_cannot_be_measured_is_said_and_tried_again(tmp_path):
    path, able = tmp_path / 'gpu.json', []

    def measure():
        if not able:
            raise RuntimeError('out of memory\nand a long trace')
        return {'p50 [ms]': 2.0}

    rows = [Job('a', 'one', measure), Job('b', 'one', lambda: {'p50 [ms]': 1.0})]
    file = RowFile(path, {})
    assert run_jobs(rows, file, 1.0, lambda: 0.0, lambda text: None) == 0
    assert file.rows[0] == {'subject': 'a', 'way': 'one', REFUSED: 'out of memory'}
    assert 'no figure: out of memory' in as_table(file.rows)
    able.append(True)
    again = RowFile(path, {})
    run_jobs(rows, again, 1.0, lambda: 0.0, lambda text: None)
    assert {row['subject']: row['p50 [ms]'] for row in again.rows} == {'a': 2.0, 'b': 1.0}


def test_rows_of_two_machines_are_not_mixed(tmp_path):
    path = tmp_path / 'gpu.json'
    RowFile(path, {'device': 'one'}).add(Job('a', 'b', dict), {})
    with pytest.raises(ValueError, match='measured with another device; name a new file'):
        RowFile(path, {'device': 'two'})
    for content in ('', '[]', '{"machine": {}, "rows": [{}]}', '{"machine": {}, "rows": 3}'):
        path.write_text(content)
        with pytest.raises(ValueError, match='is no file of this benchmark'):
            RowFile(path, {})


def test_without_a_gpu_it_says_so_in_one_sentence(tmp_path):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    with pytest.raises(ValueError, match='No GPU was found: PyTorch sees none'):
        benchmark_gpu(tmp_path / 'gpu.json')
    assert not list(tmp_path.iterdir())


def measured(rows):
    return {(job.subject, job.way): job for job in rows}


def test_the_rows_of_a_network_are_its_engines_and_name_their_errors():
    bench = Bench('cpu', 2, 'aot_eager')
    policy = tiny_policy()
    found = measured(
        bench.network('tiny', lambda: policy, lambda own: [golden_observation(own.config)])
    )
    assert len(found) == len(bench.ways())
    for way in ('eager fp32', 'torch.compile bf16'):
        row = found['tiny', way].measure()
        assert 0 < row['p50 [ms]'] <= row['p99 [ms]'] < math.inf
        assert 'actions by' in row['error']
    with pytest.raises(ValueError, match='TensorRT'):
        found['tiny', 'tensorrt fp16'].measure()


def test_training_is_counted_in_steps_a_second():
    policy = tiny_policy()
    rows = measured(Bench('cpu', 2).training('tiny', lambda: policy))
    assert len(rows) == 2
    for job in rows.values():
        assert job.measure()['training steps a second'] > 0


@pytest.mark.parametrize(('tokens', 'after'), [(0, None), (4, None), (4, 1)])
def test_a_tower_of_pi0s_kind_is_measured_with_and_without_sampling(tokens, after):
    pytest.importorskip('transformers')
    from ros2_gridsampler.vla.random_policies import siglip_tower

    part = siglip_tower(tokens, after, SMALL)
    (row, *_) = Bench('cpu', 2).network('tower', lambda: part, lambda own: [])
    assert 'tokens by 0' in row.measure()['error']
    given_shape = {name: spec.shape for name, spec in part.signature.inputs.items()}
    assert given_shape == {'pixels': (2, 3, 28, 28)}


def test_the_rows_of_a_lerobot_policy_are_those_of_all_its_networks(tmp_path):
    pytest.importorskip('lerobot', reason='lerobot is not installed')
    import lerobot_policies as small

    from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy

    vlm = small.language_model(tmp_path)
    policy = LerobotPolicy(small.model('smolvla', vlm), small.robot(str(vlm)))
    rows = measured(Bench('cpu', 2).lerobot('smolvla', lambda: policy))
    row = rows['smolvla', 'eager fp32'].measure()
    assert row['p50 [ms]'] > 0
    assert 'step velocity by 0' in row['error']


def test_every_subject_is_listed_and_what_is_not_installed_is_a_word():
    found = measured(jobs(Bench('cpu', 2), ('libero_spatial',), others=True))
    subjects = {subject for subject, _ in found}
    for name in ('libero_spatial, dense', "pi0's tower, two pictures, dense", 'act, dense'):
        assert name in subjects
    assert sum(each.startswith('smolvla') for each in subjects) == 3
    assert ('libero_spatial', 'training bf16, batch 32') in found
    if importlib.util.find_spec('lerobot') is None:
        with pytest.raises(ValueError, match='lerobot is not installed'):
            found['act, dense', 'eager fp32'].measure()
    assert machine_facts('cpu')['device'] == 'CPU'
