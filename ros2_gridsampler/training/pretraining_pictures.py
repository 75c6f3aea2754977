# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Log lines and reconstructions of a pretraining run -> pictures of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from .mi_mae import MiMae, draw_masks, patch_pixels


def draw_losses(lines: Sequence[dict[str, float]], path: Path) -> None:
    """One curve per loss, each on an axis of its own."""
    names = [name for name in lines[-1] if name != 'step'] if lines else []
    figure = Figure(figsize=(4 * max(len(names), 1), 3), layout='constrained')
    for index, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), index + 1)
        axes.plot([line['step'] for line in lines], [line[name] for line in lines])
        axes.set_title(name)
        axes.set_xlabel('step')
    figure.savefig(path, dpi=100)


@torch.inference_mode()
def draw_reconstructions(
    model: MiMae, images: UInt8[Tensor, 'images height width 3'], path: Path
) -> None:
    """Rows: the pictures, what one mask leaves of them, what the decoder makes of that.

    The decoder predicts normalised patches; mean and deviation are put back from the picture.
    """
    config = model.config
    places = torch.from_numpy(draw_masks(len(images), config, np.random.default_rng(0))[:, :1])
    target = patch_pixels(images, config.encoder.patch)
    deviation, mean = torch.std_mean(target, -1, keepdim=True)
    predicted = model.decoder(model.encoder.sparse(images, places[:, 0]), places[:, 0]).float()
    visible = torch.zeros(target.shape[:2], dtype=torch.bool).scatter(1, places[:, 0], True)
    filled = torch.where(visible[..., None], target, predicted * deviation + mean)
    masked = torch.where(visible[..., None], target, torch.full_like(target, 0.5))
    figure = Figure(figsize=(1.6 * len(images), 5), layout='constrained')
    for row, patches in enumerate((target, masked, filled)):
        pictures = join_patches(patches, *config.encoder.grid, config.encoder.patch)
        for column, picture in enumerate(pictures.clip(0, 1).numpy()):
            axes = figure.add_subplot(3, len(images), row * len(images) + column + 1)
            axes.imshow(picture)
            axes.set_axis_off()
    figure.savefig(path, dpi=100)


def join_patches(
    patches: Float[Tensor, 'images patches numbers'], rows: int, columns: int, side: int
) -> Float[Tensor, 'images height width 3']:
    """The inverse of `patch_pixels`."""
    tiles = patches.view(-1, rows, columns, side, side, 3).transpose(2, 3)
    return tiles.reshape(-1, rows * side, columns * side, 3)
