# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint or a pretrained encoder -> the weights that a training starts from."""

from pathlib import Path

from ..checkpoint import load_checkpoint
from ..encoder_checkpoint import load_encoder
from ..policy import Policy


def start_from(policy: Policy, folder: Path) -> None:
    """Take over every weight of a checkpoint but the reducer's and the statistics.

    Raises:
        ValueError: Another part of the checkpoint has another architecture.
    """
    own = policy.state_dict()
    weights = {
        name: tensor
        for name, tensor in load_checkpoint(folder)[0].state_dict().items()
        if not name.startswith(('reducer.', 'action_head.units.', 'body_units.'))
    }
    for name, tensor in weights.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(
                f'{folder} has {name} of shape {tuple(tensor.shape)}, the recipe asks for '
                f'{tuple(own[name].shape) if name in own else "no such tensor"}; start from a '
                'policy of the same encoder, trunk and head.'
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
