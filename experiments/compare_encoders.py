# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""One recipe -> the same encoder by every method at equal compute, probed, as a table."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ros2_gridsampler.bags.bag_reader import find_bags
from ros2_gridsampler.command_line.arguments import Bags, Recipe
from ros2_gridsampler.device import torch_device
from ros2_gridsampler.encoders.encoder_checkpoint import EncoderManifest, load_encoder
from ros2_gridsampler.encoders.probe_scores import Score
from ros2_gridsampler.files import write_whole
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.training.mi_mae import METHODS
from ros2_gridsampler.training.pretrain_config import (
    PretrainConfig,
    is_held_out,
    keep_config,
    training_bags,
    with_compute,
)
from ros2_gridsampler.training.pretrain_encoder import pretrain
from ros2_gridsampler.training.recipe import read_recipe

from . import run
from .probes import EPISODES, prober

UNTRAINED = 'untrained'


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        methods: Names of `mi_mae.METHODS`, or 'untrained'; 'mi_mae@0.01,0.003' is mi_mae with
            these weights of InfoNCE and vCLUB.
        seeds: The number of seeds of each method.
        compute: Forward operations of each run [FLOP].
    """

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    compute: float

    def __post_init__(self) -> None:
        """Refuse methods that do not exist, and a comparison of nothing."""
        if not self.methods or not self.seeds or not 0 < self.compute < math.inf:
            raise ValueError(
                f'Methods {[*self.methods]}, seeds {[*self.seeds]} and {self.compute:g} FLOP '
                'compare nothing; name at least one of each, and more than 0 FLOP.'
            )
        named = {method.partition('@')[0] for method in self.methods if method != UNTRAINED}
        unknown = sorted(named - {*METHODS})
        if unknown:
            raise ValueError(f'{unknown} are no methods; choose of {[UNTRAINED, *METHODS]}.')


def run_of(config: PretrainConfig, method: str, seed: int, compute: float) -> PretrainConfig:
    """The run of a method and seed."""
    if method == UNTRAINED:
        return replace(config, steps=0, seed=seed)
    name, _, given = method.partition('@')
    if given:
        infonce, vclub = _weights(method, given)
        weights = replace(config.model.weights, infonce=infonce, vclub=vclub)
        config = replace(config, model=replace(config.model, weights=weights))
    known = next(each for each in METHODS if each == name)
    config = replace(config, model=config.model.as_method(known), seed=seed)
    return with_compute(config, compute)


def _weights(method: str, given: str) -> tuple[float, float]:
    try:
        infonce, vclub = map(float, given.split(','))
    except ValueError as error:
        raise ValueError(
            f'{method!r} does not say two weights; write the method, @, the weight of InfoNCE, a '
            'comma and the weight of vCLUB: mi_mae@0.01,0.003.'
        ) from error
    return infonce, vclub


def compare(
    config: PretrainConfig,
    comparison: Comparison,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    probe: Callable[[Encoder, EncoderManifest], list[Score]],
    asked: Mapping[str, Any],
) -> str:
    """Run what has not been run, probe what has not been probed, and write table and scores.

    Args:
        config: Recipe of all runs.
        comparison: What differs between them.
        bags: See `pretrain`.
        out: One folder per run; `results.json` and `table.md`.
        cache: See `pretrain`.
        probe: Scores of an encoder.
        asked: What `probe` asks, in JSON's values.

    Returns:
        The table in Markdown.

    Raises:
        ValueError: `out` holds a run of another recipe or length, or scores of another probe.
    """
    results: dict[str, list[list[Score]]] = {}
    compute: dict[str, float] = {}
    # Seed by seed: a comparison that is cut off has all methods of the first seeds.
    for seed in comparison.seeds:
        for method in comparison.methods:
            folder = out / f'{method}_{seed}'
            run = run_of(config, method, seed, comparison.compute)
            if (folder / 'manifest.json').exists():
                keep_config(run, training_bags(run, bags), folder)
            else:
                pretrain(run, bags, folder, cache)
            encoder, manifest = load_encoder(folder)
            compute[method] = manifest.compute
            path = folder / 'scores.json'
            if not path.exists():
                encoder.to(torch_device(run.device))
                scores = [asdict(score) for score in probe(encoder, manifest)]
                write_whole(path, json.dumps({'asked': asked, 'scores': scores}, indent=1))
            found = json.loads(path.read_text())
            other = sorted(key for key in asked if found['asked'].get(key) != asked[key])
            # Older versions kept how many bags there were.
            if 'bags' in other and found['asked']['bags'] == len(asked['bags']):
                other.remove('bags')
            if other:
                raise ValueError(
                    f'{path} answers another question ({", ".join(other)} differ); move the file '
                    'away to probe again.'
                )
            results.setdefault(method, []).append([Score(**line) for line in found['scores']])
            text = table(results, compute)
            (out / 'table.md').write_text(text)
    return text


def table(results: dict[str, list[list[Score]]], compute: dict[str, float]) -> str:
    """Mean over seeds and its 95% interval (Student's t); a single seed has none.

    The first row is what the instruction alone tells, without any picture.
    """
    first = next(iter(results.values()))[0]
    blind = {score.probe: f'{score.value:.2f}' for score in first if score.features == 'none'}
    shown = [index for index, score in enumerate(first) if score.features != 'none']
    heads = [f'{first[i].probe}, {first[i].features} [{first[i].unit}]' for i in shown]
    rows = [['method', 'seeds', 'TFLOP', *heads], ['---'] * (len(heads) + 3)]
    rows.append(['no picture', '', '', *(blind.get(first[i].probe, '') for i in shown)])
    for method, seeds in results.items():
        values = np.array([[scores[i].value for i in shown] for scores in seeds])
        cells = [f'{value:.2f}' for value in values.mean(0)]
        if len(seeds) > 1:
            width = stats.t.ppf(0.975, len(seeds) - 1) * stats.sem(values, axis=0)
            cells = [f'{cell} ± {half:.2f}' for cell, half in zip(cells, width, strict=True)]
        rows.append([method, str(len(seeds)), f'{compute[method] / 1e12:.3f}', *cells])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def main(
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
        recipe: The recipe of the pretraining.
        bags: With landmarks; those held out by the recipe are measured on.
        out: Folder of all runs.
        pictures: Fashion-MNIST's folder, or folders of pictures per class.
        compute: Forward operations of each run [TFLOP].
        methods: What is compared; mi_mae@0.01,0.003 is mi_mae with these weights of InfoNCE and
            vCLUB. Choose weights on other bags than those that the comparison is made with.
        seeds: The number of seeds of each method.
        episodes: Recipe of a policy, for how bags are read.
        every: One in so many frames of the bags is probed.
        most: Labelled pictures to fit on and to measure on, each.
    """
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


if __name__ == '__main__':
    from experiments.compare_encoders import main as command

    run(command)
