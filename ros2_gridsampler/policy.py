# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk: the stages, joined."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from .action_chunk import ActionChunk, ActionSpace
from .action_head import ActionHead, Normaliser, Statistics
from .action_prefix import Prefix, padded
from .calibration import ImagePreparation
from .continuing_head import ContinuingHead
from .encoder import Encoder, EncoderConfig
from .flow_head import FlowHead
from .instruction import tokenise
from .observation import Observation, ObservationConfig
from .token_reducers import make_reducer
from .trunk import Trunk, TrunkConfig, WordEmbedding


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that decides what a policy reads, computes and commands.

    Attributes:
        cameras: Names, in order; the first one sets the pace.
        resolution: Width and height that the cameras publish [px].
        preparation: How each picture is brought to the encoder's size.
        joints: Names of the joints it reads, in order.
        uses_pose: Whether it reads the end-effector pose.
        velocity_window: Over how long joint velocities are measured [s]; 0 if it reads none.
        uses_command: Whether it reads the joint targets sent last.
        action_space: What it commands.
        relative: Whether the network gives joint targets as offsets from those sent last if it
            reads them, else from where the joints are; `action_statistics` are then those of
            the offsets.
        steps: Targets per chunk.
        period: Time between two targets [s].
        reducer: How the visual tokens become fewer, one of `token_reducers.REDUCERS`.
        tokens: Visual tokens kept per camera (K).
        sample_after: Encoder block after which the points are read; the depth of the encoder
            is the paper's place.
        conditioned: Whether instruction and proprioception enter the point predictor.
        head: 'direct' regression of the chunk; 'continuing' regression or 'flow' matching, which
            go on from the steps that are already under way.
        landmarks: Points in space that an auxiliary query learns to locate; 0 for none.
        proprioception_statistics: See `proprioception`.
        action_statistics: In the units of the action space.
    """

    cameras: tuple[str, ...]
    resolution: tuple[int, int]
    preparation: ImagePreparation
    joints: tuple[str, ...]
    uses_pose: bool
    velocity_window: float
    uses_command: bool
    action_space: ActionSpace
    relative: bool
    steps: int
    period: float
    reducer: str
    tokens: int
    sample_after: int
    conditioned: bool
    head: Literal['direct', 'continuing', 'flow']
    landmarks: int
    proprioception_statistics: Statistics
    action_statistics: Statistics
    encoder: EncoderConfig
    trunk: TrunkConfig

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        size = (self.preparation.height, self.preparation.width)
        expected = (self.encoder.image_height, self.encoder.image_width)
        if size != expected:
            raise ValueError(
                f'Pictures are prepared as {size} but the encoder reads {expected} [px].'
            )
        kept = {'dense': self.dense_tokens, 'blind': 0}.get(self.reducer, self.tokens)
        if self.tokens != kept:
            raise ValueError(
                f'A {self.reducer} policy keeps {kept} tokens per camera, got {self.tokens}.'
            )
        if not 0 <= self.sample_after <= self.encoder.depth:
            raise ValueError(
                f'sample_after is {self.sample_after}; the encoder has '
                f'{self.encoder.depth} blocks.'
            )
        if self.encoder.width != self.trunk.width:
            raise ValueError(
                f'Encoder width {self.encoder.width} and trunk width {self.trunk.width} differ.'
            )
        if len(self.action_statistics.mean) != len(self.action_space.names):
            raise ValueError(
                f'Statistics of {len(self.action_statistics.mean)} actions for the '
                f'{len(self.action_space.names)} entries of the action space.'
            )
        numbers = self.observation.numbers
        if len(self.proprioception_statistics.mean) != numbers:
            raise ValueError(
                f'Statistics of {len(self.proprioception_statistics.mean)} numbers for a '
                f'proprioception of {numbers}.'
            )

        own = self.relative or self.uses_command
        if own and self.action_space.names != self.joints:
            raise ValueError(
                'A policy that is relative or reads its commands commands the joints that it '
                'reads, in the same order; it reads '
                f'{list(self.joints)} and commands {list(self.action_space.names)}.'
            )

    @property
    def observation(self) -> ObservationConfig:
        """The streams that the policy reads."""
        return ObservationConfig(
            {name: self.preparation for name in self.cameras},
            self.resolution,
            self.joints,
            self.uses_pose,
            self.velocity_window,
            self.uses_command,
        )

    @property
    def continues(self) -> bool:
        """Whether it takes the first steps of its chunk, where they are already decided."""
        return self.head != 'direct'

    @property
    def dense_tokens(self) -> int:
        """Tokens per camera before sampling."""
        rows, columns = self.encoder.grid
        return rows * columns


@dataclass(frozen=True)
class Prediction:
    """What the policy wants and where it looked.

    Attributes:
        chunk: Targets in physical units.
        points: Camera name -> sampled points (x, y) in [0, 1].
    """

    chunk: ActionChunk
    points: dict[str, Float[np.ndarray, 'tokens 2']]


class Policy(nn.Module):
    """The network from tensors to tensors, and `predict` from Observation to ActionChunk."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        width = config.trunk.width
        self.encoder = Encoder(config.encoder)
        self.reducer = make_reducer(
            config.reducer,
            config.encoder.width,
            config.tokens,
            context=2 * width if config.conditioned else 0,
        )
        self.camera_embedding = nn.Parameter(torch.zeros(len(config.cameras), 1, width))
        self.words = WordEmbedding(width)
        self.body_units = Normaliser(config.proprioception_statistics)
        self.body = nn.Linear(len(config.proprioception_statistics.mean), width)
        self.trunk = Trunk(config.trunk, queries=config.steps + (config.landmarks > 0))
        self.action_head = _make_head(config)
        if config.landmarks:
            self.landmark_head = nn.Linear(width, 3 * config.landmarks)
        nn.init.normal_(self.camera_embedding, std=0.02)

    def context(
        self,
        images: UInt8[Tensor, 'batch cameras height width 3'],
        proprioception: Float[Tensor, 'batch numbers'],
        words: Int[Tensor, 'batch words pieces'],
    ) -> tuple[Float[Tensor, 'batch queries width'], Float[Tensor, 'batch cameras tokens 2']]:
        """All stages up to the trunk.

        Args:
            images: RGB at the encoder's size.
            proprioception: Physical units, see the function of that name.
            words: From `tokenise`.

        Returns:
            The queries (one per step, then the landmarks' one) and the sampled points.
        """
        config = self.config
        cameras = images.shape[1]
        word_tokens = self.words(words)
        body_token = self.body(self.body_units.normalise(proprioception))[:, None]
        task = None
        if config.conditioned:
            task = torch.cat([word_tokens.mean(1), body_token[:, 0]], -1)
            task = task.repeat_interleave(cameras, 0)

        tokens, points = self.see(images.flatten(0, 1), task)
        visual = (tokens.unflatten(0, (-1, cameras)) + self.camera_embedding).flatten(1, 2)
        queries = self.trunk(torch.cat([visual, word_tokens, body_token], 1))
        return queries, points.unflatten(0, (-1, cameras))

    def see(
        self,
        images: UInt8[Tensor, 'batch height width 3'],
        task: Float[Tensor, 'batch context'] | None,
    ) -> tuple[Float[Tensor, 'batch tokens width'], Float[Tensor, 'batch tokens 2']]:
        """Pictures -> the few tokens of each and where they were read."""
        config = self.config
        if config.reducer == 'blind':
            # The tower need not run for nobody.
            nothing = torch.zeros(len(images), *config.encoder.grid, config.encoder.width)
            return self.reducer(nothing.to(images.device))
        features = self.encoder.early(images, config.sample_after)
        tokens, points = self.reducer(features, task)
        return self.encoder.late(tokens, config.sample_after), points

    def forward(
        self,
        images: UInt8[Tensor, 'batch cameras height width 3'],
        proprioception: Float[Tensor, 'batch numbers'],
        words: Int[Tensor, 'batch words pieces'],
        prefix: Float[Tensor, 'batch steps actions'] | None = None,
        given: Float[Tensor, 'batch steps'] | None = None,
    ) -> tuple[Float[Tensor, 'batch steps actions'], Float[Tensor, 'batch cameras tokens 2']]:
        """Actions in physical units and the sampled points; the graph that backends compile.

        A policy that `continues` may be told a prefix; `given` is 1 for its steps.
        """
        queries, points = self.context(images, proprioception, words)
        origin = self.origin(proprioception)
        told = () if prefix is None or given is None else (prefix - origin, given > 0.5)
        actions = self.action_head.actions(queries[:, : self.config.steps], *told)
        return actions + origin, points

    def origin(
        self, proprioception: Float[Tensor, 'batch numbers']
    ) -> Float[Tensor, 'batch 1 actions']:
        """What the head's actions are relative to, physical units; zero where to nothing."""
        actions = len(self.config.action_space.names)
        if not self.config.relative:
            return proprioception.new_zeros(1, 1, actions)
        start = self.config.observation.origin
        return proprioception[:, None, start : start + actions]

    @torch.inference_mode()
    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk, which begins with the prefix.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or cannot go on from a
                prefix.
        """
        told = prefix_tensors(self.config, prefix)
        outputs = self(*as_tensors(self.config, observation), *told)
        return as_prediction(self.config, observation, *outputs)


def _make_head(config: PolicyConfig) -> ActionHead | ContinuingHead | FlowHead:
    width, statistics = config.trunk.width, config.action_statistics
    if config.head == 'flow':
        return FlowHead(width, statistics, config.steps)
    if config.head == 'continuing':
        return ContinuingHead(width, statistics)
    return ActionHead(width, statistics)


def as_tensors(config: PolicyConfig, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of `Policy.forward`, batch of one."""
    images = np.stack([observation.images[name] for name in config.cameras])
    body = proprioception(observation).astype(np.float32)
    words = tokenise(observation.instruction)
    return (
        torch.from_numpy(images)[None],
        torch.from_numpy(body)[None],
        torch.from_numpy(words)[None],
    )


def prefix_tensors(config: PolicyConfig, prefix: Prefix | None) -> tuple[Tensor, ...]:
    """What `Policy.forward` takes after that; nothing for a policy that takes no prefix.

    Raises:
        ValueError: The policy was not trained for a prefix, or it does not fit.
    """
    if config.continues:
        pair = padded(prefix, config.steps, len(config.action_space.names))
        return tuple(torch.from_numpy(array) for array in pair)
    if prefix is not None and len(prefix):
        raise ValueError(
            'This policy was not trained to go on from steps under way (its head is '
            f"{config.head!r}); train one with head 'continuing' or 'flow', or give no prefix."
        )
    return ()


def as_prediction(
    config: PolicyConfig, observation: Observation, actions: Tensor, points: Tensor
) -> Prediction:
    """The results of `Policy.forward`, batch of one, with their meaning."""
    chunk = ActionChunk(observation.time, config.period, actions[0].double().numpy())
    return Prediction(
        chunk, {name: at.numpy() for name, at in zip(config.cameras, points[0], strict=True)}
    )


def proprioception(observation: Observation) -> Float[np.ndarray, ' numbers']:
    """What the arm feels, without jumps.

    A quaternion and its negative are one rotation, so the pose enters as position [m] and the
    first two columns of its rotation matrix (arXiv:1812.07035), followed by the joints, their
    velocities and what they were told last.
    """
    pose = observation.pose
    of_joints = (observation.joints, observation.velocities, observation.command)
    joints = np.concatenate([numbers for numbers in of_joints if numbers is not None])
    if pose is None:
        return joints
    x, y, z, w = pose[3:]
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    second = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    return np.concatenate([pose[:3], first, second, joints])
