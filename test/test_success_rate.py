# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Intervals of rates and of their paired differences hold what they promise."""

import numpy as np
import pytest

from ros2_gridsampler.evaluating.success_rate import paired_difference, wilson_interval


def test_the_interval_of_a_rate_is_wilsons():
    # 81 of 263, from Newcombe's comparison of seven methods (Statistics in Medicine 17, 1998).
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1


def pairs(both, first, second, neither):
    """A 2x2 table of episodes."""
    return (
        [(True, True)] * both
        + [(True, False)] * first
        + [(False, True)] * second
        + [(False, False)] * neither
    )


def test_policies_that_never_differ_may_still_differ():
    difference, low, high = paired_difference(pairs(50, 0, 0, 0))
    assert difference == 0
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1 - wilson_interval(50, 50)[0])
    _, low, high = paired_difference(pairs(0, 1, 0, 0))
    assert low < 0.3
    assert high == pytest.approx(1)


def test_the_difference_the_other_way_round_is_its_mirror():
    one, other = paired_difference(pairs(30, 7, 3, 8)), paired_difference(pairs(30, 3, 7, 8))
    np.testing.assert_allclose(one, [-other[0], -other[2], -other[1]])


@pytest.mark.parametrize('rates', [(0.97, 0.94, 0.93), (0.8, 0.7, 0.6), (0.5, 0.5, 0.45)])
def test_the_interval_holds_the_true_difference_in_about_95_of_100_cases(rates):
    first, second, both = rates
    table = [both, first - both, second - both, 1 - first - second + both]
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(100, table, 2000)
    intervals = np.array([paired_difference(pairs(*counts))[1:] for counts in drawn])
    held = (intervals[:, 0] <= first - second) & (first - second <= intervals[:, 1])
    assert 0.93 < held.mean() < 0.99
