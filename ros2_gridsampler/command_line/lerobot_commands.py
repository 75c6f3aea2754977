# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler import`, `export-lerobot`: LeRobot's datasets <-> bags."""

from pathlib import Path
from typing import Literal

from .positionals import Bags, Folder


def import_lerobot(dataset: Folder, out: Path) -> None:
    """Turn a LeRobot dataset folder (v2.1 or v3.0) into one bag per episode.

    Args:
        dataset: Folder with meta/info.json; nothing is loaded from the hub.
        out: Folder of the bags; those that are there are kept.
    """
    from ..datasets.lerobot import LeRobotDataset, import_dataset

    bags = import_dataset(LeRobotDataset(dataset), out)
    print(f'{len(bags)} bags in {out}')


def export_lerobot(bags: Bags, out: Path, version: Literal['v2.1', 'v3.0'] = 'v3.0') -> None:
    """Turn bags of one arm into a LeRobot dataset folder, an episode per bag.

    Args:
        bags: Bags, or folders of bags.
        out: A new folder.
        version: Of the format.
    """
    from ..bags.bag_reader import find_bags
    from ..datasets.lerobot_export import export_dataset

    found = find_bags(bags)
    export_dataset(found, out, version)
    print(f'{len(found)} episodes in {out}')
