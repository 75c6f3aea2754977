# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Controls read what they say they read, and every one of them can be trained and kept."""

import pytest
import torch
from policies import tiny_policy

from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.point_locator import PointLocator, cell_centres
from ros2_gridsampler.policy.token_reducers import (
    CONDITIONED,
    REDUCERS,
    FixedGrid,
    TopK,
    check_reducer,
    make_reducer,
)

TOKENS = {'dense': 16, 'blind': 0}
VARIANTS = [(name, False) for name in REDUCERS] + [(name, True) for name in CONDITIONED]


@pytest.mark.parametrize(('name', 'conditioned'), VARIANTS)
def test_a_policy_with_any_reducer_learns_in_all_its_parts_and_survives_its_file(
    name, conditioned, tmp_path
):
    policy = tiny_policy(reducer=name, tokens=TOKENS.get(name, 4), conditioned=conditioned)
    policy.train()
    images = torch.randint(0, 255, (3, 2, 64, 64, 3), dtype=torch.uint8)
    words = torch.randint(0, 99, (3, 20, 12))
    actions, points = policy(images, torch.randn(3, 10), words)
    assert points.shape == (3, 2, TOKENS.get(name, 4), 2)
    assert ((points >= 0) & (points <= 1)).all()
    actions.square().mean().backward()
    missing = [n for n, p in policy.reducer.named_parameters() if p.grad is None]
    assert not missing
    has_eyes = policy.encoder.patch_embed.proj.weight.grad is not None
    assert has_eyes == (name != 'blind')

    policy.eval()
    save_checkpoint(policy, tmp_path, training={}, results={})
    again, _ = load_checkpoint(tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(
            again(images, torch.ones(3, 10), words)[0], policy(images, torch.ones(3, 10), words)[0]
        )


@pytest.mark.parametrize('name', sorted(set(REDUCERS) - {'dense', 'fixed_grid', 'blind'}))
def test_a_constant_map_reads_as_one_token_everywhere_but_for_its_place(name):
    torch.manual_seed(0)
    reducer = make_reducer(name, 8, 4, 0)
    if hasattr(reducer, 'coordinate_embedding'):
        torch.nn.init.zeros_(reducer.coordinate_embedding[2].weight)
        torch.nn.init.zeros_(reducer.coordinate_embedding[2].bias)
    feature_map = torch.randn(1, 1, 1, 8).expand(1, 4, 6, 8)
    if name == 'learned_queries':
        tokens = reducer(feature_map)[0] - reducer.queries
    elif name == 'top_k':
        tokens = torch.nn.functional.normalize(reducer(feature_map)[0], dim=-1)
        feature_map = torch.nn.functional.normalize(feature_map, dim=-1)
    else:
        tokens = reducer(feature_map)[0]
        torch.testing.assert_close(tokens, feature_map[:, 0, :4])
    torch.testing.assert_close(tokens, tokens[:, :1].expand_as(tokens))


def test_a_locator_finds_a_thing_wherever_it_lies():
    """The mean of the map, from which GridS predicts, is the same for all these maps."""
    torch.manual_seed(0)
    locator = PointLocator(channels=8, tokens=1)
    thing = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])
    optimiser = torch.optim.Adam(locator.parameters(), 0.02)

    def error():
        cells = torch.randint(0, 8, (32, 2))
        maps = torch.randn(32, 8, 8, 8)
        maps[range(32), cells[:, 0], cells[:, 1]] = 3 * thing
        points = locator(maps)[1][:, 0]
        return (points - cells.flip(-1) / 7).abs().mean()

    assert error() > 0.2
    for _ in range(200):
        loss = error()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error() < 0.05


def test_one_area_is_mean_pooling_and_areas_average_their_own_cells():
    grid = FixedGrid(channels=2, tokens=4)
    torch.nn.init.zeros_(grid.coordinate_embedding[2].weight)
    torch.nn.init.zeros_(grid.coordinate_embedding[2].bias)
    feature_map = torch.arange(16.0).view(1, 4, 4, 1).expand(1, 4, 4, 2)
    tokens, points = grid(feature_map)
    assert tokens[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]
    assert points[0].tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_top_k_keeps_the_coordinates_of_the_tokens_it_keeps():
    torch.manual_seed(0)
    reducer = TopK(channels=8, tokens=3)
    feature_map = torch.randn(2, 4, 5, 8)
    points = reducer(feature_map)[1]
    centres = {tuple(centre) for centre in cell_centres(4, 5).tolist()}
    for kept in points.tolist():
        assert {tuple(point) for point in kept} <= centres
        assert len({tuple(point) for point in kept}) == 3


def test_random_points_differ_in_training_and_stay_in_use():
    reducer = make_reducer('random_points', 8, 4, 0)
    feature_map = torch.randn(1, 4, 4, 8)
    assert not torch.equal(reducer(feature_map)[1], reducer(feature_map)[1])
    reducer.eval()
    torch.testing.assert_close(reducer(feature_map)[1], reducer(feature_map)[1])


def test_misfits_are_refused_with_the_choices():
    with pytest.raises(ValueError, match='point_locator'):
        make_reducer('best', 8, 4, 0)
    with pytest.raises(ValueError, match='takes no context'):
        make_reducer('fixed_grid', 8, 4, 16)
    with pytest.raises(ValueError, match='square number'):
        make_reducer('fixed_grid', 8, 5, 0)
    for name, tokens, words in (
        ('best', 4, 'not known'),
        ('top_k', 49, '1 to 48 tokens'),
        ('constant_points', 0, '1 to 48 tokens'),
        ('dense', 4, '48 to 48 tokens'),
        ('blind', 1, '0 to 0 tokens'),
        ('fixed_grid', 16, '8x6 cells into a square number of equal areas; 16 are not'),
    ):
        with pytest.raises(ValueError, match=words):
            check_reducer(name, tokens, (8, 6), context=False)
    with pytest.raises(ValueError, match='takes no context'):
        check_reducer('top_k', 4, (8, 6), context=True)
    check_reducer('fixed_grid', 4, (8, 6), context=False)
    with pytest.raises(ValueError, match='keeps 16 tokens'):
        tiny_policy(reducer='dense', tokens=4, conditioned=False)


def test_flow_matching_learns_a_distribution_with_two_modes():
    """Regression would answer with the mean of both, which nobody ever demonstrated."""
    torch.manual_seed(0)
    policy = tiny_policy(head='flow')
    head = policy.action_head
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)
    context = torch.zeros(64, 5, 32)
    for _ in range(400):
        side = torch.randint(0, 2, (64, 1, 1)) * 0.4 - 0.2
        loss = head.loss(context, side.expand(64, 5, 7))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        head.noise = torch.randn(64, 5, 7)
        means = head.actions(context).mean((1, 2))
    assert (means.abs() > 0.12).float().mean() > 0.85
    assert means.min() < -0.12
    assert means.max() > 0.12
