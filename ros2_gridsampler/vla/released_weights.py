# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Weights of a published GridS variant -> a sampler that reads as that variant read.

The public code holds samplers that disagree about where a coordinate lies and whether the pooled
features are normalised; the weights do not say which they were trained with. So the convention is
named by whoever converts, written into the file, and asked for by whoever loads. Inside the map
the tokens are those of the variant. At the border the variants lose part of the feature; that is
corrected, unless the border is kept as released.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..files import hash_file
from ..policy.grid_sampler import PointReader, exact, read_bilinear

Convention = Literal['align_corners', 'align_corners_layer_norm', 'half_pixel_zero_padding']
Border = Literal['corrected', 'as_released']
_MODULES = {
    'scout_mlp': {'0': 'predict.0', '2': 'predict.2'},
    'coord_encoder': {'0': 'coordinate_embedding.0', '2': 'coordinate_embedding.2'},
}
_KINDS = {'kernel': 'weight', 'weight': 'weight', 'bias': 'bias'}


@dataclass(frozen=True)
class Release:
    """Where weights come from and how they are meant.

    Attributes:
        convention: 'align_corners' (a coordinate of 0 or 1 is the centre of a corner cell; no
            LayerNorm), the same with LayerNorm before the point predictor, or
            'half_pixel_zero_padding' (0 and 1 are the edges of the map, outside is zero).
        border: 'corrected' reads a map of ones as one everywhere; 'as_released' as the variant.
        source_sha256: Hash of the file that was converted.
    """

    convention: Convention
    border: Border = 'corrected'
    source_sha256: str = ''

    def __post_init__(self) -> None:
        """Refuses conventions that nobody published."""
        for value, known in ((self.convention, Convention), (self.border, Border)):
            if value not in get_args(known):
                raise ValueError(f'{value!r} is not known; use one of {list(get_args(known))}.')


class ReleasedSampler(PointReader):
    """GridS in the convention of a release; the points that it returns are in ours.

    Args:
        channels: Channels of the map.
        tokens: Points read per map (K).
        release: The convention.
    """

    def __init__(self, channels: int, tokens: int, release: Release) -> None:
        super().__init__(channels)
        self.release = release
        normalised = release.convention == 'align_corners_layer_norm'
        # Flax's epsilon; its scale and offset are folded into the layer that follows.
        norm = nn.LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.norm = norm if normalised else nn.Identity()
        self.predict = nn.Sequential(
            nn.Linear(channels, 512), nn.ReLU(), nn.Linear(512, 2 * tokens)
        )

    def forward(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        context: Float[Tensor, 'batch context'] | None = None,
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Predicts the points and reads them as the release does; as `GridSampler`."""
        half_pixel = self.release.convention == 'half_pixel_zero_padding'
        corrected = self.release.border == 'corrected'
        if half_pixel and not corrected:
            feature_map = _squeeze(feature_map)
        with exact(feature_map.device):
            pooled = self.norm(feature_map.mean((1, 2)).to(self._dtype))
            released = torch.sigmoid(self.predict(pooled).float()).unflatten(-1, (-1, 2))
        rows, columns = feature_map.shape[1:3]
        cells = torch.tensor([columns, rows], device=released.device)
        # In cells, from the centre of the first one.
        place = released * cells - 0.5 if half_pixel else released * (cells - 1)
        points = (place / (cells - 1).clamp(min=1)).clamp(0, 1)
        if corrected:
            tokens = read_bilinear(feature_map, points)
        elif half_pixel:
            surrounded = nn.functional.pad(feature_map, (0, 0, 1, 1, 1, 1))
            tokens = read_bilinear(surrounded, (place + 1) / (cells + 1))
        else:
            # The upper neighbour was clamped before the weights were formed.
            kept = (place < cells - 1).all(-1, keepdim=True)
            tokens = read_bilinear(feature_map, points) * kept
        # The embedding has learned the release's own coordinates.
        return self.place(tokens, released), points


def _squeeze(
    feature_map: Float[Tensor, 'batch rows columns channels'],
) -> Float[Tensor, 'batch side side channels']:
    side = min(feature_map.shape[1:3])
    pooled = nn.functional.adaptive_avg_pool2d(feature_map.permute(0, 3, 1, 2), side)
    return pooled.permute(0, 2, 3, 1)


def convert(arrays: Mapping[str, NDArray[np.float32]], release: Release) -> ReleasedSampler:
    """Returns a sampler from the arrays of a release, PyTorch's names or Flax's.

    Args:
        arrays: For instance 'scout_mlp.0.weight' or 'scout_mlp/layers_0/kernel'; whatever stands
            before 'scout_mlp', 'coord_encoder' and 'input_norm' does not matter.
        release: The convention that they were trained with.

    Raises:
        ValueError: Arrays are missing, unknown, or contradict the convention.
    """
    found = _rename(arrays)
    scale, offset = found.pop('input_norm.scale', None), found.pop('input_norm.bias', None)
    normalised = release.convention == 'align_corners_layer_norm'
    if (scale is not None and offset is not None) != normalised:
        raise ValueError(
            f'Convention {release.convention!r} has {"a" if normalised else "no"} LayerNorm '
            f'before the point predictor, but the weights have {"none" if normalised else "one"}.'
        )
    try:
        if scale is not None and offset is not None:
            first = found['predict.0.weight']
            found['predict.0.bias'] = found['predict.0.bias'] + first @ offset
            found['predict.0.weight'] = first * scale
        return _filled({name: torch.from_numpy(a) for name, a in found.items()}, release)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'These are not the weights of a GridS sampler: {error}') from error


def _filled(tensors: Mapping[str, Tensor], release: Release) -> ReleasedSampler:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            what = 'holds numbers that are not finite'
            if not tensor.is_floating_point():
                what = f'holds {tensor.dtype}, no weights in floating point'
            raise ValueError(f'{name} {what}; get the file again where it was published.')
    channels = tensors['predict.0.weight'].shape[1]
    sampler = ReleasedSampler(channels, len(tensors['predict.2.bias']) // 2, release)
    sampler.load_state_dict(tensors)
    return sampler.eval()


def convert_file(path: Path, convention: Convention, border: Border = 'corrected') -> bytes:
    """Returns one of our safetensors files from a release's, its convention in the metadata.

    Other tensors of the file (the rest of a policy) are left out.

    Raises:
        ValueError: `convert` refuses the tensors, or the file is not a safetensors file.
    """
    release = Release(convention, border, hash_file(path))
    parts = ('scout_mlp', 'coord_encoder', 'input_norm')
    try:
        with safe_open(path, 'pt') as file:
            named = [name for name in file.keys() if any(part in name for part in parts)]  # noqa: SIM118
            own = {name: file.get_tensor(name) for name in named}
    except SafetensorError as error:
        raise ValueError(f'{path} is not a safetensors file: {error}') from error
    # NumPy has no bfloat16, in which policies are published.
    floats = {n: t.float() if t.is_floating_point() else t for n, t in own.items()}
    return pack(convert({name: tensor.numpy() for name, tensor in floats.items()}, release))


def pack(sampler: ReleasedSampler) -> bytes:
    """Returns the bytes of a safetensors file with a sampler."""
    release = sampler.release
    metadata = {
        'format': 'pt',
        'grids.convention': release.convention,
        'grids.border': release.border,
        'grids.source_sha256': release.source_sha256,
    }
    state = {name: tensor.contiguous() for name, tensor in sampler.state_dict().items()}
    return save(state, metadata)


def load_released(path: Path) -> ReleasedSampler:
    """Returns the sampler in a file of `pack`.

    Raises:
        ValueError: The file does not name its convention, or is damaged.
    """
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f'{path} is not a whole safetensors file: {error}') from error
    if 'grids.convention' not in metadata:
        raise ValueError(
            f'{path} does not say which convention its sampler was trained with; convert it with '
            '`gridsampler convert-sampler`.'
        )
    release = Release(
        metadata['grids.convention'],
        metadata.get('grids.border', ''),
        metadata.get('grids.source_sha256', ''),
    )
    try:
        return _filled(tensors, release)
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f'{path} does not hold a GridS sampler: {error}') from error


def _rename(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    renamed: dict[str, NDArray[np.float32]] = {}
    for name, array in arrays.items():
        parts = name.replace('/', '.').split('.')
        if len(parts) > 1 and parts[-2] == 'input_norm':
            own = f'input_norm.{"scale" if parts[-1] in ("scale", "weight") else "bias"}'
        else:
            try:
                module, layer, kind = parts[-3:]
                own = f'{_MODULES[module][layer.removeprefix("layers_")]}.{_KINDS[kind]}'
            except (KeyError, ValueError):
                raise ValueError(f'{name!r} is not a tensor of a published sampler.') from None
        if own in renamed:
            raise ValueError(f'{name!r} is there twice; convert one sampler at a time.')
        # What is no floating point is refused by its name.
        value = np.asarray(array, np.float32 if array.dtype.kind == 'f' else None)
        # Flax multiplies from the left.
        renamed[own] = np.ascontiguousarray(value.T if parts[-1] == 'kernel' else value)
    return renamed
