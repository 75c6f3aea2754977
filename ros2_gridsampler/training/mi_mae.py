# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and masks -> latents, reconstructions and the losses of MAE and MI-MAE.

MAE: arXiv:2111.06377. MI-MAE: arXiv:2502.19718, which has no public code and leaves open the
weights, whether a latent is pooled, the projection, the negatives and the shape of q. What is
chosen here for those is our choice; the docstrings say where.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ..encoder import Block, Encoder, EncoderConfig, sine_positions

Method = Literal['mae', 'mae_4_masks', 'infonce_only', 'vclub_only', 'mi_mae']
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class LossWeights:
    """Share of each loss in the encoder's objective; a loss of weight 0 is not computed.

    Attributes:
        reconstruction: Mean squared error of normalised pixels.
        infonce: Per nat; ours.
        vclub: Per nat; ours, small because the bound sums over all channels of a latent.
    """

    reconstruction: float = 1.0
    infonce: float = 0.1
    vclub: float = 0.001

    def __post_init__(self) -> None:
        """Refuse an objective that asks for nothing."""
        weights = (self.reconstruction, self.infonce, self.vclub)
        if min(weights) < 0 or not any(weights):
            raise ValueError(f'Loss weights must be at least 0 and not all 0, got {weights}.')


@dataclass(frozen=True)
class MiMaeConfig:
    """The autoencoder around an encoder.

    Attributes:
        encoder: What is pretrained.
        weights: Of the losses.
        parts: Disjoint sets that the patches fall into; the mask ratio is 1 - 1/parts.
        masks: How many of these sets are looked at, each on its own; 1 is MAE, `parts` masks
            show every patch exactly once.
        decoder_width: Channels of the decoder.
        decoder_depth: Blocks of the decoder.
        decoder_heads: Attention heads of the decoder.
        projection: Channels in which InfoNCE compares latents; ours.
        temperature: Of InfoNCE.
        likelihood_width: Hidden channels of q; ours.
        likelihood_side: The picture is averaged to this many pixels a side for q; ours. vCLUB
            then bounds what a latent says about that coarse picture.
    """

    encoder: EncoderConfig
    weights: LossWeights = LossWeights()
    parts: int = 4
    masks: int = 4
    decoder_width: int = 64
    decoder_depth: int = 2
    decoder_heads: int = 4
    projection: int = 64
    temperature: float = 0.07
    likelihood_width: int = 128
    likelihood_side: int = 16

    def __post_init__(self) -> None:
        """Refuse masks that cannot tile the picture."""
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
        """The same autoencoder trained by another method; weights that stay keep their size."""
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
    """Patches that each mask of each picture leaves visible; masks of one picture are disjoint."""
    rows, columns = config.encoder.grid
    order = generator.permuted(np.tile(np.arange(rows * columns), (images, 1)), axis=1)
    return order.reshape(images, config.parts, -1)[:, : config.masks]


class Views(NamedTuple):
    """What the masks of each picture gave.

    Attributes:
        latents: Mean of a view's patch tokens; ours.
        projected: Where InfoNCE compares them, of unit length; empty where it is off.
        reconstruction: See `MiMae.reconstruction_loss`; zero where it is off.
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
        """Every mask of every picture on its own."""
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
        """Mean squared error over the masked patches, each normalised to mean 0 and variance 1."""
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
        """Mask tokens where nothing was seen, then the blocks."""
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
    """Pixels in [0, 1] of each patch, row by row."""
    tiles = images.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    return tiles.flatten(3).flatten(1, 2).float() / 255


def infonce(
    own: Float[Tensor, 'images masks projection'],
    everyone: Float[Tensor, 'all_images masks projection'],
    first: int,
    temperature: float,
) -> Float[Tensor, '']:
    """Loss whose difference to log(all_images) is a lower bound of the information, in nats.

    For each ordered pair of masks, the latent of one is to find its picture among the latents of
    the other; the negatives are the other pictures of the batch, of all processes (ours).

    Args:
        own: Unit vectors of this process's pictures.
        everyone: Those of all processes.
        first: Row of `everyone` where `own` begins.
        temperature: Divides the cosines.
    """
    images, masks = own.shape[:2]
    cosines = torch.einsum('imp,anp->mnia', own, everyone) / temperature
    pairs = cosines[~torch.eye(masks, dtype=torch.bool, device=own.device)]
    answers = torch.arange(first, first + images, device=own.device).expand(len(pairs), -1)
    return nn.functional.cross_entropy(pairs.flatten(0, 1), answers.flatten())


class Likelihood(nn.Module):
    """q(z | X): a Gaussian of independent channels whose moments an MLP reads from X.

    It is trained by `negative_log_likelihood` alone; `vclub` takes its moments as numbers.
    """

    def __init__(self, inputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 2 * channels)
        )

    @classmethod
    def of(cls, config: MiMaeConfig) -> 'Likelihood':
        """The q of an encoder's latents, given the coarse picture."""
        inputs = 3 * config.likelihood_side**2
        return cls(inputs, config.encoder.width, config.likelihood_width)

    def forward(self, inputs: Float[Tensor, 'images numbers']) -> Float[Tensor, '2 images width']:
        """Mean and logarithm of the variance."""
        mean, raw = self.layers(inputs).float().chunk(2, -1)
        # Bounded softly: a variance near zero would make the bound explode.
        return torch.stack([mean, 6 * torch.tanh(raw / 6)])


def coarse_pictures(
    images: UInt8[Tensor, 'images height width 3'], side: int
) -> Float[Tensor, 'images numbers']:
    """The X of q(z | X): pictures averaged to side x side pixels, about -1 to 1."""
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    return nn.functional.adaptive_avg_pool2d(pixels, side).flatten(1)


def negative_log_likelihood(
    moments: Float[Tensor, '2 images width'], latents: Float[Tensor, 'images masks width']
) -> Float[Tensor, '']:
    """What trains q, in nats per latent; the latents are taken as numbers."""
    mean, log_variance = moments[:, :, None]
    squares = (latents.detach() - mean).square() * torch.exp(-log_variance)
    return 0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1).mean()


def vclub(
    moments: Float[Tensor, '2 images width'],
    own: Float[Tensor, 'images masks width'],
    everyone: Float[Tensor, 'all_images masks width'],
) -> Float[Tensor, '']:
    """Upper bound of I(X; z) in nats where q is the true p(z | X) (arXiv:2006.12013, eq. 13).

    How much likelier a picture's own latent is under q than the latents of all pictures.

    Args:
        moments: Of q for this process's pictures; no gradient reaches q.
        own: Latents of this process's pictures.
        everyone: Those of all processes.
    """
    mean, log_variance = moments.detach()
    precision = torch.exp(-log_variance)
    paired = ((own - mean[:, None]).square() * precision[:, None]).sum(-1)
    # The mean over all of (z - mean)^2 needs the first two moments of z alone.
    mean_latent, mean_square = everyone.mean(0), everyone.square().mean(0)
    spread = mean_square - 2 * mean_latent * mean[:, None] + mean.square()[:, None]
    unpaired = (spread * precision[:, None]).sum(-1)
    return 0.5 * (unpaired - paired).mean()
