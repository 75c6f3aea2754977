# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""FLOPs are those of a whole step; published figures are reproduced by counting as they did."""

import pytest
import torch
from policies import tiny_policy
from torch import nn

from ros2_gridsampler.benchmarks.rival_methods import with_reducer
from ros2_gridsampler.benchmarks.step_cost import count, count_model, count_policy
from ros2_gridsampler.benchmarks.vla_models import GEMMA_2B, GEMMA_300M


def test_a_layer_is_counted_as_by_hand():
    tokens = 7
    parameters = 110_100_480
    by_hand = (2 * parameters * tokens + 4 * tokens**2 * 2048) / 1e9
    assert count(lambda: GEMMA_2B.run(tokens, layers=1)) == pytest.approx(by_hand)


def test_a_layer_costs_what_pytorchs_own_costs():
    own = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    wanted = count(lambda: own(torch.zeros(1, 9, 64)))
    from ros2_gridsampler.benchmarks.vla_models import Stack

    got = count(lambda: Stack(1, 64, 128, 4, 4, 16, False).run(9))
    assert got == pytest.approx(wanted)


@pytest.mark.parametrize(('tokens', 'total'), [(None, 4379), (16, 1374), (4, 1228)])
def test_pi0s_whole_step_costs_what_its_closed_form_says(tokens, total):
    cost = count_model('pi0', tokens=tokens, cameras=3, language_tokens=48)
    assert cost.total == pytest.approx(total, rel=0.001)
    parts = cost.vision + cost.language + cost.action + cost.grid_sampler + cost.other
    assert cost.total == pytest.approx(parts)


@pytest.mark.parametrize(
    ('model', 'tokens', 'published'),
    [
        ('pi0', None, 216.01),
        ('pi0', 16, 51.65),
        ('pi0', 4, 43.61),
        ('pi05', None, 249.76),
        ('pi05', 16, 83.84),
        ('pi05', 4, 75.73),
    ],
)
def test_published_numbers_come_out_when_loops_are_counted_once(model, tokens, published):
    cost = count_model(model, tokens=tokens, once=True)
    assert cost.total == pytest.approx(published, rel=0.01)


def test_sampling_early_in_the_tower_cuts_four_fifths_of_pi0s_whole_step():
    late = count_model('pi0', tokens=16, cameras=3, language_tokens=48)
    early = count_model('pi0', tokens=16, cameras=3, language_tokens=48, sample_after=5)
    assert late.cut == pytest.approx(0.686, abs=0.001)
    assert early.cut >= 0.8
    assert early.language == late.language


def test_openvlas_step_agrees_with_a_count_on_its_own_code():
    # 7.54 B parameters of the real model on the meta device, one picture, 32 words, 7 actions.
    assert count_model('openvla').total == pytest.approx(4274, rel=0.001)


@pytest.mark.parametrize(
    ('tokens', 'block', 'own_code'),
    [
        (None, None, 3005.8),
        (16, None, 1024.2),
        (4, None, 926.9),
        (16, 4, 671.9),
        (4, 4, 557.6),
    ],
)
def test_pi0s_step_agrees_with_a_count_on_lerobots_own_code(tokens, block, own_code):
    # `python -m experiments.lerobot_step_cost pi0`: two pictures, 32 words.
    cost = count_model('pi0', tokens=tokens, cameras=2, language_tokens=32, sample_after=block)
    assert cost.total == pytest.approx(own_code, rel=0.0005)


@pytest.mark.parametrize('model', ['openvla-oft', 'smolvla'])
def test_fewer_tokens_cost_less_and_the_tower_stays(model):
    dense, few = count_model(model), count_model(model, tokens=4)
    assert few.total < dense.total == few.dense_total
    assert few.vision == dense.vision
    assert few.total_without_tower == pytest.approx(few.total - few.vision)


@pytest.mark.parametrize(
    ('model', 'options', 'words'),
    [
        ('pi0', {'tokens': 257}, '1 to 256 visual tokens'),
        ('pi0', {'tokens': 0}, 'got 0, 3 and 48'),
        ('pi0', {'tokens': 16, 'sample_after': 28}, 'its tower has 27 blocks'),
        ('smolvla', {'tokens': 16, 'sample_after': 3}, 'joins 16 neighbours'),
    ],
)
def test_what_a_model_does_not_have_is_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        count_model(model, **options)


@pytest.mark.parametrize('head', ['direct', 'continuing', 'flow'])
def test_every_product_of_a_policy_is_in_one_part(head):
    policy = tiny_policy(head=head)
    cost = count_policy(policy)
    dense = count_policy(with_reducer(policy, 'dense', 16, 3))
    assert dense.cut == pytest.approx(0)
    assert cost.dense_total == pytest.approx(dense.total)
    assert min(cost.vision, cost.language, cost.action, cost.grid_sampler) > 0
    assert 0 < cost.other < 0.05 * cost.total
    assert count_policy(policy, sample_after=0).vision < cost.vision


def test_the_action_expert_reads_the_whole_prefix():
    short = count(lambda: GEMMA_300M.run(51, 64, layers=1))
    long = count(lambda: GEMMA_300M.run(51, 816, layers=1))
    assert long - short == pytest.approx(4 * 51 * (816 - 64) * 2048 / 1e9)
