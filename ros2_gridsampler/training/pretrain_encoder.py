# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags without labels -> an encoder, by MAE or MI-MAE; one process or many by torchrun."""

import contextlib
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cattrs
import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..bags.camera_health import DarkCameras
from ..datasets.frames import FrameConfig, FrameStore, camera_topics, store_frames
from ..device import to_device
from ..encoders.encoder_checkpoint import ENCODER_WEIGHTS, save_encoder
from ..evaluating.bag_survey import BagSurvey, survey_bags
from ..policy.encoder import Encoder
from ..policy.manifest import check_kind
from .batches import order
from .information_bounds import LatentBank, infonce, negative_log_likelihood, vclub
from .learning_rate import check_gradient, set_rate
from .mi_mae import MiMae, Views, draw_masks, make_likelihood, patch_pixels, shown
from .pretrain_config import PretrainConfig, forward_operations, keep_config, training_bags
from .processes import (
    check_batch,
    first_alone,
    joined_processes,
    mean_over_ranks,
    prepared,
    share_norms,
    share_of,
)
from .run_state import RunState
from .training_loop import LOG, make_steps


def draw_losses(lines: Sequence[dict[str, float]], path: Path) -> None:
    """Draws the curve of each loss, of what it is in bits and of its share of the gradient."""
    names = [name for name in lines[-1] if name != 'step'] if lines else []
    columns = min(max(len(names), 1), 4)
    rows = math.ceil(max(len(names), 1) / columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout='constrained')
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot([line['step'] for line in lines], [line[name] for line in lines])
        axes.set_title(name)
        axes.set_xlabel('step')
    figure.savefig(path, dpi=100)


@torch.inference_mode()
def draw_reconstructions(
    model: MiMae, images: UInt8[Tensor, 'images height width 3'], path: Path
) -> None:
    """Draws rows: pictures, what one mask leaves of them, what the decoder makes of that.

    The decoder predicts normalised patches; mean and deviation are put back from the picture.
    """
    config = model.config
    places = torch.from_numpy(draw_masks(len(images), config, np.random.default_rng(0))[:, :1])
    target = patch_pixels(images, config.encoder.patch)
    deviation, mean = torch.std_mean(target, -1, keepdim=True)
    predicted = model.decoder(model.encoder.sparse(images, places[:, 0]), places[:, 0]).float()
    visible = torch.zeros(target.shape[:2], dtype=torch.bool).scatter(1, places[:, 0], True)
    filled = torch.where(visible[..., None], target, predicted * deviation + mean)
    masked = torch.where(visible[..., None], target, torch.full_like(target, 0.5))
    figure = Figure(figsize=(1.6 * len(images), 5), layout='constrained')
    for row, patches in enumerate((target, masked, filled)):
        pictures = join_patches(patches, *config.encoder.grid, config.encoder.patch)
        for column, picture in enumerate(pictures.clip(0, 1).numpy()):
            axes = figure.add_subplot(3, len(images), row * len(images) + column + 1)
            axes.imshow(picture)
            axes.set_axis_off()
    figure.savefig(path, dpi=100)


def join_patches(
    patches: Float[Tensor, 'images patches numbers'], rows: int, columns: int, side: int
) -> Float[Tensor, 'images height width 3']:
    """Returns the inverse of `patch_pixels`."""
    tiles = patches.view(-1, rows, columns, side, side, 3).transpose(2, 3)
    return tiles.reshape(-1, rows * side, columns * side, 3)


def gather(fabric: Fabric, tensor: Tensor) -> Tensor:
    """Returns the rows of all processes, with gradients to each."""
    if fabric.world_size == 1:
        return tensor
    gathered: Any = fabric.all_gather(tensor, sync_grads=True)
    # Gloo sends the memory of a gradient whatever its strides: wrong numbers, no error.
    gathered.register_hook(Tensor.contiguous)
    return gathered.flatten(0, 1)


NORM_FRAMES = 256
"""Frames from which the norms of a stem are measured anew at the end."""


def pretrain(
    config: PretrainConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras = 'refuse',
) -> Encoder:
    """Pretrains, or goes on with a run that was stopped.

    Writes `log.jsonl`, `config.yaml`, pictures, the state to go on from and the encoder.

    Args:
        config: How to pretrain.
        bags: Recordings with cameras; those held out are left out here.
        out: Folder of the run.
        cache: Where decoded frames are kept for all runs.
        dark_cameras: What becomes of episodes in which a camera shows nothing.

    Raises:
        InterruptedError: A signal stopped the run; its state is saved.
        ValueError: The bags or the folder do not fit the config.
        OSError: The disk is full.
    """
    norms = bool(config.model.encoder.stem)
    with joined_processes(config, norms=norms, precision=config.precision) as fabric:
        return run_in(fabric, config, bags, out, cache, dark_cameras)


def run_in(
    fabric: Fabric,
    config: PretrainConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras,
) -> Encoder:
    """Runs `pretrain` in one of the processes."""
    check_kind(out, ENCODER_WEIGHTS)
    check_batch(config.pictures, fabric.world_size, 'pictures')
    training = training_bags(config, bags)

    def read() -> tuple[BagSurvey, FrameStore]:
        survey = survey_frames(training, config.frames, dark_cameras, cache)
        used = survey.used(training)
        if fabric.is_global_zero:
            survey.keep(out)
            keep_config(config, used, out)
        return survey, store_frames(used, config.frames, cache)

    survey, store = first_alone(fabric, read)
    if len(store) < config.pictures:
        raise ValueError(
            f'The bags hold {len(store)} frames, a step takes {config.pictures}; give more bags, '
            'or fewer views.'
        )
    torch.manual_seed(config.seed)
    model = MiMae(config.model)
    share_norms(model, fabric)
    run = Pretraining(config, model, fabric)
    run.state.restore(out)
    run(store, out)
    encoder = finish(config, model, store, survey, out) if fabric.is_global_zero else model.encoder
    fabric.barrier()
    return encoder


class Pretraining:
    """Model, q, their optimisers, and a step of both."""

    def __init__(self, config: PretrainConfig, model: MiMae, fabric: Fabric) -> None:
        self.config = config
        self.fabric = fabric
        self.bare = model
        self.model, self.optimiser = fabric.setup(model, make_optimiser(model, config))
        trained: dict[str, nn.Module] = {'model': model}
        further: dict[str, torch.optim.Optimizer] = {}
        if config.model.weights.vclub:
            likelihood = make_likelihood(config.model)
            adam = torch.optim.Adam(likelihood.parameters(), lr=config.likelihood_learning_rate)
            self.likelihood, self.likelihood_optimiser = fabric.setup(likelihood, adam)
            trained['likelihood'] = likelihood
            further['likelihood'] = adam
        self.bank: LatentBank | None = None
        if config.model.weights.infonce and config.model.bank:
            self.bank = LatentBank(config.model.bank, config.model.projection).to(fabric.device)
            trained['bank'] = self.bank
        # No moving average: MAE has none.
        self.state = RunState(nn.ModuleDict(trained), self.optimiser.optimizer, further=further)

    def __call__(self, store: FrameStore, out: Path) -> None:
        """Makes all steps that are left."""
        config, fabric, state = self.config, self.fabric, self.state
        self.model.train()
        chosen = order(
            np.arange(len(store)), config.pictures, config.seed, state.step, config.steps
        )
        load = functools.partial(self.load, store)
        batches = prepared(load, enumerate(chosen, state.step), config, fabric.device)
        make_steps(
            fabric,
            state,
            batches,
            self.step,
            out,
            steps=config.steps,
            save_every=config.save_every,
            log_every=config.log_every,
            what='pretraining',
        )

    def load(self, store: FrameStore, chosen: tuple[int, Any]) -> list[Tensor]:
        """Returns this process's pictures of a step and their masks; a step is known by both."""
        step, samples = chosen
        masks = np.random.default_rng((self.config.seed, 2, step))
        places = draw_masks(len(samples), self.config.model, masks)
        share = share_of(self.fabric)
        return to_device((store.images(share.of(samples)), share.of(places)), self.fabric.device)

    def step(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Makes one step of q, then one of the encoder; returns this process's losses, in nats.

        Where a line of the log is due, also what they are in bits and what share of the encoder's
        gradient each has.
        """
        config, fabric = self.config, self.fabric
        warm_up, steps = config.warm_up * config.steps, config.steps
        set_rate(self.optimiser, config.learning_rate, warm_up, self.state.step, steps)
        images, places = batch
        views: Views = self.model(images, places)
        losses = self.fit_likelihood(images, places, views.latents)
        terms = self.terms(images, places, views)
        losses |= terms
        weights = cattrs.unstructure(config.model.weights)
        weighted = {name: weights[name] * loss for name, loss in terms.items()}
        made = self.state.step + 1
        if made % config.log_every == 0 or made == steps:
            losses |= self.bits(terms) | self.shares(images, places)
        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(torch.stack(list(weighted.values())).sum())
        norm = fabric.clip_gradients(
            self.model, self.optimiser, max_norm=1.0, error_if_nonfinite=False
        )
        check_gradient(norm, self.state.step)
        self.optimiser.step()
        if self.bank is not None:
            self.bank.keep(gather(fabric, views.projected).flatten(0, 1))
        return losses

    def bits(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns what the losses of all processes say, in bits.

        Reconstruction: what is known of a masked number, of variance 1, as the rate of a Gaussian
        with that error. InfoNCE: the lower bound of what two views share. vCLUB: the upper bound
        of what a latent says of its view.
        """
        mean = {name: mean_over_ranks(self.fabric, loss) for name, loss in terms.items()}
        others = 0 if self.bank is None else len(self.bank.entries())
        bits = {}
        if 'reconstruction' in mean:
            bits['reconstruction'] = -0.5 * math.log2(max(mean['reconstruction'], 1e-12))
        if 'infonce' in mean:
            bits['infonce'] = math.log2(self.config.pictures + others) - mean[
                'infonce'
            ] / math.log(2)
        if 'vclub' in mean:
            bits['vclub'] = mean['vclub'] / math.log(2)
        return {f'{name} [bits]': torch.tensor(value) for name, value in bits.items()}

    def shares(self, images: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Returns the norm of each term's gradient on the encoder, of their sum [1]."""
        encoder = [p for p in self.bare.encoder.parameters() if p.requires_grad]
        # What Fabric wraps gives all gradients at once.
        with self.fabric.autocast():
            views = self.bare(images, places)
        norms = {}
        for name, loss in self.terms(images, places, views).items():
            weight = getattr(self.config.model.weights, name)
            parts = torch.autograd.grad(
                weight * loss, encoder, retain_graph=True, allow_unused=True
            )
            own = torch.cat([part.flatten() for part in parts if part is not None])
            norms[name] = torch.as_tensor(self.fabric.all_reduce(own, reduce_op='mean')).norm()
        whole = torch.stack(list(norms.values())).sum().clamp_min(1e-12)
        return {f'{name} [share]': norm / whole for name, norm in norms.items()}

    def fit_likelihood(self, images: Tensor, places: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """Makes a step of q, where there is one; returns how likely it finds the latents."""
        if not self.config.model.weights.vclub:
            return {}
        given = shown(self.config.model, images, places)
        surprise = negative_log_likelihood(self.likelihood(given), latents.flatten(0, 1))
        self.likelihood_optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(surprise)
        self.likelihood_optimiser.step()
        return {'likelihood': -surprise.detach()}

    def terms(self, images: Tensor, places: Tensor, views: Views) -> dict[str, Tensor]:
        """Returns the terms of the encoder's objective, without their weights."""
        config, terms = self.config.model, {}
        if config.weights.reconstruction:
            terms['reconstruction'] = views.reconstruction
        if config.weights.infonce:
            first = len(images) * self.fabric.global_rank
            everyone = gather(self.fabric, views.projected)
            bank = None if self.bank is None else self.bank.entries()
            terms['infonce'] = infonce(views.projected, everyone, first, config.temperature, bank)
        if config.weights.vclub:
            with torch.no_grad():
                moments = self.likelihood(shown(config, images, places))
            latents = views.latents.flatten(0, 1)
            terms['vclub'] = vclub(moments, latents, gather(self.fabric, latents))
        return terms


def survey_frames(
    bags: Sequence[Path], frames: FrameConfig, dark_cameras: DarkCameras, cache: Path
) -> BagSurvey:
    """Looks at the cameras of all bags."""
    cameras = [camera_topics(bag, frames.topics) for bag in bags]
    streams = [{f'camera {topic}': topic for topic in topics} for topics in cameras]
    return survey_bags(bags, streams, cameras, dark_cameras, cache)


def finish(
    config: PretrainConfig, trained: MiMae, store: FrameStore, survey: BagSurvey, out: Path
) -> Encoder:
    """Measures a stem's norms on whole pictures, saves the encoder and draws the run."""
    # Norms that are shared by processes work on a GPU only, and with all of them.
    model = MiMae(config.model)
    model.load_state_dict({name: tensor.cpu() for name, tensor in trained.state_dict().items()})
    chosen = np.linspace(0, len(store) - 1, min(NORM_FRAMES, len(store))).astype(int)
    # Pretraining saw patches alone; in use a stem sees their neighbours.
    update_bn(batches_of(store, chosen), model.encoder)
    model.eval()
    lines = read_log(out)
    draw_losses(lines, out / 'losses.png')
    if config.model.weights.reconstruction:
        samples = np.linspace(0, len(store) - 1, 6).astype(int)
        images = torch.from_numpy(store.images(samples))
        draw_reconstructions(model, images, out / 'reconstructions.png')
    save_encoder(
        model.encoder,
        out,
        preparation=config.frames.preparation,
        method=config.model.method if config.steps else 'untrained',
        loss_weights=cattrs.unstructure(config.model.weights),
        steps=config.steps,
        compute=float(config.steps * forward_operations(config)),
        training={
            'bags': store.bags,
            'recordings': survey.card(),
            'frames': len(store),
            'held_out': config.held_out,
            'pictures_per_step': config.pictures,
            'masks': config.model.masks,
            'seed': config.seed,
            'precision': config.precision,
            'torch': torch.__version__,
            'lightning_fabric': version('lightning-fabric'),
            'numpy': np.__version__,
            'opencv': cv2.__version__,
        },
        results={'losses': lines[-1] if lines else {}},
    )
    return model.encoder


def batches_of(store: FrameStore, samples: Any) -> Iterator[Tensor]:
    """Yields the frames in batches of 32."""
    for part in np.array_split(samples, math.ceil(len(samples) / 32)):
        yield torch.from_numpy(store.images(part))


def read_log(out: Path) -> list[dict[str, float]]:
    """Returns the lines of the log by step; of a step that was done twice, the last.

    A line that a full disk or a power cut has torn is left out.
    """
    path = out / LOG
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text('utf-8', 'replace').splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            lines[line['step']] = line
    return [line for _, line in sorted(lines.items())]


def make_optimiser(model: MiMae, config: PretrainConfig) -> torch.optim.AdamW:
    """Returns AdamW; biases, norms and embeddings do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {'params': [p for p in trained if p.ndim in (2, 4)], 'weight_decay': config.weight_decay},
        {'params': [p for p in trained if p.ndim not in (2, 4)], 'weight_decay': 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95))
