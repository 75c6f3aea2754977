# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""MAE weights as facebookresearch/mae, timm or transformers keep them -> our encoder."""

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
_UNUSED = re.compile(r'(decoder_|mask_token|head\.|fc_norm\.|head_drop|pooler\.)')
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


# Names of transformers' ViTMAE and ViT, before its version 5 and since -> those of MAE.
_TRANSFORMERS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r'^vit\.', ''),
        (r'^decoder\.', 'decoder_'),
        (r'^classifier\.', 'head.'),
        (r'^embeddings\.cls_token$', 'cls_token'),
        (r'^embeddings\.position_embeddings$', 'pos_embed'),
        (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
        (r'^layernorm\.', 'norm.'),
        (r'^(?:encoder\.)?layers?\.(\d+)\.', r'blocks.\1.'),
        (r'\.layernorm_before\.', '.norm1.'),
        (r'\.layernorm_after\.', '.norm2.'),
        (r'\.attention\.attention\.(query|key|value)\.', r'.attn.\1.'),
        (r'\.attention\.q_proj\.', '.attn.query.'),
        (r'\.attention\.k_proj\.', '.attn.key.'),
        (r'\.attention\.v_proj\.', '.attn.value.'),
        (r'\.attention\.(?:output\.dense|o_proj)\.', '.attn.proj.'),
        (r'\.intermediate\.dense\.', '.mlp.fc1.'),
        (r'\.output\.dense\.', '.mlp.fc2.'),
    )
)


# Classes in which training runs keep their settings; to make one of them runs no other code.
_INERT = ('argparse.Namespace', 'pathlib.PosixPath')


class NotAnEncoder(ValueError):
    """A file whose tensors are no plain ViT; the text says which."""


@dataclass(frozen=True)
class Imported:
    """An encoder and what was done to get it.

    Attributes:
        encoder: Ready.
        grid: Rows and columns of the published position embeddings.
        unused: Names that were left out.
        last_norm: Tensors that the last norm is made of.
    """

    encoder: Encoder
    grid: tuple[int, int]
    unused: tuple[str, ...]
    last_norm: str = 'norm'


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
        if others := _other_objects(path):
            raise NotAnEncoder(_keep_tensors(path, others)) from error
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
    return of_transformers(tensors)


def of_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors by MAE's names, where transformers named them; others as they are."""
    if not any(name.endswith('embeddings.patch_embeddings.projection.weight') for name in tensors):
        return tensors
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, ours in _TRANSFORMERS:
            name = pattern.sub(ours, name)
        renamed[name] = tensor
    for name in [name for name in renamed if '.attn.query.' in name]:
        three = [name.replace('.query.', f'.{part}.') for part in ('query', 'key', 'value')]
        if missing := [part for part in three if part not in renamed]:
            raise NotAnEncoder(f'The file lacks {missing}, and is no whole ViT.')
        joined = torch.cat([renamed.pop(part) for part in three])
        renamed[name.replace('.query.', '.qkv.')] = joined
    return renamed


def _other_objects(path: Path) -> list[str]:
    """Returns the classes of a PyTorch file that are neither tensors nor plain values."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # it is no such file
        return []


def _keep_tensors(path: Path, others: list[str]) -> str:
    """Returns the sentence that says how to leave everything but tensors out of a file."""
    held = f'{path} holds {", ".join(others)} beside its tensors; tensors only are read.'
    if not set(others) <= set(_INERT):
        return (
            f'{held} Save the tensors alone where the file was made: '
            'torch.save(model.state_dict(), FILE).'
        )
    out = path.with_name(f'{path.stem}_tensors.pth')
    return (
        f'{held} Keep them alone: python -c "import argparse, pathlib, torch; '
        f'torch.serialization.add_safe_globals([{", ".join(_INERT)}]); '
        f"c = torch.load('{path}', map_location='cpu', weights_only=True); "
        f"torch.save(c.get('model', c.get('state_dict', c)), '{out}')\"; then import {out}."
    )


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
        tensors: Tensors by the names of facebookresearch/mae, which timm shares. A model that
            was fine-tuned on the mean of its tokens has `fc_norm` in place of `norm`; here it
            then normalises each token, as it did their mean.
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
    last_norm = 'norm'
    if 'norm.weight' not in tensors and 'fc_norm.weight' in tensors:
        last_norm = 'fc_norm'
        tensors = {re.sub(r'^fc_norm\.', 'norm.', name): t for name, t in tensors.items()}
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
        if not found[name].is_floating_point() or found[name].itemsize < 2:
            raise NotAnEncoder(
                f'{name} holds {found[name].dtype}, which means nothing without the scales of its '
                'quantisation; give the weights in floating point.'
            )
        if not torch.isfinite(found[name]).all():
            raise NotAnEncoder(f'{name} holds numbers that are not finite.')
    encoder.load_state_dict({name: found[name].float() for name in wanted})
    return Imported(encoder.eval(), grid, unused, last_norm)


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
