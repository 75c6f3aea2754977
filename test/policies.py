# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A small policy with random weights, for tests that are about the path."""

import dataclasses
from collections.abc import Sequence
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


def twist_policy(frame: str, finger: str, velocity: Sequence[float], opening: float) -> Policy:
    """A tiny policy that moves the hand about so [m/s], with a gripper open so far [m]."""
    config = tiny_policy(steps=40).config
    mean = (*velocity, 0.0, 0.0, 0.0, opening)
    return Policy(
        dataclasses.replace(
            config,
            joints=(finger,),
            action_space=ActionSpace('end_effector_twist', TWIST_NAMES, frame),
            action_statistics=Statistics(mean, (0.002,) * 7),
        )
    ).eval()


def joint_policy(joints: Sequence[str], goal: Sequence[float], steps: int = 5) -> Policy:
    """A tiny policy that wants some joints about where `goal` is [rad], [m]."""
    start, names = tuple(goal), tuple(joints)
    return Policy(
        dataclasses.replace(
            tiny_policy(steps=steps).config,
            joints=names,
            uses_pose=False,
            action_space=ActionSpace('joint_position', names),
            proprioception_statistics=Statistics(start, (0.3,) * len(names)),
            action_statistics=Statistics(start, (0.01,) * len(names)),
        )
    ).eval()
