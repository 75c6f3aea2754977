# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The owner of the commands keeps its grid, and hands the arm over when it hangs."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
from command_bench import JOINTS, SO101

from ros2_gridsampler.acting.action_chunk import ActionChunk
from ros2_gridsampler.acting.command_loop import CommandLoop
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import Measured, Predicted, Told
from ros2_gridsampler.acting.loop_states import LoopState
from ros2_gridsampler.nodes.command_thread import Clocks, CommandThread

CONFIG = LoopConfig(check_following=False, stop_time=30.0)
PLACE = np.array([0.3, -0.3, 0.3, 0.3, 0.3, 0.5])


class Output:
    """Keeps what is sent, when, and by which thread."""

    def __init__(self):
        self.sent, self.hangs = [], threading.Event()
        self.hangs.set()

    def publish(self, values, pose, now, reach_time):
        self.hangs.wait()
        self.sent.append((values, time.monotonic(), threading.current_thread().name))

    def wait_until_received(self):
        pass


def run(lead=0.0, watch=lambda command, view, due: None):
    """An arm that is where it was sent last, and a policy that wants it 1 rad away."""
    output = Output()
    clocks = Clocks(time.time, time.monotonic)

    def measured():
        return Measured(output.sent[-1][0] if output.sent else PLACE, time.time())

    thread = CommandThread(
        CommandLoop(JOINTS, SO101, CONFIG),
        CONFIG,
        output,
        clocks,
        measured=measured,
        watch=watch,
        lead=lead,
        niceness=0,
    )
    thread.post(Told('go'))
    thread.start()
    return thread, output


def predict(thread):
    targets = np.tile(PLACE + 1.0, (400, 1))
    for _ in range(4):
        thread.post(Predicted(ActionChunk(time.time(), 0.1, targets), 'go'))
        time.sleep(0.01)


def wait_for(condition):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize('lead', [0.0, 0.008])
def test_commands_are_sent_on_a_grid_and_never_before_they_are_due(lead):
    dues = []
    thread, output = run(lead, lambda command, view, due: dues.append(due))
    wait_for(lambda: len(output.sent) >= 20)
    assert thread.stop(30.0)
    assert thread.failure is None
    # One that is late by nearly a period may be followed by the next at once, but never by more.
    steps = [
        (later - earlier) / CONFIG.period for earlier, later in zip(dues, dues[2:], strict=False)
    ]
    assert all(step > 0.9 for step in steps), 'no burst after a slow one'


def test_an_exception_ends_the_thread_and_the_arm_is_stopped():
    dues = []

    def fail(command, view, due):
        dues.append(due)
        if len(dues) > 10:
            raise RuntimeError('no more')

    thread, output = run(watch=fail)
    predict(thread)
    wait_for(lambda: thread.failure is not None)
    assert str(thread.failure) == 'no more'
    assert thread.stop(30.0)
    values = np.array([values for values, _, _ in output.sent])
    np.testing.assert_array_equal(values[-1], values[-2])


def test_stopping_decelerates_and_says_so_more_than_once():
    thread, output = run()
    predict(thread)
    wait_for(lambda: thread.view.state is LoopState.FOLLOWING and len(output.sent) > 20)
    assert thread.stop(30.0)
    values = np.array([values for values, _, _ in output.sent])
    np.testing.assert_array_equal(values[-1], values[-2])
    check_limits(values)


def run_and_hang():
    """A thread that moved and hangs, its output, and the event that lets it go on."""
    thread, output = run()
    goes_on = threading.Event()
    goes_on.set()
    thread.before_command = goes_on.wait
    predict(thread)
    wait_for(lambda: thread.view.state is LoopState.FOLLOWING and len(output.sent) > 20)
    goes_on.clear()
    wait_for(lambda: thread.silence > 0.2)
    return thread, output, goes_on


def test_an_owner_that_hangs_is_stopped_by_a_watchdog_and_goes_on_when_it_is_back():
    thread, output, goes_on = run_and_hang()
    moving = len(output.sent)
    assert thread.take_over(30.0)
    assert {name for _, _, name in output.sent[moving:]} == {'MainThread'}
    stopped = len(output.sent)
    np.testing.assert_array_equal(output.sent[-1][0], output.sent[-2][0])
    # Once more changes nothing: the arm stands.
    assert thread.take_over(30.0)
    assert len(output.sent) == stopped
    goes_on.set()
    wait_for(lambda: thread.view.state is not LoopState.FOLLOWING)
    assert any('hung' in reason for reason in [thread.view.reason])
    predict(thread)
    wait_for(lambda: thread.view.state is LoopState.FOLLOWING)
    assert thread.stop(30.0)
    check_limits(np.array([values for values, _, _ in output.sent]))


def test_an_owner_that_hung_through_the_stop_does_not_come_back_to_life():
    thread, output, goes_on = run_and_hang()
    assert thread.stop(0.5)
    stopped, view = len(output.sent), thread.view
    goes_on.set()
    wait_for(lambda: not thread._thread.is_alive())
    assert len(output.sent) == stopped, 'the arm is let go of, and may be moved by hand'
    assert thread.view is view, 'the loop may be of another thread by now'


def test_an_owner_that_hangs_inside_a_message_cannot_be_replaced_and_says_so():
    thread, output = run()
    wait_for(lambda: len(output.sent) > 5)
    output.hangs.clear()
    wait_for(lambda: thread.silence > 0.2)
    assert not thread.take_over(0.1)
    output.hangs.set()
    assert thread.stop(30.0)


def check_limits(values):
    """Whoever sends: no step over the limits of velocity, and none of acceleration."""
    rates = np.diff(values, axis=0) / CONFIG.period
    assert (np.abs(rates) <= SO101.joints.max_velocity * (1 + 1e-6)).all()
    changes = np.abs(np.diff(rates, axis=0)) / CONFIG.period
    assert (changes <= SO101.joints.max_acceleration * (1 + 1e-3)).all()


def test_a_simulated_clock_that_begins_again_is_commanded_for_at_once():
    clock, dues = [100.0], []
    output = Output()
    thread = CommandThread(
        CommandLoop(JOINTS, SO101, CONFIG),
        CONFIG,
        output,
        Clocks(lambda: clock[0], time.monotonic, simulated=True),
        measured=lambda: Measured(PLACE, clock[0]),
        watch=lambda command, view, due: dues.append((clock[0], due)),
        lead=0.0,
        niceness=0,
    )
    thread.start()
    for begin in (100.0, 0.0):
        for tick in range(30):
            clock[0] = begin + 0.01 * tick
            time.sleep(0.01)
    assert thread.stop(30.0)
    assert min(now for now, _ in dues) < 1.0
    assert all(due - now <= 2 * CONFIG.period for now, due in dues)
