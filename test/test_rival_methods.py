# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The methods that GridS is timed against are what their papers say."""

import pytest
import torch
from policies import tiny_policy

from ros2_gridsampler.benchmarks.rival_methods import (
    MergingPolicy,
    PruningPolicy,
    merge_tokens,
    take_over,
    with_reducer,
)
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy import as_tensors
from ros2_gridsampler.policy.policy_config import TrunkConfig


def actions(policy):
    """Of the golden observation."""
    with torch.no_grad():
        return policy(*as_tensors(policy.config, golden_observation(policy.config)))[0]


def deep_policy():
    """With two trunk blocks and a third."""
    import dataclasses

    from ros2_gridsampler.policy.policy import Policy

    torch.manual_seed(0)
    config = tiny_policy().config
    return Policy(dataclasses.replace(config, trunk=TrunkConfig(32, 3, 2))).eval()


def test_merging_nothing_and_pruning_nothing_is_the_dense_policy():
    policy = deep_policy()
    dense = actions(with_reducer(policy, 'dense', 16, 3))
    for rival in (MergingPolicy(policy.config, 16), PruningPolicy(policy.config, 16)):
        torch.testing.assert_close(actions(take_over(rival, policy)), dense, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kept', [4, 9])
def test_merging_leaves_as_many_tokens_as_it_should(kept):
    policy = MergingPolicy(tiny_policy().config, kept).eval()
    images = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    tokens, places = policy.see(images, None)
    assert tokens.shape[1] == places.shape[1] == kept
    assert ((places >= 0) & (places <= 1)).all()


@pytest.mark.parametrize('kept', [4, 9])
def test_pruned_tokens_change_the_answer(kept):
    policy = deep_policy()
    pruned = actions(take_over(PruningPolicy(policy.config, kept), policy))
    assert not torch.equal(pruned, actions(with_reducer(policy, 'dense', 16, 3)))


def test_merging_keeps_the_sum_over_all_patches_and_the_class_token():
    torch.manual_seed(0)
    keys, tokens = torch.randn(2, 9, 8), torch.randn(2, 9, 5)
    places, size = torch.rand(2, 9, 2), torch.randint(1, 4, (2, 9, 1)).float()
    merged, where, sizes = merge_tokens(keys, tokens, places, size, 3)
    assert merged.shape == (2, 6, 5)
    for before, after in ((tokens, merged), (places, where)):
        torch.testing.assert_close((after * sizes).sum(1), (before * size).sum(1))
    torch.testing.assert_close(merged[:, 0], tokens[:, 0])
    torch.testing.assert_close(sizes.sum(1), size.sum(1))


def test_the_most_alike_are_merged():
    keys = torch.eye(6)[None].repeat(1, 1, 1)
    keys[0, 4] = keys[0, 3] + 0.01 * keys[0, 0]  # the even token 4 is like the odd token 3
    tokens = torch.arange(6.0)[None, :, None]
    merged, *_ = merge_tokens(keys, tokens, torch.zeros(1, 6, 2), torch.ones(1, 6, 1), 1)
    assert sorted(merged.flatten().tolist()) == [0.0, 1.0, 2.0, 3.5, 5.0]
