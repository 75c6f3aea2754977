# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler train`: recordings -> policies."""

from pathlib import Path
from typing import Annotated

import tyro

Bags = Annotated[tuple[Path, ...], tyro.conf.Positional]


def train(
    recipe: Path,
    bags: Bags,
    out: Path,
    cache: Path | None = None,
    change: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
) -> None:
    """Train a policy on bags by behaviour cloning; go on where it stopped.

    Args:
        recipe: YAML file, see models/recipes.
        bags: Bags, or folders of bags.
        out: Folder of the run; the checkpoint is written there at the end.
        cache: Where decoded bags are kept for all runs; default OUT/cache.
        change: A key of the recipe with another value, like `--change tokens=16`; repeatable.
    """
    from ..recordings.bag_reader import find_bags
    from ..training.recipe import load_recipe
    from ..training.train_policy import train

    train(load_recipe(recipe, change), find_bags(bags), out, cache or out / 'cache')
