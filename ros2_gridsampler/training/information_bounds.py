# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Latents of masks and pictures -> bounds of their information: InfoNCE below, vCLUB above."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


def infonce(
    own: Float[Tensor, 'images masks projection'],
    everyone: Float[Tensor, 'all_images masks projection'],
    first: int,
    temperature: float,
) -> Float[Tensor, '']:
    """Returns a loss; log(all_images) minus it is a lower bound of the information, in nats.

    For each ordered pair of masks, the latent of one is to find its picture among the latents of
    the other; the negatives are the other pictures of the batch, of all processes (ours).

    Args:
        own: Unit vectors of this process's pictures.
        everyone: Latents of the pictures of all processes.
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

    def forward(self, inputs: Float[Tensor, 'images numbers']) -> Float[Tensor, '2 images width']:
        """Returns the mean and logarithm of the variance."""
        mean, raw = self.layers(inputs).float().chunk(2, -1)
        # Bounded softly: a variance near zero would make the bound explode.
        return torch.stack([mean, 6 * torch.tanh(raw / 6)])


def coarse_pictures(
    images: UInt8[Tensor, 'images height width 3'], side: int
) -> Float[Tensor, 'images numbers']:
    """Returns X of q(z | X): pictures averaged to side x side pixels, about -1 to 1."""
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    return nn.functional.adaptive_avg_pool2d(pixels, side).flatten(1)


def negative_log_likelihood(
    moments: Float[Tensor, '2 images width'], latents: Float[Tensor, 'images masks width']
) -> Float[Tensor, '']:
    """Returns the loss that trains q, in nats per latent; no gradient reaches the latents."""
    mean, log_variance = moments[:, :, None]
    squares = (latents.detach() - mean).square() * torch.exp(-log_variance)
    return 0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1).mean()


def vclub(
    moments: Float[Tensor, '2 images width'],
    own: Float[Tensor, 'images masks width'],
    everyone: Float[Tensor, 'all_images masks width'],
) -> Float[Tensor, '']:
    """Returns an upper bound of I(X; z) in nats, if q is p(z | X) (arXiv:2006.12013, eq. 13).

    It says how much likelier a picture's own latent is under q than the latents of all pictures.

    Args:
        moments: Mean and log variance of q for this process's pictures; no gradient reaches q.
        own: Latents of this process's pictures.
        everyone: Latents of the pictures of all processes.
    """
    mean, log_variance = moments.detach()
    precision = torch.exp(-log_variance)
    paired = ((own - mean[:, None]).square() * precision[:, None]).sum(-1)
    # The mean over all of (z - mean)^2 needs the first two moments of z alone.
    mean_latent, mean_square = everyone.mean(0), everyone.square().mean(0)
    spread = mean_square - 2 * mean_latent * mean[:, None] + mean.square()[:, None]
    unpaired = (spread * precision[:, None]).sum(-1)
    return 0.5 * (unpaired - paired).mean()
