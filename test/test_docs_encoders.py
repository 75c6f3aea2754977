# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/encoders.md do what the page says, on small things."""

import shlex
from pathlib import Path

import pytest
import torch
from camera_bags import write_bag
from policies import tiny_policy
from test_encoder_swap import keep_encoder

from ros2_gridsampler.checkpoint import save_checkpoint
from ros2_gridsampler.command_line import application
from ros2_gridsampler.encoder import Encoder

PAGE = (Path(__file__).parents[1] / 'docs' / 'encoders.md').read_text()


def tutorial():
    """The commands of the first block of the tutorial, split into words."""
    block = PAGE.partition('## The tutorial')[2].split('```')[1]
    return [shlex.split(line) for line in block.strip().splitlines()]


def test_the_tutorial_adapts_verifies_and_lists_an_encoder(tmp_path, capsys):
    pytest.importorskip('lightning_fabric')
    policy = tiny_policy(sample_after=3)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    torch.manual_seed(5)
    keep_encoder(Encoder(policy.config.encoder), tmp_path / 'encoder')
    for number in range(2):
        write_bag(tmp_path / 'bags' / f'bag{number}', number)
    names = {
        'POLICY': str(tmp_path / 'policy'),
        'ENCODER': str(tmp_path / 'encoder'),
        'BAGS': str(tmp_path / 'bags'),
        'ENCODERS': str(tmp_path / 'encoders'),
        'ENCODERS/site_b': str(tmp_path / 'encoders' / 'site_b'),
        '400': '3',
    }
    commands = [[names.get(word, word) for word in words] for words in tutorial()]
    assert [words[1] for words in commands] == ['adapt', 'encoders', 'encoders', 'encoders']
    # The last one serves until it is stopped; test_encoder_server has it.
    for words in commands[:-1]:
        assert words[0] == 'gridsampler'
        application.cli(args=words[1:])
    said = capsys.readouterr().out
    assert 'features after' in said
    assert 'all checks passed' in said
    assert 'mi_mae_libero' in said


def test_the_page_names_the_thresholds_as_they_are():
    from ros2_gridsampler.swapping.swap_config import SwapConfig

    config = SwapConfig()
    for name in (
        'shadow_observations',
        'min_cosine',
        'max_deviation',
        'max_latency_ratio',
        'max_latency',
        'trial_time',
        'trial_commands',
        'max_more_interventions',
    ):
        place = PAGE.partition(f'`swap.{name}`')[2]
        assert place, f'{name} is not on the page'
        assert place.startswith(f' ({getattr(config, name):g}'), name
