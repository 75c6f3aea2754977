# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A small policy with random weights, for tests that are about the path."""

from typing import Literal

import torch

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import (
    EncoderConfig,
    PolicyConfig,
    Statistics,
    TrunkConfig,
)
from ros2_gridsampler.seeing.calibration import ImagePreparation


def tiny_policy(
    *,
    reducer: str = 'grid_sampler',
    tokens: int = 2,
    sample_after: int = 2,
    conditioned: bool = True,
    head: Literal['direct', 'continuing', 'flow'] = 'direct',
    seed: int = 0,
    steps: int = 5,
) -> Policy:
    """64 px, 16 patches, two cameras, a twist."""
    torch.manual_seed(seed)
    return Policy(
        PolicyConfig(
            cameras=('front', 'wrist'),
            resolution=(96, 72),
            preparation=ImagePreparation(64, 64),
            joints=('finger',),
            uses_pose=True,
            velocity_window=0.0,
            uses_command=False,
            action_space=ActionSpace('end_effector_twist', TWIST_NAMES, 'panda_link0'),
            relative=False,
            steps=steps,
            period=0.05,
            reducer=reducer,
            tokens=tokens,
            sample_after=sample_after,
            conditioned=conditioned,
            head=head,
            landmarks=2,
            proprioception_statistics=Statistics((0.5,) * 10, (0.2,) * 10),
            action_statistics=Statistics((0.0,) * 7, (0.1,) * 7),
            encoder=EncoderConfig(64, 64, patch=16, width=32, depth=3, heads=2, stem=(8,)),
            trunk=TrunkConfig(width=32, depth=1, heads=2),
        )
    ).eval()
