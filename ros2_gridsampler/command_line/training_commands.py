# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler pretrain`, `adapt`, `import-encoder`, `train`: recordings -> encoders, policies."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..bags.camera_health import DarkCameras
from ..training.adapt_config import AdaptConfig
from .arguments import Bags, Encoder, Policy, Recipe, Weights
from .outputs import check_folder

Changes = tyro.conf.UseAppendAction[tuple[str, ...]]
Method = Literal['recipe', 'mae', 'mae_4_masks', 'infonce_only', 'vclub_only', 'mi_mae']


def adapt(
    policy: Policy,
    encoder: Encoder,
    bags: Bags,
    out: Path,
    config: Annotated[AdaptConfig, tyro.conf.arg(name='')],
    cache: Path | None = None,
    recipe: Path | None = None,
) -> None:
    """Fit an encoder to a policy, to be swapped in.

    First its features are fitted, then, with --cloning-steps, the actions; each until the error
    on bags that are held out falls no longer. A run that was stopped goes on.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        encoder: Encoder folder, or the name of one.
        bags: Bags, or folders of bags; for the features no labels are needed.
        out: Folder of the adapted encoder.
        config: How the encoder is fitted.
        cache: Where decoded bags are kept; default OUT/cache.
        recipe: Recipe of a policy, which says where cameras and actions are in the bags.
    """
    from ..bags.bag_reader import find_bags
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import find_encoder
    from ..files import find
    from ..training.adapt_encoder import adapt
    from ..training.recipe import load_recipe

    check_folder(out)
    check_folder(cache)
    adapted = adapt(
        find('models', policy),
        find_encoder(encoder, default_folder()),
        find_bags(bags),
        out,
        cache=cache or out / 'cache',
        config=config,
        episodes=None if recipe is None else load_recipe(recipe).episodes,
    )
    for name, fitted in adapted.fits.items():
        print(f'{name}: {fitted}')
    for name, value in adapted.measured.items():
        print(f'{name}: {value:.4f}')


def import_encoder(
    weights: Weights,
    out: Path,
    height: int = 224,
    width: int = 224,
    heads: int = 0,
    source: str = '',
) -> None:
    """Turn published MAE weights into an encoder.

    The names of the weights are those of facebookresearch/mae, timm or transformers.

    Args:
        weights: A .safetensors file, or a .pth file with tensors only; nothing is unpickled.
        out: Folder of the encoder.
        height: Height of the policy's pictures; positions are interpolated [px].
        width: Width of the policy's pictures [px].
        heads: Number of attention heads; 0 for the usual number at that width.
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
            'last norm': found.last_norm,
        },
        results={},
    )
    config = found.encoder.config
    print(
        f'{out}: patch {config.patch}, width {config.width}, depth {config.depth}, {config.heads} '
        f'heads, grid {config.grid[0]}x{config.grid[1]} (published {found.grid[0]}x'
        f'{found.grid[1]}); {len(found.unused)} tensors were of no use here.'
    )
    if found.last_norm == 'fc_norm':
        print('Its fc_norm, which it learned for the mean of its tokens, normalises each token.')


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
    """Pretrain an encoder on any bags; go on where it stopped.

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
    change: Changes = (),
    base: Path | None = None,
    dark_cameras: DarkCameras = 'refuse',
) -> None:
    """Train a policy on bags; go on where it stopped.

    It learns by behaviour cloning.

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
