# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler train`: recordings -> policies."""

from pathlib import Path

import tyro

from .output_folder import check_folder
from .positionals import Bags, Recipe


def train(
    recipe: Recipe,
    bags: Bags,
    out: Path,
    cache: Path | None = None,
    change: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    base: Path | None = None,
) -> None:
    """Train a policy on bags by behaviour cloning; go on where it stopped.

    Args:
        recipe: YAML file, see models/recipes.
        bags: Bags, or folders of bags.
        out: Folder of the run; the checkpoint is written there at the end.
        cache: Where decoded bags are kept for all runs; default OUT/cache.
        change: A key of the recipe with another value, like `--change tokens=16`; repeatable.
        base: Adopted lerobot checkpoint to fine-tune; the recipe is then of its own kind, see
            models/recipes/fine_tune_smolvla.yaml.
    """
    from ..bags.bag_reader import find_bags
    from ..training.recipe import load_recipe, read_recipe
    from ..training.train_policy import train

    check_folder(out)
    check_folder(cache)
    if base is not None:
        from ..training.fine_tune import FineTuneConfig, fine_tune

        config = read_recipe(recipe, FineTuneConfig, change)
        fine_tune(base, config, find_bags(bags), out, cache or out / 'cache')
        return
    train(load_recipe(recipe, change), find_bags(bags), out, cache or out / 'cache')
