# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk by a lerobot checkpoint: SmolVLA, pi0, pi0.5, ACT."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..acting.action_chunk import ActionChunk
from ..acting.action_prefix import Prefix
from ..device import to_arrays, to_device
from ..files import write_whole
from ..policy.manifest import BadCheckpoint, golden_chunk
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from .lerobot_checkpoint import (
    FORMAT,
    ROBOT,
    Adoption,
    LerobotModel,
    Statistics,
    hash_files,
    load_adoption,
    load_model_folder,
    save_processors,
)
from .lerobot_chunking import Guidance, known_steps
from .lerobot_config import TowerCells, describe, golden_observation
from .lerobot_folder import CONFIG, first_line, read_config
from .lerobot_weights import merge_adapter, needs_merging
from .robot import Robot, state_vector

# Another machine's arithmetic; in parts of the range of the golden chunk.
GOLDEN_TOLERANCE = 1e-2
# A state farther out than the statistics of any dataset.
_FAR = 1e6


class LerobotPolicy:
    """A lerobot policy with the call of ours.

    Policies that start from noise (SmolVLA, pi0) start from the same noise every time: the same
    observation gives the same chunk, live and in replay.

    Args:
        model: Policy and processors.
        robot: What its numbers mean.
        guided: Whether it may go on from given steps; an engine has no such pull.

    Attributes:
        config: What a node has to know.

    Raises:
        BadCheckpoint: The robot does not fit the policy.
    """

    def __init__(self, model: LerobotModel, robot: Robot, *, guided: bool = True) -> None:
        self._model = model
        self.config = describe(model, robot)
        if not guided:
            self.config = replace(self.config, continues=False)
        policy = model.policy.config
        self._noise: Tensor | None = None
        shape: tuple[int, ...] | None = None
        if hasattr(policy, 'max_action_dim'):
            shape = (1, policy.chunk_size, policy.max_action_dim)
        elif policy.type == 'diffusion':
            shape = (1, policy.horizon, policy.action_feature.shape[0])
        if shape is not None:
            # Drawn on the CPU: the same on every device.
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            self._noise = noise.to(model.device)
        # What the last prediction was, for the one that goes on from it.
        self._last: ActionChunk | None = None

    @torch.no_grad()
    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Predicts one chunk from one observation; it begins with the prefix.

        After the prefix a policy that `continues` is drawn to what it predicted last, over the
        steps of lerobot's execution horizon less and less. Without a prefix nothing is
        remembered: the same observation gives the same chunk.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or it cannot go on from
                a prefix.
        """
        decided = 0 if prefix is None else len(prefix)
        if decided and not self.config.continues:
            raise ValueError(
                f'A policy of type {self._model.policy.config.type!r} of lerobot does not go on '
                'from given steps; give no prefix.'
            )
        last, size = self._last, (self.config.steps, len(self.config.action_space.names))
        if prefix is None or not decided:
            actions, seen = self.infer(self.batch(observation))
        else:
            known = known_steps(prefix, last, observation.time, self.config.period, size)
            batch = self.batch(observation, known)
            with Guidance(self._model.policy, len(known), decided) as guidance:
                actions, seen = self.infer(batch, **guidance.arguments(batch.pop('action')))
        targets = self.targets(actions)
        if prefix is not None and decided:
            targets[:decided] = prefix
        self._last = ActionChunk(observation.time, self.config.period, targets)
        return Prediction(self._last, self._points(seen))

    @property
    def model(self) -> LerobotModel:
        """Policy and processors."""
        return self._model

    @property
    def noise(self) -> Tensor:
        """What a policy that denoises starts from; empty for others."""
        return torch.empty(0) if self._noise is None else self._noise

    def batch(self, observation: Observation, known: Prefix | None = None) -> Any:
        """Returns an observation as the policy's own processors prepare it.

        Args:
            observation: With those before it, for a policy that reads several; the newest is
                the last. At the beginning, and after a gap, the oldest stands for what is not.
            known: First steps of the chunk, physical units; prepared as 'action'.
        """
        count = self.config.earlier
        if not count:
            features = self.features(observation)
            if known is not None:
                numbers = self.config.robot.action.of_dataset(known).astype(np.float32)
                features['action'] = to_device((numbers,), self._model.device)[0][None]
            return self._model.prepared(features)
        seen = (observation, *observation.earlier)
        chosen = [seen[min(place, len(seen) - 1)] for place in reversed(range(count + 1))]
        batches = [self._model.prepared(self.features(each)) for each in chosen]
        reads = self._model.policy.config.input_features
        read = [name for name in reads if name in batches[0]]
        return {name: torch.stack([batch[name] for batch in batches], 1) for name in read}

    def infer(self, batch: Any, **guidance: Any) -> tuple[Tensor, list[Tensor]]:
        """Returns actions before the processors, and where each picture was read, if anywhere."""
        noise = {} if self._noise is None else {'noise': self._noise.clone()}
        device = self._model.device
        # Diffusion draws noise in every step; elsewhere nothing is drawn.
        with torch.random.fork_rng([device] if device.type == 'cuda' else []):
            torch.manual_seed(0)
            actions = self._model.policy.predict_action_chunk(batch, **noise, **guidance)
        return actions, [] if self._model.seen is None else self._model.seen.take()

    def targets(self, actions: Tensor) -> Float[np.ndarray, 'steps actions']:
        """Returns actions of the policy in physical units, by its own processors."""
        numbers = to_arrays(self._model.postprocess(actions))[0].astype(np.float64)
        return self.config.robot.action.physical(numbers)

    def check_instruction(self, sentence: str) -> None:
        """Refuses a sentence of which lerobot would drop the end without a word.

        Raises:
            ValueError: It has more tokens than the policy reads.
        """
        if not self.config.reads_language:
            return
        # pi0.5 writes its state behind the sentence: here with as many digits as it can have.
        state = torch.full((len(self.config.robot.state.scale),), _FAR, device=self._model.device)
        with self._model.words:
            steps = iter(self._model.preprocess.steps)
            said = self._model.preprocess.to_transition(
                {'observation.state': state, 'task': sentence}
            )
            while not hasattr(step := next(steps), 'input_tokenizer'):
                # A copy: the step of relative actions remembers the state of the last prediction.
                said = copy.copy(step)(said)
            (text,) = step.get_task(said)
            count = len(step.input_tokenizer(text)['input_ids'])
        if count > step.max_length:
            raise ValueError(
                f'The instruction has {count} tokens, with what this policy adds to it, and it '
                f'reads at most {step.max_length}: {sentence!r}. Say it in fewer words.'
            )

    def features(self, observation: Observation) -> dict[str, Any]:
        """Returns an observation under lerobot's names, in the numbers of the dataset."""
        robot = self.config.robot
        numbers = robot.state.of_dataset(state_vector(observation)).astype(np.float32)
        shown = (observation.images[name] for name in robot.cameras)
        *pictures, state = to_device((*shown, numbers), self._model.device)
        features: dict[str, Any] = {
            feature: picture.permute(2, 0, 1).float() / 255
            for feature, picture in zip(robot.cameras.values(), pictures, strict=True)
        }
        features['observation.state'] = state
        features['task'] = observation.instruction
        return features

    def _points(self, taken: list[Tensor]) -> dict[str, Float[np.ndarray, 'tokens 2']]:
        if self._model.seen is None:
            return {name: np.empty((0, 2)) for name in self.config.cameras}
        names = {feature: name for name, feature in self.config.robot.cameras.items()}
        order = [names[f] for f in self._model.policy.config.image_features if f in names]
        # Pictures that a policy adds for cameras that are not there come last.
        seen = taken[: len(order)]
        pairs = zip(order, seen, strict=True)
        return {
            name: self._in_picture(name, to_arrays(at)[0].astype(np.float64)) for name, at in pairs
        }

    def _in_picture(
        self, camera: str, points: Float[np.ndarray, 'tokens 2']
    ) -> Float[np.ndarray, 'tokens 2']:
        """Returns points of the tower's map as points of the picture without its padding."""
        prepared = self.config.preparations[camera]
        cells = TowerCells.of(self._model.policy, prepared)
        size = np.array([prepared.width, prepared.height])
        return np.clip((cells.pixels(points) - 0.5) / (size - 1), 0, 1)


def adopt(
    folder: Path, robot: Robot, statistics: Statistics | None = None, source: str = ''
) -> LerobotPolicy:
    """Says what the numbers of a lerobot checkpoint mean; from then on it can drive an arm.

    Writes `robot.json` with the hashes of all other files and the chunk that a made-up
    observation gives. A low-rank adapter is merged into its base first, and kept as whole
    weights.

    Args:
        folder: lerobot's checkpoint folder.
        robot: What the numbers mean.
        statistics: That the processors normalise by from now on; None for their own.
        source: As in `Adoption`.

    Raises:
        BadCheckpoint: The checkpoint cannot be loaded, or the robot does not fit it.
    """
    if needs_merging(folder):
        merge_adapter(read_config(folder), folder)
    absent = robot.absent_cameras
    model = load_model_folder(folder, robot.language_model, absent=absent, statistics=statistics)
    policy = LerobotPolicy(model, robot)
    try:
        chunk = policy.predict(golden_observation(policy.config)).chunk
    except ValueError as error:
        raise BadCheckpoint(f'{folder} does not predict: {error}') from error
    except Exception as error:  # whatever lerobot stumbles over
        raise BadCheckpoint(
            f'{folder} does not predict: lerobot ends with {type(error).__name__}: '
            f'{first_line(error)}. Compare what the policy reads, in {CONFIG}, with the robot.'
        ) from error
    if statistics is not None:
        save_processors(model, folder)
    golden = tuple(tuple(row) for row in chunk.targets.tolist())
    adoption = Adoption(FORMAT, robot, hash_files(folder), golden, source)
    write_whole(folder / ROBOT, json.dumps(cattrs.unstructure(adoption), indent=1))
    return policy


def load_lerobot_policy(
    folder: Path, device: torch.device | None = None
) -> tuple[LerobotPolicy, Adoption]:
    """Reads a lerobot policy, and believes it only after every hash and its golden chunk.

    Args:
        folder: An adopted checkpoint.
        device: Where it is to compute; None for the CPU.

    Raises:
        BadCheckpoint: Anything does not agree.
    """
    adoption = load_adoption(folder)
    robot = adoption.robot
    model = load_model_folder(folder, robot.language_model, absent=robot.absent_cameras)
    policy = LerobotPolicy(model.to(device or torch.device('cpu')), robot)
    found = policy.predict(golden_observation(policy.config)).chunk.targets
    expected = golden_chunk(folder / ROBOT, adoption.golden_actions, found.shape)
    difference = np.abs(found - expected).max() / max(float(np.ptp(expected)), 1e-9)
    if not difference <= GOLDEN_TOLERANCE:
        raise BadCheckpoint(
            f'The made-up observation gives another chunk here than when {folder} was adopted: '
            f'off by {difference:.2g} of its range, {GOLDEN_TOLERANCE:.2g} are allowed. Install '
            'the same versions of lerobot, transformers and torch.'
        )
    return policy, adoption
