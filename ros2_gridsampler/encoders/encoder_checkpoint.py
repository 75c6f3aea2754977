# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Encoder <-> one folder: weights, and a manifest of how they came about and what they score."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from ..policy.checkpoint import hash_tensors, load_weights
from ..policy.encoder import Encoder
from ..policy.manifest import (
    FORMAT,
    GOLDEN_TOLERANCE,
    BadCheckpoint,
    golden_picture,
    read_manifest,
    write_checkpoint,
)
from ..policy.policy_config import EncoderConfig
from ..seeing.calibration import ImagePreparation

ENCODER_WEIGHTS = 'encoder.safetensors'


@dataclass(frozen=True)
class EncoderManifest:
    """What must agree wherever the encoder is used, and where it is from.

    Attributes:
        format: Version of this layout.
        encoder: Architecture.
        preparation: How the pictures of its training were prepared.
        method: 'mae', 'mi_mae' or another name of what trained it.
        loss_weights: Loss -> share in the objective.
        steps: Optimiser steps.
        compute: Operations of all forward passes of its training [FLOP].
        weights_sha256: Hash of the weights file.
        encoder_sha256: Hash of the tensors by `hash_tensors`; a policy on it names the same.
        golden_features: Mean token that the golden picture must give.
        training: Data, seeds, versions.
        results: Measured, with sample sizes.
    """

    format: int
    encoder: EncoderConfig
    preparation: ImagePreparation
    method: str
    loss_weights: dict[str, float]
    steps: int
    compute: float
    weights_sha256: str
    encoder_sha256: str
    golden_features: tuple[float, ...]
    training: dict[str, Any]
    results: dict[str, Any]


def save_encoder(
    encoder: Encoder,
    folder: Path,
    *,
    preparation: ImagePreparation,
    method: str,
    loss_weights: dict[str, float],
    steps: int,
    compute: float,
    training: dict[str, Any],
    results: dict[str, Any],
) -> None:
    """Writes weights (float16) and manifest.

    Args:
        encoder: Its parameters are rounded to float16, as the file holds them.
        folder: Folder to write, created where needed.
        preparation: How the pictures of its training were prepared.
        method: Name of what trained it.
        loss_weights: Loss -> its share in the objective.
        steps: Steps of the optimiser.
        compute: Forward operations of its training [FLOP].
        training: Data, seeds and versions, as JSON values.
        results: What was measured, as JSON values.
    """
    encoder = encoder.eval()
    for tensor in encoder.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    tensors = {
        name: _compact(tensor).clone(memory_format=torch.contiguous_format)
        for name, tensor in encoder.state_dict().items()
    }
    data = save(tensors)
    manifest = EncoderManifest(
        format=FORMAT,
        encoder=encoder.config,
        preparation=preparation,
        method=method,
        loss_weights=loss_weights,
        steps=steps,
        compute=compute,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        encoder_sha256=hash_tensors(encoder.state_dict()),
        golden_features=tuple(golden_features(encoder).tolist()),
        training=training,
        results=results,
    )
    write_checkpoint(folder, ENCODER_WEIGHTS, data, manifest)


def load_encoder_manifest(folder: Path) -> EncoderManifest:
    """Reads and checks the manifest alone.

    Raises:
        BadCheckpoint: It is missing, unreadable, incomplete or of another version.
    """
    return read_manifest(folder, EncoderManifest, ENCODER_WEIGHTS)


def load_encoder(folder: Path) -> tuple[Encoder, EncoderManifest]:
    """Reads an encoder, and believes it only after every hash and its golden features.

    Raises:
        BadCheckpoint: Anything does not agree.
    """
    manifest = load_encoder_manifest(folder)
    encoder = Encoder(manifest.encoder).eval()
    load_weights(encoder, folder / ENCODER_WEIGHTS, manifest.weights_sha256)
    if hash_tensors(encoder.state_dict()) != manifest.encoder_sha256:
        raise BadCheckpoint(f'The encoder in {folder} is not the one that its manifest names.')
    expected = np.array(manifest.golden_features)
    found = golden_features(encoder)
    difference = np.abs(found - expected).max() if found.shape == expected.shape else np.inf
    if not difference <= GOLDEN_TOLERANCE * np.abs(expected).max():
        raise BadCheckpoint(
            f'The golden picture gives other features in {folder} than in its training: off by '
            f'{difference:.2g}. Use the package version that wrote it.'
        )
    return encoder, manifest


@torch.inference_mode()
def golden_features(encoder: Encoder) -> Float[np.ndarray, ' width']:
    """Returns the mean token of a made-up picture that is the same on every machine."""
    config = encoder.config
    picture = golden_picture(config.image_width, config.image_height, 0)
    return encoder(torch.from_numpy(picture)[None]).mean((0, 1, 2)).double().numpy()


def _compact(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
