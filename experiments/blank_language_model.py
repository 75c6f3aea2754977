# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Sizes of a SmolVLM -> a folder that lerobot can build one from, offline and without weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    """Write config, processor and a tokenizer of a few whole words.

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
