# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that jumps or stands is named; one that goes with the steady one never is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.clock_watch import ClockWatch
from ros2_gridsampler.seeing.stream_health import Fault


@given(st.lists(st.floats(1e-3, 0.5), min_size=1, max_size=20))
def test_a_clock_that_goes_with_the_steady_one_is_never_doubted(gaps):
    watch = ClockWatch(max_jump=0.5, max_back=0.1, patience=1.0)
    for steady in np.cumsum(gaps):
        assert watch.look(1e9 + steady, steady) == []


@given(st.floats(0.6, 100) | st.floats(-100, -0.2))
def test_a_clock_that_jumps_is_named_once_and_then_believed_where_it_is(jump):
    watch = ClockWatch(max_jump=0.5, max_back=0.1, patience=1.0)
    assert watch.look(1000.0, 5.0) == []
    [(fault, text)] = watch.look(1000.02 + jump, 5.02)
    assert fault is Fault.CLOCK_JUMPED
    assert text == f'The clock jumped from 1000.000 s to {1000.02 + jump:.3f} s.'
    assert watch.look(1000.04 + jump, 5.04) == []


def test_a_clock_may_stand_as_long_as_simulated_time_does_and_no_longer():
    watch = ClockWatch(max_jump=0.5, max_back=0.1, patience=1.0)
    for steady in (0.0, 0.5, 1.0):
        assert watch.look(7.0, steady) == []
    assert [fault for fault, _ in watch.look(7.0, 1.1)] == [Fault.CLOCK_STOPPED]
    watch.begin()
    assert [fault for fault, _ in watch.look(0.0, 2.0)] == [Fault.CLOCK_STOPPED], 'nobody says it'
