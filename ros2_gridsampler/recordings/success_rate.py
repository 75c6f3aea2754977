# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Successes of episodes -> what their rate may really be."""

import math


def wilson_interval(successes: int, episodes: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a rate, 95% by default."""
    rate = successes / episodes
    spread = z * math.sqrt(rate * (1 - rate) / episodes + (z / (2 * episodes)) ** 2)
    centre = rate + z * z / (2 * episodes)
    scale = 1 + z * z / episodes
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return max(low, 0.0), min(high, 1.0)
