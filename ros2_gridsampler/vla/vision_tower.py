# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A vision tower of transformers (SigLIP, DINOv2, ViT) -> the same tower on few tokens.

Nothing is copied or forked: hooks read the points where they are to be read. What goes into the
later blocks carries its position, because positions were added to the patches before.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .sequence_sampler import SequenceSampler

REDUCER = 'token_reducer'
_TOWERS = 'SiglipVisionModel, Dinov2Model, Dinov2WithRegistersModel and ViTModel'


class TowerAttachment:
    """A reducer inside a tower; `tower(pixels).last_hidden_state` has few tokens from now on.

    The reducer becomes the tower's submodule `token_reducer`: it moves, trains and is saved with
    the tower.

    Args:
        tower: A vision model of transformers with learned or fixed absolute positions.
        reducer: Anything with the call of `GridSampler`, for the channels of the tower.
        after: Blocks that run on all patches; None for all blocks and the final norm, as in
            the paper. Fewer make the tower itself cheaper.

    Attributes:
        points: Where the last picture was read, (x, y) in [0, 1]; None before the first one and
            where they were taken.

    Raises:
        ValueError: The tower is of an unknown kind, has a reducer already, or has not so many
            blocks.
    """

    def __init__(self, tower: nn.Module, reducer: nn.Module, after: int | None = None) -> None:
        self._core: Any = getattr(tower, 'vision_model', tower)
        layers, norm = _parts(self._core)
        if after is not None and not 0 <= after <= len(layers):
            raise ValueError(f'after is {after}; the tower has {len(layers)} blocks.')
        if hasattr(self._core, REDUCER):
            raise ValueError('This tower has a reducer already; remove that attachment first.')
        self._sequence = SequenceSampler(reducer, _prefix(self._core.embeddings))
        self._grid = (0, 0)
        self.points: Float[Tensor, 'batch tokens 2'] | None = None
        self._core.add_module(REDUCER, reducer)
        self._handles = [
            self._core.embeddings.register_forward_pre_hook(self._measure, with_kwargs=True)
        ]
        if after is None or after == len(layers):
            self._handles.append(norm.register_forward_hook(self._reduce_output))
            return
        self._handles.append(
            layers[after].register_forward_pre_hook(self._reduce_input, with_kwargs=True)
        )
        self._handles += [
            layer.register_forward_pre_hook(self._drop_mask, with_kwargs=True)
            for layer in layers[after:]
        ]

    def take_points(self) -> Float[Tensor, 'batch tokens 2'] | None:
        """Returns the points of the last picture, once: what an export leaves cannot be copied."""
        taken, self.points = self.points, None
        return taken

    def remove(self) -> None:
        """Gives the dense tower back."""
        for handle in self._handles:
            handle.remove()
        delattr(self._core, REDUCER)

    def _measure(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        pixels = args[0] if args else kwargs['pixel_values']
        size = self._core.config.patch_size
        height, width = (size, size) if isinstance(size, int) else size
        self._grid = (pixels.shape[-2] // height, pixels.shape[-1] // width)

    def _reduce(self, sequence: Tensor) -> Tensor:
        reduced, self.points = self._sequence(sequence, self._grid)
        return reduced

    def _reduce_output(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return self._reduce(output)

    def _reduce_input(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return (self._reduce(args[0]), *args[1:]), kwargs

    def _drop_mask(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        # It has the length of the dense sequence; a mask that hides nothing says nothing.
        masks = [mask for mask in (*args[1:], kwargs.get('attention_mask')) if mask is not None]
        for mask in masks:
            hidden = ~mask if mask.dtype == torch.bool else mask < 0
            if not torch.compiler.is_compiling() and hidden.any():
                raise ValueError('Patches that are masked cannot be sampled; pass no mask.')
        if 'attention_mask' in kwargs:
            kwargs = {**kwargs, 'attention_mask': None}
        return (args[0], *(None for _ in args[1:])), kwargs


class SampledTower(nn.Module):
    """A tower and its points as one module, for export and for use as an encoder.

    Args: See `TowerAttachment`.
    """

    def __init__(self, tower: nn.Module, reducer: nn.Module, after: int | None = None) -> None:
        super().__init__()
        self._attachment = TowerAttachment(tower, reducer, after)
        self.tower = tower

    def forward(
        self, pixels: Float[Tensor, 'batch 3 height width']
    ) -> tuple[Float[Tensor, 'batch kept channels'], Float[Tensor, 'batch tokens 2'] | None]:
        """Returns the last hidden state, the class token first if there is one, and points."""
        hidden = self.tower(pixels).last_hidden_state
        return hidden, self._attachment.take_points()


def depth(tower: nn.Module) -> int:
    """Blocks of a tower."""
    return len(_parts(getattr(tower, 'vision_model', tower))[0])


def _parts(core: Any) -> tuple[nn.ModuleList, nn.Module]:
    """Blocks and final norm, wherever this version of transformers keeps them."""
    inside = getattr(core, 'encoder', core)
    layers = getattr(inside, 'layers', getattr(inside, 'layer', None))
    norm = getattr(core, 'post_layernorm', getattr(core, 'layernorm', None))
    if not isinstance(layers, nn.ModuleList) or norm is None or not hasattr(core, 'embeddings'):
        raise ValueError(f'{type(core).__name__} is not a tower that is known here: {_TOWERS}.')
    if hasattr(core, 'rope_embeddings'):
        raise ValueError(
            f'{type(core).__name__} tells its blocks positions by rotation, which a token between '
            f'two patches would not get; use one of {_TOWERS}.'
        )
    return layers, norm


def _prefix(embeddings: Any) -> int:
    registers = getattr(embeddings, 'register_tokens', None)
    has_class = getattr(embeddings, 'cls_token', None) is not None
    return int(has_class) + (0 if registers is None else registers.shape[1])
