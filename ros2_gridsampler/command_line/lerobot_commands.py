# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler import`, `export-lerobot`, `adopt`, `convert-sampler`: what others made."""

from pathlib import Path
from typing import Literal

from .arguments import Bags, Folder, Robot, Weights


def adopt(
    checkpoint: Folder,
    robot: Robot,
) -> None:
    """Describe a lerobot checkpoint so that it can drive an arm.

    What its numbers mean stands in a file of yours.

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
    """Turn a published GridS sampler into one of this package.

    It then reads the same points here.

    Args:
        weights: Safetensors file with scout_mlp and coord_encoder, alone or in a policy.
        out: File of the converted sampler.
        convention: What the sampler was trained with; the weights do not say.
        border: 'as_released' keeps what the variant loses at the border of the map.
    """
    from ..vla.released_weights import convert_file

    out.write_bytes(convert_file(weights, convention, border))
    print(f'{out}: {convention}, border {border}')


def import_lerobot(dataset: Folder, out: Path) -> None:
    """Turn a LeRobot dataset into bags, one per episode.

    Args:
        dataset: Folder with meta/info.json, v2.1 or v3.0; nothing is loaded from the hub.
        out: Folder of the bags; those that are there are kept.
    """
    from ..datasets.lerobot_dataset import LeRobotDataset, import_dataset

    bags = import_dataset(LeRobotDataset(dataset), out)
    print(f'{len(bags)} bags in {out}')


def export_lerobot(bags: Bags, out: Path, version: Literal['v2.1', 'v3.0'] = 'v3.0') -> None:
    """Turn bags of one arm into a LeRobot dataset.

    Each bag becomes an episode.

    Args:
        bags: Bags, or folders of bags.
        out: A new folder.
        version: Version of LeRobot's format.
    """
    from ..bags.bag_reader import find_bags
    from ..datasets.lerobot_export import export_dataset

    found = find_bags(bags)
    export_dataset(found, out, version)
    print(f'{len(found)} episodes in {out}')
