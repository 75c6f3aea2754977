# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Stored samples -> shuffled batches of tensors, with the noise of training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ..datasets.episodes import EpisodeStore
from ..device import to_device
from ..files import find, read_yaml
from ..policy.instruction import read_instruction
from ..policy.policy_config import CONSTANT, PolicyConfig
from ..policy.shared_draws import ALONE, Share


def offsets(
    store: EpisodeStore, samples: Int[np.ndarray, ' samples'], first: int
) -> Float[np.ndarray, 'samples steps actions']:
    """Returns joint targets as offsets from the proprioception, whose joints begin at `first`."""
    chunks = store.chunks[samples]
    return chunks - store.proprioception[samples, None, first : first + chunks.shape[-1]]


def split(
    store: EpisodeStore, held_out: float
) -> tuple[Int[np.ndarray, ' training'], Int[np.ndarray, ' validation']]:
    """Returns samples to train on, and those of whole other bags where some are held out."""
    kept = held(len(store.bags), held_out)[store.episode]
    return np.flatnonzero(~kept), np.flatnonzero(kept)


def held(bags: int, share: float) -> Bool[np.ndarray, ' bags']:
    """Returns which of so many bags, in the order of training, are kept for validation.

    At least one of two or more, where the share is not 0.
    """
    if not share or bags < 2:
        return np.zeros(bags, bool)
    every = min(max(round(1 / share), 2), bags)
    return np.asarray(np.arange(bags) % every == every - 1)


def order(
    samples: Int[np.ndarray, ' samples'], batch: int, seed: int, first: int, last: int
) -> Iterator[Int[np.ndarray, ' batch']]:
    """Yields the batches from `first` to `last`; the same whether or not a run was stopped."""
    per_epoch = max(len(samples) // batch, 1)
    shuffled = samples
    epoch = -1
    for step in range(first, last):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            shuffled = np.random.default_rng((seed, epoch)).permutation(samples)
        start = (step % per_epoch) * batch
        yield shuffled[start : start + batch]


class Batch(NamedTuple):
    """Tensors of some samples; actions as the head gives them."""

    images: UInt8[Tensor, 'batch cameras height width 3']
    proprioception: Float[Tensor, 'batch numbers']
    words: Int[Tensor, 'batch words pieces'] | Float[Tensor, 'batch numbers']
    actions: Float[Tensor, 'batch steps actions']
    landmarks: Float[Tensor, 'batch landmarks 3']


class Batches:
    """Samples -> tensors on a device, with the noise of training.

    Args:
        store: Where the samples are.
        config: Settings of the policy.
        noise: Added to the proprioception, in standard deviations.
        seed: Seed of the noise.
        dimming: See `jitter`.
        paraphrases: Instruction -> other ways to say it.
        device: Where the tensors go.
        share: The rows of every batch that this process works on; noise is drawn for all.
    """

    def __init__(
        self,
        store: EpisodeStore,
        config: PolicyConfig,
        noise: float,
        seed: int,
        dimming: float = 0.0,
        paraphrases: Mapping[str, Sequence[str]] | None = None,
        *,
        device: torch.device | None = None,
        share: Share = ALONE,
    ) -> None:
        self._store = store
        self._device = device or torch.device('cpu')
        self._share = share
        # Row by row: every instruction as it was recorded, then the other ways to say it.
        said = [[text, *(paraphrases or {}).get(text, ())] for text in store.instructions]
        self._words = np.stack(
            [read_instruction(config.instruction, text) for texts in said for text in texts]
        )
        self._ways = np.array([len(texts) for texts in said])
        self._first = np.cumsum(self._ways) - self._ways
        # What never changes gets none: its scale is its unit.
        spread = store.proprioception.std(0, dtype=np.float64)
        scale = np.array(config.proprioception_statistics.scale)
        self._noise = (noise * np.where(spread > CONSTANT, scale, 0)).astype(np.float32)
        self._seed = seed
        self._dimming = dimming
        self._depth = [place for place, name in enumerate(config.cameras) if name in config.depth]
        self._relative = config.relative
        self._origin = config.observation.origin

    def __call__(self, samples: Int[np.ndarray, ' batch'], step: int | None = None) -> Batch:
        """Returns this process's part of a batch, its pictures augmented for training step `step`.

        Where that is None, all samples are returned as they are.
        """
        store, share = self._store, self._share if step is not None else ALONE
        whole, samples = samples, share.of(samples)
        images, body = store.images(samples), store.proprioception[samples]
        # Before the noise: what the arm does next starts from where it really is.
        actions = (
            offsets(store, samples, self._origin) if self._relative else store.chunks[samples]
        )
        sentences = store.sentence[samples]
        told = self._first[sentences]
        if step is not None:
            generator = np.random.default_rng((self._seed, 1, step))
            noise = generator.normal(size=(len(whole), body.shape[1])).astype(np.float32)
            body = body + self._noise * share.of(noise)
            images = jitter(images, generator, self._dimming, self._depth, share)
            told = told + share.of(generator.integers(self._ways[store.sentence[whole]]))
        arrays = (images, body, self._words[told], actions, store.landmarks[samples])
        return Batch(*to_device(arrays, self._device))


def load_paraphrases(name: str) -> dict[str, list[str]]:
    """Instruction -> other ways to say it; none where no file is named.

    Args:
        name: YAML file, a path or a name in models/.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no mapping of sentences to lists of sentences.
    """
    if not name:
        return {}
    path = find('models', name, '.yaml')
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(
        isinstance(ways, list) and all(isinstance(each, str) for each in [text, *ways])
        for text, ways in content.items()
    ):
        raise ValueError(f'{path} must give a list of sentences for every instruction.')
    return content


def jitter(
    images: UInt8[np.ndarray, 'batch cameras height width 3'],
    generator: np.random.Generator,
    dimming: float,
    depth: Sequence[int] = (),
    share: Share = ALONE,
) -> UInt8[np.ndarray, 'batch cameras height width 3']:
    """Brightness, contrast and tint of each picture changed a little.

    Args:
        images: As recorded.
        generator: What is drawn from.
        dimming: At most this share of the light of a sample goes, the same in all its cameras;
            half of the samples lose less than a quarter of that.
        depth: Places of the cameras whose pixels are distances, which no light changes.
        share: The part of the batch that the images are; changes are drawn for all of it.
    """
    batch = len(images) * share.processes
    shape = (batch, images.shape[1], 1, 3)
    gain = generator.uniform(0.9, 1.1, shape).astype(np.float32)
    offset = generator.uniform(-12, 12, shape).astype(np.float32)
    if dimming:
        left = 1 - dimming * generator.uniform(size=(batch, 1, 1, 1)) ** 2
        gain, offset = gain * left.astype(np.float32), offset * left.astype(np.float32)
    gain[:, depth], offset[:, depth] = 1, 0
    gain, offset = share.of(gain), share.of(offset)
    # A table of the 256 levels is much faster than arithmetic on all pixels.
    levels = np.arange(256, dtype=np.float32)[:, None]
    tables = np.clip(levels * gain + offset, 0, 255).astype(np.uint8)
    changed = np.empty_like(images)
    for place in np.ndindex(*images.shape[:2]):
        cv2.LUT(images[place], tables[place][None], dst=changed[place])
    return changed
