# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings say what the gate before a swap would say, before a robot is asked."""

from dataclasses import replace

import pytest
import torch
from camera_bags import SIDE, TOPIC, write_bag
from policies import tiny_policy
from test_encoder_swap import keep_encoder

from ros2_gridsampler.bags.observation_replay import StreamTopics
from ros2_gridsampler.encoders.swap_config import SwapConfig
from ros2_gridsampler.evaluating.encoder_comparison import compare_encoder
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.simulation import arm_messages

TOPICS = StreamTopics({'agentview': TOPIC}, pose=arm_messages.POSE)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Two bags, a policy that sees their camera, its own encoder and a stranger."""
    root = tmp_path_factory.mktemp('comparison')
    config = tiny_policy(sample_after=3).config
    torch.manual_seed(0)
    policy = Policy(
        replace(
            config,
            cameras=('agentview',),
            resolution=(SIDE, SIDE),
            preparation=ImagePreparation(SIDE, SIDE),
            joints=('panda_finger_joint1',),
            encoder=replace(config.encoder, image_width=SIDE, image_height=SIDE, patch=8),
        )
    )
    save_checkpoint(policy, root / 'policy', training={}, results={})
    keep_encoder(policy.encoder, root / 'own')
    torch.manual_seed(7)
    stranger = Encoder(policy.config.encoder)
    with torch.no_grad():
        for parameter in stranger.parameters():
            parameter.copy_(torch.randn_like(parameter))
    keep_encoder(stranger.eval(), root / 'stranger')
    for number in range(2):
        write_bag(root / 'bags' / f'{number}', number)
    return root


def test_recordings_tell_the_own_encoder_from_a_stranger(folders):
    bags = sorted((folders / 'bags').iterdir())
    own, stranger = (
        compare_encoder(folders / 'policy', str(folders / name), bags, TOPICS, 4)
        for name in ('own', 'stranger')
    )
    assert own.observations == stranger.observations == 8
    assert max(own.deviation) < 1e-5
    assert max(stranger.deviation) > 1e-3
    strict = SwapConfig(max_deviation=1e-4, max_latency_ratio=1e9, max_latency=1e9)
    assert own.refusal(strict) == ''
    assert 'off by' in stranger.refusal(strict)


def test_a_bag_without_the_camera_is_no_evidence(folders):
    elsewhere = StreamTopics({'agentview': '/another/image'}, pose=arm_messages.POSE)
    with pytest.raises(ValueError, match='no observation: Nothing has come'):
        bags = sorted((folders / 'bags').iterdir())
        compare_encoder(folders / 'policy', str(folders / 'own'), bags, elsewhere, 4)
