# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler pretrain`: recordings -> encoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from .output_folder import check_folder
from .positionals import Bags, Recipe

if TYPE_CHECKING:
    pass

Method = Literal['recipe', 'mae', 'mae_4_masks', 'infonce_only', 'vclub_only', 'mi_mae']
Changes = tyro.conf.UseAppendAction[tuple[str, ...]]


def pretrain(
    recipe: Recipe,
    bags: Bags,
    out: Path,
    method: Method = 'recipe',
    cache: Path | None = None,
    compute: float | None = None,
    change: Changes = (),
) -> None:
    """Pretrain an encoder on the frames of any bags; go on where it stopped.

    Several processes: `torchrun --nproc-per-node 8 -m ros2_gridsampler.command_line pretrain ...`

    Args:
        recipe: YAML file, see models/recipes.
        bags: Bags, or folders of bags; no labels are needed.
        out: Folder of the run; the encoder is written there at the end.
        method: Masks and losses; 'recipe' takes the recipe's own.
        cache: Where decoded frames are kept for all runs; default OUT/cache.
        compute: Forward operations [TFLOP], instead of the recipe's steps.
        change: A key of the recipe with another value, like `--change seed=1`; repeatable.
    """
    from dataclasses import replace
    from math import inf

    from ..bags.bag_reader import find_bags
    from ..training.pretrain_config import PretrainConfig, with_compute
    from ..training.pretrain_encoder import pretrain
    from ..training.recipe import read_recipe

    check_folder(out)
    check_folder(cache)
    config = read_recipe(recipe, PretrainConfig, change)
    if method != 'recipe':
        config = replace(config, model=config.model.as_method(method))
    if compute is not None:
        if not 0 < compute < inf:
            raise ValueError(f'--compute is {compute:g} TFLOP; expected more than 0.')
        config = with_compute(config, compute * 1e12)
    pretrain(config, find_bags(bags), out, cache or out / 'cache')
