# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk by a lerobot checkpoint: SmolVLA, pi0, pi0.5, ACT."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..acting.action_chunk import ActionChunk, ActionSpace
from ..acting.action_prefix import Prefix
from ..bounds import checked
from ..device import to_arrays, to_device
from ..policy.manifest import BadCheckpoint
from ..policy.prediction import Prediction
from ..seeing.calibration import ImagePreparation, prepare_image
from ..seeing.observation import Observation, ObservationConfig
from .lerobot_checkpoint import (
    FORMAT,
    ROBOT,
    Adoption,
    LerobotModel,
    hash_files,
    load_adoption,
    load_model_folder,
)
from .robot import Robot


@dataclass(frozen=True)
class TowerCells:
    """Where a tower's cells are; x and y [px] of the picture that the tower sees.

    Attributes:
        count: Columns and rows.
        side: Distance of two cells.
        first: Centre of the first cell.
        corner: Where the prepared picture begins inside the tower's.
        scale: By which the prepared picture was enlarged.
    """

    count: Float[np.ndarray, '2']
    side: int
    first: float
    corner: Float[np.ndarray, '2']
    scale: float

    @classmethod
    def of(cls, policy: Any, prepared: ImagePreparation) -> 'TowerCells':
        """Returns the cells of a policy's tower on such a picture."""
        config, size = policy.config, np.array([prepared.width, prepared.height], np.float64)
        if config.type == 'act':
            side = 16 if config.replace_final_stride_with_dilation else 32
            # Padded convolutions: the first cell looks at the first pixel.
            return cls(np.ceil(size / side), side, 0.5, np.zeros(2), 1.0)
        if config.type == 'smolvla':
            vision = policy.model.vlm_with_expert.config
            side = vision.vision_config.patch_size * vision.scale_factor
            tower = np.array(config.resize_imgs_with_padding or size, np.float64)
            share = 1.0  # all padding is left and above
        else:
            side, share = 14, 0.5
            tower = np.array(config.image_resolution[::-1], np.float64)
        scale = float((tower / size).min())
        corner = share * (tower - np.floor(size * scale))
        return cls(tower // side, side, side / 2, corner, scale)

    def pixels(self, points: Float[np.ndarray, 'tokens 2']) -> Float[np.ndarray, 'tokens 2']:
        """Returns where points (x, y) in [0, 1] lie in the prepared picture [px]."""
        in_tower = self.first + points * (self.count - 1) * self.side
        return (in_tower - self.corner) / self.scale


# Another machine's arithmetic; in parts of the range of the golden chunk.
GOLDEN_TOLERANCE = 1e-2


@dataclass(frozen=True)
class PictureCells:
    """What `sampled_points` has to know of a tower: points are told in whole pixels."""

    patch: int = 1


@dataclass(frozen=True)
@checked
class LerobotConfig:
    """What a node has to know; the same names as in `PolicyConfig`.

    Attributes:
        robot: Joints, units, cameras.
        preparations: Camera name -> how its pictures are prepared.
        steps: Targets per chunk.
        tokens: Visual tokens kept per camera.
        dense_tokens: Tokens per camera before sampling.
        encoder: For drawing points.
        reads_language: Whether its processors turn a sentence into tokens.
    """

    robot: Robot
    preparations: dict[str, ImagePreparation]
    steps: int = field(metadata={'minimum': 1})
    tokens: int = field(metadata={'minimum': 0})
    dense_tokens: int = field(metadata={'minimum': 0})
    encoder: PictureCells = PictureCells()
    reads_language: bool = True

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names, in order; the first one sets the pace."""
        return tuple(self.robot.cameras)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints it reads, in order."""
        return self.robot.joints

    @property
    def action_space(self) -> ActionSpace:
        """The action space in which it commands the arm."""
        return self.robot.action_space

    @property
    def period(self) -> float:
        """Time between two targets [s]."""
        return self.robot.period

    @property
    def continues(self) -> bool:
        """Never: lerobot's own real-time chunking is not used."""
        return False

    @property
    def observation(self) -> ObservationConfig:
        """The streams that the policy reads."""
        robot = self.robot
        return ObservationConfig(
            self.preparations,
            robot.resolution,
            robot.joints,
            robot.uses_pose,
            uses_instruction=self.reads_language,
        )


class LerobotPolicy:
    """A lerobot policy with the call of ours.

    Policies that start from noise (SmolVLA, pi0) start from the same noise every time: the same
    observation gives the same chunk, live and in replay.

    Args:
        model: Policy and processors.
        robot: What its numbers mean.

    Attributes:
        config: What a node has to know.

    Raises:
        BadCheckpoint: The robot does not fit the policy.
    """

    def __init__(self, model: LerobotModel, robot: Robot) -> None:
        self._model = model
        self.config = _config(model, robot)
        policy = model.policy.config
        self._noise: Tensor | None = None
        if hasattr(policy, 'max_action_dim'):
            shape = (1, policy.chunk_size, policy.max_action_dim)
            # Drawn on the CPU: the same on every device.
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            self._noise = noise.to(model.device)

    @torch.inference_mode()
    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Predicts one chunk from one observation.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or there is a prefix.
        """
        if prefix is not None and len(prefix):
            raise ValueError('A lerobot policy does not go on from given steps; give no prefix.')
        batch = self._model.preprocess(self.features(observation))
        noise = {} if self._noise is None else {'noise': self._noise.clone()}
        actions = self._model.policy.predict_action_chunk(batch, **noise)
        numbers = to_arrays(self._model.postprocess(actions))[0].astype(np.float64)
        targets = self.config.robot.action.physical(numbers)
        chunk = ActionChunk(observation.time, self.config.period, targets)
        return Prediction(chunk, self._points())

    def check_instruction(self, sentence: str) -> None:
        """Refuses a sentence of which lerobot would drop the end without a word.

        Raises:
            ValueError: It has more tokens than the policy reads.
        """
        for step in self._model.preprocess.steps:
            if 'Tokenizer' not in type(step).__name__:
                continue
            count = len(step.input_tokenizer(sentence)['input_ids'])
            if count > step.max_length:
                raise ValueError(
                    f'The instruction has {count} tokens, and this policy reads at most '
                    f'{step.max_length}: {sentence!r}. Say it in fewer words.'
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

    def _points(self) -> dict[str, Float[np.ndarray, 'tokens 2']]:
        if self._model.seen is None:
            return {name: np.empty((0, 2)) for name in self.config.cameras}
        names = {feature: name for name, feature in self.config.robot.cameras.items()}
        order = [names[f] for f in self._model.policy.config.image_features if f in names]
        # Pictures that a policy adds for cameras that are not there come last.
        seen = self._model.seen.take()[: len(order)]
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


def state_vector(observation: Observation) -> Float[np.ndarray, ' numbers']:
    """Returns the arm's state as lerobot's datasets hold it, in rad and m.

    Joints; before them, where the pose is used, position and rotation vector, whose angle is at
    most pi.
    """
    if observation.pose is None:
        return observation.joints
    x, y, z, w = observation.pose[3:]
    axis = np.array([x, y, z]) * (1 if w >= 0 else -1)
    sine = float(np.linalg.norm(axis))
    angle = 2 * math.atan2(sine, abs(w))
    rotation = axis * (angle / sine if sine > 1e-9 else 2.0)
    return np.concatenate([observation.pose[:3], rotation, observation.joints])


def adopt(folder: Path, robot: Robot) -> LerobotPolicy:
    """Says what the numbers of a lerobot checkpoint mean; from then on it can drive an arm.

    Writes `robot.json` with the hashes of all other files and the chunk that a made-up
    observation gives.

    Raises:
        BadCheckpoint: The checkpoint cannot be loaded, or the robot does not fit it.
    """
    policy = LerobotPolicy(load_model_folder(folder, robot.language_model), robot)
    chunk = policy.predict(golden_observation(policy.config)).chunk
    golden = tuple(tuple(row) for row in chunk.targets.tolist())
    adoption = Adoption(FORMAT, robot, hash_files(folder), golden)
    (folder / ROBOT).write_text(json.dumps(cattrs.unstructure(adoption), indent=1))
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
    model = load_model_folder(folder, adoption.robot.language_model)
    policy = LerobotPolicy(model.to(device or torch.device('cpu')), adoption.robot)
    found = policy.predict(golden_observation(policy.config)).chunk.targets
    expected = np.array(adoption.golden_actions)
    difference = np.abs(found - expected).max() / max(float(np.ptp(expected)), 1e-9)
    if not difference <= GOLDEN_TOLERANCE:
        raise BadCheckpoint(
            f'The made-up observation gives another chunk here than when {folder} was adopted: '
            f'off by {difference:.2g} of its range, {GOLDEN_TOLERANCE:.2g} are allowed. Install '
            'the same versions of lerobot, transformers and torch.'
        )
    return policy, adoption


def golden_observation(config: LerobotConfig) -> Observation:
    """Returns a made-up observation that is the same on every machine."""
    width, height = config.robot.resolution
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    images = {}
    for index, (camera, preparation) in enumerate(config.preparations.items()):
        channels = [(7 * x + 3 * y) % 256, (x * y // 8 + 40 * index) % 256, (x ^ y) % 256]
        images[camera] = prepare_image(np.stack(channels, -1).astype(np.uint8), preparation)
    joints = np.array(config.robot.state.offset)[6 * config.robot.uses_pose :]
    pose = np.array([0.4, 0, 0.3, 1.0, 0, 0, 0]) if config.robot.uses_pose else None
    return Observation(images, joints, pose, 'golden observation', 0.0)


def _config(model: LerobotModel, robot: Robot) -> LerobotConfig:
    policy = model.policy.config
    shown = {f: v.shape for f, v in policy.image_features.items() if 'empty_camera' not in f}
    if set(shown) != set(robot.cameras.values()):
        raise BadCheckpoint(
            f'The policy looks at {sorted(shown)}, the robot has {sorted(robot.cameras.values())};'
            ' name a camera for each.'
        )
    state, action = policy.robot_state_feature, policy.action_feature
    sizes = (state.shape[0] if state else 0, action.shape[0])
    expected = (len(robot.state.scale), len(robot.action.scale))
    if sizes != expected:
        raise BadCheckpoint(
            f'The policy reads {sizes[0]} numbers of state and gives {sizes[1]} of action, the '
            f'robot has {expected[0]} and {expected[1]}.'
        )
    if policy.n_obs_steps != 1:
        raise BadCheckpoint(
            f'The policy reads {policy.n_obs_steps} observations at once; only 1 is supported.'
        )
    preparations = {
        name: ImagePreparation(shown[feature][2], shown[feature][1])
        for name, feature in robot.cameras.items()
    }
    first = next(iter(preparations.values()))
    dense = int(TowerCells.of(model.policy, first).count.prod())
    tokens = dense if model.plan is None else model.plan.tokens
    # ACT and its like have no step for text.
    steps = [type(step).__name__ for step in model.preprocess.steps]
    return LerobotConfig(
        robot,
        preparations,
        policy.chunk_size,
        tokens,
        dense,
        reads_language=any('Tokenizer' in name for name in steps),
    )
