# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""One recipe and a list of changes -> trained and measured rows that differ in nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import find_bags
from ros2_gridsampler.command_line.arguments import Bags, Recipe
from ros2_gridsampler.command_line.outputs import check_folder
from ros2_gridsampler.device import torch_device
from ros2_gridsampler.engines import load
from ros2_gridsampler.files import find, read_yaml, structure
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import MANIFEST, golden_observation
from ros2_gridsampler.simulation.closed_loop import measure_success
from ros2_gridsampler.simulation.job_configs import Placements
from ros2_gridsampler.simulation.libero_arm import Libero
from ros2_gridsampler.simulation.simulator import check_episodes
from ros2_gridsampler.training.recipe import load_recipe
from ros2_gridsampler.training.run_state import keep_recipe
from ros2_gridsampler.training.train_policy import train

from . import run
from .row_outcomes import load_outcomes

BASE = 'base'


@dataclass(frozen=True)
class ComparisonConfig:
    """What is compared with what.

    Attributes:
        recipe: Recipe file beside this one; everything that the rows share.
        base: Changes of the recipe for the run from which every row starts; none where each row
            names its own start.
        row: Changes of the recipe for every row.
        rows: Name of a row -> its own changes.
        suite: LIBERO suite.
        tasks: Numbers from 0.
        episodes: Placements -> evaluation states per task.
        more_episodes: The same for the rows in `main_rows`.
        main_rows: Rows that carry the claim.
    """

    recipe: str
    base: dict[str, Any]
    row: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    suite: str
    tasks: tuple[int, ...]
    episodes: dict[Placements, int]
    more_episodes: dict[Placements, int]
    main_rows: tuple[str, ...]

    def episodes_of(self, row: str) -> Mapping[Placements, int]:
        """Placements -> evaluation states per task of this row."""
        return self.more_episodes if row in self.main_rows else self.episodes


def load_comparison(path: Path) -> ComparisonConfig:
    """Read a comparison from YAML.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    content = read_yaml(path)
    try:
        config = structure(content, ComparisonConfig)
    except ValueError as error:
        raise ValueError(f'{path} is not a comparison: {error}.') from error
    unknown = set(config.main_rows) - set(config.rows)
    if unknown:
        raise ValueError(f'{path} has no rows {sorted(unknown)}; its rows are {[*config.rows]}.')
    if not config.base:
        lost = [row for row, own in config.rows.items() if 'start' not in config.row | own]
        if lost:
            raise ValueError(f'{path} has no base, so its rows {lost} need a start.')
    return config


def check_comparison(path: Path, rows: Sequence[str]) -> None:
    """See that all that will be trained and measured exists, before any of it takes its hours.

    Args:
        path: The comparison.
        rows: Names of rows, `BASE` among them.

    Raises:
        ValueError: There is no such row, task or number of evaluation states, or a row's changes
            are no recipe.
    """
    config = load_comparison(path)
    simulator = Libero(config.suite)
    simulator.check_tasks(config.tasks)
    for row in rows:
        changes = config.base if row == BASE else config.row | _own(config, row, path)
        load_recipe(path.parent / config.recipe, _lines(changes))
        for placements, episodes in config.episodes_of(row).items():
            check_episodes(simulator.states, placements, episodes)


def train_base(
    path: Path, bags: Sequence[Path], out: Path, cache: Path, device: str = 'auto'
) -> None:
    """Train what every row starts from, unless it is there.

    Raises:
        ValueError: Every row has its own start.
    """
    config = load_comparison(path)
    if not config.base:
        raise ValueError(f'{path} has no base: every row has its own start.')
    changes = {**config.base, 'device': device}
    _train(path.parent / config.recipe, changes, bags, out / BASE, cache)


def run_row(
    path: Path, row: str, bags: Sequence[Path], out: Path, cache: Path, device: str = 'auto'
) -> None:
    """Train one row and measure it; what is there already, of the same recipe, is not done again.

    Args:
        path: The comparison.
        row: One of its rows.
        bags: Demonstrations.
        out: Folder of all rows.
        cache: The folder of decoded bags.
        device: Where the row is trained and the policy computes.

    Raises:
        ValueError: There is no such row, the base is not trained yet, or what is there is of
            another recipe, other bags, another suite or other weights.
    """
    config = load_comparison(path)
    own = _own(config, row, path)
    if config.base and not (out / BASE / MANIFEST).exists():
        raise ValueError(f'{out / BASE} is not trained yet; run the comparison without --rows.')
    start = {'start': str((out / BASE).resolve())} if config.base else {}
    changes = {**start, **config.row, **own}
    _train(path.parent / config.recipe, {**changes, 'device': device}, bags, out / row, cache)
    for placements, episodes in config.episodes_of(row).items():
        measure_row(config, row, placements, episodes, out, device)


def measure_row(
    config: ComparisonConfig,
    row: str,
    placements: Placements,
    episodes: int,
    out: Path,
    device: str = 'auto',
) -> None:
    """Measure success task by task; tasks that are measured already are read from their file.

    Raises:
        ValueError: The file is of another suite or of other weights.
    """
    policy, manifest = load_checkpoint(out / row)
    limits = load_arm(find('calibration', 'panda', '.yaml'))
    file = out / row / f'{placements}.json'
    known = load_outcomes(file, config.suite, manifest.weights_sha256)
    for task in config.tasks:
        if known.episodes(task) >= episodes:
            continue
        result = measure_success(
            load(
                policy,
                [golden_observation(manifest.policy)],
                backends=('eager',),
                device=device,
            ),
            manifest.policy,
            limits,
            Libero(config.suite),
            name=row,
            weights_sha256=manifest.weights_sha256,
            tasks=[task],
            episodes=episodes,
            placements=placements,
        )
        known.add(task, *next(iter(result.outcomes.items())))
        known.save(file)


def _train(
    recipe: Path, changes: Mapping[str, Any], bags: Sequence[Path], out: Path, cache: Path
) -> None:
    config = load_recipe(recipe, _lines(changes))
    if (out / MANIFEST).exists():
        keep_recipe(out, config, bags)
    else:
        train(config, bags, out, cache)


def _own(config: ComparisonConfig, row: str, path: Path) -> dict[str, Any]:
    """What a row changes that no other does."""
    if row not in config.rows:
        raise ValueError(f'{path} has no row {row!r}; its rows are {[*config.rows]}.')
    return config.rows[row]


def _lines(changes: Mapping[str, Any]) -> list[str]:
    return [f'{key}={json.dumps(value)}' for key, value in changes.items()]


def main(
    comparison: Recipe,
    bags: Bags,
    out: Path,
    rows: str = '',
    cache: Path | None = None,
    table_only: bool = False,
    reference: str = '',
    device: str = 'auto',
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
        device: Where rows are trained and measured: auto (the GPU, if any), cpu, cuda or cuda:1.
    """
    from .comparison_table import write_comparison

    check_folder(out)
    check_folder(cache)
    torch_device(device)
    config = load_comparison(comparison)
    if not table_only:
        first = [BASE] if config.base else []
        named = rows.split(',') if rows else [*first, *config.main_rows, *config.rows]
        check_comparison(comparison, named)
        found, store = find_bags(bags), cache or out / 'cache'
        for row in named:
            if row == BASE:
                train_base(comparison, found, out, store, device)
            else:
                run_row(comparison, row, found, out, store, device)
    if not rows:
        print(write_comparison(config, out, reference))


if __name__ == '__main__':
    from experiments.comparison import main as command

    run(command)
