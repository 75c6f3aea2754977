# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Successes of episodes -> what their rate, or the difference of two rates, may really be."""

import math
from collections.abc import Sequence


def wilson_interval(successes: int, episodes: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a rate, 95% by default."""
    rate = successes / episodes
    spread = z * math.sqrt(rate * (1 - rate) / episodes + (z / (2 * episodes)) ** 2)
    centre = rate + z * z / (2 * episodes)
    scale = 1 + z * z / episodes
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return max(low, 0.0), min(high, 1.0)


def paired_difference(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float, float]:
    """Difference of two rates on the same episodes, with its 95% interval.

    Newcombe's score interval for paired rates (Statistics in Medicine 17, 1998, method 10): where
    hardly any pair differs, as among good policies, drawing the pairs again would claim certainty.

    Args:
        pairs: Outcomes of the first and of the second on one episode each; at least one.

    Returns:
        Rate of the first less that of the second, and the interval.
    """
    episodes = len(pairs)
    first, second = (sum(pair[side] for pair in pairs) for side in (0, 1))
    both = sum(one and other for one, other in pairs)
    p, q = first / episodes, second / episodes
    below_p, above_p = (abs(bound - p) for bound in wilson_interval(first, episodes))
    below_q, above_q = (abs(bound - q) for bound in wilson_interval(second, episodes))
    margins = first * (episodes - first) * second * (episodes - second)
    # Of the 2x2 table, with Newcombe's correction for continuity.
    determinant = float(both * episodes - first * second)
    if determinant > 0:
        determinant = max(determinant - episodes / 2, 0.0)
    correlation = determinant / math.sqrt(margins) if margins else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

    difference = p - q
    return difference, difference - reach(below_p, above_q), difference + reach(above_p, below_q)
