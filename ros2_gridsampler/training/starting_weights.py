# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint or a pretrained encoder -> the weights that a training starts from."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..encoders.encoder_checkpoint import load_encoder
from ..policy.checkpoint import load_checkpoint
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig


def start_from(policy: Policy, folder: Path) -> None:
    """Take over every weight of a checkpoint but the statistics.

    The reducer's weights are taken where both have the same one at the same place, the stem's
    where it has the same channels; else they begin afresh.

    Raises:
        ValueError: Another part of the checkpoint has another architecture.
    """
    own, source = policy.state_dict(), load_checkpoint(folder)[0]
    left = ['action_head.units.', 'body_units.']
    if _reducer(policy.config) != _reducer(source.config):
        left.append('reducer.')
    if policy.config.encoder.stem != source.config.encoder.stem:
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
    """Begin with a pretrained encoder.

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


def _reducer(config: PolicyConfig) -> tuple[str, int, int, bool]:
    return config.reducer, config.tokens, config.sample_after, config.conditioned
