# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags with actions -> a policy checkpoint, by behaviour cloning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from ..bags.camera_health import DarkCameras
from ..calibrating.camera_records import record_cameras
from ..datasets.episodes import EpisodeStore, store_episodes
from ..evaluating.bag_survey import BagSurvey, survey_episodes
from ..policy.checkpoint import save_checkpoint
from ..policy.manifest import WEIGHTS, check_kind
from ..policy.policy import Policy
from ..policy.shared_draws import Share
from .batches import Batch, Batches, load_paraphrases, order, split
from .learning_rate import check_gradient, set_rate
from .new_policy import new_policy
from .processes import (
    check_batch,
    first_alone,
    joined_processes,
    prepared,
    share_norms,
    share_of,
)
from .recipe import TrainConfig
from .run_state import RunState, keep_recipe
from .training_loop import LOG, make_steps, report

_LOG_EVERY = 50


def train(
    config: TrainConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras = 'refuse',
) -> Policy:
    """Trains, or goes on with a run that was stopped.

    Writes `log.jsonl`, `config.json`, the state to go on from and, at the end, the checkpoint.

    Args:
        config: How to train.
        bags: One episode each.
        out: Folder of the run.
        cache: Where decoded bags are kept for all runs.
        dark_cameras: What becomes of episodes in which a camera shows nothing.

    Returns:
        The policy with averaged weights.

    Raises:
        InterruptedError: A signal stopped the run; its state is saved.
        ValueError: The device is not there, the bags do not fit the config, or the folder holds
            another run.
        FileExistsError: The folder holds something else.
    """
    norms = bool(config.encoder.stem) and not config.frozen_encoder
    with joined_processes(config, norms=norms) as fabric:
        return train_in(fabric, config, bags, out, cache, dark_cameras)


def train_in(
    fabric: Fabric,
    config: TrainConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras,
) -> Policy:
    """Runs `train` in one of the processes."""
    check_kind(out, WEIGHTS)
    check_batch(config.batch, fabric.world_size)
    episodes, first = config.episodes, fabric.is_global_zero

    def read() -> tuple[BagSurvey, EpisodeStore]:
        survey = survey_episodes(bags, episodes.topics, episodes.labels, dark_cameras, cache)
        used = survey.used(bags)
        if first:
            survey.keep(out)
            keep_recipe(out, config, used)
        return survey, store_episodes(used, episodes, cache)

    survey, store = first_alone(fabric, read)
    # Before the steps: what is wrong with a recording must not be found when they are done.
    place = (survey.used(bags), episodes.topics.cameras, out, episodes.observation.depth)
    cameras = record_cameras(*place) if first else {}
    training, validation = split(store, config.held_out)
    if first and not len(validation):
        tqdm.write('No bag is held out, so nothing is validated: give two bags and a held_out.')
    run = CloningRun(config, store, new_policy(config, store, training), fabric)
    run.state.restore(out)
    run(training, validation, out)
    result = run.averaged()
    if first:
        scores = {}
        if len(validation):
            scores = validate(result, run.batches, validation)
            with (out / LOG).open('a') as log:
                report(run.state.step, scores, log)
        record = training_record(config, store, survey)
        result.cpu()
        save_checkpoint(
            result, out, training=record, results={'validation': scores}, cameras=cameras
        )
    fabric.barrier()
    return result.cpu()


def training_record(config: TrainConfig, store: EpisodeStore, survey: BagSurvey) -> dict[str, Any]:
    """Returns what a manifest says of the training."""
    return {
        # The name: a manifest is published, and where the folder lay means nothing elsewhere.
        'start': Path(config.start).name,
        'pretrained': config.pretrained,
        'frozen_encoder': config.frozen_encoder,
        'bags': len(store.bags),
        'recordings': survey.card(),
        'samples': len(store),
        'steps': config.steps,
        'batch': config.batch,
        'seed': config.seed,
        'precision': config.precision,
        'instructions': store.instructions,
        'paraphrases': Path(config.paraphrases).name,
        'torch': torch.__version__,
        'numpy': np.__version__,
        'opencv': cv2.__version__,
    }


class Cloning(nn.Module):
    """A policy and a batch -> its losses; what Fabric shares among processes.

    Args:
        policy: Its weights learn where they require gradients.
        share: The rows of every batch that this process works on.
        precision: As in `Compute`.
    """

    def __init__(self, policy: Policy, share: Share, precision: str) -> None:
        super().__init__()
        self.policy = policy
        self._share = share
        self._mixed = precision == 'bf16-mixed'

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns what `batch_losses` does."""
        kind = batch.images.device.type
        with self._share.drawing(), torch.autocast(kind, torch.bfloat16, enabled=self._mixed):
            return batch_losses(self.policy, batch)


class CloningRun:
    """A policy, its optimiser, its batches, and the steps that are left."""

    def __init__(
        self, config: TrainConfig, store: EpisodeStore, policy: Policy, fabric: Fabric
    ) -> None:
        self.config = config
        self.fabric = fabric
        share = share_of(fabric)
        share_norms(policy, fabric)
        self.policy = policy
        self.model, optimiser = fabric.setup(
            Cloning(policy, share, config.precision), make_optimiser(policy, config)
        )
        self.state = RunState(self.policy, optimiser.optimizer, config.average_decay)
        self.batches = Batches(
            store,
            policy.config,
            config.proprioception_noise,
            config.seed,
            config.dimming,
            load_paraphrases(config.paraphrases),
            device=fabric.device,
            share=share,
        )

    def __call__(
        self,
        training: Int[np.ndarray, ' training'],
        validation: Int[np.ndarray, ' validation'],
        out: Path,
    ) -> None:
        """Makes all steps that are left."""
        config, state = self.config, self.state
        chosen = order(training, config.batch, config.seed, state.step, config.steps)
        # By its number a step draws the same noise whenever it is prepared.
        batches = prepared(
            lambda item: self.batches(item[1], item[0]),
            enumerate(chosen, state.step),
            config,
            self.fabric.device,
        )
        make_steps(
            self.fabric,
            state,
            batches,
            self.step,
            out,
            steps=config.steps,
            save_every=config.save_every,
            log_every=_LOG_EVERY,
            validate=(lambda: validate(self.averaged(), self.batches, validation))
            if len(validation)
            else None,
        )

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Makes one step; returns this process's losses."""
        config, state = self.config, self.state
        set_rate(state.optimiser, config.learning_rate, config.warm_up, state.step, config.steps)
        losses = self.model(batch)
        total = losses['action'] + config.landmark_weight * losses['landmark']
        state.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        check_gradient(norm, state.step)
        state.optimiser.step()
        return losses

    def averaged(self) -> Policy:
        """Returns a copy of the policy with the averaged weights, on the device."""
        # Its first weights, drawn and thrown away, must not move on what the training draws from.
        with torch.random.fork_rng(devices=[]):
            copy = Policy(self.policy.config).eval()
        copy.load_state_dict(self.state.average)
        return copy.to(self.fabric.device)


def batch_losses(policy: Policy, batch: Batch) -> dict[str, Tensor]:
    """Returns the mean absolute action error [standard deviations] and landmark error [m]."""
    queries, _ = policy.context(batch.images, batch.proprioception, batch.words)
    steps = policy.config.steps
    losses = {'action': policy.action_head.loss(queries[:, :steps], batch.actions)}
    losses['landmark'] = losses['action'].new_zeros(())
    if policy.config.landmarks:
        located = policy.landmark_head(queries[:, steps]).unflatten(-1, (-1, 3))
        losses['landmark'] = (located - batch.landmarks).abs().mean()
    return losses


@torch.inference_mode()
def validate(
    policy: Policy, batches: Batches, samples: Int[np.ndarray, ' samples']
) -> dict[str, float]:
    """Returns the losses on bags that were not trained on; the same whenever they are measured."""
    chosen = np.random.default_rng(0).permutation(samples)[:1024]
    parts = np.array_split(chosen, max(len(chosen) // 64, 1))
    # Some heads and reducers draw numbers, and the training draws from the same generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # A large encoder takes minutes for it.
        shown = tqdm(parts, desc='validation', unit='batch', leave=False)
        losses = [batch_losses(policy, batches(part)) for part in shown]
    return {
        name: round(float(np.mean([loss[name].item() for loss in losses])), 5)
        for name in losses[0]
    }


def make_optimiser(policy: Policy, config: TrainConfig) -> torch.optim.AdamW:
    """Returns AdamW; matrices and embeddings decay, convolutions and vectors do not."""
    decayed = [p for p in policy.parameters() if p.requires_grad and p.ndim == 2]
    others = [p for p in policy.parameters() if p.requires_grad and p.ndim != 2]
    groups: list[dict[str, Any]] = [
        {'params': decayed, 'weight_decay': config.weight_decay},
        {'params': others, 'weight_decay': 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95))
