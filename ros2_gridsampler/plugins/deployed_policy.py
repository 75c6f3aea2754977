# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folder, ours or lerobot's -> what a node needs to drive an arm with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from ..action_chunk import ActionSpace
from ..backends import Backend
from ..calibrating.reference_views import load_reference_views
from ..camera_record import CameraRecord
from ..checkpoint import golden_observation, load_checkpoint
from ..observation import Observation, ObservationConfig
from ..policy import Policy
from .lerobot_checkpoint import is_lerobot
from .lerobot_policy import golden_observation as lerobot_example
from .lerobot_policy import load_lerobot_policy


class Cells(Protocol):
    """What drawing points asks of an encoder."""

    @property
    def patch(self) -> int:
        """Side of a cell [px]."""


class DeployedConfig(Protocol):
    """What a node asks of `PolicyConfig` or `LerobotConfig`."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names, in order."""

    @property
    def action_space(self) -> ActionSpace:
        """What it commands."""

    @property
    def observation(self) -> ObservationConfig:
        """The streams that it reads."""

    @property
    def period(self) -> float:
        """Time between two targets [s]."""

    @property
    def continues(self) -> bool:
        """Whether it takes the first steps of its chunk, where they are already decided."""

    @property
    def tokens(self) -> int:
        """Visual tokens kept per camera."""

    @property
    def dense_tokens(self) -> int:
        """Tokens per camera before sampling."""

    @property
    def encoder(self) -> Cells:
        """For drawing points."""


@dataclass(frozen=True)
class DeployedPolicy:
    """A policy that was verified and can predict.

    Attributes:
        config: What it reads and commands.
        backend: Predicts.
        example: An observation to warm up with.
        about: What people want to know of it: names, hashes, sizes.
        cameras: What is known of those of the training.
        views: Reference views of those that stand still.
    """

    config: DeployedConfig
    backend: Backend
    example: Observation
    about: dict[str, Any]
    cameras: Mapping[str, CameraRecord] = field(default_factory=dict)
    views: Mapping[str, UInt8[np.ndarray, 'height width 3']] = field(default_factory=dict)


def load_policy(
    folder: Path, backend: str, compute: Callable[[Policy], Backend]
) -> DeployedPolicy:
    """Load whatever checkpoint is in a folder, verified.

    Args:
        folder: A checkpoint of this package, or an adopted one of lerobot.
        backend: Name of the engine; lerobot's policies are computed by 'eager' only.
        compute: Makes that engine from a policy of this package.

    Raises:
        BadCheckpoint: The folder must not drive an arm; the text says why.
        ValueError: The backend cannot compute this policy.
    """
    if is_lerobot(folder):
        if backend != 'eager':
            raise ValueError(
                f"A lerobot policy is computed by lerobot itself: set backend to 'eager', got "
                f'{backend!r}.'
            )
        policy, adoption = load_lerobot_policy(folder)
        about = {'weights sha256': adoption.sha256['model.safetensors']}
        config = policy.config
        return DeployedPolicy(
            config, policy, lerobot_example(config), about | _describe(folder, config)
        )
    own, manifest = load_checkpoint(folder)
    example = golden_observation(own.config)
    hashes = {
        'weights sha256': manifest.weights_sha256,
        'encoder sha256': manifest.encoder_sha256,
        'statistics sha256': manifest.statistics_sha256,
    }
    return DeployedPolicy(
        own.config,
        compute(own),
        example,
        hashes | _describe(folder, own.config),
        manifest.cameras,
        load_reference_views(folder, manifest.cameras),
    )


def _describe(folder: Path, config: DeployedConfig) -> dict[str, Any]:
    return {
        'policy': folder.name,
        'cameras': list(config.cameras),
        'joints': list(config.observation.joints),
        'actions': list(config.action_space.names),
        'tokens per camera': config.tokens,
        'dense tokens per camera': config.dense_tokens,
    }
