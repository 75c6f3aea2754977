# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and masks -> latents, reconstructions and their loss, for MAE and MI-MAE.

MAE: arXiv:2111.06377. MI-MAE: arXiv:2502.19718, which has no public code and leaves open the
weights, whether a latent is pooled, the projection, the negatives and the shape of q. What is
chosen here for those is our choice; the docstrings say where.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..bounds import checked, setting
from ..policy.encoder import Block, Encoder, cut_patches, sine_positions
from ..policy.policy_config import EncoderConfig
from .information_bounds import Likelihood, coarse_views

Method = Literal['mae', 'mae_4_masks', 'infonce_only', 'vclub_only', 'mi_mae']
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
@checked
class LossWeights:
    """Share of each loss in the encoder's objective; a loss of weight 0 is not computed.

    Attributes:
        reconstruction: Mean squared error of normalised pixels.
        infonce: Per nat; ours.
        vclub: Per nat; ours, small because the bound sums over all channels of a latent.
    """

    reconstruction: float = setting(1.0, minimum=0)
    infonce: float = setting(0.1, minimum=0)
    vclub: float = setting(0.001, minimum=0)

    def __post_init__(self) -> None:
        """Refuses an objective that asks for nothing."""
        if not any((self.reconstruction, self.infonce, self.vclub)):
            raise ValueError('Every loss has weight 0; give one of them more.')


@dataclass(frozen=True)
@checked
class MiMaeConfig:
    """The autoencoder around an encoder.

    Attributes:
        encoder: What is pretrained.
        weights: Weights of the three losses.
        parts: Disjoint sets that the patches fall into; the mask ratio is 1 - 1/parts.
        masks: How many of these sets are looked at, each on its own; 1 is MAE, `parts` masks
            show every patch exactly once.
        decoder_width: Channels of the decoder.
        decoder_depth: Blocks of the decoder.
        decoder_heads: Attention heads of the decoder.
        projection: Channels in which InfoNCE compares latents; ours.
        temperature: Temperature of InfoNCE.
        bank: So many latents of the steps before are negatives of InfoNCE beside those of the
            step; ours.
        likelihood_width: Hidden channels of q; ours.
        likelihood_side: Each patch that a view shows is averaged to this many pixels a side for
            q; ours. vCLUB then bounds what a latent says about that coarse view.
    """

    encoder: EncoderConfig
    weights: LossWeights = LossWeights()
    parts: int = setting(4, minimum=1)
    masks: int = setting(4, minimum=1)
    decoder_width: int = setting(64, minimum=4)
    decoder_depth: int = setting(2, minimum=1)
    decoder_heads: int = setting(4, minimum=1)
    projection: int = setting(64, minimum=1)
    temperature: float = setting(0.07, above=0)
    bank: int = setting(2048, minimum=0)
    likelihood_width: int = setting(128, minimum=1)
    likelihood_side: int = setting(2, minimum=1)

    def __post_init__(self) -> None:
        """Refuses masks that cannot tile the picture, and what would be another encoder in use."""
        if self.encoder.stem and not self.encoder.stem_within_patches:
            raise ValueError(
                'A stem that sees across the borders of patches computes something else in use '
                'than behind a mask; set stem_within_patches: true, or stem: [].'
            )
        if self.encoder.patch % self.likelihood_side:
            raise ValueError(
                f'A patch of {self.encoder.patch} px cannot be averaged to likelihood_side = '
                f'{self.likelihood_side} pixels; choose a divisor.'
            )
        if self.decoder_width % self.decoder_heads or self.decoder_width % 4:
            raise ValueError(
                f'Decoder width {self.decoder_width} must be a multiple of 4 and of its '
                f'{self.decoder_heads} heads.'
            )
        rows, columns = self.encoder.grid
        if rows * columns % self.parts:
            raise ValueError(
                f'{rows * columns} patches cannot be dealt into {self.parts} equal masks; change '
                'the patch, the picture or "parts".'
            )
        if not 1 <= self.masks <= self.parts:
            raise ValueError(f'{self.masks} masks were asked for; 1 to {self.parts} fit.')
        if self.weights.infonce and self.masks < 2:
            raise ValueError('InfoNCE compares masks of one picture: it needs at least 2 masks.')

    def as_method(self, method: Method) -> 'MiMaeConfig':
        """Returns this autoencoder for another method; the weights that stay keep their size."""
        weights = self.weights
        if method in ('mae', 'mae_4_masks', 'infonce_only'):
            weights = replace(weights, vclub=0.0)
        if method in ('mae', 'mae_4_masks', 'vclub_only'):
            weights = replace(weights, infonce=0.0)
        return replace(self, masks=1 if method == 'mae' else self.parts, weights=weights)

    @property
    def method(self) -> str:
        """What the losses and masks amount to."""
        infonce, vclub = self.weights.infonce > 0, self.weights.vclub > 0
        if infonce or vclub:
            return 'mi_mae' if infonce and vclub else 'infonce_only' if infonce else 'vclub_only'
        return 'mae' if self.masks == 1 else f'mae_{self.masks}_masks'


def draw_masks(
    images: int, config: MiMaeConfig, generator: np.random.Generator
) -> Int[np.ndarray, 'images masks visible']:
    """Returns the patches that each mask leaves visible; masks of one picture are disjoint."""
    rows, columns = config.encoder.grid
    order = generator.permuted(np.tile(np.arange(rows * columns), (images, 1)), axis=1)
    return order.reshape(images, config.parts, -1)[:, : config.masks]


class Views(NamedTuple):
    """What the masks of each picture gave.

    Attributes:
        latents: Mean of a view's patch tokens; ours.
        projected: Where InfoNCE compares them, of unit length; empty where it is off.
        reconstruction: What `MiMae.reconstruction_loss` gives; zero where that loss is off.
    """

    latents: Float[Tensor, 'images masks width']
    projected: Float[Tensor, 'images masks projection']
    reconstruction: Float[Tensor, '']


class MiMae(nn.Module):
    """Encoder, narrow decoder, projection; only what the weights ask for is built."""

    def __init__(self, config: MiMaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        width = config.encoder.width
        if config.weights.reconstruction:
            self.decoder = Decoder(config)
        if config.weights.infonce:
            self.projection = nn.Sequential(
                nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.projection)
            )

    def forward(
        self,
        images: UInt8[Tensor, 'images height width 3'],
        places: Int[Tensor, 'images masks visible'],
    ) -> Views:
        """Encodes every mask of every picture on its own; returns what the losses read."""
        tokens = self.encoder.sparse(
            images.repeat_interleave(places.shape[1], 0), places.flatten(0, 1)
        )
        latents = tokens[:, 1:].float().mean(1).unflatten(0, (len(images), -1))
        projected, reconstruction = latents[..., :0], latents.new_zeros(())
        if self.config.weights.infonce:
            projected = nn.functional.normalize(self.projection(latents).float(), dim=-1)
        if self.config.weights.reconstruction:
            pixels = self.decoder(tokens, places.flatten(0, 1))
            reconstruction = self.reconstruction_loss(images, places, pixels)
        return Views(latents, projected, reconstruction)

    def reconstruction_loss(
        self,
        images: UInt8[Tensor, 'images height width 3'],
        places: Int[Tensor, 'images masks visible'],
        pixels: Float[Tensor, 'views patches numbers'],
    ) -> Float[Tensor, '']:
        """Returns the mean squared error of the masked patches, each of mean 0, variance 1."""
        target = patch_pixels(images, self.config.encoder.patch)
        deviation, mean = torch.std_mean(target, -1, keepdim=True)
        target = (target - mean) / (deviation.square() + 1e-6).sqrt()
        errors = (pixels.float().unflatten(0, (len(images), -1)) - target[:, None]).square()
        hidden = torch.ones(errors.shape[:3], device=errors.device).scatter(2, places, 0.0)
        return (errors.mean(-1) * hidden).sum() / hidden.sum()


class Decoder(nn.Module):
    """Visible tokens -> pixels of all patches; thrown away after pretraining."""

    _positions: Tensor

    def __init__(self, config: MiMaeConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.embed = nn.Linear(config.encoder.width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            Block(width, config.decoder_heads) for _ in range(config.decoder_depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pixels = nn.Linear(width, 3 * config.encoder.patch**2)
        positions = sine_positions(*config.encoder.grid, width)
        self.register_buffer('_positions', positions, persistent=False)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Float[Tensor, 'views visible_and_first width'],
        places: Int[Tensor, 'views visible'],
    ) -> Float[Tensor, 'views patches numbers']:
        """Puts mask tokens where nothing was seen, then applies the blocks."""
        embedded = self.embed(tokens)
        rows = self._positions.shape[0] - 1
        grid = self.mask_token.to(embedded.dtype).expand(len(tokens), rows, -1)
        index = places[..., None].expand(-1, -1, embedded.shape[-1])
        grid = grid.scatter(1, index, embedded[:, 1:])
        tokens = torch.cat([embedded[:, :1], grid], 1) + self._positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.pixels(self.norm(tokens))[:, 1:]


def patch_pixels(
    images: UInt8[Tensor, 'images height width 3'], side: int
) -> Float[Tensor, 'images patches numbers']:
    """Returns the pixels in [0, 1] of each patch, row by row."""
    return cut_patches(images, side).flatten(2).float() / 255


def shown(
    config: MiMaeConfig,
    images: UInt8[Tensor, 'images height width 3'],
    places: Int[Tensor, 'images masks visible'],
) -> Float[Tensor, 'views numbers']:
    """Returns what q is given of each view."""
    return coarse_views(images, places, config.encoder.patch, config.likelihood_side)


def make_likelihood(config: MiMaeConfig) -> Likelihood:
    """Returns the distribution q of an encoder's latents, given what it was shown."""
    rows, columns = config.encoder.grid
    inputs = rows * columns * (3 * config.likelihood_side**2 + 1)
    return Likelihood(inputs, config.encoder.width, config.likelihood_width)
