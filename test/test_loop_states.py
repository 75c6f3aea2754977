# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The table of the command loop is whole, and the documentation repeats it."""

from pathlib import Path

from ros2_gridsampler.acting.loop_states import (
    TRANSITIONS,
    LoopEvent,
    LoopState,
    transition_table,
)

SAFETY = Path(__file__).parents[1] / 'docs' / 'explanation' / 'safety.md'


def test_the_documentation_repeats_the_table():
    assert transition_table() in SAFETY.read_text('utf-8')


def test_every_state_can_be_reached_and_left_and_every_event_matters():
    reached, new = {LoopState.UNKNOWN}, {LoopState.UNKNOWN}
    while new:
        new = {c.to for (state, _), c in TRANSITIONS.items() if state in new} - reached
        reached |= new
    assert reached == set(LoopState)
    assert {state for state, _ in TRANSITIONS} == set(LoopState)
    assert {event for _, event in TRANSITIONS} == set(LoopEvent)


def test_a_person_can_stop_the_arm_in_every_state():
    for state in LoopState:
        after = TRANSITIONS.get((state, LoopEvent.STOP))
        assert state is LoopState.STOPPED or after.to is LoopState.STOPPED


def test_nothing_but_trust_moves_an_arm():
    into = {event for (_, event), c in TRANSITIONS.items() if c.to is LoopState.FOLLOWING}
    assert into == {LoopEvent.TRUSTED}
    assert not any(
        change.to is LoopState.FOLLOWING
        for (state, _), change in TRANSITIONS.items()
        if state in (LoopState.STOPPED, LoopState.GIVEN_UP, LoopState.UNKNOWN)
    )
