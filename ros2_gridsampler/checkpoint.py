# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy <-> one folder: weights, and a manifest of everything that must agree."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from .camera_record import CameraRecord
from .golden_observation import golden_observation as golden_observation
from .policy import Policy, PolicyConfig, as_tensors

FORMAT = 1
WEIGHTS = 'policy.safetensors'
MANIFEST = 'manifest.json'
# The reference chunk was computed by another machine's arithmetic.
GOLDEN_TOLERANCE = 2e-3


AnyManifest = TypeVar('AnyManifest')


class BadCheckpoint(ValueError):
    """A checkpoint folder that must not drive an arm; the text says what to do."""


@dataclass(frozen=True)
class Manifest:
    """What must agree between training and deployment.

    Attributes:
        format: Version of this layout.
        policy: Cameras, joints, action space, statistics, architecture.
        weights_sha256: Of the weights file.
        encoder_sha256: Of the encoder's tensors alone, see `hash_tensors`.
        statistics_sha256: Of the normalisation statistics.
        golden_input_sha256: Of the tensors that the golden observation becomes.
        golden_actions: The chunk that it must give, physical units.
        training: Data, seeds, commands.
        results: Measured success, with sample sizes.
        cameras: Name -> what the live camera is compared with; may lack any.
    """

    format: int
    policy: PolicyConfig
    weights_sha256: str
    encoder_sha256: str
    statistics_sha256: str
    golden_input_sha256: str
    golden_actions: tuple[tuple[float, ...], ...]
    training: dict[str, Any]
    results: dict[str, Any]
    cameras: dict[str, CameraRecord] = field(default_factory=dict)


def save_checkpoint(
    policy: Policy,
    folder: Path,
    *,
    training: dict[str, Any],
    results: dict[str, Any],
    cameras: Mapping[str, CameraRecord] | None = None,
) -> None:
    """Write weights (float16) and manifest; the manifest last, so a cut write is noticed.

    Args:
        policy: Its parameters are rounded to float16, as the file holds them.
        folder: Created where needed.
        training: Data, seeds, commands; JSON.
        results: Measured; JSON.
        cameras: What is known of them.
    """
    policy = policy.eval()
    for tensor in policy.state_dict().values():
        tensor.copy_(tensor.half())
    data = save({name: tensor.half().contiguous() for name, tensor in policy.state_dict().items()})
    inputs = as_tensors(policy.config, golden_observation(policy.config))
    with torch.inference_mode():
        actions = policy(*inputs)[0][0]
    manifest = Manifest(
        FORMAT,
        policy.config,
        hashlib.sha256(data).hexdigest(),
        hash_tensors(policy.encoder.state_dict()),
        _statistics_hash(policy.config),
        _hash_inputs(inputs),
        tuple(tuple(row) for row in actions.tolist()),
        training,
        results,
        dict(cameras or {}),
    )
    write_checkpoint(folder, WEIGHTS, data, manifest)


def write_checkpoint(folder: Path, weights: str, data: bytes, manifest: object) -> None:
    """Put a weights file and, after it, the manifest in place."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / weights, data)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: object) -> None:
    """Put a manifest in place, whole or not at all."""
    text = json.dumps(cattrs.unstructure(manifest), indent=1)
    _replace(folder / MANIFEST, text.encode())


def load_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a policy alone; see `read_manifest`."""
    return read_manifest(folder, Manifest, WEIGHTS)


def read_manifest(folder: Path, kind: type[AnyManifest], weights: str) -> AnyManifest:
    """Read and check the manifest of a folder.

    Args:
        folder: Of the checkpoint.
        kind: The dataclass that it must fill; its format is FORMAT.
        weights: Name of the weights file beside it.

    Raises:
        BadCheckpoint: It is missing, unreadable, incomplete or of another version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadCheckpoint(
            f'{folder} has no {MANIFEST}; a checkpoint is a folder with {MANIFEST} and {weights}.'
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}. Copy the folder again.') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        version = content.get('format') if isinstance(content, dict) else None
        raise BadCheckpoint(
            f'{path} has format {version}, this package reads {FORMAT}; use the package version '
            'that wrote it.'
        )
    # Fields of the manifest itself that have a default came later than the format.
    later = {
        each.name: each.default_factory()
        for each in fields(kind)  # type: ignore[arg-type]
        if each.default_factory is not MISSING
    }
    content = later | content
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        manifest = converter.structure(content, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        problems = '; '.join(cattrs.transform_error(error))
        raise BadCheckpoint(f'{path} does not describe {weights}: {problems}.') from error
    # A field that is missing would silently take its default.
    if json.loads(json.dumps(cattrs.unstructure(manifest))) != content:
        raise BadCheckpoint(
            f'{path} lacks fields or has values of another type; restore the file.'
        )
    return manifest


def load_checkpoint(folder: Path) -> tuple[Policy, Manifest]:
    """Read a policy, believe it only after every hash and its golden chunk.

    Raises:
        BadCheckpoint: Anything does not agree.
    """
    manifest = load_manifest(folder)
    config = manifest.policy
    if _statistics_hash(config) != manifest.statistics_sha256:
        raise BadCheckpoint(
            f'The normalisation statistics in {folder / MANIFEST} were changed after training; '
            'restore the file.'
        )
    policy = Policy(config).eval()
    load_weights(policy, folder / WEIGHTS, manifest.weights_sha256)
    if hash_tensors(policy.encoder.state_dict()) != manifest.encoder_sha256:
        raise BadCheckpoint(f'The encoder in {folder} is not the one that the manifest names.')
    inputs = as_tensors(config, golden_observation(config))
    if _hash_inputs(inputs) != manifest.golden_input_sha256:
        raise BadCheckpoint(
            f'The golden observation of {folder} becomes other tensors here than in training: '
            'this installation prepares pictures, joints or words differently. Install the '
            'versions that the manifest names under "training".'
        )
    with torch.inference_mode():
        actions = policy(*inputs)[0][0].numpy()
    scale = np.array(config.action_statistics.scale)
    difference = np.abs((actions - np.array(manifest.golden_actions)) / scale).max()
    if not difference <= GOLDEN_TOLERANCE:
        raise BadCheckpoint(
            f'The golden observation of {folder} gives another chunk here than in training: off '
            f'by {difference:.2g} standard deviations, {GOLDEN_TOLERANCE:.2g} are allowed.'
        )
    return policy, manifest


def load_weights(model: nn.Module, path: Path, sha256: str) -> None:
    """Fill a model from a safetensors file, believed only after its hash.

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
        model.load_state_dict(load(data), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise BadCheckpoint(f'{path} does not fit its manifest: {error}') from error


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """sha256 over names, shapes and float16 values, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].half().contiguous()
        digest.update(f'{name}{tuple(tensor.shape)}'.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _statistics_hash(config: PolicyConfig) -> str:
    numbers = (config.proprioception_statistics, config.action_statistics)
    return hashlib.sha256(json.dumps(cattrs.unstructure(numbers)).encode()).hexdigest()


def _hash_inputs(inputs: tuple[Tensor, ...]) -> str:
    digest = hashlib.sha256()
    for tensor in inputs:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + '.partial')
    partial.write_bytes(data)
    partial.replace(path)
