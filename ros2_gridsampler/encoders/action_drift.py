# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What two encoders made of the same observations -> how far the arm would go elsewhere."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..policy.policy_config import Statistics
from .swap_config import SwapConfig


@dataclass(frozen=True)
class Answer:
    """What a policy makes of one observation with the old and with the new encoder.

    Attributes:
        old: Targets with the old encoder, in physical units.
        new: Targets with the new encoder, in physical units.
        old_duration: Duration of the inference with the old encoder [s].
        new_duration: Duration of the inference with the new encoder [s].
    """

    old: Float[np.ndarray, 'steps actions']
    new: Float[np.ndarray, 'steps actions']
    old_duration: float
    new_duration: float


@dataclass(frozen=True)
class Drift:
    """A comparison over some observations.

    Attributes:
        names: Names of the actions.
        cosine: Cosine of the deviations from each mean action; 1 where both hardly deviate.
        deviation: Mean absolute difference per action [standard deviations].
        latency: Fastest inference with the new encoder [s].
        latency_ratio: Fastest inference with the new encoder over that with the old one.
        observations: Number of observations that were compared.
    """

    names: tuple[str, ...]
    cosine: tuple[float, ...]
    deviation: tuple[float, ...]
    latency: float
    latency_ratio: float
    observations: int

    @classmethod
    def between(
        cls, answers: list[Answer], names: tuple[str, ...], statistics: Statistics
    ) -> 'Drift':
        """Compares; there is at least one answer."""
        mean, scale = np.array(statistics.mean), np.array(statistics.scale)
        old = (np.concatenate([a.old for a in answers]) - mean) / scale
        new = (np.concatenate([a.new for a in answers]) - mean) / scale
        norms = np.linalg.norm(old, axis=0), np.linalg.norm(new, axis=0)
        # The direction of next to nothing is noise; `deviation` judges it.
        small = 0.05 * np.sqrt(len(old))
        quiet = (norms[0] < small) & (norms[1] < small)
        cosine = (old * new).sum(0) / np.maximum(norms[0] * norms[1], 1e-12)
        fastest = min(a.new_duration for a in answers)
        before = min(a.old_duration for a in answers)
        return cls(
            names,
            tuple(np.where(quiet, 1.0, cosine).tolist()),
            tuple(np.abs(old - new).mean(0).tolist()),
            fastest,
            fastest / max(before, 1e-9),
            len(answers),
        )

    def refusal(self, config: SwapConfig) -> str:
        """Returns why the new encoder must not drive the arm, with figures; empty where it may."""
        found = []
        for name, cosine, deviation in zip(self.names, self.cosine, self.deviation, strict=True):
            # Written so that a number that is not one is refused too.
            if not cosine >= config.min_cosine:
                found.append(f'{name}: cosine {cosine:.3f}, at least {config.min_cosine:g}')
            if not deviation <= config.max_deviation:
                found.append(
                    f'{name}: off by {deviation:.3f} standard deviations, at most '
                    f'{config.max_deviation:g}'
                )
        if not self.latency_ratio <= config.max_latency_ratio:
            found.append(
                f'{self.latency_ratio:.2f} times as slow, at most {config.max_latency_ratio:g}'
            )
        if not self.latency <= config.max_latency:
            found.append(f'{self.latency:.3f} s per inference, at most {config.max_latency:g} s')
        if not found:
            return ''
        return f'On {self.observations} observations it differs: {"; ".join(found)}.'
