# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Labels hold from their times on, whatever the order in which they come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.datasets.label_track import HOP, LabelTrack


def track_of(times):
    track = LabelTrack()
    for time in times:
        track.add(time, np.array([time]))
    return track


@given(st.permutations(range(12)))
def test_order_of_arrival_does_not_matter_within_a_hop(order):
    times = [0.05 * number for number in order]
    track = track_of(times)
    assert track.lost == 0
    asked = np.array([-1.0, 0.0, 0.07, 0.301, 9.0])
    np.testing.assert_allclose(track.at(asked)[:, 0], [0, 0, 0.05, 0.3, 0.55])


def test_a_clock_that_was_set_loses_labels_and_says_how_many():
    track = track_of([0.0, 5.0, 5.0 - HOP / 2, 1.0, 2.0])
    assert track.lost == 2
    assert track.times == [0.0, 4.5, 5.0]


def test_what_holds_at_a_time_is_not_forgotten():
    track = track_of(range(2000))
    track.forget_before(1999.5)
    assert track.at(np.array([1999.5, 2500.0])).tolist() == [[1999], [1999]]
    assert len(track.times) == 1
    assert LabelTrack().end == -np.inf
