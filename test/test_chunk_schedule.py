# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The action due is the one that was predicted for now, counted from capture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.action_chunk import ActionChunk
from ros2_gridsampler.chunk_schedule import ChunkSchedule, NoActionDue, ScheduleConfig

PERIOD = 0.1


def ramp(start, steps=20, offset=0.0):
    """A chunk whose first action is the time that it is meant for."""
    times = start + PERIOD * np.arange(steps)
    return ActionChunk(start, PERIOD, np.stack([times + offset, np.full(steps, offset)], -1))


def schedule(delay=0.0, blend=0.0):
    return ChunkSchedule(ScheduleConfig(delay, blend))


@settings(deadline=None)
@given(
    start=st.floats(0, 2e9),
    age=st.floats(0, 1.0),
    delay=st.floats(0, 0.5),
    wait=st.floats(0, 0.3),
)
def test_an_action_is_as_far_in_as_the_frame_is_old(start, age, delay, wait):
    plan = schedule(delay)
    now = start + age
    plan.add(ramp(start), now)
    assert plan.action(now + wait)[0] == pytest.approx(now + wait + delay, abs=2e-6)


def test_one_slow_inference_costs_its_own_age_and_no_more():
    plan = schedule()
    plan.add(ramp(10.0), now=11.5)
    assert plan.action(11.5)[0] == pytest.approx(11.5)
    plan.add(ramp(11.6), now=11.65)
    assert plan.action(11.65)[0] == pytest.approx(11.65)
    assert plan.action(11.6)[0] == pytest.approx(11.6)


def test_a_chunk_that_is_not_newer_is_ignored():
    plan = schedule()
    plan.add(ramp(10.0, offset=1.0), now=10.1)
    plan.add(ramp(9.9, offset=2.0), now=10.2)
    plan.add(ramp(10.0, offset=3.0), now=10.3)
    assert plan.action(10.4)[1] == 1.0


def test_the_tail_is_used_to_its_end_and_not_longer():
    plan = schedule(delay=0.25)
    plan.add(ramp(10.0), now=10.0)
    assert plan.action(11.65)[0] == pytest.approx(11.9)
    with pytest.raises(NoActionDue, match=r'over since 0\.100 s'):
        plan.action(11.75)


def test_without_a_chunk_there_is_no_action():
    plan = schedule()
    with pytest.raises(NoActionDue, match='No chunk has come'):
        plan.action(1.0)
    plan.add(ramp(1.0), now=1.0)
    plan.clear()
    with pytest.raises(NoActionDue, match='No chunk has come'):
        plan.action(1.0)


def test_before_its_start_a_chunk_gives_its_first_action():
    plan = schedule()
    plan.add(ramp(10.0), now=9.9)
    assert plan.action(9.5)[0] == 10.0


def test_a_clock_set_back_ends_the_old_chunks():
    plan = schedule()
    plan.add(ramp(1000.0), now=1000.1)
    with pytest.raises(NoActionDue, match='clock was set back'):
        plan.action(10.2)
    plan.add(ramp(10.0), now=10.1)
    assert plan.action(10.2)[0] == pytest.approx(10.2)


def test_a_hard_switch_is_at_once():
    plan = schedule(blend=0.0)
    plan.add(ramp(10.0, offset=0.0), now=10.1)
    plan.add(ramp(10.3, offset=1.0), now=10.5)
    assert plan.action(10.5)[1] == 1.0


def test_an_old_chunk_fades_into_a_new_one():
    plan = schedule(blend=0.2)
    plan.add(ramp(10.0, offset=0.0), now=10.1)
    plan.add(ramp(10.3, offset=1.0), now=10.5)
    seam = [plan.action(time)[1] for time in (10.4, 10.5, 10.55, 10.6, 10.7, 10.9)]
    np.testing.assert_allclose(seam, [0, 0, 0.25, 0.5, 1, 1], atol=1e-9)


def test_the_first_chunk_is_not_faded_in():
    plan = schedule(blend=0.2)
    plan.add(ramp(10.0, offset=1.0), now=10.1)
    assert plan.action(10.1)[1] == 1.0


def test_an_old_chunk_has_faded_out_when_it_ends():
    plan = schedule(blend=1.0)
    plan.add(ramp(10.0, steps=7), now=10.1)
    plan.add(ramp(10.4, offset=1.0), now=10.5)
    assert plan.action(10.55)[1] == pytest.approx(0.5)
    assert plan.action(10.6)[1] == pytest.approx(1.0)


def test_after_a_gap_nothing_is_faded():
    plan = schedule(blend=1.0)
    plan.add(ramp(10.0, steps=3), now=10.1)
    with pytest.raises(NoActionDue):
        plan.action(10.5)
    plan.add(ramp(10.9, offset=1.0), now=11.0)
    assert plan.action(11.0)[1] == 1.0


@settings(deadline=None)
@given(
    waits=st.lists(st.floats(0.02, 0.3), min_size=1, max_size=12),
    offsets=st.lists(st.floats(-1, 1), min_size=13, max_size=13),
    blend=st.floats(0.05, 0.5),
    delay=st.floats(0, 0.3),
)
def test_a_new_chunk_is_no_step_even_when_chunks_come_faster_than_they_blend(
    waits, offsets, blend, delay
):
    plan = schedule(delay, blend)
    plan.add(ramp(10.0, offset=offsets[0]), now=10.0)
    for now, offset in zip(10.0 + np.cumsum(waits), offsets[1:], strict=False):
        before = plan.action(now)
        plan.add(ramp(now - 0.01, offset=offset), now=now)
        np.testing.assert_allclose(plan.action(now), before, atol=1e-5)
        np.testing.assert_allclose(plan.action(now + 1e-6), before, atol=1e-3)
    assert plan.action(now + blend)[1] == pytest.approx(offset)


def test_chunks_of_another_policy_are_refused():
    plan = schedule()
    plan.add(ramp(10.0), now=10.0)
    with pytest.raises(ValueError, match='3 actions, the current one 2'):
        plan.add(ActionChunk(10.1, PERIOD, np.zeros((4, 3))), now=10.1)


@pytest.mark.parametrize('times', [(-0.1, 0.0), (0.0, -0.1), (np.nan, 0.0), (0.0, np.inf)])
def test_times_that_run_backwards_are_refused(times):
    with pytest.raises(ValueError, match='must be 0 s or more'):
        ScheduleConfig(*times)
