# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy <-> one folder: weights, and a manifest of everything that must agree."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..seeing.camera_record import CameraRecord
from .action_head import Normaliser
from .manifest import (
    FORMAT,
    WEIGHTS,
    BadCheckpoint,
    Manifest,
    check_golden_actions,
    check_inputs,
    golden_observation,
    hash_golden_input,
    hash_statistics,
    load_manifest,
    write_checkpoint,
)
from .policy import Policy, as_tensors


def save_checkpoint(
    policy: Policy,
    folder: Path,
    *,
    training: dict[str, Any],
    results: dict[str, Any],
    cameras: Mapping[str, CameraRecord] | None = None,
) -> None:
    """Writes weights and manifest; the manifest last, so a cut write is noticed.

    Args:
        policy: Its weights are rounded to float16, as the file holds them; the statistics of its
            inputs and actions are not, for some joints hardly move beside where they are.
        folder: Created where needed.
        training: Data, seeds, commands; JSON.
        results: Measured; JSON.
        cameras: What is known of them.
    """
    policy = policy.eval()
    exact = {
        f'{name}.{what}'
        for name, module in policy.named_modules()
        if isinstance(module, Normaliser)
        for what in ('mean', 'scale')
    }
    stored: dict[str, Tensor] = {}
    for name, tensor in policy.state_dict().items():
        stored[name] = tensor.contiguous() if name in exact else tensor.half().contiguous()
        tensor.copy_(stored[name])
    data = save(stored)
    inputs = as_tensors(policy.config, golden_observation(policy.config))
    with torch.inference_mode():
        actions = policy(*inputs)[0][0]
    manifest = Manifest(
        format=FORMAT,
        policy=policy.config,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        encoder_sha256=hash_tensors(policy.encoder.state_dict()),
        statistics_sha256=hash_statistics(policy.config),
        golden_input_sha256=hash_golden_input(policy.config),
        golden_actions=tuple(tuple(row) for row in actions.tolist()),
        training=training,
        results=results,
        cameras=dict(cameras or {}),
    )
    write_checkpoint(folder, WEIGHTS, data, manifest)


def load_checkpoint(folder: Path) -> tuple[Policy, Manifest]:
    """Reads a policy, and believes it only after every hash and its golden chunk.

    Raises:
        BadCheckpoint: Anything does not agree.
    """
    manifest = load_manifest(folder)
    config = manifest.policy
    check_inputs(folder, manifest)
    policy = Policy(config).eval()
    load_weights(policy, folder / WEIGHTS, manifest.weights_sha256)
    if hash_tensors(policy.encoder.state_dict()) != manifest.encoder_sha256:
        raise BadCheckpoint(f'The encoder in {folder} is not the one that the manifest names.')
    inputs = as_tensors(config, golden_observation(config))
    with torch.inference_mode():
        check_golden_actions(folder, manifest, policy(*inputs)[0][0].numpy())
    return policy, manifest


def load_weights(model: nn.Module, path: Path, sha256: str) -> None:
    """Fills a model from a safetensors file, believed only after its hash.

    Raises:
        BadCheckpoint: The file cannot be read, was changed, or belongs to another model.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}.') from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BadCheckpoint(
            f'{path} has sha256 {found[:12]}..., the manifest says {sha256[:12]}...; the file was '
            'changed or cut, copy it again.'
        )
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise BadCheckpoint(f'{path} does not fit its manifest: {error}') from error
    expected, there = (
        {(name, tensor.shape) for name, tensor in each.items()}
        for each in (model.state_dict(), tensors)
    )
    if wrong := sorted({name for name, _ in expected ^ there}):
        raise BadCheckpoint(
            f'{path} does not fit its manifest, which describes another architecture: '
            f'{len(wrong)} weights are missing, unknown or of another size, the first is '
            f'{wrong[0]!r}. Copy both files from one training.'
        )
    model.load_state_dict(tensors)


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """Returns the sha256 over names, shapes and float16 values, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].half().contiguous()
        digest.update(f'{name}{tuple(tensor.shape)}'.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
