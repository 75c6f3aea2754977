# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that must agree between training and deployment, as plain values; no PyTorch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..acting.action_chunk import ActionSpace
from ..bounds import checked, setting
from ..seeing.calibration import ImagePreparation
from ..seeing.depth_image import DepthRange
from ..seeing.observation import ObservationConfig, check_depth
from .instruction import Reader

CONSTANT = 1e-6
"""A number whose standard deviation is at most this never changes, in its physical unit."""


@dataclass(frozen=True)
class Statistics:
    """Centre and scale of each number of a vector, in its physical unit.

    Attributes:
        mean: Subtracted.
        scale: Divided by, after that; never zero.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuses statistics that would blow up or mix up."""
        if len(self.mean) != len(self.scale):
            raise ValueError(f'{len(self.mean)} means but {len(self.scale)} scales.')
        numbers = np.array([self.mean, self.scale])
        if not np.isfinite(numbers).all() or (numbers[1] <= 0).any():
            raise ValueError('Statistics must be finite and every scale positive.')

    @classmethod
    def of(cls, samples: Float[np.ndarray, 'samples numbers']) -> 'Statistics':
        """Returns mean and standard deviation; what never changes keeps its unit (scale 1)."""
        # Sums of many float32 drift: a constant would get a deviation of its own.
        samples = np.asarray(samples, np.float64)
        deviation = samples.std(0)
        scale = np.where(deviation > CONSTANT, deviation, 1.0)
        return cls(tuple(samples.mean(0).tolist()), tuple(scale.tolist()))


@dataclass(frozen=True)
@checked
class EncoderConfig:
    """Size of a vision transformer; the defaults train on two CPU cores.

    Attributes:
        image_height: Rows of the pictures [px].
        image_width: Columns of the pictures [px].
        patch: Side of a patch [px].
        width: Channels of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        stem: Channels of the convolutions before the patches are cut, the first of stride 4,
            the others of stride 2; none is the plain ViT of MAE. They learn from few
            demonstrations what a plain ViT needs pretraining for (arXiv:2106.14881).
        stem_within_patches: Whether the stem sees each patch alone, as if its neighbours were of
            the mean colour. A masked autoencoder cuts the patches out before the stem, so only
            such a stem, or none, computes in use what it has learned.
    """

    image_height: int = setting(128, minimum=1)
    image_width: int = setting(128, minimum=1)
    patch: int = setting(16, minimum=1)
    width: int = setting(128, minimum=1)
    depth: int = setting(4, minimum=0)
    heads: int = setting(4, minimum=1)
    stem: tuple[int, ...] = setting((48, 96), minimum=1)
    stem_within_patches: bool = setting(False, later=True)

    def __post_init__(self) -> None:
        """Refuses sizes that do not divide, or are none."""
        if self.image_height % self.patch or self.image_width % self.patch:
            raise ValueError(
                f'A {self.image_width}x{self.image_height} picture cannot be cut into patches of '
                f'{self.patch} px; choose multiples of the patch.'
            )
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f'Encoder width {self.width} must be a multiple of 4 and of its '
                f'{self.heads} heads.'
            )
        if self.patch % self.stem_stride:
            raise ValueError(
                f'A stem of {len(self.stem)} convolutions has stride {self.stem_stride}, which '
                f'does not divide a patch of {self.patch} px.'
            )

    @property
    def stem_stride(self) -> int:
        """Pixels per pixel that the stem hands on."""
        return 2 ** (len(self.stem) + 1) if self.stem else 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.image_height // self.patch, self.image_width // self.patch


@dataclass(frozen=True)
@checked
class TrunkConfig:
    """Size of the trunk.

    Attributes:
        width: Channels of a token.
        depth: Transformer blocks.
        heads: Attention heads.
    """

    width: int = setting(128, minimum=1)
    depth: int = setting(3, minimum=0)
    heads: int = setting(4, minimum=1)

    def __post_init__(self) -> None:
        """Refuses heads that do not divide the width."""
        if self.width % self.heads:
            raise ValueError(f'Trunk width {self.width} is no multiple of {self.heads} heads.')


def check_sampling(encoder: EncoderConfig, sample_after: int) -> None:
    """Refuses a place of the sampling that an encoder does not have."""
    if not 0 <= sample_after <= encoder.depth:
        raise ValueError(
            f'sample_after is {sample_after}; the encoder has {encoder.depth} blocks.'
        )


@dataclass(frozen=True)
@checked
class PolicyConfig:
    """Everything that decides what a policy reads, computes and commands.

    Attributes:
        cameras: Names of the cameras, in order; the first one sets the pace.
        resolution: Width and height that the cameras publish [px].
        preparation: How each picture is brought to the encoder's size.
        joints: Names of the joints it reads, in order.
        uses_pose: Whether it reads the end-effector pose.
        velocity_window: Time over which joint velocities are measured [s]; 0 if it reads none.
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
        proprioception_statistics: Mean and scale of each number that `proprioception` gives.
        action_statistics: Mean and scale of each action, in the units of the action space.
        encoder: Sizes of the encoder.
        trunk: Sizes of the trunk.
        instruction: How it reads a sentence, see `read_instruction`.
        depth: Cameras that publish distances -> what their pictures show of them.
    """

    cameras: tuple[str, ...]
    resolution: tuple[int, int] = field(metadata={'unit': 'px', 'minimum': 1})
    preparation: ImagePreparation
    joints: tuple[str, ...]
    uses_pose: bool
    velocity_window: float = field(metadata={'unit': 's', 'minimum': 0})
    uses_command: bool
    action_space: ActionSpace
    relative: bool
    steps: int = field(metadata={'minimum': 1})
    period: float = field(metadata={'unit': 's', 'above': 0})
    reducer: str
    tokens: int = field(metadata={'minimum': 0})
    sample_after: int = field(metadata={'minimum': 0})
    conditioned: bool
    head: Literal['direct', 'continuing', 'flow']
    landmarks: int = field(metadata={'minimum': 0})
    proprioception_statistics: Statistics
    action_statistics: Statistics
    encoder: EncoderConfig
    trunk: TrunkConfig
    # Policies that were published before there was a choice hash words.
    instruction: Reader = 'hashed_words'
    depth: Mapping[str, DepthRange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses parts that do not fit each other."""
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
        check_sampling(self.encoder, self.sample_after)
        check_depth(self.depth, self.cameras)
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
            depth=self.depth,
        )

    @property
    def continues(self) -> bool:
        """Whether it takes the first steps of its chunk, where they are already decided."""
        return self.head != 'direct'

    @property
    def ensemble_decay(self) -> float | None:
        """None: its chunks are not averaged unless the user asks for it."""
        return None

    @property
    def dense_tokens(self) -> int:
        """Tokens per camera before sampling."""
        rows, columns = self.encoder.grid
        return rows * columns
