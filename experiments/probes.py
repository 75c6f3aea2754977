# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Frozen encoder and labelled pictures or bags -> how much a linear reader gets out of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cattrs
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ros2_gridsampler.bags.bag_reader import find_bags
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.datasets.episodes import EpisodeConfig, EpisodeStore, store_episodes
from ros2_gridsampler.device import to_arrays, to_device, torch_device
from ros2_gridsampler.encoders.encoder_checkpoint import (
    EncoderManifest,
    load_encoder,
    load_encoder_manifest,
)
from ros2_gridsampler.encoders.probe_scores import PROBES, Score
from ros2_gridsampler.evaluating.success_rate import wilson_interval
from ros2_gridsampler.files import find, write_whole
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.manifest import MANIFEST
from ros2_gridsampler.training.pretrain_config import is_held_out
from ros2_gridsampler.training.recipe import load_recipe

from . import run
from .labelled_pictures import LabelledPictures, read_labelled

EPISODES = Path('models/recipes/libero_spatial.yaml')
NEIGHBOURS = 20
RESAMPLES = 2000


@torch.inference_mode()
def feature_maps(
    encoder: Encoder, images: UInt8[np.ndarray, 'images height width 3']
) -> Float[np.ndarray, 'images tokens width']:
    """The encoder's output, a few pictures at a time, computed where the encoder is."""
    maps = []
    for start in range(0, len(images), 32):
        part = np.ascontiguousarray(images[start : start + 32])
        given = to_device((part,), encoder.cls_token.device)
        maps += to_arrays([encoder(*given).flatten(1, 2)])
    return np.concatenate(maps)


def probe_classes(
    encoder: Encoder, fit: LabelledPictures, measure: LabelledPictures
) -> list[Score]:
    """Logistic regression and nearest neighbours (cosine) on the mean token."""
    known, asked = (feature_maps(encoder, part.images).mean(1) for part in (fit, measure))
    readers = {
        'linear': LogisticRegression(C=0.1, max_iter=1000),
        f'{NEIGHBOURS}-NN': KNeighborsClassifier(min(NEIGHBOURS, len(known)), metric='cosine'),
    }
    scores = []
    for name, reader in readers.items():
        pipeline = make_pipeline(StandardScaler(), reader).fit(known, fit.labels)
        right = int((pipeline.predict(asked) == measure.labels).sum())
        low, high = wilson_interval(right, len(asked))
        share = 100 * right / len(asked)
        scores.append(Score(name, 'mean', share, '%', (100 * low, 100 * high), len(asked)))
    return scores


@dataclass(frozen=True, eq=False)
class Places:
    """Frames and where things are in them.

    Attributes:
        images: The pictures of one camera.
        positions: Name -> position in the base frame [m].
        episode: Which bag a frame is from.
        sentence: Which instruction holds; it names the object, so the reader may know it.
    """

    images: UInt8[np.ndarray, 'frames height width 3']
    positions: dict[str, Float[np.ndarray, 'frames 3']]
    episode: Int[np.ndarray, ' frames']
    sentence: Int[np.ndarray, ' frames']


def read_places(
    bags: Sequence[Path], config: EpisodeConfig, cache: Path, every: int
) -> tuple[Places, list[str]]:
    """Frames of the first camera of the bags, with the names of the bags.

    Raises:
        ValueError: The bags record no landmarks or no pose, or no frame is chosen.
    """
    if every < 1:
        raise ValueError(f'One in {every} frames was asked for; every must be at least 1.')
    if not config.labels.landmarks or not config.observation.uses_pose:
        raise ValueError(
            'The recipe names no topic of landmarks, or no pose; positions cannot be probed.'
        )
    store = store_episodes(bags, config, cache)
    chosen = np.arange(0, len(store), every)
    names = ['object', 'goal', *(f'landmark {n}' for n in range(2, store.landmarks.shape[1]))]
    positions = {name: store.landmarks[chosen, i] for i, name in enumerate(names)}
    positions['gripper'] = store.proprioception[chosen, :3]
    places = Places(
        first_camera(store, chosen), positions, store.episode[chosen], store.sentence[chosen]
    )
    return places, store.bags


def first_camera(
    store: EpisodeStore, samples: Int[np.ndarray, ' frames']
) -> UInt8[np.ndarray, 'frames height width 3']:
    """Its pictures alone, so that half the memory does."""
    parts = np.array_split(samples, len(samples) // 256 + 1)
    return np.concatenate([store.images(part)[:, 0] for part in parts])


def probe_places(
    encoder: Encoder, places: Places, held_out: Int[np.ndarray, ' bags']
) -> list[Score]:
    """Ridge regression of positions from the mean token and from the whole map.

    Features and positions are taken relative to their mean under each instruction, so that a
    reader which knows the sentence alone, the first line of the result, gets no better by it.

    Args:
        encoder: Frozen.
        places: Frames of all bags.
        held_out: Numbers of the bags to measure on.

    Raises:
        ValueError: A held-out bag has an instruction that no other bag has, or fewer than two
            bags are left to fit on.
    """
    measured = np.isin(places.episode, held_out)
    unknown = set(places.sentence[measured]) - set(places.sentence[~measured])
    if unknown or measured.all() or not measured.any():
        raise ValueError(
            f'{measured.sum()} of {len(measured)} frames are held out, with {len(unknown)} '
            'instructions that the other bags lack; give more bags.'
        )
    if len(np.unique(places.episode[~measured])) < 2:
        raise ValueError(
            'The strength of the regression is chosen between the bags that are not held out: '
            'give at least two of them.'
        )
    maps = feature_maps(encoder, places.images)
    targets = np.concatenate(list(places.positions.values()), 1).astype(np.float64)
    wanted = relative(targets, places.sentence, ~measured)
    predictions: dict[str, NDArray[np.float64]] = {'none': np.zeros_like(wanted[measured])}
    for name, values in (('mean', maps.mean(1)), ('map', maps.reshape(len(maps), -1))):
        features = relative(values.astype(np.float64), places.sentence, ~measured)
        features /= features[~measured].std(0) + 1e-6
        predictions[name] = ridge(
            features[~measured], wanted[~measured], places.episode[~measured], features[measured]
        )
    scores = []
    for features_name, prediction in predictions.items():
        errors = (prediction - wanted[measured]).reshape(measured.sum(), -1, 3)
        distances = 100 * np.linalg.norm(errors, axis=-1)
        for index, thing in enumerate(places.positions):
            per_bag = np.array(
                [distances[places.episode[measured] == bag, index].mean() for bag in held_out]
            )
            mean, interval = bootstrap(per_bag)
            scores.append(Score(thing, features_name, mean, 'cm', interval, len(per_bag)))
    return scores


def relative(
    values: Float[np.ndarray, 'frames numbers'],
    groups: Int[np.ndarray, ' frames'],
    fitted: Int[np.ndarray, ' frames'],
) -> Float[np.ndarray, 'frames numbers']:
    """Values less the mean of their group over the frames that are fitted."""
    result = values.copy()
    for group in np.unique(groups):
        inside = groups == group
        result[inside] -= values[inside & fitted].mean(0)
    return result


def ridge(
    features: Float[np.ndarray, 'frames numbers'],
    targets: Float[np.ndarray, 'frames wanted'],
    episode: Int[np.ndarray, ' frames'],
    asked: Float[np.ndarray, 'asked numbers'],
) -> Float[np.ndarray, 'asked wanted']:
    """Ridge in its dual, closed form; its strength is chosen on other bags among the fitted."""
    scale = np.square(features).sum(1).mean()
    search = GridSearchCV(
        KernelRidge(kernel='precomputed'),
        {'alpha': list(10.0 ** np.arange(-3, 4))},
        scoring='neg_mean_squared_error',
        cv=GroupKFold(min(4, len(np.unique(episode)))),
    )
    search.fit(features @ features.T / scale, targets, groups=episode)
    return np.asarray(search.predict(asked @ features.T / scale))


def bootstrap(values: Float[np.ndarray, ' episodes']) -> tuple[float, tuple[float, float]]:
    """Mean and its 95% interval by drawing episodes again, with a fixed seed.

    Raises:
        ValueError: One episode says nothing of others.
    """
    if len(values) < 2:
        raise ValueError('One episode is held out, which gives no interval; hold out two or more.')
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(1), [2.5, 97.5])
    return float(values.mean()), (float(low), float(high))


def main(
    encoder: str,
    data: tuple[Path, ...],
    json: Json = None,
    recipe: Path = EPISODES,
    cache: Path = Path('build/cache'),
    held_out: float = 0.2,
    every: int = 4,
    most: int = 10000,
    device: str = 'auto',
    keep: bool = False,
) -> None:
    """Measure a frozen encoder by linear readers: classes of pictures, or positions in bags.

    Args:
        encoder: Folder of an encoder, or the name of one that comes with the package.
        data: Fashion-MNIST's folder (Debian: /usr/share/datasets/fashion-mnist), folders of
            pictures per class, or bags with landmarks; any number of them.
        json: File for the result, or - for standard output.
        recipe: How bags are read: the `episodes` of a policy's recipe.
        cache: Where decoded bags are kept.
        held_out: Share of bags, by their names, to measure on; never those of the pretraining.
        every: One in so many frames of the bags.
        most: Labelled pictures to fit on and to measure on, each.
        device: Where the encoder computes: auto (the GPU, if any), cpu, cuda or cuda:1.
        keep: Write the scores into the manifest of the encoder, where `gridsampler encoders list`
            finds them.
    """
    place = torch_device(device)
    with json_output(json) as write:
        folder = find('models/encoders', encoder)
        model, manifest = load_encoder(folder)
        ask = prober(data, recipe, cache, held_out, every, most)
        scores = ask(model.to(place), manifest)
        for score in scores:
            print(
                f'{score.probe}, {score.features} [{score.unit}]: {score}, {score.samples} of '
                f'{score.data}'
            )
        content = {
            'encoder': encoder,
            'method': manifest.method,
            'encoder_sha256': manifest.encoder_sha256,
            'data': [str(path) for path in data],
            'scores': [asdict(score) for score in scores],
        }
        write(content)
        if keep:
            keep_scores(folder, scores)


def keep_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Writes scores into the manifest of an encoder, in place of those that were there."""
    manifest = load_encoder_manifest(folder)
    results = {**manifest.results, PROBES: [asdict(score) for score in scores]}
    content = cattrs.unstructure(replace(manifest, results=results))
    write_whole(folder / MANIFEST, json.dumps(content, indent=1))


def prober(
    data: tuple[Path, ...], recipe: Path, cache: Path, held_out: float, every: int, most: int
) -> Callable[[Encoder, EncoderManifest], list[Score]]:
    """What asks an encoder all that the data can answer; for the arguments see `main`."""
    recordings = [path for path in data if _holds_recordings(path)]

    def ask(encoder: Encoder, manifest: EncoderManifest) -> list[Score]:
        scores = []
        for folder in data:
            if folder not in recordings:
                fit, measure = read_labelled(folder, manifest.preparation, most)
                found = probe_classes(encoder, fit, measure)
                scores += [replace(score, data=folder.name) for score in found]
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
            found = probe_places(encoder, places, np.array(measured, np.int64))
            name = ', '.join(path.name for path in recordings)
            scores += [replace(score, data=name) for score in found]
        return scores

    return ask


def _holds_recordings(path: Path) -> bool:
    try:
        return bool(find_bags([path]))
    except FileNotFoundError:
        return False


if __name__ == '__main__':
    from experiments.probes import main as command

    run(command)
