# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Folder of a checkpoint <-> its manifest: everything that must agree, without the weights."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import numpy as np
from jaxtyping import Float, UInt8

from ..files import structure, write_whole
from ..seeing.calibration import prepare_image
from ..seeing.camera_message import CameraIntrinsics
from ..seeing.camera_record import CameraRecord
from ..seeing.observation import Observation
from .instruction import hashable
from .policy_config import EncoderConfig, PolicyConfig
from .prediction import as_arrays


def golden_observation(config: PolicyConfig) -> Observation:
    """Returns a made-up observation that is the same on every machine."""
    images = {
        camera: prepare_image(
            golden_picture(*config.resolution, index),
            config.preparation,
            golden_camera(*config.resolution),
        )
        for index, camera in enumerate(config.cameras)
    }
    mean = np.array(config.proprioception_statistics.mean)
    of_joints = iter(mean[9 * config.uses_pose :].reshape(-1, max(len(config.joints), 1)))
    pose = np.array([*mean[:3], 0, 0, 0, 1.0]) if config.uses_pose else None
    return Observation(
        images=images,
        joints=next(of_joints) if config.joints else np.empty(0),
        pose=pose,
        instruction='golden observation',
        time=0.0,
        velocities=next(of_joints) if config.velocity_window else None,
        command=next(of_joints) if config.uses_command else None,
    )


def golden_picture(width: int, height: int, index: int) -> UInt8[np.ndarray, 'height width 3']:
    """Returns a made-up picture [px]; another one for each `index`."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [(7 * x + 3 * y) % 256, (x * y // 8 + 40 * index) % 256, (x ^ y) % 256]
    return np.stack(channels, -1).astype(np.uint8)


def golden_camera(width: int, height: int) -> CameraIntrinsics:
    """Returns a made-up camera that bends lines, for policies that see rectified pictures."""
    matrix = np.array([[width, 0, 0.5 * width], [0, width, 0.5 * height], [0, 0, 1.0]])
    return CameraIntrinsics(
        width, height, matrix, 'plumb_bob', np.array([-0.2, 0.05, 0.001, -0.001, 0.0])
    )


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
        weights_sha256: Hash of the weights file.
        encoder_sha256: Hash of the encoder's tensors alone, by `hash_tensors`.
        statistics_sha256: Hash of the normalisation statistics.
        golden_input_sha256: Hash of the tensors that the golden observation becomes.
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


def write_checkpoint(folder: Path, weights: str, data: bytes, manifest: object) -> None:
    """Puts a weights file and, after it, the manifest in place.

    Raises:
        FileExistsError: `check_kind` refuses the folder.
    """
    check_kind(folder, weights)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / weights, data)
    write_manifest(folder, manifest)


def check_kind(folder: Path, weights: str) -> None:
    """Checks that a folder, where one is there, may get a checkpoint with weights of this name.

    Raises:
        FileExistsError: It holds a checkpoint of another kind, which would be lost.
    """
    if is_lerobot(folder):
        raise FileExistsError(
            f'{folder} holds a policy of lerobot, whose files would be lost; name a new folder.'
        )
    if (folder / MANIFEST).exists() and not (folder / weights).exists():
        raise FileExistsError(
            f'{folder} holds another kind of checkpoint, without {weights}; name a new folder.'
        )


def write_manifest(folder: Path, manifest: object) -> None:
    """Puts a manifest in place, whole or not at all."""
    text = json.dumps(cattrs.unstructure(manifest), indent=1)
    write_whole(folder / MANIFEST, text)


def is_lerobot(folder: Path) -> bool:
    """Returns whether a folder holds a policy as lerobot saves one, adopted or not."""
    try:
        content = json.loads((folder / 'config.json').read_text('utf-8'))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {'type', 'input_features'} <= content.keys()


def load_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest of a policy alone; see `read_manifest`."""
    return read_manifest(folder, Manifest, WEIGHTS)


def read_manifest(folder: Path, kind: type[AnyManifest], weights: str) -> AnyManifest:
    """Reads and checks the manifest of a folder.

    Args:
        folder: Folder of the checkpoint.
        kind: The dataclass that it must fill; its format is FORMAT.
        weights: Name of the weights file beside it.

    Raises:
        BadCheckpoint: It is missing, unreadable, incomplete or of another version.
    """
    path = folder / MANIFEST
    if folder.is_file():
        raise BadCheckpoint(f'{folder} is a file; name the folder that holds {MANIFEST}.')
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        if is_lerobot(folder):
            raise BadCheckpoint(
                f'{folder} holds a policy of lerobot, and this takes policies of this package '
                'only. Once `gridsampler adopt` has described its robot, check, evaluate, '
                'success, train --base and the policy node take it.'
            ) from None
        raise BadCheckpoint(
            f'{folder} has no {MANIFEST}; a checkpoint is a folder with {MANIFEST} and {weights}.'
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}. Copy the folder again.') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        version = content.get('format') if isinstance(content, dict) else None
        raise BadCheckpoint(
            f'{path} has format {version}, this package reads {FORMAT}; use the package version '
            'that wrote it.'
        )
    # Fields of the manifest itself that have a default came later than the format.
    content = _defaults(kind) | content
    # The same for those of a policy.
    if isinstance(policy := content.get('policy'), dict):
        content['policy'] = _defaults(PolicyConfig) | policy
    for owner in (content, content.get('policy')):
        if isinstance(owner, dict) and isinstance(encoder := owner.get('encoder'), dict):
            owner['encoder'] = _later(EncoderConfig) | encoder
    try:
        manifest = structure(content, kind)
    except ValueError as error:
        raise BadCheckpoint(f'{path} does not describe {weights}: {error}.') from error
    # A field that is missing would silently take its default.
    if json.loads(json.dumps(cattrs.unstructure(manifest))) != content:
        raise BadCheckpoint(
            f'{path} lacks fields or has values of another type; restore the file.'
        )
    return manifest


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The fields that have a default, with it."""
    made = {f.name: f.default_factory() for f in fields(kind) if f.default_factory is not MISSING}
    return made | {f.name: f.default for f in fields(kind) if f.default is not MISSING}


def _later(kind: type[Any]) -> dict[str, Any]:
    """The fields that came later than the format, with what was the case before them."""
    return {f.name: f.default for f in fields(kind) if f.metadata.get('later')}


def check_inputs(folder: Path, manifest: Manifest) -> None:
    """Refuses changed statistics, and an installation that prepares its inputs differently.

    Raises:
        BadCheckpoint: Either does not agree.
    """
    if hash_statistics(manifest.policy) != manifest.statistics_sha256:
        raise BadCheckpoint(
            f'The normalisation statistics in {folder / MANIFEST} were changed after training; '
            'restore the file.'
        )
    if hash_golden_input(manifest.policy) != manifest.golden_input_sha256:
        raise BadCheckpoint(
            f'The golden observation of {folder} becomes other numbers here than in training: '
            'this installation prepares pictures, joints or words differently. Install the '
            'versions that the manifest names under "training".'
        )


def check_golden_actions(
    folder: Path, manifest: Manifest, actions: Float[np.ndarray, 'steps actions']
) -> None:
    """Refuses a policy that makes another chunk of the golden observation.

    Raises:
        BadCheckpoint: It is too far off.
    """
    scale = np.array(manifest.policy.action_statistics.scale)
    golden = golden_chunk(folder / MANIFEST, manifest.golden_actions, actions.shape)
    off = np.abs((actions - golden) / scale).max()
    if not off <= GOLDEN_TOLERANCE:
        raise BadCheckpoint(
            f'The golden observation of {folder} gives another chunk here than in training: off '
            f'by {off:.2g} standard deviations, {GOLDEN_TOLERANCE:.2g} are allowed.'
        )


def golden_chunk(
    path: Path, rows: Sequence[Sequence[float]], shape: tuple[int, ...]
) -> Float[np.ndarray, 'steps actions']:
    """Returns the golden chunk that a file holds.

    Args:
        path: The file, for the text.
        rows: What it holds.
        shape: Steps and actions of the policy's chunks.

    Raises:
        BadCheckpoint: It is the chunk of another policy.
    """
    if (len(rows), *{len(row) for row in rows}) != shape:
        raise BadCheckpoint(
            f'The golden chunk of {path} does not have the shape {shape} of the chunks of its '
            'policy; restore the file.'
        )
    return np.array(rows)


def hash_statistics(config: PolicyConfig) -> str:
    """Returns the sha256 of the normalisation statistics."""
    numbers = (config.proprioception_statistics, config.action_statistics)
    return hashlib.sha256(json.dumps(cattrs.unstructure(numbers)).encode()).hexdigest()


def hash_golden_input(config: PolicyConfig) -> str:
    """Returns the sha256 of the arrays that the golden observation becomes on this machine."""
    digest = hashlib.sha256()
    observation = golden_observation(config)
    images, body, _ = as_arrays(config, observation)
    words = hashable(config.instruction, observation.instruction)
    for array in (images, body, words):
        digest.update(array.tobytes())
    return digest.hexdigest()
