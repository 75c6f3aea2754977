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


def compare(
    comparison: Recipe,
    bags: Bags,
    out: Path,
    rows: str = '',
    cache: Path | None = None,
    table_only: bool = False,
    reference: str = '',
) -> None:
    """Train and measure policies that differ in one thing only; go on where it stopped.

    Every row starts from one base policy and gets the same number of steps. Several processes
    may share the work: first run with `--rows base`, then each with other rows.

    Args:
        comparison: YAML file, see models/recipes/comparison.yaml.
        bags: Bags, or folders of bags, to train on.
        out: Folder of all rows, of the table and of the plot.
        rows: Names separated by commas, 'base' among them; all if empty.
        cache: Where decoded bags are kept; default OUT/cache.
        table_only: Only write the table of what is measured.
        reference: Row that the others are compared with in the table; dense if empty.
    """
    from experiments.comparison import (
        BASE,
        check_comparison,
        load_comparison,
        run_row,
        train_base,
    )
    from experiments.comparison_table import write_comparison

    from ..bags.bag_reader import find_bags

    check_folder(out)
    check_folder(cache)
    config = load_comparison(comparison)
    if not table_only:
        first = [BASE] if config.base else []
        named = rows.split(',') if rows else [*first, *config.main_rows, *config.rows]
        check_comparison(comparison, named)
        found, store = find_bags(bags), cache or out / 'cache'
        for row in named:
            if row == BASE:
                train_base(comparison, found, out, store)
            else:
                run_row(comparison, row, found, out, store)
    if not rows:
        print(write_comparison(config, out, reference))
