# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy, another encoder, bags -> that encoder, giving the features that the policy knows."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from lightning_fabric import Fabric
from torch import Tensor, nn

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
from ..encoders.probe_scores import PROBES
from ..policy.checkpoint import load_checkpoint
from ..policy.encoder import Encoder
from ..policy.grid_sampler import PointReader, read_bilinear
from ..policy.manifest import Manifest, check_kind
from ..policy.policy import Policy
from .adapt_config import AdaptConfig
from .batches import Batch, Batches, held, order
from .fit import Fitted, Plan, fit
from .processes import check_batch, first_alone, joined_processes, prepared, share_of
from .run_state import keep_recipe
from .train_policy import Cloning, validate

ALIGNMENT, CLONING = 'alignment', 'cloning'
"""Folders, inside that of the result, of the two fits: config, log and state to go on from."""


class BagRoles(NamedTuple):
    """Numbers of the bags that are learned from, that tell when to end, and to measure on."""

    training: list[int]
    choosing: list[int]
    measured: list[int]


@dataclass(frozen=True)
class Adapted:
    """What came of an adaptation.

    Attributes:
        measured: Name -> error on the bags to measure on.
        fits: 'alignment' and, where it was asked for, 'cloning' -> what it did.
    """

    measured: dict[str, float]
    fits: dict[str, Fitted]


def random_points(
    pictures: int, tokens: int, seed: int, number: int
) -> Float[Tensor, 'batch tokens 2']:
    """Returns points (x, y) in [0, 1] all over so many pictures, as many as a policy keeps.

    Where it will look is not known without its task. The same number gives the same points.
    """
    drawn = np.random.default_rng((seed, 3, number)).random((pictures, max(tokens, 1), 2))
    return torch.from_numpy(drawn.astype(np.float32))


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
    errors, maps = [], []
    for number, part in enumerate(np.array_split(chosen, max(len(chosen) // 32, 1))):
        points = random_points(len(part), policy.config.tokens, 0, number)
        images, places = to_device((store.images(part), points), policy.camera_embedding.device)
        theirs = own_features(policy, images, places)[-1].flatten(0, -2)
        ours = features(policy, encoder, images, places)[-1].flatten(0, -2)
        errors.append((ours - theirs).square().mean(0))
        maps.append(theirs)
    variance = torch.cat(maps).var(0)
    return float(torch.stack(errors).mean(0).mean() / variance.mean())


def adapt(
    policy_folder: Path,
    encoder_folder: Path,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    config: AdaptConfig,
    episodes: EpisodeConfig | None = None,
) -> Adapted:
    """Fits an encoder to a policy and writes it as a folder of its own.

    First the features that the policy's own encoder gives are learned from pictures alone; then,
    where asked for, the recorded actions are learned through the policy, whose other weights
    stay. The policy is not changed: the result is an encoder that can be swapped in and out.

    Args:
        policy_folder: Folder of the checkpoint.
        encoder_folder: Folder of an encoder whose shape fits the checkpoint.
        bags: At least two bags, so that one can be held out.
        out: Folder of the adapted encoder; a run that was stopped goes on from what is there.
        cache: Folder where decoded bags are kept.
        config: How long at most, and how fast to learn.
        episodes: How bags are read for cloning.

    Raises:
        InterruptedError: A signal stopped the run; its state is saved.
        ValueError: The device is not there, bags, policy and encoder do not fit each other, `out`
            is one of them, or holds a run of another config.
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
        roles = split_bags(len(bags), config.held_out)
        base = f'{manifest.weights_sha256} {before.weights_sha256}'
        for name in (ALIGNMENT, *((CLONING,) if config.cloning_steps else ())):
            first_alone(fabric, partial(keep_recipe, out / name, config, bags, base))
        frames = FrameConfig(policy.config.preparation, _topics(episodes), config.every)
        read = partial(_read_frames, bags, roles, frames, cache)
        seen, choosing, unseen = first_alone(fabric, read)
        found = {'features before': feature_error(policy, student, unseen)}
        fits = {ALIGNMENT: align(policy, student, seen, choosing, out, config, fabric)}
        found['features after'] = feature_error(policy, student, unseen)
        if config.cloning_steps and episodes is not None:
            store = first_alone(fabric, lambda: store_episodes(bags, episodes, cache))
            fits[CLONING], errors = clone(policy, student, store, roles, out, config, fabric)
            found |= errors
            found['features after cloning'] = feature_error(policy, student, unseen)
        adapted = Adapted({name: round(value, 5) for name, value in found.items()}, fits)
        if fabric.is_global_zero:
            about = entry(manifest, policy_folder.name, adapted.measured)
            names = [[bags[number].name for number in part] for part in roles]
            _save(student.cpu(), out, before, names, config, adapted, about)
        fabric.barrier()
    return adapted


def _save(
    student: Encoder,
    out: Path,
    before: EncoderManifest,
    names: Sequence[list[str]],
    config: AdaptConfig,
    adapted: Adapted,
    about: dict[str, Any],
) -> None:
    learned, chosen, measured = names
    fits = {
        name: {'made': fitted.made, 'kept': fitted.kept, 'held-out errors': list(fitted.errors)}
        for name, fitted in adapted.fits.items()
    }
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
            'adapted on': [*before.training.get('adapted on', ()), *learned],
            'adaptation': asdict(config),
            'fits': fits,
            'chosen on': chosen,
            'measured on': measured,
        },
        # What was read from it before is not read from it any more.
        results={k: v for k, v in before.results.items() if k != PROBES} | {'policies': [about]},
    )


def _read_frames(
    bags: Sequence[Path], roles: BagRoles, frames: FrameConfig, cache: Path
) -> list[FrameStore]:
    """Returns what is learned from, what tells when to end, and what is measured on."""
    return [store_frames([bags[number] for number in part], frames, cache) for part in roles]


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
    policy: Policy,
    student: Encoder,
    store: FrameStore,
    choosing: FrameStore,
    out: Path,
    config: AdaptConfig,
    fabric: Fabric,
) -> Fitted:
    """Learns to give the features of the policy's own encoder on unlabelled frames."""
    optimiser = make_optimiser(student, config.learning_rate)
    model, _ = fabric.setup(Alignment(policy, student, config.precision), optimiser)
    tokens, share = policy.config.tokens, share_of(fabric)

    def read(samples: Int[np.ndarray, ' batch']) -> list[Tensor]:
        return to_device((store.images(share.of(samples)),), fabric.device)

    def batches(first: int) -> Generator[list[Tensor], None, None]:
        samples = np.arange(len(store))
        chosen = order(samples, config.batch, config.seed, first, config.steps)
        return prepared(read, chosen, config, fabric.device)

    def loss(batch: list[Tensor], step: int) -> Tensor:
        points = random_points(config.batch, tokens, config.seed, step)
        (places,) = to_device((share.of(points),), fabric.device)
        return torch.as_tensor(model(*batch, places))

    fitted = fit(
        fabric,
        student,
        optimiser,
        Plan(config.steps, config.check_every, config.patience, config.learning_rate),
        batches,
        loss,
        lambda: feature_error(policy, student, choosing),
        out / ALIGNMENT,
        save_every=config.save_every,
        what='aligning',
    )
    student.eval().requires_grad_(False)
    return fitted


def clone(
    policy: Policy,
    student: Encoder,
    store: EpisodeStore,
    roles: BagRoles,
    out: Path,
    config: AdaptConfig,
    fabric: Fabric,
) -> tuple[Fitted, dict[str, float]]:
    """Learns the recorded actions through the policy; only the encoder changes.

    Returns:
        What was done, and action errors on the bags to measure on, by the policy's own encoder,
        before and after.
    """
    training, choosing, measured = (np.flatnonzero(np.isin(store.episode, r)) for r in roles)
    joined = with_encoder(policy, student)
    share = share_of(fabric)
    samples = Batches(store, joined.config, 0.0, config.seed, device=fabric.device, share=share)
    found = {
        'action error, own encoder': validate(policy, samples, measured)['action'],
        'action error, aligned': validate(joined, samples, measured)['action'],
    }
    joined.requires_grad_(False)
    optimiser = make_optimiser(student, config.cloning_learning_rate)
    model, _ = fabric.setup(Cloning(joined, share, config.precision), optimiser)
    steps, rate = config.cloning_steps, config.cloning_learning_rate

    def batches(first: int) -> Generator[Batch, None, None]:
        chosen = order(training, config.cloning_batch, config.seed, first, steps)
        numbered = enumerate(chosen, first)
        return prepared(lambda item: samples(item[1], item[0]), numbered, config, fabric.device)

    fitted = fit(
        fabric,
        student,
        optimiser,
        Plan(steps, config.check_every, config.patience, rate),
        batches,
        lambda batch, _: torch.as_tensor(model(batch)['action']),
        lambda: validate(joined, samples, choosing)['action'],
        out / CLONING,
        save_every=config.save_every,
        what='cloning',
    )
    student.eval().requires_grad_(False)
    found['action error, cloned'] = validate(joined, samples, measured)['action']
    return fitted, found


def entry(manifest: Manifest, name: str, found: dict[str, float]) -> dict[str, Any]:
    """Returns what an encoder's manifest says of a policy that it was measured with."""
    return {'policy': name, 'policy_sha256': manifest.weights_sha256, **found}


def split_bags(bags: int, held_out: float) -> BagRoles:
    """Splits so many bags, in their order; those that are held out come at regular intervals.

    Raises:
        ValueError: There are fewer than two.
    """
    if bags < 2:
        raise ValueError(f'{bags} bags were given; one to learn from and one to measure on.')
    kept = held(bags, held_out or 1 / bags)
    unseen = [int(number) for number in np.flatnonzero(kept)]
    training = [int(number) for number in np.flatnonzero(~kept)]
    # On the bags that the weights were chosen on they look better than they are.
    return BagRoles(training, unseen[::2], unseen[1::2] or unseen)


def make_optimiser(student: Encoder, learning_rate: float) -> torch.optim.AdamW:
    """Returns AdamW for the encoder; the norms of a stem keep what they measured."""
    student.eval().requires_grad_(True)
    student.pos_embed.requires_grad_(False)
    trained = [p for p in student.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)


def _topics(episodes: EpisodeConfig | None) -> tuple[str, ...]:
    return () if episodes is None else tuple(episodes.topics.cameras.values())
