# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Published MAE weights of facebookresearch/mae or timm -> an encoder of this package."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..policy.encoder import Encoder
from ..policy.policy_config import EncoderConfig

# Wrappers that publishers put around the tensors.
_WRAPPERS = ('model', 'state_dict', 'module')
_PREFIXES = ('module.', 'encoder.', 'backbone.', 'base_model.')
# What pretraining or classification needs and an encoder has not.
_UNUSED = re.compile(r'(decoder_|mask_token|head\.|fc_norm\.|head_drop)')
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


class NotAnEncoder(ValueError):
    """A file whose tensors are no plain ViT; the text says which."""


@dataclass(frozen=True)
class Imported:
    """An encoder and what was done to get it.

    Attributes:
        encoder: Ready.
        grid: Rows and columns of the published position embeddings.
        unused: Names that were left out.
    """

    encoder: Encoder
    grid: tuple[int, int]
    unused: tuple[str, ...]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a `.safetensors` file, or of a `.pth` file with tensors only.

    Raises:
        NotAnEncoder: It holds anything else, or cannot be read.
    """
    content: Any
    try:
        if path.suffix == '.safetensors':
            content = _safe(path)
        else:
            with warnings.catch_warnings():
                # An unusual protocol is refused below, or read; there is nothing to warn of.
                warnings.simplefilter('ignore')
                content = torch.load(path, map_location='cpu', weights_only=True)
    except (OSError, NotAnEncoder):
        raise
    except Exception as error:  # a foreign file ends PyTorch's reader in any way at all
        # Not its words: they advise to unpickle.
        raise NotAnEncoder(
            f'{path} cannot be read ({type(error).__name__}). Give a .safetensors file, or a .pth '
            'file with tensors only.'
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise NotAnEncoder(f'{path} holds no state dict.')
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if any(name.startswith(f'{prefix}blocks.') for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _safe(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise NotAnEncoder(
            f'{path} cannot be read: {str(error)[:300]}. Give a .safetensors file, or a .pth file '
            'with tensors only.'
        ) from error


def import_encoder(
    tensors: dict[str, Tensor], image_height: int, image_width: int, heads: int = 0
) -> Imported:
    """Builds the encoder that the shapes tell, for pictures of a size.

    Args:
        tensors: Tensors by the names of facebookresearch/mae, which timm shares.
        image_height: Height of the robot's pictures [px].
        image_width: Width of the robot's pictures [px].
        heads: Number of attention heads, which no shape tells; 0 for what ViTs of that width have.

    Raises:
        NotAnEncoder: A tensor is missing, too many, or of another shape.
    """
    for name in ('patch_embed.proj.weight', 'pos_embed', 'cls_token'):
        if name not in tensors:
            raise NotAnEncoder(
                f'{name} is missing among {sorted(tensors)[:5]}...; the file is no plain ViT '
                'with a class token in the naming of facebookresearch/mae or timm.'
            )
    kernel, positions = tensors['patch_embed.proj.weight'], tensors['pos_embed']
    if kernel.ndim != 4 or kernel.shape[1] != 3 or kernel.shape[2] != kernel.shape[3]:
        raise NotAnEncoder(
            f'patch_embed.proj.weight has shape {tuple(kernel.shape)}, expected [width, 3, patch, '
            'patch].'
        )
    width, patch = kernel.shape[0], kernel.shape[2]
    numbers = {int(m[1]) for name in tensors if (m := re.match(r'blocks\.(\d+)\.', name))}
    if numbers != set(range(len(numbers))) or not numbers:
        raise NotAnEncoder(f'The blocks are numbered {sorted(numbers)}, expected 0, 1, 2 ...')
    if not heads and width not in _HEADS:
        raise NotAnEncoder(f'A ViT of width {width} is not known here; give its number of heads.')
    config = EncoderConfig(
        image_height=image_height,
        image_width=image_width,
        patch=patch,
        width=width,
        depth=len(numbers),
        heads=heads or _HEADS[width],
        stem=(),
    )
    grid = _grid(positions)
    found = {**tensors, 'pos_embed': resize_positions(positions, config.grid)}
    encoder = Encoder(config)
    wanted = encoder.state_dict()
    unused = tuple(sorted(name for name in found if name not in wanted))
    strange = [name for name in unused if not _UNUSED.match(name)]
    missing = sorted(set(wanted) - set(found))
    if missing or strange:
        raise NotAnEncoder(
            f'The file lacks {missing[:3] or "nothing"} and has {strange[:3] or "nothing"} '
            'besides; it is another architecture than a plain ViT.'
        )
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise NotAnEncoder(
                f'{name} has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}.'
            )
        if not torch.isfinite(found[name]).all():
            raise NotAnEncoder(f'{name} holds numbers that are not finite.')
    encoder.load_state_dict({name: found[name].float() for name in wanted})
    return Imported(encoder.eval(), grid, unused)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Returns the position embeddings for another grid: bicubic, the class token's row as it is.

    Args:
        positions: [1, 1 + rows * columns, width] of a square grid.
        grid: Rows and columns wanted.
    """
    own = _grid(positions)
    if own == grid:
        return positions.float()
    first, rest = positions[:, :1].float(), positions[:, 1:].float()
    planes = rest.unflatten(1, own).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(planes, grid, mode='bicubic', align_corners=False)
    return torch.cat([first, resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def _grid(positions: Tensor) -> tuple[int, int]:
    side = round((positions.shape[1] - 1) ** 0.5) if positions.ndim == 3 else 0
    if side < 1 or side * side != positions.shape[1] - 1:
        raise NotAnEncoder(
            f'pos_embed has shape {tuple(positions.shape)}, expected [1, 1 + side * side, width].'
        )
    return side, side
