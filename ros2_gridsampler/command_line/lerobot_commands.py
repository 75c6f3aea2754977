# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler import`, `export-lerobot`, `adopt`, `convert-sampler`: what others made."""

import sys
from pathlib import Path
from typing import Literal

from .arguments import Bags, Checkpoint, Folder, Robot, Weights
from .outputs import check_folder


def adopt(
    checkpoint: Checkpoint,
    robot: Robot,
    out: Path | None = None,
    revision: str = '',
    statistics: Path | None = None,
) -> None:
    """Describe a lerobot checkpoint so that it can drive an arm.

    What its numbers mean stands in a file of yours. A checkpoint on the hub is fetched once, at
    one commit; after that nothing needs the network. A LoRA adapter is merged into its base.

    Args:
        checkpoint: Folder with config.json, model.safetensors and the processors; or the name of
            one on the Hugging Face hub, like lerobot/act_aloha.
        robot: YAML file: cameras, joints, units, period; see docs/howto/lerobot.md.
        out: Folder for a checkpoint of the hub; by default its name, here.
        revision: Commit, tag or branch on the hub; by default the newest commit.
        statistics: meta/stats.json of the dataset that it was trained on, for checkpoints that
            were saved without statistics.
    """
    from ..vla.lerobot_checkpoint import read_statistics
    from ..vla.lerobot_folder import fetch_snapshot
    from ..vla.lerobot_policy import adopt as adopt_checkpoint
    from ..vla.robot import load_robot

    described = load_robot(robot)
    measured = None if statistics is None else read_statistics(statistics)
    folder, source = Path(checkpoint).expanduser(), ''
    if not folder.is_dir():
        folder = out or Path(folder.name)
        source = fetch_snapshot(checkpoint, revision, folder)
        print(f'{folder} is {source}.')
    elif out is not None or revision:
        raise ValueError(f'{checkpoint} is a folder here: leave out --out and --revision.')
    config = adopt_checkpoint(folder, described, measured, source).config
    print(
        f'{folder} is ready: {config.steps} steps of {config.period} s, '
        f'{config.tokens} of {config.dense_tokens} visual tokens per camera.'
    )
    if config.ensemble_decay is not None:
        print(
            'It averages its chunks: set schedule.seams to ensemble and schedule.ensemble_decay '
            f'to {config.ensemble_decay:.6g} where it is driven.'
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


def import_lerobot(
    dataset: Folder,
    out: Path,
    pair_by: Literal['both', 'index', 'time'] = 'both',
    unit: Literal['same', 'deg', 'percent'] | None = None,
    calibration: str = '',
    names: str = '',
    episodes: str = '',
) -> None:
    """Turn a LeRobot dataset into bags, one per episode.

    The dataset may be v2.0, v2.1, v3.0 or a later v3.

    Exit status: 1 where an episode could not be read or is not listed; the others are there.

    Args:
        dataset: Folder with meta/info.json; nothing is loaded from the hub.
        out: Folder of the bags; those that are there are kept.
        pair_by: What pairs the rows with the frames of a video: their numbers (index), their
            times (time), or both where they agree.
        unit: The unit of states and actions: deg for degrees, percent for lerobot's -100 to 100
            (grippers 0 to 100); bags have radians. By default they are taken as they are (same),
            and refused where they cannot be radians and metres.
        calibration: For percent: the JSON file that lerobot wrote for the arm, or an arm of
            calibration/.
        names: YAML file with the names of the joints, a list for states and actions alike or
            lists under state and action.
        episodes: Such as 80-99,103; all by default.
    """
    from ..datasets.lerobot_dataset import ACTION, STATE, LeRobotDataset
    from ..datasets.lerobot_import import ImportChoice, import_dataset

    check_folder(out)
    source = LeRobotDataset(dataset)
    choice = ImportChoice(pair_by, unit, calibration, names, episodes)
    imported = import_dataset(source, out, choice)
    if not source.cameras:
        print('The dataset has no camera of colours, and so the bags have no pictures.')
    if source.depths:
        print(f'Not read, as they measure distances: {", ".join(source.depths)}')
    if source.others:
        print(f'Not imported, as bags of an arm have no such streams: {", ".join(source.others)}')
    if not names and not all(source.info['features'][f].get('names') for f in (STATE, ACTION)):
        print('The dataset names no joints: they are numbered; --names FILE names them.')
    for reason in imported.failed.values():
        print(reason, file=sys.stderr)
    if not episodes and source.unlisted:
        print(source.unlisted, file=sys.stderr)
    print(f'{len(imported.bags)} bags in {out}')
    if imported.failed:
        left = ', '.join(map(str, imported.failed))
        print(f'Left out: {len(imported.failed)} episodes ({left})', file=sys.stderr)
    if imported.failed or (source.unlisted and not episodes):
        sys.exit(1)


def export_lerobot(bags: Bags, out: Path, version: Literal['v2.1', 'v3.0'] = 'v3.0') -> None:
    """Turn bags of one arm into a LeRobot dataset.

    Each bag becomes an episode.

    Exit status: 1 where the first camera of a bag was silent, which the dataset does not show.

    Args:
        bags: Bags, or folders of bags.
        out: A new folder.
        version: The version of the format.
    """
    from ..bags.bag_reader import find_bags
    from ..datasets.lerobot_export import export_dataset

    found = find_bags(bags)
    silences = export_dataset(found, out, version)
    for sentence in silences:
        print(sentence, file=sys.stderr)
    print(f'{len(found)} episodes in {out}')
    if silences:
        sys.exit(1)
