# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags and a lerobot checkpoint -> the same policy, fine-tuned, on few visual tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs
import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..bags.camera_health import DarkCameras
from ..bags.observation_replay import StreamTopics
from ..bounds import checked, setting
from ..datasets.episodes import ActionTopics, EpisodeConfig, EpisodeStore, store_episodes
from ..evaluating.bag_survey import survey_episodes
from ..policy.manifest import WEIGHTS, BadCheckpoint, check_kind
from ..vla.lerobot import KINDS, SamplerPlan
from ..vla.lerobot_checkpoint import (
    LerobotModel,
    load_adoption,
    load_model_folder,
    save_model_folder,
)
from ..vla.lerobot_folder import read_config
from ..vla.lerobot_policy import LerobotPolicy, adopt, load_lerobot_policy
from ..vla.lerobot_training import (
    choose_trained,
    features,
    loss,
    merged,
    with_samplers,
    with_statistics,
)
from ..vla.robot import Robot
from .batches import order, split
from .compute import Compute
from .learning_rate import check_gradient
from .processes import (
    check_batch,
    first_alone,
    joined_processes,
    prepared,
    share_of,
)
from .run_state import RunState, keep_recipe
from .training_loop import make_steps


@dataclass(frozen=True)
@checked
class FineTuneConfig(Compute):
    """How a lerobot policy is fine-tuned; `gridsampler train` reads it with `--base`."""

    topics: StreamTopics
    labels: ActionTopics
    sampler: SamplerPlan | None = setting(None, 'What is attached; null keeps the policy as it is')
    adapter_rank: int = setting(0, 'Rank of LoRA beside the reducers; 0 trains in full', minimum=0)
    steps: int = setting(2000, 'Optimiser steps', minimum=1)
    batch: int = setting(8, 'Samples per step', minimum=1)
    learning_rate: float = setting(1e-4, 'Constant after the warm-up', above=0)
    weight_decay: float = setting(1e-4, 'AdamW', minimum=0)
    warm_up: int = setting(100, 'Steps of rising learning rate', minimum=1)
    held_out: float = setting(0.04, 'Share of bags left out', minimum=0, maximum=1)
    seed: int = setting(0, 'Of new weights, order and noise', minimum=0)
    save_every: int = setting(500, 'Steps between saved states', minimum=1)


def fine_tune(
    base: Path,
    config: FineTuneConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras = 'refuse',
) -> LerobotPolicy:
    """Fine-tunes, or goes on with a run that was stopped.

    The statistics are those of the bags, not of the base. What comes out is a lerobot folder
    that is adopted for the same robot.

    Args:
        base: An adopted lerobot checkpoint.
        config: How to train.
        bags: One episode each.
        out: Folder of the run.
        cache: Where decoded bags are kept for all runs.
        dark_cameras: What becomes of episodes in which a camera shows nothing.

    Raises:
        BadCheckpoint: The base must not be used.
        InterruptedError: A signal stopped the run; its state is saved.
        ValueError: The device is not there, the bags do not fit the base, or the folder holds
            another run.
    """
    with joined_processes(config) as fabric:
        return fine_tune_in(fabric, base, config, bags, out, cache, dark_cameras)


def fine_tune_in(
    fabric: Fabric,
    base: Path,
    config: FineTuneConfig,
    bags: Sequence[Path],
    out: Path,
    cache: Path,
    dark_cameras: DarkCameras,
) -> LerobotPolicy:
    """Runs `fine_tune` in one of the processes."""
    check_kind(out, WEIGHTS)
    check_batch(config.batch, fabric.world_size)
    adoption = load_adoption(base)
    if (kind := read_config(base).type) not in KINDS:
        raise BadCheckpoint(
            f'{base} is of type {kind!r}, which is not trained here; a base is one of '
            f'{list(KINDS)}. Train it with lerobot, and adopt it again.'
        )
    content = json.dumps(cattrs.unstructure(adoption), sort_keys=True)
    robot = adoption.robot
    language = str((base / robot.language_model).resolve()) if robot.language_model else ''

    def survey() -> Sequence[Path]:
        found = survey_episodes(bags, config.topics, config.labels, dark_cameras, cache)
        if fabric.is_global_zero:
            found.keep(out)
            base_hash = hashlib.sha256(content.encode()).hexdigest()
            keep_recipe(out, config, found.used(bags), base_hash)
        return found.used(bags)

    used = first_alone(fabric, survey)
    torch.manual_seed(config.seed)
    model = load_model_folder(base, language, absent=robot.absent_cameras)
    if config.sampler is not None:
        model = with_samplers(model, config.sampler)
    reads = LerobotPolicy(model, robot).config
    episodes = EpisodeConfig(
        reads.observation,
        config.topics,
        config.labels,
        robot.action_space,
        reads.steps,
        robot.period,
    )
    store = first_alone(fabric, lambda: store_episodes(used, episodes, cache))
    run = FineTuning(config, model, robot, store, fabric)
    run.state.restore(out)
    run(out)
    result = merged(run.model, run.adapted)
    adopted: LerobotPolicy | None = None
    if fabric.is_global_zero:
        save_model_folder(result, out / 'policy')
        adopted = adopt(out / 'policy', replace(robot, language_model=language))
    fabric.barrier()
    return adopted or load_lerobot_policy(out / 'policy')[0]


class Loss(nn.Module):
    """A batch of lerobot's -> lerobot's own loss; what Fabric shares among processes."""

    def __init__(self, model: LerobotModel, adapted: Any, precision: str) -> None:
        super().__init__()
        self.adapted = adapted
        self._model = model
        self._mixed = precision == 'bf16-mixed'

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Returns the mean over the batch."""
        kind = next(self.adapted.parameters()).device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._mixed):
            return loss(self._model, batch)


class FineTuning:
    """A policy of lerobot's, its optimiser, its samples, and the steps that are left."""

    def __init__(
        self,
        config: FineTuneConfig,
        model: LerobotModel,
        robot: Robot,
        store: EpisodeStore,
        fabric: Fabric,
    ) -> None:
        self.config, self.robot = config, robot
        self.store, self.fabric = store, fabric
        self._training, _ = split(store, config.held_out)
        self._states = state_vectors(store.proprioception, robot.uses_pose)
        self.model = with_statistics(
            model.to(fabric.device),
            robot.state.of_dataset(self._states[self._training]),
            robot.action.of_dataset(store.chunks[self._training]),
            store.images(self._training[:: max(len(self._training) // 50, 1)]),
        )
        self.adapted = choose_trained(self.model, config.adapter_rank)
        self._trained = [p for p in self.adapted.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(
            self._trained, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.loss, _ = fabric.setup(Loss(self.model, self.adapted, config.precision), adam)
        self.state = RunState(self.adapted, adam)

    def __call__(self, out: Path) -> None:
        """Makes all steps that are left."""
        config, state = self.config, self.state
        self.adapted.train()
        chosen = order(self._training, config.batch, config.seed, state.step, config.steps)
        batches = prepared(self._read, chosen, config, self.fabric.device)
        make_steps(
            self.fabric,
            state,
            batches,
            self.step,
            out,
            steps=config.steps,
            save_every=config.save_every,
            log_every=1,
        )

    def _read(self, samples: Int[np.ndarray, ' batch']) -> dict[str, Any]:
        """Returns this process's part of a batch under lerobot's names, on the device."""
        store, own = self.store, share_of(self.fabric).of(samples)
        return features(
            self.robot,
            store.images(own),
            self._states[own],
            store.chunks[own],
            [store.instructions[i] for i in store.sentence[own]],
            self.fabric.device,
        )

    def step(self, given: dict[str, Any]) -> dict[str, Tensor]:
        """Makes one step; returns this process's loss."""
        config, state = self.config, self.state
        for group in state.optimiser.param_groups:
            group['lr'] = config.learning_rate * min((state.step + 1) / config.warm_up, 1)
        # What lerobot draws (noise, dropout) is of the step: a run goes on to the same losses
        # whatever it draws on, and no two processes draw the same.
        seeds = np.random.SeedSequence((config.seed, state.step, self.fabric.global_rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        found = self.loss(self.model.preprocess(given))
        state.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(found)
        check_gradient(torch.nn.utils.clip_grad_norm_(self._trained, 10.0), state.step)
        state.optimiser.step()
        return {'loss': found}


def state_vectors(
    proprioception: Float[np.ndarray, 'samples numbers'], uses_pose: bool
) -> Float[np.ndarray, 'samples numbers']:
    """Returns rows of an `EpisodeStore` as rows of `robot.state_vector`."""
    if not uses_pose:
        return proprioception
    first, second = proprioception[:, 3:6], proprioception[:, 6:9]
    matrices = np.stack([first, second, np.cross(first, second)], -1).astype(np.float64)
    rotations = np.array([cv2.Rodrigues(matrix)[0][:, 0] for matrix in matrices])
    return np.hstack([proprioception[:, :3], rotations, proprioception[:, 9:]])
