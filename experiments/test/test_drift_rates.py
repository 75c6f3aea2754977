# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Known shifts are counted by size, and noticed from three pixels on."""

from experiments.drift_rates import DriftTrial, compare, format_rates, recorded_pairs
from ros2_gridsampler.calibrating.mount_drift import DriftLimits

LIMITS = DriftLimits()


def test_the_table_counts_refusals_per_shift():
    trials = [DriftTrial(0, 0.1, False), DriftTrial(5, None, True), DriftTrial(5, 5.2, True)]
    rows = format_rates(trials).splitlines()
    assert rows[2].startswith('| 0 | 0 of 1 |')
    assert rows[3] == '| 5 | 2 of 2 | 34 to 100% | 0.20 | 1 |'


def test_real_frames_shifted_by_three_pixels_or_more_are_all_noticed(shared_bag):
    bag = shared_bag('g1_real_bottle_010')
    for pair in recorded_pairs([bag], '', 3, seed=1):
        assert compare(pair, LIMITS).refused == (pair.shift >= 3) or pair.shift == 2
