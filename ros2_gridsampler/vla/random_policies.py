# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""lerobot policies at their real sizes with random weights, offline: cost needs no training."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..acting.action_chunk import ActionSpace
from ..policy.signature import Arrays
from .lerobot import SamplerPlan, attach
from .lerobot_checkpoint import LerobotModel
from .lerobot_policy import LerobotPolicy
from .policy_parts import Part, features, points
from .robot import Robot, Units
from .sequence_sampler import sampler_for_trained_host
from .vision_tower import SampledTower

# SmolVLM2-500M-Video-Instruct, which SmolVLA is built on.
SMOLVLM2_500M_TEXT = {
    'hidden_size': 960,
    'intermediate_size': 2560,
    'num_hidden_layers': 32,
    'num_attention_heads': 15,
    'num_key_value_heads': 5,
    'head_dim': 64,
    'vocab_size': 49280,
}
SMOLVLM2_500M_VISION = {
    'hidden_size': 768,
    'intermediate_size': 3072,
    'num_hidden_layers': 12,
    'num_attention_heads': 12,
    'patch_size': 16,
    'image_size': 512,
}
_SPECIAL = {
    'fake_image_token': '<fake_token_around_image>',
    'image_token': '<image>',
    'end_of_utterance_token': '<end_of_utterance>',
    'global_image_token': '<global-img>',
}


def write_language_model(
    folder: Path, text: Mapping[str, int], vision: Mapping[str, int], words: tuple[str, ...] = ()
) -> Path:
    """Writes config, processor and a tokenizer of a few whole words, from the sizes of a SmolVLM.

    Args:
        folder: Created where needed; the name to give to SmolVLA as `vlm_model_name`.
        text: Sizes of the Llama.
        vision: Sizes of the vision tower.
        words: That the tokenizer knows; all others are one unknown word.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
    )
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    known = ['<unk>', '<pad>', *_SPECIAL.values(), *words]
    model = WordLevel({word: i for i, word in enumerate(known)}, unk_token='<unk>')  # noqa: S106
    tokenizer: Any = Tokenizer(model)
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',  # noqa: S106
        pad_token='<pad>',  # noqa: S106
        extra_special_tokens=_SPECIAL,
    )
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(),
        tokenizer=fast,
        video_processor=SmolVLMVideoProcessor(),
    )
    processor.save_pretrained(folder)
    settings: dict[str, Any] = {
        'text_config': {'model_type': 'llama', **text},
        'vision_config': dict(vision),
        'scale_factor': 4,
        'pad_token_id': known.index('<pad>'),
    }
    config = SmolVLMConfig(**settings)
    config.save_pretrained(folder)
    return folder


SIGLIP_SO400M = {
    'hidden_size': 1152,
    'intermediate_size': 4304,
    'num_hidden_layers': 27,
    'num_attention_heads': 16,
    'image_size': 224,
    'patch_size': 14,
}
"""The vision tower of PaliGemma, which pi0 is built on."""


class _Dense(nn.Module):
    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        tokens: Tensor = self.tower(pixels).last_hidden_state
        return tokens


def siglip_tower(tokens: int, after: int | None, sizes: Mapping[str, int] = SIGLIP_SO400M) -> Part:
    """Returns a SigLIP tower on two pictures, with GridS or dense; needs no lerobot.

    Args:
        tokens: Kept per picture; 0 for all.
        after: Blocks that see all patches; None for the whole tower.
        sizes: Sizes of a `SiglipVisionConfig`.
    """
    from transformers import SiglipVisionConfig, SiglipVisionModel

    torch.manual_seed(0)
    settings: dict[str, Any] = {**sizes, 'vision_use_head': False}
    tower = SiglipVisionModel(SiglipVisionConfig(**settings)).eval()
    side = sizes['image_size']
    generator = np.random.default_rng(0)
    tried: list[Arrays] = [
        {'pixels': generator.normal(size=(2, 3, side, side)).astype(np.float32)} for _ in range(2)
    ]
    network: nn.Module = _Dense(tower)
    results: dict[str, Any] = {'tokens': features}
    if tokens:
        sampler = sampler_for_trained_host(sizes['hidden_size'], tokens)
        network = SampledTower(tower, sampler, after)
        cells = side // sizes['patch_size']
        results['points'] = points(np.array([cells, cells]))
    return Part(network, tried[0], results, lambda examples: tried)


KINDS = {'act': (480, 640), 'smolvla': (512, 512)}
"""Kind -> height and width of its pictures [px]."""
_CAMERAS = {'front': 'observation.images.front', 'wrist': 'observation.images.wrist'}
_JOINTS = 7


def random_policy(kind: str, plan: SamplerPlan | None = None) -> LerobotPolicy:
    """Returns a policy of two cameras and seven joints, as lerobot's defaults make it.

    Args:
        kind: One of `KINDS`.
        plan: What to attach; None for the dense policy.

    Raises:
        ValueError: There is no such kind.
    """
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    if kind not in KINDS:
        raise ValueError(f'A policy of kind {kind!r} is not made here; use one of {list(KINDS)}.')
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        config = _config(kind, Path(place))
        own = get_policy_class(kind)(config).eval()
        before, after = make_pre_post_processors(config, dataset_stats=_statistics())
    seen = None if plan is None else attach(own, plan)
    height, width = KINDS[kind]
    joints = tuple(f'joint{number}' for number in range(_JOINTS))
    robot = Robot(
        cameras=_CAMERAS,
        resolution=(width, height),
        joints=joints,
        uses_pose=False,
        state=Units.same(_JOINTS),
        action_space=ActionSpace('joint_position', joints),
        action=Units.same(_JOINTS),
        period=0.02,
    )
    return LerobotPolicy(LerobotModel(own, before, after, seen, plan), robot)


def _config(kind: str, place: Path) -> Any:
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_policy_config

    pictures = {
        name: PolicyFeature(FeatureType.VISUAL, (3, *KINDS[kind])) for name in _CAMERAS.values()
    }
    state = {'observation.state': PolicyFeature(FeatureType.STATE, (_JOINTS,))}
    settings: dict[str, Any] = {
        'input_features': pictures | state,
        'output_features': {'action': PolicyFeature(FeatureType.ACTION, (_JOINTS,))},
        'device': 'cpu',
    }
    if kind == 'act':
        settings['pretrained_backbone_weights'] = None
    else:
        sentence = tuple(f'word{number}' for number in range(8))
        model = write_language_model(place, SMOLVLM2_500M_TEXT, SMOLVLM2_500M_VISION, sentence)
        settings['vlm_model_name'] = str(model)
    return make_policy_config(kind, **settings)


def _statistics() -> dict[str, Any]:
    numbers = {name: (_JOINTS,) for name in ('observation.state', 'action')}
    shapes = numbers | dict.fromkeys(_CAMERAS.values(), (3, 1, 1))
    return {
        name: {'mean': torch.zeros(shape), 'std': torch.full(shape, 0.5)}
        for name, shape in shapes.items()
    }
