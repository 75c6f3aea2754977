# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler pretrain`, `adapt`, `import-encoder`, `train`: recordings -> encoders, policies."""

from pathlib import Path
from typing import Literal

import tyro

from ..bags.camera_health import DarkCameras
from .arguments import Bags, Encoder, Policy, Recipe, Weights
from .outputs import check_folder


def adapt(
    policy: Policy,
    encoder: Encoder,
    bags: Bags,
    out: Path,
    cache: Path | None = None,
    recipe: Path | None = None,
    steps: int = 400,
    batch: int = 32,
    cloning_steps: int = 0,
    every: int = 4,
    seed: int = 0,
) -> None:
    """Fit an encoder to a policy, so that it can be swapped in: by features, then by actions.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        encoder: Encoder folder, or the name of one.
        bags: Bags, or folders of bags; for the features no labels are needed.
        out: Folder of the adapted encoder.
        cache: Where decoded bags are kept; default OUT/cache.
        recipe: Of a policy; says where cameras and actions are in the bags.
        steps: Of feature alignment.
        batch: Pictures per step.
        cloning_steps: Of behaviour cloning after it, all but the encoder frozen.
        every: One in so many frames is used for the features.
        seed: Of the order of the frames.
    """
    from ..bags.bag_reader import find_bags
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import find_encoder
    from ..files import find
    from ..training.adapt_config import AdaptConfig
    from ..training.adapt_encoder import adapt
    from ..training.recipe import load_recipe

    check_folder(out)
    check_folder(cache)
    config = AdaptConfig(
        steps=steps,
        batch=batch,
        cloning_steps=cloning_steps,
        cloning_batch=batch,
        every=every,
        seed=seed,
    )
    found = adapt(
        find('models', policy),
        find_encoder(encoder, default_folder()),
        find_bags(bags),
        out,
        cache or out / 'cache',
        config,
        None if recipe is None else load_recipe(recipe).episodes,
    )
    for name, value in found.items():
        print(f'{name}: {value:.4f}')


def import_encoder(
    weights: Weights,
    out: Path,
    height: int = 224,
    width: int = 224,
    heads: int = 0,
    source: str = '',
) -> None:
    """Turn published MAE weights (facebookresearch/mae or timm naming) into an encoder.

    Args:
        weights: A .safetensors file, or a .pth file with tensors only; nothing is unpickled.
        out: Folder of the encoder.
        height: Of the pictures that the policy sees; positions are interpolated [px].
        width: Likewise [px].
        heads: Of attention; 0 for the usual number at that width.
        source: Where the weights are from, for the manifest.
    """
    from ..encoders.encoder_checkpoint import save_encoder
    from ..encoders.published_encoders import import_encoder, read_tensors
    from ..files import hash_file
    from ..seeing.calibration import ImagePreparation

    found = import_encoder(read_tensors(weights), height, width, heads)
    save_encoder(
        found.encoder,
        out,
        preparation=ImagePreparation(width, height),
        method='imported',
        loss_weights={},
        steps=0,
        compute=0.0,
        training={
            'source': source or weights.name,
            'source sha256': hash_file(weights),
            'published grid': list(found.grid),
            'unused': list(found.unused),
        },
        results={},
    )
    config = found.encoder.config
    print(
        f'{out}: patch {config.patch}, width {config.width}, depth {config.depth}, {config.heads} '
        f'heads, grid {config.grid[0]}x{config.grid[1]} (published {found.grid[0]}x'
        f'{found.grid[1]}); {len(found.unused)} tensors were of no use here.'
    )


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
    dark_cameras: DarkCameras = 'refuse',
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
        dark_cameras: What becomes of episodes in which a camera shows nothing, or one picture,
            from begin to end.
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
    pretrain(config, find_bags(bags), out, cache or out / 'cache', dark_cameras)


def train(
    recipe: Recipe,
    bags: Bags,
    out: Path,
    cache: Path | None = None,
    change: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    base: Path | None = None,
    dark_cameras: DarkCameras = 'refuse',
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
        dark_cameras: What becomes of episodes in which a camera shows nothing, or one picture,
            from begin to end.
    """
    from ..bags.bag_reader import find_bags
    from ..training.recipe import load_recipe, read_recipe
    from ..training.train_policy import train

    check_folder(out)
    check_folder(cache)
    if base is not None:
        from ..training.fine_tune import FineTuneConfig, fine_tune

        config = read_recipe(recipe, FineTuneConfig, change)
        fine_tune(base, config, find_bags(bags), out, cache or out / 'cache', dark_cameras)
        return
    store = cache or out / 'cache'
    train(load_recipe(recipe, change), find_bags(bags), out, store, dark_cameras)
