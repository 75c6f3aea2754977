# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What no experiment can use is refused in one sentence, before it works long or writes."""

import importlib
import re
import shlex
import sys

import pytest
import yaml
from arm_recordings import ARM
from test_bad_input import RECIPES, place  # noqa: F401 - a fixture

from experiments import run

OBEDIENCE = 'obedience --policy hand'
COST = f'evaluation_benchmark --policy policy --arm {ARM}'
COMPARE = f'comparison {RECIPES}/comparison.yaml bag --out out'


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        (
            f'compare_encoders {RECIPES}/mi_mae_libero.yaml bag --out out --pictures empty '
            '--compute 1',
            'Of 1 bags fewer than two are held out',
        ),
        ('expert_success --episodes 51', 'got 51 episodes'),
        ('expert_success --tasks -1', 'has no task -1'),
        ('expert_success --json empty', 'empty cannot be written'),
        (f'{OBEDIENCE} --episodes -3', 'got -3 episodes'),
        (f'{OBEDIENCE} --tasks 1', 'at least two tasks'),
        ('obedience --policy policy', 'policy commands joint_position'),
        ('metric_ranking nowhere --out out', 'nowhere is no folder'),
        ('metric_ranking empty --out out', 'empty has 0 checkpoints'),
        ('metric_ranking empty --out out --jobs -1', "got '-1'"),
        ('metric_ranking empty --out file', 'file cannot be a folder'),
        (f'{COST} --frames 0', 'The bag is to have 0 frames .* at least 2 frames'),
        (f'{COST} --rounds 0', 'for 0 rounds; .* one round'),
        (f'{COST} --size 0 240', 'of 0x240 px'),
        (f'{COST} --json empty', 'empty cannot be written'),
        (f'{COMPARE} --rows base,typo', "has no row 'typo'; its rows are"),
        (f'{COMPARE} --rows ,', "has no row ''"),
        ('comparison taskless.yaml bag --out out', 'No task of libero_spatial is named'),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(place, monkeypatch, capsys, command, words):  # noqa: F811
    name, *arguments = shlex.split(command)
    if name in ('expert_success', 'obedience', 'comparison'):
        pytest.importorskip('libero', reason='LIBERO is not installed; pip install .[sim]')
    comparison = yaml.safe_load((RECIPES / 'comparison.yaml').read_text())
    comparison |= {'recipe': str(RECIPES / comparison['recipe']), 'tasks': []}
    (place / 'taskless.yaml').write_text(yaml.safe_dump(comparison))
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, 'argv', [name, *arguments])
    with pytest.raises(SystemExit) as end:
        run(importlib.import_module(f'experiments.{name}').main)
    said = capsys.readouterr()
    assert end.value.code == 1, said
    assert said.err.startswith(f'experiments.{name}: ')
    assert said.err.count('\n') == 1, said.err
    assert re.search(words, said.err), said.err
    assert not (place / 'out').exists(), 'refused, and yet something was written'
