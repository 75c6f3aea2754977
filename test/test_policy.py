# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The stages joined: shapes, units, who can influence what."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.policy.encoder import Encoder, sine_positions
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy import Policy, Trunk, as_tensors
from ros2_gridsampler.policy.policy_config import EncoderConfig, Statistics, TrunkConfig
from ros2_gridsampler.policy.prediction import proprioception
from ros2_gridsampler.seeing.observation import Observation


@pytest.mark.parametrize('sample_after', [0, 2, 3])
@pytest.mark.parametrize('conditioned', [True, False])
def test_an_observation_becomes_a_chunk_stamped_with_its_capture_time(sample_after, conditioned):
    policy = tiny_policy(sample_after=sample_after, conditioned=conditioned)
    observation = dataclasses.replace(golden_observation(policy.config), time=12.5)
    prediction = policy.predict(observation)
    assert prediction.chunk.start_time == 12.5
    assert prediction.chunk.targets.shape == (5, 7)
    assert set(prediction.points) == {'front', 'wrist'}
    assert all(points.shape == (2, 2) for points in prediction.points.values())


def test_the_sentence_moves_the_points_only_of_a_conditioned_policy():
    for conditioned in (True, False):
        policy = tiny_policy(conditioned=conditioned)
        golden = golden_observation(policy.config)
        other = dataclasses.replace(golden, instruction='something else entirely')
        one, two = (policy.predict(o).points['front'] for o in (golden, other))
        assert np.array_equal(one, two) == (not conditioned)


def test_every_input_reaches_the_action():
    policy = tiny_policy()
    golden = golden_observation(policy.config)
    dark = {name: image // 2 for name, image in golden.images.items()}
    pose = np.array([0.4, 0, 0, 0, 0, 0, 1])
    reference = policy.predict(golden).chunk.targets
    for change in (
        {'images': dark},
        {'joints': golden.joints + 0.1},
        {'pose': pose},
        {'instruction': 'put it back'},
    ):
        changed = policy.predict(dataclasses.replace(golden, **change)).chunk.targets
        assert not np.array_equal(changed, reference), f'{list(change)} has no influence'


@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)
)
def test_a_quaternion_and_its_negative_feel_the_same(quaternion):
    unit = np.array(quaternion) / np.linalg.norm(quaternion)
    one, other = (
        proprioception(Observation({}, np.zeros(1), np.array([1, 2, 3, *q]), '', 0.0))
        for q in (unit, -unit)
    )
    np.testing.assert_allclose(one, other, atol=1e-12)
    first, second = one[3:6], one[6:9]
    np.testing.assert_allclose(
        [first @ first, second @ second, first @ second], [1, 1, 0], atol=1e-9
    )


def test_a_plain_encoder_has_the_parameter_names_of_mae():
    names = set(Encoder(EncoderConfig(depth=1, stem=())).state_dict())
    block = {
        f'blocks.0.{part}.{kind}'
        for part in ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
        for kind in ('weight', 'bias')
    }
    assert names == block | {
        'cls_token',
        'pos_embed',
        'patch_embed.proj.weight',
        'patch_embed.proj.bias',
        'norm.weight',
        'norm.bias',
    }


def test_the_positions_of_maes_vit_are_reproduced():
    # The first patch token of facebookresearch/mae is sin(0), cos(0) in both directions.
    positions = sine_positions(14, 14, 768)
    assert positions.shape == (197, 768)
    assert positions[0].abs().sum() == 0
    torch.testing.assert_close(positions[1, :192], torch.zeros(192))
    torch.testing.assert_close(positions[1, 192:384], torch.ones(192))


def test_early_and_late_make_the_whole_tower_when_every_token_is_kept():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(64, 64, width=32, heads=2, depth=3, stem=())).eval()
    images = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(2, -1, -1)
    states = [torch.cat([first, encoder.patches(images)], 1)]
    for block in encoder.blocks:
        states.append(block(states[-1]))
    whole = encoder.norm(states[-1])
    torch.testing.assert_close(encoder(images).flatten(1, 2), whole[:, 1:])
    for blocks in (0, 1, 2):
        early = encoder.early(images, blocks).flatten(1, 2)
        torch.testing.assert_close(early, states[blocks][:, 1:])
        torch.testing.assert_close(encoder.late(states[blocks], blocks), whole)


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(ValueError, match='reads pictures of shape'):
        Encoder(EncoderConfig(64, 64))(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))


def test_parts_that_do_not_fit_are_refused():
    config = tiny_policy().config
    with pytest.raises(ValueError, match='3 blocks'):
        dataclasses.replace(config, sample_after=4)
    with pytest.raises(ValueError, match='proprioception of 11'):
        dataclasses.replace(config, joints=('finger', 'thumb'))


def test_the_batch_of_one_carries_physical_numbers():
    policy = tiny_policy()
    golden = golden_observation(policy.config)
    images, body, words = as_tensors(policy.config, golden)
    assert images.dtype == torch.uint8
    assert images.shape == (1, 2, 64, 64, 3)
    np.testing.assert_allclose(body[0, :3], golden.pose[:3], rtol=1e-6)
    assert words.shape == (1, 20, 12)


@pytest.mark.parametrize('uses_command', [False, True])
def test_a_relative_policy_that_wants_nothing_stays_where_it_was_told(uses_command):
    tiny = tiny_policy(conditioned=False).config
    numbers = 6 if uses_command else 4
    config = dataclasses.replace(
        tiny,
        joints=('elbow', 'wrist'),
        uses_pose=False,
        velocity_window=0.1,
        uses_command=uses_command,
        action_space=ActionSpace('joint_position', ('elbow', 'wrist'), ''),
        relative=True,
        proprioception_statistics=Statistics((0.0,) * numbers, (1.0,) * numbers),
        action_statistics=Statistics((0.0, 0.0), (0.1, 0.1)),
    )
    policy = Policy(config).eval()
    torch.nn.init.zeros_(policy.action_head.linear.weight)
    torch.nn.init.zeros_(policy.action_head.linear.bias)
    golden = golden_observation(config)
    moved = dataclasses.replace(
        golden,
        joints=np.array([0.3, -0.7]) if not uses_command else np.zeros(2),
        command=np.array([0.3, -0.7]) if uses_command else None,
    )
    np.testing.assert_allclose(policy.predict(moved).chunk.targets, [[0.3, -0.7]] * 5, atol=1e-6)
    np.testing.assert_array_equal(moved.origin, [0.3, -0.7])

    with pytest.raises(ValueError, match='commands the joints that it '):
        dataclasses.replace(config, joints=('wrist', 'elbow'))


@pytest.mark.parametrize('depth', [1, 3])
def test_the_queries_alone_go_through_the_last_block_with_the_same_result(depth):
    torch.manual_seed(0)
    trunk = Trunk(TrunkConfig(width=32, depth=depth, heads=2), queries=5).eval()
    tokens = torch.randn(2, 11, 32)
    mixed = torch.cat([tokens, trunk.queries.expand(2, -1, -1)], 1)
    for block in trunk.blocks:
        mixed = block(mixed)
    torch.testing.assert_close(trunk(tokens), trunk.norm(mixed)[:, -5:], atol=2e-6, rtol=1e-5)

    def passed(module, given):
        counts.append(given[0].shape[1])

    counts: list[int] = []
    trunk.blocks[-1].mlp.register_forward_pre_hook(passed)
    trunk(tokens)
    assert counts == [5]


def test_a_wide_encoder_feeds_a_narrow_trunk_and_equal_widths_have_nothing_between(tmp_path):
    from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint

    same = tiny_policy()
    assert not list(same.widen.parameters())
    trunk = TrunkConfig(2 * same.config.trunk.width, depth=1, heads=2)
    policy = Policy(dataclasses.replace(same.config, trunk=trunk)).eval()
    assert policy.widen.weight.shape == (trunk.width, same.config.encoder.width)
    golden = golden_observation(policy.config)
    save_checkpoint(policy, tmp_path, training={}, results={})
    loaded, _ = load_checkpoint(tmp_path)
    np.testing.assert_allclose(
        loaded.predict(golden).chunk.targets, policy.predict(golden).chunk.targets, atol=1e-3
    )
    images, body, words = as_tensors(policy.config, golden)
    policy(images, body, words)[0].sum().backward()
    assert policy.widen.weight.grad.abs().sum() > 0
