# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler pretrain`, `probe`, `compare-encoders`: recordings -> encoders, and their worth."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from .json_output import write_json
from .output_folder import check_folder
from .positionals import Bags, Recipe

if TYPE_CHECKING:
    from experiments.probes import Score

    from ..encoders.encoder_checkpoint import EncoderManifest
    from ..policy.encoder import Encoder

Method = Literal['recipe', 'mae', 'mae_4_masks', 'infonce_only', 'vclub_only', 'mi_mae']
Changes = tyro.conf.UseAppendAction[tuple[str, ...]]
EPISODES = Path('models/recipes/libero_spatial.yaml')


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

    from experiments.compare_encoders import with_compute

    from ..bags.bag_reader import find_bags
    from ..training.pretrain_config import PretrainConfig
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


def probe(
    encoder: str,
    data: tuple[Path, ...],
    json: Path | None = None,
    recipe: Path = EPISODES,
    cache: Path = Path('build/cache'),
    held_out: float = 0.2,
    every: int = 4,
    most: int = 10000,
) -> None:
    """Measure a frozen encoder by linear readers: classes of pictures, or positions in bags.

    Args:
        encoder: Folder of an encoder, or the name of one that comes with the package.
        data: Fashion-MNIST's folder (Debian: /usr/share/datasets/fashion-mnist), folders of
            pictures per class, or bags with landmarks; any number of them.
        json: File for the result.
        recipe: How bags are read: the `episodes` of a policy's recipe.
        cache: Where decoded bags are kept.
        held_out: Share of bags, by their names, to measure on; never those of the pretraining.
        every: One in so many frames of the bags.
        most: Labelled pictures to fit on and to measure on, each.
    """
    from dataclasses import asdict

    from ..encoders.encoder_checkpoint import load_encoder
    from ..files import find

    model, manifest = load_encoder(find('models/encoders', encoder))
    scores = prober(data, recipe, cache, held_out, every, most)(model, manifest)
    for score in scores:
        low, high = score.interval
        print(
            f'{score.probe}, {score.features}: {score.value:.2f} {score.unit} '
            f'(95% {low:.2f} to {high:.2f}, {score.samples})'
        )
    content = {
        'encoder': encoder,
        'method': manifest.method,
        'encoder_sha256': manifest.encoder_sha256,
        'data': [str(path) for path in data],
        'scores': [asdict(score) for score in scores],
    }
    write_json(json, content)


def compare_encoders(
    recipe: Recipe,
    bags: Bags,
    out: Path,
    pictures: Path,
    compute: float,
    methods: tuple[str, ...] = (
        'untrained',
        'mae',
        'mae_4_masks',
        'infonce_only',
        'vclub_only',
        'mi_mae',
    ),
    seeds: tuple[int, ...] = (0, 1, 2),
    episodes: Path = EPISODES,
    every: int = 4,
    most: int = 1000,
) -> None:
    """Pretrain by every method at equal compute, probe, write a table; go on where it stopped.

    Args:
        recipe: Of the pretraining.
        bags: With landmarks; those held out by the recipe are measured on.
        out: Folder of all runs.
        pictures: Fashion-MNIST's folder, or folders of pictures per class.
        compute: Forward operations of each run [TFLOP].
        methods: What is compared.
        seeds: Of each method.
        episodes: Recipe of a policy, for how bags are read.
        every: One in so many frames of the bags is probed.
        most: Labelled pictures to fit on and to measure on, each.
    """
    from experiments.compare_encoders import Comparison, compare

    from ..bags.bag_reader import find_bags
    from ..training.pretrain_config import PretrainConfig, is_held_out
    from ..training.recipe import read_recipe

    config = read_recipe(recipe, PretrainConfig)
    comparison = Comparison(methods, seeds, compute * 1e12)
    data = (pictures, *bags)
    ask = prober(data, episodes, out / 'cache', config.held_out, every, most)
    found = find_bags(bags)
    if sum(is_held_out(bag.name, config.held_out) for bag in found) < 2:
        raise ValueError(
            f'Of {len(found)} bags fewer than two are held out, on which positions are measured; '
            'give more bags, or a larger held_out in the recipe.'
        )
    asked = {
        'pictures': pictures.name,
        'bags': sorted(bag.name for bag in found),
        'held_out': config.held_out,
        'every': every,
        'most': most,
    }
    print(compare(config, comparison, found, out, out / 'cache', ask, asked))


def prober(
    data: tuple[Path, ...], recipe: Path, cache: Path, held_out: float, every: int, most: int
) -> 'Callable[[Encoder, EncoderManifest], list[Score]]':
    """What asks an encoder all that the data can answer; for the arguments see `probe`."""
    import numpy as np

    from experiments.labelled_pictures import read_labelled
    from experiments.probes import probe_classes, probe_places, read_places

    from ..bags.bag_reader import find_bags
    from ..training.pretrain_config import is_held_out
    from ..training.recipe import load_recipe

    recordings = [path for path in data if _holds_recordings(path)]

    def ask(encoder: 'Encoder', manifest: 'EncoderManifest') -> 'list[Score]':
        scores = []
        for folder in data:
            if folder not in recordings:
                fit, measure = read_labelled(folder, manifest.preparation, most)
                scores += probe_classes(encoder, fit, measure)
        if recordings:
            bags = find_bags(recordings)
            places, names = read_places(bags, load_recipe(recipe).episodes, cache, every)
            measured = [i for i, name in enumerate(names) if is_held_out(name, held_out)]
            known = {
                *manifest.training.get('bags', ()),
                *manifest.training.get('adapted on', ()),
            }
            seen = {names[i] for i in measured} & known
            if seen:
                raise ValueError(
                    f'The encoder was trained on {len(seen)} of the held-out bags, '
                    f'{min(seen)} for one; give its own --held-out.'
                )
            scores += probe_places(encoder, places, np.array(measured, np.int64))
        return scores

    return ask


def _holds_recordings(path: Path) -> bool:
    from ..bags.bag_reader import find_bags

    try:
        return bool(find_bags([path]))
    except FileNotFoundError:
        return False
