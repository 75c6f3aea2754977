# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder -> what a policy reads of it, and how far that is from what it knows."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..datasets.frames import FrameStore
from ..policy.encoder import Encoder
from ..policy.grid_sampler import PointReader, read_bilinear
from ..policy.policy import Policy


class RandomPoints:
    """Points all over pictures: where a policy will look is not known without its task."""

    def __init__(self, tokens: int, seed: int) -> None:
        self._tokens = tokens
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, pictures: int) -> Float[Tensor, 'batch tokens 2']:
        """Of so many pictures, (x, y) in [0, 1]."""
        return torch.rand(pictures, max(self._tokens, 1), 2, generator=self._generator)


def own_features(
    policy: Policy,
    images: UInt8[Tensor, 'batch height width 3'],
    points: Float[Tensor, 'batch tokens 2'],
) -> list[Float[Tensor, 'batch *places width']]:
    """What the policy reads of its own encoder, see `features`."""
    with torch.no_grad():
        return features(policy, policy.encoder, images, points)


def features(
    policy: Policy,
    encoder: Encoder,
    images: UInt8[Tensor, 'batch height width 3'],
    points: Float[Tensor, 'batch tokens 2'],
) -> list[Float[Tensor, 'batch *places width']]:
    """What a policy reads of an encoder.

    The map that the points are found in and, where that is inside the tower, also what the rest
    of the tower makes of as few tokens as the policy keeps: it has never seen them all.
    """
    after = policy.config.sample_after
    found = encoder.early(images, after)
    if after == policy.config.encoder.depth:
        return [found]
    kept = read_bilinear(found, points)
    if isinstance(policy.reducer, PointReader):
        kept = policy.reducer.place(kept, points)
    return [found, encoder.late(kept, after)]


@torch.inference_mode()
def feature_error(policy: Policy, encoder: Encoder, store: FrameStore) -> float:
    """Squared error of the features in variances of the policy's own; 1 is as bad as the mean."""
    chosen = np.linspace(0, len(store) - 1, min(256, len(store))).astype(int)
    points = RandomPoints(policy.config.tokens, 0)
    errors, maps = [], []
    for part in np.array_split(chosen, max(len(chosen) // 32, 1)):
        images = torch.from_numpy(store.images(part))
        places = points(len(images))
        theirs = own_features(policy, images, places)[-1].flatten(0, -2)
        ours = features(policy, encoder, images, places)[-1].flatten(0, -2)
        errors.append((ours - theirs).square().mean(0))
        maps.append(theirs)
    variance = torch.cat(maps).var(0)
    return round(float(torch.stack(errors).mean(0).mean() / variance.mean()), 4)
