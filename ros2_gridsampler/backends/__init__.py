# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> the engine that computes it; every engine has the same call."""

from typing import Protocol

from ..observation import Observation
from ..policy import Policy, Prediction

NAMES = ('eager',)


class Backend(Protocol):
    """Anything that predicts as `Policy` does."""

    def predict(self, observation: Observation) -> Prediction:
        """One observation, one chunk."""


def load(policy: Policy, backend: str) -> Backend:
    """Make the engine of that name.

    Args:
        policy: The reference, in float32.
        backend: One of `NAMES`; 'eager' is the policy itself.

    Raises:
        ValueError: There is no such engine.
    """
    if backend != 'eager':
        raise ValueError(f'Backend {backend!r} is not known; use one of {list(NAMES)}.')
    return policy
