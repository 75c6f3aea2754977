# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Every fault leads down the ladder, and only enough good observations lead up again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.seeing.stream_health import (
    LADDER,
    DegradationLadder,
    Fault,
    LadderConfig,
    Rung,
)

CONFIG = LadderConfig(max_tail=1.0, good_observations=3, deactivate_after=10.0)


def following(now=0.0):
    ladder = DegradationLadder(CONFIG, now)
    for _ in range(CONFIG.good_observations):
        ladder.observe_good(now)
    assert ladder.rung(now) is Rung.FOLLOW
    ladder.transitions()
    return ladder


def test_nothing_moves_before_enough_good_observations():
    ladder = DegradationLadder(CONFIG, 0.0)
    assert ladder.rung(1000.0) is Rung.HOLD, 'an arm that waits is not deactivated'
    ladder.observe_good(1000.0)
    ladder.observe_good(1000.0)
    assert ladder.rung(1000.0) is Rung.HOLD
    ladder.observe_good(1000.0)
    assert ladder.rung(1000.0) is Rung.FOLLOW


@pytest.mark.parametrize('first', [True, False])
def test_of_what_is_seen_at_once_an_unknown_arm_is_said_before_a_sentence_that_lacks(first):
    ladder = following()
    seen = [(Fault.NO_INSTRUCTION, 'Say one.'), (Fault.STATE_OLD, 'Nobody measures it.')]
    for fault, reason in seen if first else reversed(seen):
        ladder.report(fault, 'any', reason, 1.0)
    assert ladder.reason == 'Nobody measures it.'
    ladder.report(Fault.NO_INSTRUCTION, 'any', 'Say one.', 2.0)
    assert ladder.reason == 'Say one.', 'the most recent'


def test_the_table_has_a_rung_for_every_fault_and_none_is_ignored():
    assert set(LADDER) == set(Fault)
    assert all(rung > Rung.FOLLOW for rung in LADDER.values())


@pytest.mark.parametrize('fault', Fault)
def test_a_fault_that_stays_ends_in_a_deactivation_and_is_told(fault):
    ladder = following()
    now, rungs = 0.0, []
    while now < 15.0:
        ladder.report(fault, 'camera', 'It is broken.', now)
        rungs.append(ladder.rung(now))
        now += 0.1
    assert rungs[0] is LADDER[fault]
    assert rungs == sorted(rungs)
    assert rungs[-1] is Rung.DEACTIVATE
    steps = ladder.transitions()
    assert [step.after for step in steps] == sorted({step.after for step in steps})
    assert all('It is broken' in str(step) for step in steps)
    assert ladder.counts[f'camera: {fault.value}'] == 1
    # One more: the way up at the start.
    assert sum(n for name, n in ladder.counts.items() if '->' in name) == len(steps) + 1
    assert ladder.states() == {'camera': fault.value}
    for _ in range(10):
        ladder.observe_good(now)
    assert ladder.rung(now) is Rung.DEACTIVATE, 'only a person brings it back'


faults = st.sampled_from([fault for fault in Fault if LADDER[fault] < Rung.DEACTIVATE])
events = st.lists(st.one_of(st.none(), faults), max_size=30)


@given(events)
def test_the_way_back_is_so_many_good_observations_in_a_row(sequence):
    ladder, good, held = DegradationLadder(CONFIG, 0.0), 0, True
    for step, fault in enumerate(sequence):
        now = 0.01 * step
        if fault is None:
            ladder.observe_good(now)
            good += 1
            held = held and good < CONFIG.good_observations
        else:
            ladder.report(fault, 'stream', 'Broken.', now)
            good = 0
            held = held or LADDER[fault] is Rung.HOLD
        assert (ladder.rung(now) >= Rung.HOLD) == held
        assert bool(ladder.reason) == (ladder.rung(now) > Rung.FOLLOW)


def test_a_tail_lasts_so_long_and_then_the_arm_holds():
    ladder = following()
    ladder.report(Fault.OLD, 'wrist', 'Old.', 5.0)
    assert ladder.rung(5.9) is Rung.TAIL
    assert ladder.rung(6.1) is Rung.HOLD


def test_a_lasting_fault_is_not_ended_by_good_observations():
    ladder = following()
    ladder.report(Fault.RIVAL, 'command topic', 'Another publisher.', 1.0, lasting=1.0)
    for _ in range(10):
        ladder.observe_good(1.5)
    assert ladder.rung(1.5) is Rung.HOLD
    for _ in range(3):
        ladder.observe_good(2.5)
    assert ladder.rung(2.5) is Rung.FOLLOW
