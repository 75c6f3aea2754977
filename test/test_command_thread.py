# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The thread of the commands begins in time, keeps its grid, and says what ended it."""

import time
from itertools import pairwise

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
from ros2_gridsampler.nodes.command_thread import CommandThread

PERIOD = 0.02


def run(tick, lead=0.0):
    thread = CommandThread(PERIOD, lead, 0, tick)
    thread.start()
    return thread


def wait_for(condition):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize('lead', [0.0, 0.008])
def test_a_command_is_begun_before_it_is_due_and_due_on_a_grid(lead):
    calls = []
    thread = run(lambda due: calls.append((time.monotonic(), due)), lead)
    wait_for(lambda: len(calls) >= 20)
    assert thread.stop(60.0)
    assert thread.failure is None
    begun, due = zip(*calls, strict=True)
    assert all(begin >= end - lead for begin, end in calls), 'never earlier than the lead'
    assert begun[0] <= due[0] or lead == 0.0
    steps = [(later - earlier) / PERIOD for earlier, later in pairwise(due)]
    assert all(abs(step - round(step)) < 1e-6 and step > 0.5 for step in steps)


def test_what_a_slow_command_has_missed_is_left_out():
    calls = []

    def tick(due):
        calls.append(due)
        if len(calls) == 3:
            time.sleep(5.5 * PERIOD)

    thread = run(tick)
    wait_for(lambda: len(calls) >= 6)
    assert thread.stop(60.0)
    assert calls[3] - calls[2] > 4.5 * PERIOD, 'no burst after the slow one'


def test_an_exception_ends_the_thread_and_is_kept():
    def tick(due):
        raise RuntimeError('no more')

    thread = run(tick)
    wait_for(lambda: thread.failure is not None)
    assert str(thread.failure) == 'no more'
    assert thread.stop(60.0)
