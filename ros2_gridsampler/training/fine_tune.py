# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags and a lerobot checkpoint -> the same policy, fine-tuned, on few visual tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cattrs
import cv2
import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from ..bags.camera_health import DarkCameras
from ..bags.observation_replay import StreamTopics
from ..bounds import checked
from ..datasets.episodes import ActionTopics, EpisodeConfig, store_episodes
from ..evaluating.bag_survey import survey_episodes
from ..stop_request import StopRequest
from ..vla.lerobot import SamplerPlan
from ..vla.lerobot_checkpoint import load_adoption, load_model_folder, save_model_folder
from ..vla.lerobot_policy import LerobotPolicy, adopt
from ..vla.lerobot_training import (
    choose_trained,
    loss,
    merged,
    with_samplers,
    with_statistics,
)
from .batches import order, split
from .learning_rate import check_gradient
from .run_state import RunState, keep_recipe


@dataclass(frozen=True)
@checked
class FineTuneConfig(Compute):
    """How a lerobot policy is fine-tuned; `gridsampler train` reads it with `--base`."""

    topics: StreamTopics
    labels: ActionTopics
    sampler: SamplerPlan | None = field(
        default=None, metadata={'help': 'What is attached; null keeps the policy as it is'}
    )
    adapter_rank: int = field(
        default=0,
        metadata={'help': 'Rank of LoRA beside the reducers; 0 trains in full', 'minimum': 0},
    )
    steps: int = field(default=2000, metadata={'help': 'Optimiser steps', 'minimum': 1})
    batch: int = field(default=8, metadata={'help': 'Samples per step', 'minimum': 1})
    learning_rate: float = field(
        default=1e-4, metadata={'help': 'Constant after the warm-up', 'above': 0}
    )
    weight_decay: float = field(default=1e-4, metadata={'help': 'AdamW', 'minimum': 0})
    warm_up: int = field(
        default=100, metadata={'help': 'Steps of rising learning rate', 'minimum': 1}
    )
    held_out: float = field(
        default=0.04, metadata={'help': 'Share of bags left out', 'minimum': 0, 'maximum': 1}
    )
    seed: int = field(
        default=0, metadata={'help': 'Of new weights, order and noise', 'minimum': 0}
    )
    save_every: int = field(
        default=500, metadata={'help': 'Steps between saved states', 'minimum': 1}
    )


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
        ValueError: The bags do not fit the base, or the folder holds another run.
    """
    torch.set_num_threads(config.threads)
    adoption = load_adoption(base)
    survey = survey_episodes(bags, config.topics, config.labels, dark_cameras, cache)
    survey.keep(out)
    bags = survey.used(bags)
    content = json.dumps(cattrs.unstructure(adoption), sort_keys=True)
    keep_recipe(out, config, bags, hashlib.sha256(content.encode()).hexdigest())
    robot = adoption.robot
    language = str((base / robot.language_model).resolve()) if robot.language_model else ''
    torch.manual_seed(config.seed)
    model = load_model_folder(base, language)
    if config.sampler is not None:
        model = with_samplers(model, config.sampler)
    reads = LerobotPolicy(model, robot).config
    store = store_episodes(
        bags,
        EpisodeConfig(
            reads.observation,
            config.topics,
            config.labels,
            robot.action_space,
            reads.steps,
            robot.period,
        ),
        cache,
    )
    training, _ = split(store, config.held_out)
    states = state_vectors(store.proprioception, robot.uses_pose)
    model = with_statistics(
        model,
        robot.state.of_dataset(states[training]),
        robot.action.of_dataset(store.chunks[training, 0]),
        store.images(training[:: max(len(training) // 50, 1)]),
    )
    adapted = choose_trained(model, config.adapter_rank)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    run = RunState(adapted, optimiser)
    run.restore(out)
    adapted.train()
    with (
        StopRequest() as stop,
        (out / 'log.jsonl').open('a') as log,
        tqdm(total=config.steps, initial=run.step, desc='training', unit='step') as progress,
    ):
        for samples in order(training, config.batch, config.seed, run.step, config.steps):
            for group in optimiser.param_groups:
                group['lr'] = config.learning_rate * min((run.step + 1) / config.warm_up, 1)
            sentences = [store.instructions[i] for i in store.sentence[samples]]
            images = store.images(samples)
            found = loss(model, robot, images, states[samples], store.chunks[samples], sentences)
            optimiser.zero_grad(set_to_none=True)
            found.backward()
            check_gradient(torch.nn.utils.clip_grad_norm_(trained, 10.0), run.step)
            optimiser.step()
            run.advance()
            progress.update()
            log.write(json.dumps({'step': run.step, 'loss': round(found.item(), 5)}) + '\n')
            if run.step % config.save_every == 0 or stop.requested or run.step == config.steps:
                run.save(out)
                log.flush()
            if stop.requested:
                raise InterruptedError(f'Stopped at step {run.step}; the same command goes on.')
    result = merged(model, adapted)
    save_model_folder(result, out / 'policy')
    return adopt(out / 'policy', replace(robot, language_model=language))


def state_vectors(
    proprioception: Float[np.ndarray, 'samples numbers'], uses_pose: bool
) -> Float[np.ndarray, 'samples numbers']:
    """Returns rows of an `EpisodeStore` as rows of `lerobot_policy.state_vector`."""
    if not uses_pose:
        return proprioception
    first, second = proprioception[:, 3:6], proprioception[:, 6:9]
    matrices = np.stack([first, second, np.cross(first, second)], -1).astype(np.float64)
    rotations = np.array([cv2.Rodrigues(matrix)[0][:, 0] for matrix in matrices])
    return np.hstack([proprioception[:, :3], rotations, proprioception[:, 9:]])
