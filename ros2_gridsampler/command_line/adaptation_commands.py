# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler adapt`, `import-encoder`: other encoders -> encoders that a policy can use."""

from pathlib import Path

from .output_folder import check_folder
from .positionals import Bags, Encoder, Policy, Weights


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
