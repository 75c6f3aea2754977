# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler adopt`, `convert-sampler`: GridS in models that a user has."""

from pathlib import Path
from typing import Literal

from .positionals import Folder, Robot, Weights


def adopt(
    checkpoint: Folder,
    robot: Robot,
) -> None:
    """Say what the numbers of a lerobot checkpoint mean, so that it can drive an arm.

    Args:
        checkpoint: Folder with config.json, model.safetensors and the processors.
        robot: YAML file: cameras, joints, units, period; see docs/lerobot.md.
    """
    from ..vla.lerobot_policy import adopt as adopt_checkpoint
    from ..vla.robot import load_robot

    config = adopt_checkpoint(checkpoint, load_robot(robot)).config
    print(
        f'{checkpoint} is ready: {config.steps} steps of {config.period} s, '
        f'{config.tokens} of {config.dense_tokens} visual tokens per camera.'
    )


def convert_sampler(
    weights: Weights,
    out: Path,
    convention: Literal['align_corners', 'align_corners_layer_norm', 'half_pixel_zero_padding'],
    border: Literal['corrected', 'as_released'] = 'corrected',
) -> None:
    """Turn the sampler of a published GridS checkpoint into one that reads the same here.

    Args:
        weights: Safetensors file with scout_mlp and coord_encoder, alone or in a policy.
        out: File of the converted sampler.
        convention: What the sampler was trained with; the weights do not say.
        border: 'as_released' keeps what the variant loses at the border of the map.
    """
    from ..vla.released_weights import convert_file

    out.write_bytes(convert_file(weights, convention, border))
    print(f'{out}: {convention}, border {border}')
