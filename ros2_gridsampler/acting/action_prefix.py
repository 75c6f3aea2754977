# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of a chunk that are already under way -> what a head is told of them.

Real-time chunking, learned in training (arXiv:2512.05964): half of the chunks that a head is
trained on come with a random number of their first steps. So it learns to go on from them, and
inference costs nothing more. The pull at inference (arXiv:2506.07339) would need gradients,
which compiled engines do not have.
"""

import numpy as np
from jaxtyping import Float

Prefix = Float[np.ndarray, 'frozen actions']
"""The first steps of a chunk that is not there yet, physical units; may be empty."""


def padded(
    prefix: Prefix | None, steps: int, actions: int
) -> tuple[Float[np.ndarray, '1 steps actions'], Float[np.ndarray, '1 steps']]:
    """A prefix in the fixed shape that compiled graphs need, and 1 for each step of it.

    Raises:
        ValueError: It has another size than the chunks, or leaves nothing to predict.
    """
    whole = np.zeros((1, steps, actions), np.float32)
    given = np.zeros((1, steps), np.float32)
    if prefix is None or not len(prefix):
        return whole, given
    if prefix.shape[1:] != (actions,) or len(prefix) >= steps:
        raise ValueError(
            f'A prefix of shape {prefix.shape} was given for chunks of {steps} steps with '
            f'{actions} actions; give fewer steps of as many actions.'
        )
    whole[0, : len(prefix)] = prefix
    given[0, : len(prefix)] = 1.0
    return whole, given
