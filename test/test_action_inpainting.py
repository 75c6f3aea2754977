# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A flow that is pulled goes on from the steps under way; one that is not pulled stays itself."""

import pytest
import torch

from ros2_gridsampler.action_inpainting import continuity_weights, give_prefix, inpaint

STEPS, ACTIONS = 8, 3


def straight_to(goal):
    """The exact field of the flow from any noise to one chunk."""
    return lambda noisy, time: (goal - noisy) / (1 - time)


def smooth(noisy, time):
    """A field that makes neighbouring steps alike, as a learned one does."""
    mean = noisy.mean(1, keepdim=True)
    return (mean - noisy) / (1 - time + 0.1)


def test_weights_are_whole_for_frozen_steps_fall_and_end():
    weights = continuity_weights(10, 3, 7)
    assert weights[:3].tolist() == [1, 1, 1]
    assert (weights[3:7].diff() < 0).all()
    assert 0 < weights[6] < weights[3] < 1
    assert not weights[7:].any()


@pytest.mark.parametrize('bad', [(5, -1, 2), (5, 3, 2), (5, 2, 6)])
def test_steps_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match='frozen <= known'):
        continuity_weights(*bad)


def test_without_weights_the_flow_is_the_flow():
    goal = torch.randn(2, STEPS, ACTIONS)
    noise = torch.randn(2, STEPS, ACTIONS)
    free = inpaint(straight_to(goal), noise, torch.zeros_like(goal), torch.zeros(STEPS), 5)
    torch.testing.assert_close(free, goal)


def test_frozen_steps_come_near_to_what_is_known_and_the_rest_follows():
    torch.manual_seed(0)
    noise = torch.randn(1, STEPS, ACTIONS)
    known = torch.full((1, STEPS, ACTIONS), 2.0)
    weights = continuity_weights(STEPS, 3, 6)
    free = inpaint(smooth, noise, known, torch.zeros(STEPS), 20)
    pulled = inpaint(smooth, noise, known, weights, 20)
    off = (pulled - known).abs().mean((0, 2))
    before = (free - known).abs().mean((0, 2))
    assert (off[:3] < 0.2 * before[:3]).all()
    assert (off < before).all(), 'the steps that were not given go the same way'
    assert not pulled.requires_grad


def test_given_steps_are_the_true_ones_and_do_not_count():
    actions = torch.randn(2, STEPS, ACTIONS)
    given, counts = give_prefix(actions, torch.zeros_like(actions), torch.tensor([0, 3]))
    assert not given[0].any()
    torch.testing.assert_close(given[1, :3], actions[1, :3])
    assert not given[1, 3:].any()
    assert counts.sum(1).tolist() == [STEPS, STEPS - 3]
