# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Names of checkpoints, encoders and engines -> policies that are judged on a recording."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch

from ..device import torch_device
from ..encoders.encoder_checkpoint import load_encoder
from ..engines import Backend, load
from ..engines.engine import Settings
from ..policy.checkpoint import load_checkpoint
from ..policy.manifest import golden_observation
from ..vla.deployed_policy import keeps_encoder, load_policy
from .evaluation_config import PolicyChoice
from .policy_scores import Contestant


def load_contestant(choice: PolicyChoice) -> Contestant:
    """Reads a policy, exchanges its encoder, starts its engine.

    Raises:
        BadCheckpoint: A checkpoint is not fit to be used.
        ValueError: The encoder has another architecture, or there is no such engine or device.
    """
    if kept := keeps_encoder(choice.folder):
        return _as_deployed(choice, kept)
    # What an engine lacks it says itself.
    plain = choice.backend == 'eager' and torch_device(choice.device).type == 'cpu'
    policy, manifest = load_checkpoint(choice.folder)
    name, sha256 = choice.folder.resolve().name, manifest.encoder_sha256
    if choice.encoder is not None:
        encoder, its = load_encoder(choice.encoder)
        if its.encoder != manifest.policy.encoder:
            raise ValueError(
                f'The encoder {choice.encoder} is {its.encoder}, the policy {choice.folder} was '
                f'trained on {manifest.policy.encoder}; train the policy on this encoder.'
            )
        policy.encoder.load_state_dict(encoder.state_dict())
        name, sha256 = f'{name} with {choice.encoder.resolve().name}', its.encoder_sha256
    identity = {
        'name': name,
        'weights_sha256': manifest.weights_sha256,
        'encoder_sha256': sha256,
        'backend': choice.backend,
    }
    torch.set_num_threads(1)
    engine: Backend = policy
    if not plain:
        examples = [golden_observation(policy.config)]
        engine = load(
            policy, examples, backends=[choice.backend], device=choice.device, strict=True
        )
    return Contestant(name, engine, manifest.policy, identity)


def _as_deployed(choice: PolicyChoice, kept: str) -> Contestant:
    """Returns an adopted or a converted policy as the node would run it."""
    if choice.encoder is not None:
        raise ValueError(f'{kept} Leave the encoder {choice.encoder} away.')
    deployed = load_policy(choice.folder, choice.backend, None, Settings(device=choice.device))
    about, name = deployed.about, choice.folder.resolve().name
    identity = {
        'name': name,
        'weights_sha256': about['weights sha256'],
        'encoder_sha256': about.get('encoder sha256', ''),
        'backend': about['backend'],
    }
    return Contestant(name, deployed.backend, deployed.config, identity)


def load_contestants(choices: Sequence[PolicyChoice]) -> tuple[Contestant, ...]:
    """One policy, or two that are compared; two of one name are told apart."""
    loaded = [load_contestant(choice) for choice in choices]
    if len({contestant.name for contestant in loaded}) < len(loaded):
        parents = [choice.folder.resolve().parent.name for choice in choices]
        names = [
            f'{parent}/{c.name}' if parents[0] != parents[1] else f'{number}: {c.name}'
            for number, (c, parent) in enumerate(zip(loaded, parents, strict=True), 1)
        ]
        loaded = [
            replace(c, name=name, identity={**c.identity, 'name': name})
            for c, name in zip(loaded, names, strict=True)
        ]
    return tuple(loaded)


def refuse_other_streams(first: Contestant, other: Contestant) -> None:
    """Refuses to compare policies on one bag that read or command something else.

    Raises:
        ValueError: Names what differs.
    """
    mine, its = (
        {
            **asdict(policy.config.observation),
            'action_space': policy.config.action_space,
            'period': policy.config.period,
        }
        for policy in (first, other)
    )
    differing = [
        f'{name} {its[name]} instead of {value}'
        for name, value in mine.items()
        if its[name] != value
    ]
    if differing:
        raise ValueError(
            f'{other.name} reads or commands something else than {first.name}, namely '
            f'{"; ".join(differing)}. Only policies that read and command the same can be '
            'compared on one bag.'
        )
