# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A run goes on from its own whole state only, and in no folder that holds something else."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ros2_gridsampler.policy.manifest import WEIGHTS, check_kind
from ros2_gridsampler.training.adapt_config import AdaptConfig
from ros2_gridsampler.training.compute import Compute
from ros2_gridsampler.training.run_state import STATE, RunState, keep_recipe


def run_after(steps: int) -> RunState:
    """A run of one layer that has learned something."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    state = RunState(layer, torch.optim.AdamW(layer.parameters()), average_decay=0.9)
    for _ in range(steps):
        state.optimiser.zero_grad()
        layer(torch.ones(1, 3)).sum().backward()
        state.optimiser.step()
        state.advance()
    return state


def without(*names):
    return lambda tensors: {n: t for n, t in tensors.items() if not n.startswith(names)}


DAMAGES = {
    'no random numbers': without('random'),
    'no optimiser': without('optimiser.'),
    'no average': without('average.'),
    'another average': lambda t: t | {'average.weight': torch.zeros(9, 9)},
    'half of the moments': without('optimiser.1.exp_avg_sq'),
    'moments of another weight': lambda t: t | {'optimiser.0.exp_avg': torch.zeros(9)},
    'moments of more weights': lambda t: t | {'optimiser.7.exp_avg': torch.zeros(2)},
    'a name that is none': lambda t: t | {'optimiser.step': torch.zeros(())},
    'random numbers of another kind': lambda t: t | {'random': torch.zeros(3)},
    'weights of another model': lambda t: t | {'model.weight': torch.zeros(5, 5)},
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_state_that_is_not_whole_is_refused_and_changes_nothing(damage, tmp_path):
    run_after(3).save(tmp_path)
    save_file(DAMAGES[damage](load_file(tmp_path / STATE)), tmp_path / STATE)
    fresh = run_after(0)
    before = {name: tensor.clone() for name, tensor in fresh.model.state_dict().items()}
    with pytest.raises(ValueError, match='is the state of another .*; choose a new output folder'):
        fresh.restore(tmp_path)
    assert fresh.step == 0
    assert all(torch.equal(before[n], t) for n, t in fresh.model.state_dict().items())


def test_a_whole_state_comes_back(tmp_path):
    saved = run_after(3)
    saved.save(tmp_path)
    fresh = run_after(0)
    assert fresh.restore(tmp_path)
    assert fresh.step == 3
    for name, tensor in saved.average.items():
        assert torch.equal(fresh.average[name], tensor)


def test_a_folder_of_lerobot_keeps_its_config(tmp_path):
    content = json.dumps({'type': 'act', 'input_features': {}})
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(FileExistsError, match='holds a policy of lerobot.*; name a new folder'):
        check_kind(tmp_path, WEIGHTS)
    assert (tmp_path / 'config.json').read_text() == content


@pytest.mark.parametrize('file', ['config.json', 'bags.json'])
def test_a_run_whose_files_are_torn_or_of_another_kind_is_refused_by_name(file, tmp_path):
    bags = [tmp_path / 'bag']
    keep_recipe(tmp_path, AdaptConfig(), bags)
    (tmp_path / STATE).touch()
    keep_recipe(tmp_path, AdaptConfig(), bags)
    if file == 'config.json':
        with pytest.raises(ValueError, match=r'config\.json .* choose a new output folder'):
            keep_recipe(tmp_path, Compute(), bags)
    (tmp_path / file).write_text('{"steps"')
    with pytest.raises(ValueError, match=rf'{file} .* choose a new output folder'):
        keep_recipe(tmp_path, AdaptConfig(), bags)
