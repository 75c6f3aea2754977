# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot policy (SmolVLA, pi0, pi0.5, ACT) -> the same policy on few visual tokens.

Nothing is forked: the one method or module of the policy that hands on a picture's tokens is
extended on this one object. Written for lerobot 0.6.
"""

import math
from collections import deque
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policy.grid_sampler import PointReader, read_bilinear
from .sequence_sampler import sampler_for_trained_host
from .vision_tower import TowerAttachment


class WindowSampler(nn.Module):
    """Feature map -> K windows of neighbouring cells, at points that a sampler predicts.

    Points are (x, y) in [0, 1] between the first and the last window of the dense tiling, so
    the places of the dense windows are one possible choice of points.

    Args:
        sampler: Predicts the points and embeds the coordinates of every cell.
        side: Cells along a window's side; the connector's `scale_factor`.
    """

    def __init__(self, sampler: PointReader, side: int = 4) -> None:
        super().__init__()
        self.sampler = sampler
        self.side = side

    def forward(
        self, feature_map: Float[Tensor, 'batch rows columns channels']
    ) -> tuple[Float[Tensor, 'batch cells channels'], Float[Tensor, 'batch tokens 2']]:
        """Reads the cells of the windows around the points.

        Returns:
            K * side * side cells, window by window and in each row by row, and K points.

        Raises:
            ValueError: The map cannot be cut into windows.
        """
        rows, columns = feature_map.shape[1:3]
        if rows % self.side or columns % self.side:
            raise ValueError(
                f'A map of {rows}x{columns} cells cannot be cut into windows of '
                f'{self.side}x{self.side}.'
            )
        _, points = self.sampler(feature_map)
        return self.read(feature_map, points), points

    def read(
        self,
        feature_map: Float[Tensor, 'batch rows columns channels'],
        points: Float[Tensor, 'batch tokens 2'],
    ) -> Float[Tensor, 'batch cells channels']:
        """Returns the cells of the windows at these points, with their coordinates."""
        rows, columns = feature_map.shape[1:3]
        spans = torch.tensor([columns - self.side, rows - self.side], device=points.device)
        last = torch.tensor([columns - 1, rows - 1], device=points.device)
        offset = torch.arange(self.side, device=points.device, dtype=torch.float32)
        down, right = torch.meshgrid(offset, offset, indexing='ij')
        inside = torch.stack([right, down], -1).flatten(0, 1)
        cells = ((points * spans)[:, :, None] + inside) / last
        cells = cells.flatten(1, 2)
        return self.sampler.place(read_bilinear(feature_map, cells), cells)


class WindowAttachment(TowerAttachment):
    """Windows inside the tower, and a connector that takes them.

    Args:
        vision_model: `SmolVLMVisionTransformer`.
        connector: `SmolVLMConnector`; one token per window comes out of it.
        sampler: For the channels of the tower.
        after: Blocks that run on all patches; None for all of them.
    """

    def __init__(
        self,
        vision_model: nn.Module,
        connector: Any,
        sampler: PointReader,
        after: int | None = None,
    ) -> None:
        side = int(connector.scale_factor)
        super().__init__(vision_model, WindowSampler(sampler, side), after)
        self._connector = connector
        # The cells of a window follow each other: joining them is the whole shuffle.
        self._connector.pixel_shuffle = MethodType(_join_windows, connector)

    def remove(self) -> None:
        """Gives the dense tower and its connector back."""
        super().remove()
        del self._connector.pixel_shuffle


def _join_windows(connector: Any, cells: Tensor, scale_factor: int) -> Tensor:
    return cells.unflatten(1, (-1, scale_factor**2)).flatten(2)


REDUCERS = 'token_reducers'
KINDS = ('smolvla', 'pi0', 'pi05', 'act')


@dataclass(frozen=True)
class SamplerPlan:
    """What is attached to a policy.

    Attributes:
        tokens: Kept per camera (K).
        after: Blocks of the vision tower that run on all patches, the rest runs on K; None
            reads the finished tokens, as in the paper.
        per_camera: A reducer for each camera instead of one for all.
        reducer: One of `token_reducers.REDUCERS`.
    """

    tokens: int = 16
    after: int | None = None
    per_camera: bool = False
    reducer: str = 'grid_sampler'

    def __post_init__(self) -> None:
        """Refuses what cannot be attached."""
        if self.after is not None and self.per_camera:
            raise ValueError('Inside the vision tower there is one reducer for all cameras.')


class SeenPoints:
    """Where the pictures of the last prediction were read, camera by camera."""

    def __init__(self, cameras: int) -> None:
        self._points: deque[Float[Tensor, 'batch tokens 2']] = deque(maxlen=cameras)

    def add(self, points: Float[Tensor, 'batch tokens 2']) -> None:
        """Adds the points of the next camera."""
        self._points.append(points)

    def take(self) -> list[Float[Tensor, 'batch tokens 2']]:
        """Returns the points of all cameras, (x, y) in [0, 1]; asked once per prediction."""
        taken = list(self._points)
        self._points.clear()
        return taken


def attach(policy: Any, plan: SamplerPlan) -> SeenPoints:
    """Puts reducers into a policy; they train, move and are saved with it.

    Args:
        policy: A `SmolVLAPolicy`, `PI0Policy`, `PI05Policy` or `ACTPolicy`.
        plan: What to attach.

    Raises:
        ValueError: The policy is of another kind, cannot take this plan, or has reducers.
    """
    kind, cameras = policy.config.type, len(policy.config.image_features)
    if kind not in KINDS:
        raise ValueError(f'A policy of type {kind!r} is not supported; use one of {KINDS}.')
    if not cameras:
        raise ValueError('This policy looks through no camera: there are no tokens to reduce.')
    if plan.per_camera and getattr(policy.config, 'gradient_checkpointing', False):
        raise ValueError(
            'With gradient checkpointing pictures are embedded twice, in another order; use one '
            'reducer for all cameras.'
        )
    seen = SeenPoints(cameras)
    model = policy.model
    if kind == 'act':
        if plan.after is not None:
            raise ValueError(
                'The backbone of ACT is convolutional: it has no blocks to sample in.'
            )
        _ActAttachment(model, plan, cameras, seen)
        return seen
    host = model.vlm_with_expert if kind == 'smolvla' else model.paligemma_with_expert
    if hasattr(host, 'seen_points'):
        raise ValueError('This policy has reducers already.')
    host.seen_points = seen
    if plan.after is not None:
        _attach_inside(host, kind, plan)
        return seen
    language = host.get_vlm_model() if kind == 'smolvla' else host.paligemma
    channels = language.config.text_config.hidden_size
    host.add_module(REDUCERS, _Reducers(channels, plan, cameras))
    host.embed_image = MethodType(_embed_and_reduce, host)
    model.embed_prefix = MethodType(_embed_prefix_from_the_first_camera, model)
    return seen


class _Reducers(nn.Module):
    """One reducer for all cameras, or one for each, asked camera by camera."""

    def __init__(self, channels: int, plan: SamplerPlan, cameras: int) -> None:
        super().__init__()
        self.reducers = nn.ModuleList(
            sampler_for_trained_host(channels, plan.tokens, plan.reducer)
            for _ in range(cameras if plan.per_camera else 1)
        )
        self.camera = 0

    def forward(
        self, feature_map: Float[Tensor, 'batch rows columns channels']
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Reduces the next camera's map."""
        reducer = self.reducers[self.camera % len(self.reducers)]
        self.camera += 1
        return reducer(feature_map)


def _embed_and_reduce(host: Any, image: Tensor) -> Tensor:
    tokens = type(host).embed_image(host, image)
    side = math.isqrt(tokens.shape[1])
    if side**2 != tokens.shape[1]:
        raise ValueError(f'{tokens.shape[1]} tokens of a picture are not a square map.')
    reduced, points = getattr(host, REDUCERS)(tokens.unflatten(1, (side, side)))
    host.seen_points.add(points)
    return reduced


def _embed_prefix_from_the_first_camera(model: Any, *args: Any, **kwargs: Any) -> Any:
    for module in model.modules():
        if isinstance(module, _Reducers):
            module.camera = 0
    return type(model).embed_prefix(model, *args, **kwargs)


def _attach_inside(host: Any, kind: str, plan: SamplerPlan) -> None:
    if kind == 'smolvla':
        inner = host.get_vlm_model()
        sampler = sampler_for_trained_host(
            inner.vision_model.config.hidden_size, plan.tokens, plan.reducer
        )
        if not isinstance(sampler, PointReader):
            raise ValueError(f'Windows are read at points, which {plan.reducer!r} has none of.')
        host.inside = WindowAttachment(inner.vision_model, inner.connector, sampler, plan.after)
    else:
        tower = host.paligemma.model.vision_tower
        sampler = sampler_for_trained_host(tower.config.hidden_size, plan.tokens, plan.reducer)
        host.inside = TowerAttachment(tower, sampler, plan.after)
    host.embed_image = MethodType(_embed_and_note, host)


def _embed_and_note(host: Any, image: Tensor) -> Tensor:
    tokens: Tensor = type(host).embed_image(host, image)
    host.seen_points.add(host.inside.take_points())
    return tokens


class _ActAttachment:
    """Reducers between ACT's backbone and its transformer.

    ACT tells its transformer where a token is by the token's place in the map. A reduced map is
    a row without places, so every token gets what the dense position map says at its point.
    """

    def __init__(self, model: Any, plan: SamplerPlan, cameras: int, seen: SeenPoints) -> None:
        if hasattr(model, REDUCERS):
            raise ValueError('This policy has reducers already.')
        channels = model.encoder_img_feat_input_proj.in_channels
        self._reducers = _Reducers(channels, plan, cameras)
        self._positions = model.encoder_cam_feat_pos_embed
        self._seen = seen
        self._places: list[Tensor] = []
        model.add_module(REDUCERS, self._reducers)
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)
        model.backbone.register_forward_hook(self._reduce)
        model.encoder.register_forward_pre_hook(self._place_encoder, with_kwargs=True)
        model.decoder.register_forward_pre_hook(self._place_decoder, with_kwargs=True)

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._reducers.camera = 0
        self._places = []

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        self._places = []  # what an export leaves there cannot be copied

    def _reduce(self, module: nn.Module, args: Any, output: dict[str, Tensor]) -> Any:
        dense = output['feature_map']
        tokens, points = self._reducers(dense.permute(0, 2, 3, 1))
        self._seen.add(points)
        positions = self._positions(dense).permute(0, 2, 3, 1).expand(len(dense), -1, -1, -1)
        self._places.append(read_bilinear(positions, points).transpose(0, 1))
        return {**output, 'feature_map': tokens.transpose(1, 2)[:, :, None]}

    def _placed(self, positions: Tensor) -> Tensor:
        visual = torch.cat(self._places)
        others = positions[: len(positions) - len(visual)]
        return torch.cat([others.expand(-1, visual.shape[1], -1), visual.to(others.dtype)])

    def _place_encoder(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return args, {**kwargs, 'pos_embed': self._placed(kwargs['pos_embed'])}

    def _place_decoder(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        placed = self._placed(kwargs['encoder_pos_embed'])
        return args, {**kwargs, 'encoder_pos_embed': placed}
