# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The reducers that serve as examples keep the call of GridS and do what their papers say."""

import pytest
import torch

from ros2_gridsampler.policy.point_locator import cell_centres
from ros2_gridsampler.policy.token_learner import TokenLearner
from ros2_gridsampler.policy.token_merging import TokenMerging
from ros2_gridsampler.vla.sequence_sampler import SequenceSampler

BOTH = [TokenMerging, TokenLearner]


def bare(reducer):
    """Without what it adds for the place."""
    for parameter in reducer.coordinate_embedding[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return reducer


@pytest.mark.parametrize('kind', BOTH)
@pytest.mark.parametrize('tokens', [1, 4, 7])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_map_of_any_shape_becomes_few_tokens_with_points(kind, tokens, dtype):
    read, points = kind(16, tokens)(torch.randn(2, 5, 8, 16).to(dtype))
    assert read.shape == (2, tokens, 16)
    assert read.dtype == dtype
    assert points.shape == (2, tokens, 2)
    assert points.dtype == torch.float32
    assert ((points >= 0) & (points <= 1)).all()


@pytest.mark.parametrize('kind', BOTH)
def test_a_constant_map_is_read_as_that_constant(kind):
    read, _ = bare(kind(8, 3))(torch.full((1, 4, 6, 8), 2.5))
    torch.testing.assert_close(read, torch.full((1, 3, 8), 2.5))


@pytest.mark.parametrize('kind', BOTH)
def test_the_reducer_is_exported_and_its_parameters_learn(kind):
    reducer, feature_map = kind(8, 3), torch.randn(2, 4, 4, 8, requires_grad=True)
    exported = torch.export.export(reducer, (feature_map.detach(),)).module()
    torch.testing.assert_close(exported(feature_map.detach()), reducer(feature_map.detach()))
    tokens, _ = reducer(feature_map)
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in [*reducer.parameters(), feature_map])


def test_merging_keeps_the_mean_of_the_map_and_leaves_all_cells_alone_where_all_may_stay():
    feature_map = torch.randn(2, 4, 4, 8)
    one, point = bare(TokenMerging(8, 1))(feature_map)
    torch.testing.assert_close(one[:, 0], feature_map.mean((1, 2)))
    torch.testing.assert_close(point, torch.full((2, 1, 2), 0.5))
    every, points = bare(TokenMerging(8, 16))(feature_map)
    assert torch.equal(every, feature_map.flatten(1, 2))
    assert torch.equal(points[0], cell_centres(4, 4))


def test_merging_joins_what_is_alike_and_not_what_differs():
    # Left half one direction, right half another, plus a little noise.
    feature_map = torch.zeros(1, 4, 6, 8)
    feature_map[:, :, :3, 0] = 1
    feature_map[:, :, 3:, 1] = 1
    feature_map += 0.001 * torch.rand(feature_map.shape)
    tokens, points = bare(TokenMerging(8, 2))(feature_map)
    left = points[0, :, 0].argmin()
    torch.testing.assert_close(points[0, left], torch.tensor([0.2, 0.5]))
    torch.testing.assert_close(points[0, 1 - left], torch.tensor([0.8, 0.5]))
    assert tokens[0, left, 0] > 0.99 > 0.01 > tokens[0, left, 1]


def test_a_learner_that_is_taught_a_cell_reads_that_cell():
    torch.manual_seed(0)
    reducer = TokenLearner(8, 1)
    feature_map = torch.randn(1, 5, 5, 8)
    wanted = torch.tensor([0.75, 0.25])
    optimiser = torch.optim.Adam(reducer.weigh.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss = (reducer(feature_map)[1][0, 0] - wanted).square().sum()
        loss.backward()
        optimiser.step()
    assert loss < 1e-3


@pytest.mark.parametrize('kind', BOTH)
def test_the_examples_serve_sequences_with_a_class_token(kind):
    tokens, _ = SequenceSampler(kind(8, 4), prefix=1)(torch.randn(2, 13, 8), (3, 4))
    assert tokens.shape == (2, 5, 8)


def test_more_tokens_than_cells_are_refused():
    with pytest.raises(ValueError, match='4 cells cannot become 5 tokens'):
        TokenMerging(8, 5)(torch.zeros(1, 2, 2, 8))
