# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk goes on from the steps that are already under way, whatever the delays are."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import tiny_policy

from ros2_gridsampler.acting.action_chunk import ActionChunk
from ros2_gridsampler.acting.action_prefix import padded
from ros2_gridsampler.acting.chunk_schedule import ChunkSchedule, NoActionDue, ScheduleConfig
from ros2_gridsampler.policy.action_head import ContinuingHead, FlowHead
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy_config import Statistics
from ros2_gridsampler.policy.shared_draws import draw_given

LOG = logging.getLogger(__name__)
PERIOD, STEPS, WIDTH = 0.05, 16, 32
POLICIES = {head: tiny_policy(head=head) for head in ('continuing', 'flow')}


@pytest.mark.parametrize('head', POLICIES)
@settings(max_examples=30)
@given(
    delays=st.lists(st.floats(0.01, 0.3), min_size=2, max_size=6),
    actuation_delay=st.floats(0, 0.1),
    seams=st.sampled_from(['blend', 'ensemble']),
)
def test_the_frozen_steps_of_a_chunk_are_what_is_commanded_until_it_comes(
    head, delays, actuation_delay, seams
):
    policy = POLICIES[head]
    golden = golden_observation(policy.config)
    plan = ChunkSchedule(ScheduleConfig(actuation_delay, 0.1, seams))
    now = 10.0
    for index, delay in enumerate(delays):
        observation = dataclasses.replace(
            golden, time=now, instruction=f'sentence {index}', joints=golden.joints + index
        )
        prefix = plan.prefix(now, policy.config.period, now)
        chunk = policy.predict(observation, prefix).chunk
        assert len(prefix) < policy.config.steps
        for step in range(len(prefix)):
            due = now + step * policy.config.period - actuation_delay
            np.testing.assert_allclose(chunk.targets[step], plan.action(due), atol=1e-6)
        now += delay
        plan.add(chunk, now)


@pytest.mark.parametrize('head', POLICIES)
def test_the_free_steps_depend_on_the_frozen_ones(head):
    policy = POLICIES[head]
    golden = golden_observation(policy.config)
    free = policy.predict(golden).chunk.targets
    told = policy.predict(golden, free[:2] + 0.05).chunk.targets
    np.testing.assert_allclose(told[:2], free[:2] + 0.05, atol=1e-6)
    assert not np.allclose(told[2:], free[2:], atol=1e-4)
    empty = policy.predict(golden, np.empty((0, 0))).chunk.targets
    np.testing.assert_array_equal(empty, free)


@pytest.mark.parametrize('head', POLICIES)
def test_a_relative_policy_is_told_absolute_steps(head):
    policy = tiny_policy(head=head)
    joints = tuple(f'joint_{index}' for index in range(7))
    space = dataclasses.replace(
        policy.config.action_space, kind='joint_position', names=joints, frame=''
    )
    config = dataclasses.replace(
        policy.config,
        joints=joints,
        action_space=space,
        relative=True,
        proprioception_statistics=Statistics((0.5,) * 16, (0.2,) * 16),
    )
    policy = type(policy)(config).eval()
    observation = golden_observation(config)
    prefix = observation.joints + 0.01 * np.arange(2)[:, None]
    chunk = policy.predict(observation, prefix).chunk
    np.testing.assert_allclose(chunk.targets[:2], prefix, atol=1e-6)


def test_a_policy_that_was_not_trained_for_it_refuses_a_prefix():
    policy = tiny_policy(head='direct')
    golden = golden_observation(policy.config)
    with pytest.raises(ValueError, match="train one with head 'continuing' or 'flow'"):
        policy.predict(golden, np.zeros((1, 7)))
    policy.predict(golden, np.empty((0, 0)))


@pytest.mark.parametrize('shape', [(5, 7), (6, 7), (2, 6)])
def test_a_prefix_that_does_not_fit_the_chunk_is_refused(shape):
    with pytest.raises(ValueError, match='chunks of 5 steps with 7 actions'):
        padded(np.zeros(shape), 5, 7)


def test_half_of_the_chunks_in_training_begin_with_given_steps_and_none_is_given_whole():
    torch.manual_seed(0)
    given_steps, weight = draw_given(4000, STEPS, torch.device('cpu'))
    assert weight == 1.0
    assert not given_steps[:, -1].any()
    assert (given_steps.int().diff(dim=1) <= 0).all(), 'the first ones are'
    # Of the half that is drawn, one of 16 draws no step.
    assert 0.43 < given_steps[:, 0].float().mean() < 0.51


def trained(kind):
    """A head that saw motions to either side; the picture only hints at which it was."""
    torch.manual_seed(0)
    statistics = Statistics((0.0,), (0.2,))
    head = FlowHead(WIDTH, statistics, STEPS) if kind == 'flow' else ContinuingHead(32, statistics)
    optimiser = torch.optim.Adam(head.parameters(), 2e-3)
    for _ in range(300):
        hint = torch.randn(32, 1, 1)
        side = torch.sign(hint + torch.randn(32, 1, 1))
        loss = head.loss(seen(hint), 0.2 * side.expand(32, STEPS, 1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.eval()


def seen(hint):
    """The context of a hint, and the places of the steps in the chunk."""
    places = torch.linspace(-1, 1, STEPS)[:, None].expand(len(hint), -1, -1)
    return torch.cat([hint.expand(-1, STEPS, 1), places, torch.zeros(len(hint), STEPS, 30)], -1)


@torch.inference_mode()
def seams(head, config, count=60):
    """What changes where a chunk takes over, with a new hint and another delay each time."""
    generator = np.random.default_rng(0)
    plan, now, found = ChunkSchedule(config), 10.0, []
    for _ in range(count):
        start, hint = now, torch.full((1, 1, 1), float(generator.normal()))
        known, told = padded(plan.prefix(start, PERIOD, now), STEPS, 1)
        actions = head.actions(seen(hint), torch.from_numpy(known), torch.from_numpy(told) > 0.5)
        now += generator.uniform(0.08, 0.2)
        seam = plan.add(ActionChunk(start, PERIOD, actions[0].double().numpy()), now)
        found += [] if seam is None else [seam.position]
    return np.array(found)


@pytest.mark.parametrize('kind', ['continuing', 'flow'])
def test_seams_are_smaller_when_a_chunk_goes_on_from_the_steps_under_way(kind):
    head = trained(kind)
    free = seams(head, ScheduleConfig(continue_chunks=False))
    continued = seams(head, ScheduleConfig())
    for name, found in (('free', free), ('continued', continued)):
        LOG.info('%s, %s: mean %.4f, largest %.4f', kind, name, found.mean(), found.max())
    assert continued.mean() < 0.25 * free.mean()


def test_no_prefix_is_asked_for_where_chunks_are_not_to_be_continued():
    plan = ChunkSchedule(ScheduleConfig(continue_chunks=False))
    plan.add(ActionChunk(10.0, PERIOD, np.zeros((STEPS, 1))), 10.1)
    assert not plan.prefix(10.2, PERIOD, 10.2).size
    with pytest.raises(NoActionDue):
        plan.action(20.0)
