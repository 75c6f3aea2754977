# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recipe and samples -> the policy as training begins: fresh, or from one that was trained."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ..datasets.episodes import EpisodeStore
from ..encoders.encoder_checkpoint import load_encoder
from ..encoders.encoder_store import default_folder
from ..encoders.known_encoders import find_encoder
from ..files import find
from ..policy.checkpoint import load_checkpoint
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig, Statistics
from .batches import offsets
from .recipe import TrainConfig


def new_policy(
    config: TrainConfig, store: EpisodeStore, training: Int[np.ndarray, ' training']
) -> Policy:
    """Returns the policy as training begins, the same in every process."""
    torch.manual_seed(config.seed)
    policy = Policy(policy_config(config, store, training))
    if config.start:
        start_from(policy, find('models', config.start))
    if config.pretrained:
        take_encoder(policy, find_encoder(config.pretrained, default_folder()))
    if config.frozen_encoder:
        policy.encoder.requires_grad_(False).eval()
    return policy


def policy_config(
    config: TrainConfig, store: EpisodeStore, training: Int[np.ndarray, ' samples']
) -> PolicyConfig:
    """Builds the policy that these bags call for."""
    episodes = config.episodes
    streams = episodes.observation
    preparations = list(streams.cameras.values())
    has_landmarks = bool(np.isfinite(store.landmarks).all())
    chunks = store.chunks[training]
    if config.relative:
        chunks = offsets(store, training, streams.origin)
    return PolicyConfig(
        depth=streams.depth,
        cameras=tuple(streams.cameras),
        resolution=streams.resolution,
        preparation=preparations[0],
        joints=streams.joints,
        uses_pose=streams.uses_pose,
        velocity_window=streams.velocity_window,
        uses_command=streams.uses_command,
        action_space=episodes.action_space,
        relative=config.relative,
        steps=episodes.steps,
        period=episodes.period,
        reducer=config.reducer,
        tokens=config.tokens,
        sample_after=config.sample_after,
        conditioned=config.conditioned,
        head=config.head,
        landmarks=store.landmarks.shape[1] if has_landmarks else 0,
        proprioception_statistics=Statistics.of(store.proprioception[training]),
        action_statistics=Statistics.of(chunks.reshape(-1, chunks.shape[-1])),
        encoder=config.encoder,
        trunk=config.trunk,
        instruction=config.instruction,
    )


def start_from(policy: Policy, folder: Path) -> None:
    """Takes over every weight of a checkpoint but the statistics.

    The reducer's weights are taken where both have the same one at the same place, the stem's
    where it has the same channels, the words' where both read sentences in the same way; else
    they begin afresh.

    Raises:
        ValueError: Another part of the checkpoint has another architecture.
    """
    own, source = policy.state_dict(), load_checkpoint(folder)[0]
    left = ['action_head.units.', 'body_units.']
    if _reducer(policy.config) != _reducer(source.config):
        left.append('reducer.')
    if policy.config.instruction != source.config.instruction:
        left.append('words.')
    if _stem(policy.config) != _stem(source.config):
        left.append('encoder.patch_embed.')
    weights = {
        name: tensor
        for name, tensor in source.state_dict().items()
        if not name.startswith(tuple(left))
    }
    asked = {name for name in own if not name.startswith(tuple(left))}
    for name in sorted(asked | set(weights)):
        if name not in own or name not in weights or own[name].shape != weights[name].shape:
            raise ValueError(
                f'{folder} has {_shape(name, weights)} as {name}, the recipe asks for '
                f'{_shape(name, own)}; start from a policy of the same encoder, trunk and head.'
            )
    policy.load_state_dict(own | weights)


def take_encoder(policy: Policy, folder: Path) -> None:
    """Begins with a pretrained encoder.

    Raises:
        ValueError: It is of another architecture, or saw pictures prepared in another way.
    """
    encoder, manifest = load_encoder(folder)
    config = policy.config
    for what, its, ours in (
        ('architecture', manifest.encoder, config.encoder),
        ('preparation', manifest.preparation, config.preparation),
    ):
        if its != ours:
            raise ValueError(f'{folder} has the {what} {its}, the recipe asks for {ours}.')
    policy.encoder.load_state_dict(encoder.state_dict())


def _shape(name: str, tensors: Mapping[str, Tensor]) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else 'no such tensor'


def _stem(config: PolicyConfig) -> tuple[tuple[int, ...], bool]:
    return config.encoder.stem, config.encoder.stem_within_patches


def _reducer(config: PolicyConfig) -> tuple[str, int, int, bool]:
    return config.reducer, config.tokens, config.sample_after, config.conditioned
