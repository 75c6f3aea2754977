# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of a chunk's life add up, and an old slow one is forgotten."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.latency import (
    STAGES,
    ChunkTimes,
    DeadlineMonitor,
    LatencyWindow,
    RateWindow,
    Summary,
)

durations = st.floats(0, 10)


@given(st.floats(0, 1e6), durations, durations, durations, durations)
def test_the_stages_add_up_to_the_total(captured, wait, decode, inference, schedule):
    moments = np.cumsum([captured, wait, decode, inference, schedule])
    times = dict(zip(STAGES, ChunkTimes(*moments).durations(), strict=True))
    total = times.pop('total')
    assert sum(times.values()) == pytest.approx(total, abs=1e-6)
    assert times['inference'] == pytest.approx(inference, abs=1e-6)


@given(st.lists(durations, min_size=1))
def test_a_summary_orders_its_numbers(values):
    summary = Summary.of(values)
    assert summary.count == len(values)
    assert summary.p50 <= summary.p99 + 1e-9
    assert summary.p99 <= summary.maximum + 1e-9


def test_a_cold_start_leaves_the_window():
    window = LatencyWindow(chunks=10)
    window.add(ChunkTimes(0, 0, 0, 5, 5))
    assert window.summaries()['inference'].maximum == 5
    for _ in range(10):
        window.add(ChunkTimes(0, 0, 0, 0.1, 0.1))
    assert window.summaries()['inference'].maximum == pytest.approx(0.1)


def test_nothing_measured_is_not_a_number():
    assert all(np.isnan(s.p50) and s.count == 0 for s in LatencyWindow().summaries().values())


@given(st.lists(st.integers(1, 4), min_size=1, max_size=50))
def test_every_tick_that_did_not_come_is_counted_once(gaps):
    deadlines = DeadlineMonitor(period=0.02)
    for moment in [0.0, *np.cumsum(gaps)]:
        deadlines.tick(100.0 + 0.02 * moment)
    assert deadlines.missed == sum(gap - 1 for gap in gaps)
    assert deadlines.ticks == len(gaps) + 1
    assert deadlines.regular == pytest.approx(sum(gap == 1 for gap in gaps) / len(gaps))
    assert deadlines.periods().maximum == pytest.approx(0.02 * max(gaps), abs=1e-9)


@pytest.mark.parametrize(
    ('times', 'rate'),
    [([], 0), ([3.0], 0), ([3.0, 3.0], 0), ([3.0, 3.0, 3.5], 4), ([1.0, 1.1, 1.2, 1.3], 10)],
)
def test_events_of_one_moment_have_no_rate_and_are_no_error(times, rate):
    window = RateWindow()
    for time in times:
        window.add(time)
    assert window.rate == pytest.approx(rate)


def test_durations_are_told_in_milliseconds():
    monitor = DeadlineMonitor(0.02)
    assert monitor.last is None
    for now in (1.0, 1.02, 1.05):
        monitor.tick(now)
    assert monitor.last == 1.05
    assert str(monitor.periods()) == '25.0 / 29.9 / 30.0 ms'
