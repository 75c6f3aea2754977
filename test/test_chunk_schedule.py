# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The action due is the one that was predicted for now, counted from capture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionChunk
from ros2_gridsampler.acting.chunk_schedule import ChunkSchedule, NoActionDue, ScheduleConfig

PERIOD = 0.1


def ramp(start, steps=20, offset=0.0):
    """A chunk whose first action is the time that it is meant for."""
    times = start + PERIOD * np.arange(steps)
    return ActionChunk(start, PERIOD, np.stack([times + offset, np.full(steps, offset)], -1))


def schedule(delay=0.0, blend=0.0):
    return ChunkSchedule(ScheduleConfig(delay, blend))


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
    with pytest.raises(ValueError, match='(delay|blend_time) is .* s, expected at least 0.0 s'):
        ScheduleConfig(*times)


def ensemble(blend=0.1, decay=0.0):
    return ChunkSchedule(ScheduleConfig(0.0, blend, 'ensemble', decay))


def test_an_ensemble_is_the_mean_of_the_chunks_that_reach_to_now():
    plan = ensemble(blend=0.0)
    for start, offset in ((10.0, 0.0), (10.1, 1.0), (10.2, 5.0)):
        plan.add(ramp(start, offset=offset), now=start)
    assert plan.action(10.5)[1] == pytest.approx(2.0)
    assert plan.action(11.95)[1] == pytest.approx(3.0), 'the first is over'


def test_a_decay_favours_the_old_or_the_young():
    means = []
    for decay in (-5.0, 0.0, 5.0):
        plan = ensemble(blend=0.0, decay=decay)
        plan.add(ramp(10.0, offset=0.0), now=10.0)
        plan.add(ramp(10.5, offset=1.0), now=10.5)
        means.append(plan.action(10.6)[1])
    assert means[0] > 0.9
    assert means[1] == pytest.approx(0.5)
    assert means[2] < 0.1


@given(
    waits=st.lists(st.floats(0.02, 0.3), min_size=1, max_size=12),
    offsets=st.lists(st.floats(-1, 1), min_size=13, max_size=13),
    blend=st.floats(0.05, 0.5),
)
def test_an_ensemble_has_no_step_where_a_chunk_comes_or_goes(waits, offsets, blend):
    plan = ensemble(blend)
    plan.add(ramp(10.0, offset=offsets[0]), now=10.0)
    for now, offset in zip(10.0 + np.cumsum(waits), offsets[1:], strict=False):
        before = plan.action(now)
        plan.add(ramp(now - 0.01, offset=offset), now=now)
        np.testing.assert_allclose(plan.action(now), before, atol=1e-5)
    times = np.arange(now, now + 1.5, 1e-3)
    actions = np.array([plan.action(time)[1] for time in times])
    assert np.abs(np.diff(actions)).max() <= 2 * 1e-3 / blend * 2 + 1e-9


def test_the_prefix_is_what_the_arm_does_until_the_next_chunk_can_be_there():
    plan = schedule(delay=0.05)
    assert plan.prefix(10.0, PERIOD, 10.0).size == 0
    plan.add(ramp(10.0), now=10.25)
    # It took 0.25 s and 0.05 s more until the arm moves: three steps of 0.1 s.
    prefix = plan.prefix(10.4, PERIOD, 10.42)
    np.testing.assert_allclose(prefix[:, 0], [10.4, 10.5, 10.6], atol=1e-6)
    assert len(plan.prefix(11.85, PERIOD, 11.9)) == 1, 'no longer than the chunk reaches'


def test_a_delay_that_was_measured_while_the_clock_jumped_makes_no_prefix_of_billions_of_steps():
    plan = schedule()
    plan.add(ramp(10.0), now=1.7e9)
    plan.clear()
    plan.add(ramp(1.7e9), now=1.7e9 + 0.1)
    prefix = plan.prefix(1.7e9 + 0.3, PERIOD, 1.7e9 + 0.4)
    assert len(prefix) == 17, 'all that the chunk still says'
    assert not len(plan.prefix(1.7e9 + 5.0, PERIOD, 1.7e9 + 5.1)), 'nothing where it is over'


def test_a_seam_is_measured_before_it_is_blended():
    plan = schedule(blend=0.5)
    assert plan.add(ramp(10.0), now=10.1) is None
    seam = plan.add(ramp(10.3, offset=0.5), now=10.5)
    assert seam.position == pytest.approx(0.5)
    assert seam.velocity == pytest.approx(0.0, abs=1e-6)


@given(
    delays=st.lists(st.floats(0.01, 0.8), min_size=1, max_size=20),
    losses=st.sets(st.integers(0, 19)),
)
def test_for_any_trace_of_delays_the_command_is_the_chunk_at_its_true_time(delays, losses):
    # Ramps that agree: whichever chunk is used, the truth about a time is that time.
    plan, captured, end = schedule(delay=0.1, blend=0.2), 10.0, 0.0
    for index, delay in enumerate(delays):
        now = captured + delay
        if index not in losses:
            plan.add(ramp(captured, steps=40), now)
            end = captured + 39 * PERIOD
        for wait in (0.0, 0.013, 0.05):
            try:
                action = plan.action(now + wait)[0]
            except NoActionDue:
                assert now + wait + 0.1 > end - 1e-6, 'a valid tail must be used'
                continue
            assert action == pytest.approx(now + wait + 0.1, abs=2e-6)
        captured = now


def test_chunks_that_nobody_asks_actions_of_are_not_kept():
    plan = schedule(blend=0.2)
    for step in range(1000):
        plan.add(ramp(10 + 0.05 * step), 10 + 0.05 * step)
    assert len(plan._entries) < 10
    assert plan.action(60.0)[0] == pytest.approx(60.0)


def test_a_policy_that_averages_its_chunks_is_scheduled_so_and_never_otherwise_unasked():
    made_for = ScheduleConfig.of_policy(0.01)
    assert (made_for.seams, made_for.ensemble_decay) == ('ensemble', 0.01)
    made_for.check_policy(0.01)
    for other in (ScheduleConfig(), ScheduleConfig(seams='ensemble', ensemble_decay=0.5)):
        other.check_policy(None)
        with pytest.raises(ValueError, match=r"seams to 'ensemble' and .* to 0\.01"):
            other.check_policy(0.01)
    assert ScheduleConfig.of_policy(None) == ScheduleConfig()
