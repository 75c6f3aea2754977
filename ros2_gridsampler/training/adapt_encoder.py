# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy, another encoder, bags -> that encoder, giving the features that the policy knows."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from ..datasets.episodes import EpisodeConfig, EpisodeStore, store_episodes
from ..datasets.frames import FrameConfig, FrameStore, store_frames
from ..device import to_device
from ..encoders.compatibility import PolicyNeeds, with_encoder
from ..encoders.encoder_checkpoint import (
    ENCODER_WEIGHTS,
    EncoderManifest,
    load_encoder,
    save_encoder,
)
from ..policy.checkpoint import load_checkpoint
from ..policy.encoder import Encoder
from ..policy.grid_sampler import PointReader, read_bilinear
from ..policy.manifest import Manifest, check_kind
from ..policy.policy import Policy
from .adapt_config import AdaptConfig
from .batches import Batches, held, order, split
from .learning_rate import check_gradient, set_rate
from .processes import check_batch, first_alone, joined_processes, prepared, share_of
from .train_policy import Cloning, validate


class RandomPoints:
    """Points all over pictures: where a policy will look is not known without its task."""

    def __init__(self, tokens: int, seed: int) -> None:
        self._tokens = tokens
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, pictures: int) -> Float[Tensor, 'batch tokens 2']:
        """Returns the points of so many pictures, (x, y) in [0, 1]."""
        return torch.rand(pictures, max(self._tokens, 1), 2, generator=self._generator)


def own_features(
    policy: Policy,
    images: UInt8[Tensor, 'batch height width 3'],
    points: Float[Tensor, 'batch tokens 2'],
) -> list[Float[Tensor, 'batch *places width']]:
    """Returns what the policy reads of its own encoder, see `features`."""
    with torch.no_grad():
        return features(policy, policy.encoder, images, points)


def features(
    policy: Policy,
    encoder: Encoder,
    images: UInt8[Tensor, 'batch height width 3'],
    points: Float[Tensor, 'batch tokens 2'],
) -> list[Float[Tensor, 'batch *places width']]:
    """Returns what a policy reads of an encoder.

    The map that the points are found in and, where that is inside the tower, also what the rest
    of the tower makes of as few tokens as the policy keeps: it has never seen them all.
    """
    after = policy.config.sample_after
    found = encoder.early(images, after)
    if after == policy.config.encoder.depth:
        return [found]
    kept = read_bilinear(found, points)
    if isinstance(policy.reducer, PointReader):
        kept = policy.reducer.place(kept, points)
    return [found, encoder.late(kept, after)]


@torch.inference_mode()
def feature_error(policy: Policy, encoder: Encoder, store: FrameStore) -> float:
    """Returns the squared error of the features in variances; 1 is as bad as the mean.

    Policy and encoder are on one device.
    """
    chosen = np.linspace(0, len(store) - 1, min(256, len(store))).astype(int)
    points = RandomPoints(policy.config.tokens, 0)
    errors, maps = [], []
    for part in np.array_split(chosen, max(len(chosen) // 32, 1)):
        images, places = to_device(
            (store.images(part), points(len(part))), policy.camera_embedding.device
        )
        theirs = own_features(policy, images, places)[-1].flatten(0, -2)
        ours = features(policy, encoder, images, places)[-1].flatten(0, -2)
        errors.append((ours - theirs).square().mean(0))
        maps.append(theirs)
    variance = torch.cat(maps).var(0)
    return round(float(torch.stack(errors).mean(0).mean() / variance.mean()), 4)


# Share of the steps.
_WARM_UP = 0.05


def adapt(
    policy_folder: Path,
    encoder_folder: Path,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    config: AdaptConfig,
    episodes: EpisodeConfig | None = None,
) -> dict[str, float]:
    """Fits an encoder to a policy and writes it as a folder of its own.

    First the features that the policy's own encoder gives are learned from pictures alone; then,
    where asked for, the recorded actions are learned through the policy, whose other weights
    stay. The policy is not changed: the result is an encoder that can be swapped in and out.

    Args:
        policy_folder: Folder of the checkpoint.
        encoder_folder: Folder of an encoder whose shape fits the checkpoint.
        bags: At least two bags, so that one can be held out.
        out: Folder of the adapted encoder.
        cache: Folder where decoded bags are kept.
        config: How long and how fast to learn.
        episodes: How bags are read for cloning.

    Returns:
        What was measured on the bags held out.

    Raises:
        ValueError: The device is not there, bags, policy and encoder do not fit each other, or
            `out` is one of them.
        FileExistsError: `out` holds something else.
    """
    if config.cloning_steps and episodes is None:
        raise ValueError('Cloning needs to know where the actions are; give a recipe.')
    if out.resolve() in (policy_folder.resolve(), encoder_folder.resolve()):
        raise ValueError(f'{out} is what is to be adapted; name a new folder for the result.')
    check_kind(out, ENCODER_WEIGHTS)
    with joined_processes(config) as fabric:
        check_batch(config.batch, fabric.world_size, 'pictures')
        check_batch(config.cloning_batch, fabric.world_size)
        policy, manifest = load_checkpoint(policy_folder)
        student, before = load_encoder(encoder_folder)
        needs = PolicyNeeds.of(manifest, policy_folder.name)
        needs.check(before, encoder_folder.name, allow_unvalidated=True, known=())
        policy.to(fabric.device)
        student.to(fabric.device)
        training, measured = split_bags(bags, config.held_out)
        frames = FrameConfig(policy.config.preparation, _topics(episodes), config.every)
        unseen = first_alone(fabric, lambda: store_frames(measured, frames, cache))
        seen = first_alone(fabric, lambda: store_frames(training, frames, cache))
        found = {'features before': feature_error(policy, student, unseen)}
        align(policy, student, seen, config, fabric)
        found['features after'] = feature_error(policy, student, unseen)
        if config.cloning_steps and episodes is not None:
            store = first_alone(fabric, lambda: store_episodes(bags, episodes, cache))
            found |= clone(policy, student, store, config, fabric)
            found['features after cloning'] = feature_error(policy, student, unseen)
        if fabric.is_global_zero:
            _save(
                student.cpu(),
                out,
                before,
                training,
                config,
                entry(manifest, policy_folder.name, found),
            )
        fabric.barrier()
    return found


def _save(
    student: Encoder,
    out: Path,
    before: EncoderManifest,
    training: Sequence[Path],
    config: AdaptConfig,
    measured: dict[str, Any],
) -> None:
    save_encoder(
        student,
        out,
        preparation=before.preparation,
        method=f'{before.method}, adapted',
        loss_weights=before.loss_weights,
        steps=before.steps,
        compute=before.compute,
        training={
            **before.training,
            'adapted from': before.encoder_sha256,
            'adapted on': [
                *before.training.get('adapted on', ()),
                *(bag.name for bag in training),
            ],
            'adaptation': asdict(config),
        },
        results={**before.results, 'policies': [measured]},
    )


class Alignment(nn.Module):
    """Pictures and points -> how far an encoder's features are from those the policy knows."""

    def __init__(self, policy: Policy, student: Encoder, precision: str) -> None:
        super().__init__()
        self.policy = policy.requires_grad_(False)
        self.student = student
        self._mixed = precision == 'bf16-mixed'

    def forward(
        self,
        images: UInt8[Tensor, 'batch height width 3'],
        points: Float[Tensor, 'batch tokens 2'],
    ) -> Float[Tensor, '']:
        """Returns the mean squared error, summed over the places where features are read."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._mixed):
            ours = features(self.policy, self.student, images, points)
            theirs = own_features(self.policy, images, points)
        pairs = zip(ours, theirs, strict=True)
        return torch.stack(
            [nn.functional.mse_loss(our.float(), their.float()) for our, their in pairs]
        ).sum()


def align(
    policy: Policy, student: Encoder, store: FrameStore, config: AdaptConfig, fabric: Fabric
) -> None:
    """Learns to give the features of the policy's own encoder on unlabelled frames."""
    optimiser = make_optimiser(student, config.learning_rate)
    model, _ = fabric.setup(Alignment(policy, student, config.precision), optimiser)
    points, share = RandomPoints(policy.config.tokens, config.seed), share_of(fabric)
    batches = order(np.arange(len(store)), config.batch, config.seed, 0, config.steps)

    def read(samples: Int[np.ndarray, ' batch']) -> list[Tensor]:
        return to_device((store.images(share.of(samples)),), fabric.device)

    ready = enumerate(prepared(read, batches, config, fabric.device))
    for step, (images,) in tqdm(
        ready, 'aligning', config.steps, unit='step', disable=not fabric.is_global_zero
    ):
        set_rate(optimiser, config.learning_rate, _WARM_UP * config.steps, step, config.steps)
        (places,) = to_device((share.of(points(config.batch)),), fabric.device)
        descend(fabric, optimiser, model(images, places), step)
    student.eval().requires_grad_(False)


def clone(
    policy: Policy, student: Encoder, store: EpisodeStore, config: AdaptConfig, fabric: Fabric
) -> dict[str, float]:
    """Learns the recorded actions through the policy; only the encoder changes.

    Returns:
        Action errors on the bags held out, by the policy's own encoder, before and after.
    """
    training, measured = split(store, config.held_out or 1 / len(store.bags))
    joined = with_encoder(policy, student)
    share = share_of(fabric)
    batches = Batches(store, joined.config, 0.0, config.seed, device=fabric.device, share=share)
    found = {
        'action error, own encoder': validate(policy, batches, measured)['action'],
        'action error, aligned': validate(joined, batches, measured)['action'],
    }
    joined.requires_grad_(False)
    optimiser = make_optimiser(student, config.cloning_learning_rate)
    model, _ = fabric.setup(Cloning(joined, share, config.precision), optimiser)
    steps = config.cloning_steps
    chosen = enumerate(order(training, config.cloning_batch, config.seed, 0, steps))
    ready = prepared(lambda item: batches(item[1], item[0]), chosen, config, fabric.device)
    for step, batch in enumerate(
        tqdm(ready, 'cloning', steps, unit='step', disable=not fabric.is_global_zero)
    ):
        set_rate(optimiser, config.cloning_learning_rate, _WARM_UP * steps, step, steps)
        descend(fabric, optimiser, model(batch)['action'], step)
    student.eval().requires_grad_(False)
    found['action error, cloned'] = validate(joined, batches, measured)['action']
    return found


def entry(manifest: Manifest, name: str, found: dict[str, float]) -> dict[str, Any]:
    """Returns what an encoder's manifest says of a policy that it was measured with."""
    return {'policy': name, 'policy_sha256': manifest.weights_sha256, **found}


def split_bags(bags: Sequence[Path], held_out: float) -> tuple[list[Path], list[Path]]:
    """Splits bags into those to train on and, at regular intervals, those to measure on.

    Raises:
        ValueError: There are fewer than two.
    """
    if len(bags) < 2:
        raise ValueError(f'{len(bags)} bags were given; one to learn from and one to measure on.')
    kept = held(len(bags), held_out or 1 / len(bags))
    measured = [bag for bag, is_kept in zip(bags, kept, strict=True) if is_kept]
    return [bag for bag in bags if bag not in measured], measured


def make_optimiser(student: Encoder, learning_rate: float) -> torch.optim.AdamW:
    """Returns AdamW for the encoder; the norms of a stem keep what they measured."""
    student.eval().requires_grad_(True)
    student.pos_embed.requires_grad_(False)
    trained = [p for p in student.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)


def descend(fabric: Fabric, optimiser: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    """Makes one step, whose number from 0 is for the sentence if it cannot be made."""
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    trained = [p for group in optimiser.param_groups for p in group['params']]
    check_gradient(torch.nn.utils.clip_grad_norm_(trained, 1.0), step)
    optimiser.step()


def _topics(episodes: EpisodeConfig | None) -> tuple[str, ...]:
    return () if episodes is None else tuple(episodes.topics.cameras.values())
