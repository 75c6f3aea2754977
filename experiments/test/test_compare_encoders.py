# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A comparison of pretraining methods goes on where it stopped, and only with its own runs."""

import dataclasses

import pytest
from test_pretraining import CONFIG, bags  # noqa: F401 - a fixture

from experiments.compare_encoders import Comparison, compare, run_of
from experiments.probes import Score
from ros2_gridsampler.training.pretrain_config import forward_operations


def test_a_comparison_of_encoders_goes_on_with_its_own_runs_and_with_no_others(bags, tmp_path):  # noqa: F811
    asked_for = []

    def probe(encoder, manifest):
        asked_for.append(manifest.method)
        return [Score('linear', 'mean', 50.0, '%', (40.0, 60.0), 100)]

    def run(steps, asked):
        budget = steps * forward_operations(dataclasses.replace(CONFIG, model=mae))
        comparison = Comparison(('untrained', 'mae'), (0, 1), budget)
        return compare(CONFIG, comparison, bags, tmp_path, tmp_path / 'c', probe, asked)

    mae = CONFIG.model.as_method('mae')
    table = run(2, {'every': 1})
    assert table.splitlines()[3].startswith('| untrained | 2 | 0.000')
    assert len(asked_for) == 4
    assert run(2, {'every': 1}) == table
    assert len(asked_for) == 4
    with pytest.raises(
        ValueError, match=r'untrained_0/scores\.json answers another question \(every differ\)'
    ):
        run(2, {'every': 2})
    with pytest.raises(ValueError, match=r'another recipe \(steps differ\)'):
        run(3, {'every': 1})


def test_weights_of_the_information_losses_are_compared_by_name():
    comparison = Comparison(('mi_mae@0.02,0.003', 'mae'), (0,), 1e12)
    run = run_of(CONFIG, comparison.methods[0], 0, 1e12)
    assert (run.model.weights.infonce, run.model.weights.vclub) == (0.02, 0.003)
    assert run.model.weights.reconstruction == CONFIG.model.weights.reconstruction
    with pytest.raises(ValueError, match="'mi_mae@0.02' does not say two weights"):
        run_of(CONFIG, 'mi_mae@0.02', 0, 1e12)
    with pytest.raises(ValueError, match=r"\['nothing'\] are no methods"):
        Comparison(('nothing@1,1',), (0,), 1e12)
