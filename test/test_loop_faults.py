# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Faults that others see, a clock that stands, and an arm that nobody measures hold the loop."""

import numpy as np
import pytest
from command_bench import JOINTS, PERIOD, SO101, UPRIGHT, so101

from ros2_gridsampler.acting.command_loop import CommandLoop
from ros2_gridsampler.acting.led_pose import LedPose
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import FaultSeen, Instant
from ros2_gridsampler.acting.loop_states import LoopState
from ros2_gridsampler.seeing.stream_health import Fault, Rung


def following():
    bench = so101()
    bench.run(1.0, bench.follow)
    assert bench.loop.view.state is LoopState.FOLLOWING
    return bench


@pytest.mark.parametrize('fault', [Fault.FROZEN, Fault.RIVAL, Fault.LATE_COMMANDS])
def test_a_fault_that_another_thread_saw_holds_the_arm_and_is_told_in_its_words(fault):
    bench = following()
    bench.inbox.append(FaultSeen(fault, 'camera', 'It was seen.', lasting=0.5))
    bench.wanted[:5] = 0.3
    before = bench.values.copy()
    bench.run(0.4, bench.follow)
    view = bench.loop.view
    assert view.holding == view.reason == 'It was seen.'
    assert view.counts[f'camera: {fault.value}'] == 1
    assert bench.values == pytest.approx(before, abs=1e-6)
    bench.run(3.0, bench.follow)
    assert bench.values[:5] == pytest.approx([0.3] * 5, abs=1e-6)


def test_a_ros_clock_that_stands_holds_the_arm():
    bench = following()
    last = None
    for _ in range(200):
        bench.steady += PERIOD
        last = bench.loop.step(Instant(bench.now, bench.steady, bench.now), [bench.measured()])
    assert last.holding.startswith('The clock stands still')
    assert last.at_rest
    assert bench.loop.view.rung >= Rung.HOLD


def test_a_chunk_that_ends_holds_the_arm_with_its_fault():
    bench = following()
    for _ in range(100):
        bench.follow()
        bench.step()
    assert 'The last chunk is over' in bench.holding
    assert bench.loop.view.counts[f'arm: {Fault.CHUNK_OVER.value}']


def test_before_the_arm_was_measured_nothing_is_commanded_and_what_is_needed_is_named():
    loop = CommandLoop(JOINTS, SO101, LoopConfig(), needed='joint states of shoulder')
    assert loop.step(Instant(1.0, 1.0, 1.0)) is None
    assert 'waiting for joint states of shoulder' in loop.view.holding
    assert loop.view.state is LoopState.UNKNOWN


def test_a_pose_is_led_from_where_the_hand_was_measured_and_from_nowhere_else():
    led = LedPose(PERIOD)
    with pytest.raises(RuntimeError, match='before the end effector was measured'):
        led.advance(np.zeros(6))
    led.start_again(UPRIGHT, 0.05)
    assert led.pose.tolist() == UPRIGHT.tolist()
    near = UPRIGHT + 0.01 * np.eye(7)[0]
    led.start_again(near, 0.05)
    assert led.pose.tolist() == UPRIGHT.tolist(), 'what is near its command goes on'
    led.start_again(None, 0.05)
    assert led.pose is None
    assert led.gap(UPRIGHT) == (0.0, 0.0)
