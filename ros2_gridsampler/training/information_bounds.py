# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Latents of masks and pictures -> bounds of their information: InfoNCE below, vCLUB above."""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn


def infonce(
    own: Float[Tensor, 'images masks projection'],
    everyone: Float[Tensor, 'all_images masks projection'],
    first: int,
    temperature: float,
    bank: Float[Tensor, 'entries projection'] | None = None,
) -> Float[Tensor, '']:
    """Returns a loss; log(candidates) minus it is a lower bound of the information, in nats.

    For each ordered pair of masks, the latent of one is to find its picture among the latents of
    the other; the negatives are the other pictures of the batch, of all processes, and those of
    the bank (ours). The bound can never say more than log(candidates), so many are needed where
    there is much to say.

    Args:
        own: Unit vectors of this process's pictures.
        everyone: Latents of the pictures of all processes.
        first: Row of `everyone` where `own` begins.
        temperature: Divides the cosines.
        bank: Latents of pictures of the steps before; candidates beside those of `everyone`.
    """
    images, masks = own.shape[:2]
    cosines = torch.einsum('imp,anp->mnia', own, everyone) / temperature
    if bank is not None:
        others = torch.einsum('imp,bp->mib', own, bank) / temperature
        cosines = torch.cat([cosines, others[:, None].expand(-1, masks, -1, -1)], -1)
    pairs = cosines[~torch.eye(masks, dtype=torch.bool, device=own.device)]
    answers = torch.arange(first, first + images, device=own.device).expand(len(pairs), -1)
    return nn.functional.cross_entropy(pairs.flatten(0, 1), answers.flatten())


class LatentBank(nn.Module):
    """The projected latents of the newest pictures, which InfoNCE tells its own ones from.

    They are those of encoders of the steps before: slightly out of date, and without gradient
    (the memory of arXiv:1912.06798).

    Args:
        size: How many are kept; no picture may come twice within so many.
        channels: Channels of a projected latent.
    """

    _entries: Tensor
    _count: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer('_entries', torch.zeros(size, channels))
        self.register_buffer('_count', torch.zeros((), dtype=torch.int64))

    def entries(self) -> Float[Tensor, 'entries projection']:
        """Returns a copy of what it holds by now."""
        return self._entries[: min(int(self._count), len(self._entries))].clone()

    def keep(self, latents: Float[Tensor, 'views projection']) -> None:
        """Adds latents, of all processes; the oldest make room."""
        newest = latents.detach()[-len(self._entries) :]
        steps = torch.arange(len(newest), device=newest.device)
        self._entries[(self._count + steps) % len(self._entries)] = newest
        self._count += len(newest)


class Likelihood(nn.Module):
    """q(z | X): a Gaussian of independent channels whose moments an MLP reads from X.

    It is trained by `negative_log_likelihood` alone; `vclub` takes its moments as numbers.
    """

    def __init__(self, inputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 2 * channels)
        )

    def forward(self, inputs: Float[Tensor, 'views numbers']) -> Float[Tensor, '2 views width']:
        """Returns the mean and logarithm of the variance."""
        mean, raw = self.layers(inputs).float().chunk(2, -1)
        # Bounded softly: a variance near zero would make the bound explode.
        return torch.stack([mean, 6 * torch.tanh(raw / 6)])


def coarse_views(
    images: UInt8[Tensor, 'images height width 3'],
    places: Int[Tensor, 'images masks visible'],
    patch: int,
    side: int,
) -> Float[Tensor, 'views numbers']:
    """Returns X of q(z | X): what a view shows, and nothing else.

    Each patch is averaged to side x side pixels of about -1 to 1; patches that the view hides are
    zero. One number more says of each patch whether it is shown.

    Args:
        images: RGB.
        places: The patches that each mask shows.
        patch: Side of a patch [px].
        side: Pixels a side that are left of it.
    """
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    coarse = nn.functional.adaptive_avg_pool2d(pixels, (rows * side, columns * side))
    tiles = coarse.unflatten(3, (columns, side)).unflatten(2, (rows, side))
    patches = tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    shown = patches.new_zeros(*places.shape[:2], rows * columns).scatter(2, places, 1.0)[..., None]
    views = torch.cat([patches[:, None] * shown, shown], -1)
    return views.flatten(2).flatten(0, 1)


def negative_log_likelihood(
    moments: Float[Tensor, '2 views width'], latents: Float[Tensor, 'views width']
) -> Float[Tensor, '']:
    """Returns the loss that trains q, in nats per latent; no gradient reaches the latents."""
    mean, log_variance = moments
    squares = (latents.detach() - mean).square() * torch.exp(-log_variance)
    return 0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1).mean()


def vclub(
    moments: Float[Tensor, '2 views width'],
    own: Float[Tensor, 'views width'],
    everyone: Float[Tensor, 'all_views width'],
) -> Float[Tensor, '']:
    """Returns an upper bound of I(X; z) in nats, if q is p(z | X) (arXiv:2006.12013, eq. 13).

    It says how much likelier a view's own latent is under q than the latents of all views.

    Args:
        moments: Mean and log variance of q for this process's views; no gradient reaches q.
        own: Latents of this process's views.
        everyone: Latents of the views of all processes.
    """
    mean, log_variance = moments.detach()
    precision = torch.exp(-log_variance)
    paired = ((own - mean).square() * precision).sum(-1)
    # The mean over all of (z - mean)^2 needs the first two moments of z alone.
    spread = everyone.square().mean(0) - 2 * everyone.mean(0) * mean + mean.square()
    unpaired = (spread * precision).sum(-1)
    return 0.5 * (unpaired - paired).mean()
