# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Small lerobot policies with random weights, made offline; imported only where lerobot is."""

from pathlib import Path

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig

from experiments.blank_language_model import write_language_model
from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.vla.lerobot_checkpoint import LerobotModel
from ros2_gridsampler.vla.robot import Robot, Units

CAMERAS = {'front': 'observation.images.front', 'wrist': 'observation.images.wrist'}
STATE, STEPS, SIDE = 3, 6, 128


def language_model(folder: Path) -> Path:
    """Config, tokenizer and processor of a SmolVLM of 16 channels; no weights."""
    text = {
        'hidden_size': 16,
        'intermediate_size': 32,
        'num_hidden_layers': 2,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'head_dim': 8,
        'vocab_size': 16,
    }
    vision = {
        'hidden_size': 24,
        'intermediate_size': 32,
        'num_hidden_layers': 2,
        'num_attention_heads': 2,
        'patch_size': 8,
        'image_size': SIDE,
    }
    return write_language_model(folder, text, vision, ('pick', 'up', 'the', 'bowl'))


def features(actions):
    """What the policies read and give."""
    pictures = {
        name: PolicyFeature(FeatureType.VISUAL, (3, 96, SIDE)) for name in CAMERAS.values()
    }
    state = {'observation.state': PolicyFeature(FeatureType.STATE, (STATE,))}
    action = {'action': PolicyFeature(FeatureType.ACTION, (actions,))}
    return {'input_features': pictures | state, 'output_features': action}


def config(kind: str, vlm: Path | None = None, actions: int = 7):
    """Of a policy of two cameras and 6 steps."""
    common = {**features(actions), 'device': 'cpu', 'chunk_size': STEPS, 'n_action_steps': STEPS}
    if kind == 'act':
        return ACTConfig(
            **common,
            dim_model=16,
            n_heads=2,
            dim_feedforward=32,
            n_encoder_layers=1,
            n_vae_encoder_layers=1,
            latent_dim=4,
            pretrained_backbone_weights=None,
        )
    return SmolVLAConfig(
        **common,
        vlm_model_name=str(vlm),
        num_vlm_layers=2,
        max_state_dim=8,
        max_action_dim=8,
        resize_imgs_with_padding=(SIDE, SIDE),
        num_steps=2,
    )


def policy(kind: str, vlm: Path | None = None, actions: int = 7):
    """With random weights."""
    torch.manual_seed(0)
    settings = config(kind, vlm, actions)
    return get_policy_class(kind)(settings).eval()


def statistics(actions):
    """Of the dataset that nobody recorded."""
    rows = {'observation.state': STATE, 'action': actions}
    found = {n: {'mean': torch.zeros(c), 'std': torch.full((c,), 0.1)} for n, c in rows.items()}
    for name in CAMERAS.values():
        found[name] = {'mean': torch.zeros(3, 1, 1), 'std': torch.ones(3, 1, 1)}
    return found


def model(kind, vlm=None, plan=None, seen=None, own=None, actions=7) -> LerobotModel:
    """A policy with its processors."""
    own = own or policy(kind, vlm, actions)
    before, after = make_pre_post_processors(own.config, dataset_stats=statistics(actions))
    return LerobotModel(own, before, after, seen, plan)


def robot(language: str = '') -> Robot:
    """A Panda that is told twists."""
    return Robot(
        cameras=CAMERAS,
        resolution=(160, 120),
        joints=('finger', 'thumb', 'toe'),
        uses_pose=False,
        state=Units.same(STATE),
        action_space=ActionSpace('end_effector_twist', TWIST_NAMES, 'panda_link0'),
        action=Units.same(7),
        period=0.05,
        language_model=language,
    )


def batch(size: int = 2, actions: int = 7) -> dict[str, torch.Tensor]:
    """Normalised inputs, as after the processors."""
    draw = torch.Generator().manual_seed(3)
    found = {name: torch.rand(size, 3, 96, SIDE, generator=draw) for name in CAMERAS.values()}
    return found | {
        'observation.state': torch.randn(size, STATE, generator=draw),
        'observation.language.tokens': torch.randint(6, 10, (size, 4), generator=draw),
        'observation.language.attention_mask': torch.ones(size, 4, dtype=torch.bool),
        'action': torch.randn(size, STEPS, actions, generator=draw),
        'action_is_pad': torch.zeros(size, STEPS, dtype=torch.bool),
    }
