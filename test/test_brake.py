# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Whoever finds the owner of the commands hanging stops the arm as the owner would have."""

import numpy as np
import pytest
from command_bench import JOINTS, PERIOD, SO101, keep_up, panda, so101
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionChunk
from ros2_gridsampler.acting.chunk_schedule import ScheduleConfig
from ros2_gridsampler.acting.controller import Controller
from ros2_gridsampler.acting.led_pose import pose_difference

JAW = 5


def reaching(seconds, speed):
    """An arm of joints that was led away from rest for some time, at a share of its top speed."""
    bench = so101()
    start = bench.values.copy()
    for _ in range(round(seconds / PERIOD)):
        bench.wanted = bench.values + speed * bench.fastest
        bench.wanted[JAW] = start[JAW]
        bench.run(PERIOD, bench.follow)
    return bench


def stops(brake):
    """The commands of a brake, one after the other, to the one that stands."""
    for _ in range(500):
        yield (command := brake.step())
        if command.at_rest:
            return
    raise AssertionError('It never stands.')


# Each example is some seconds of commands.
@settings(max_examples=25)
@given(st.floats(0.1, 0.6), st.floats(-1, 1))
def test_a_brake_stops_joints_inside_their_limits_and_leaves_its_owner_alone(seconds, speed):
    bench = reaching(seconds, speed)
    commands = [*stops(bench.loop.brake())]
    way = np.diff([bench.sent[-1], *(each.values for each in commands)], axis=0)
    assert (np.abs(way) <= bench.fastest * PERIOD * (1 + 1e-9)).all()
    # The owner, asked to stop, makes the same commands: nothing of it was changed.
    bench.pause()
    for each in commands:
        bench.step()
        assert bench.sent[-1].tolist() == each.values.tolist()


def test_an_owner_that_comes_back_goes_on_from_where_the_brake_has_led():
    bench = reaching(0.4, 0.8)
    brake = bench.loop.brake()
    assert brake.sends
    stop = [*stops(brake)]
    bench.sent += [each.values for each in stop]
    bench.now += len(stop) * PERIOD
    bench.steady += len(stop) * PERIOD
    bench.loop.adopt(brake)
    bench.values = stop[-1].values.copy()
    bench.pause()
    bench.step()
    assert bench.sent[-1] == pytest.approx(stop[-1].values)
    bench.resume()
    bench.wanted = stop[-1].values
    assert bench.run(1.0, bench.follow)[-1] == pytest.approx(stop[-1].values)


def test_a_brake_that_made_no_step_changes_nothing_of_its_owner():
    bench = reaching(0.4, 0.8)
    bench.loop.adopt(bench.loop.brake())
    before = bench.sent[-1]
    bench.wanted = before + 0.1
    bench.run(PERIOD, bench.follow)
    assert bench.sent[-1].tolist() != before.tolist()
    assert not bench.holding


@given(st.floats(-0.05, 0.05))
def test_a_stop_is_due_no_sooner_than_the_arm_can_get_there_from_where_it_was_measured(behind):
    bench = reaching(0.2, 0.5)
    bench.follow()
    bench.values[0] += behind
    bench.step()
    brake = bench.loop.brake()
    way = np.abs(brake.step().values - bench.values)
    assert brake.reach_time >= (way / bench.fastest).max() * (1 - 1e-9)


def test_a_brake_of_an_arm_that_stands_holds_it_where_it_is_told_to_be():
    bench = so101()
    bench.step()
    [held] = stops(bench.loop.brake())
    assert held.values == pytest.approx(bench.sent[-1])


def test_a_brake_of_an_arm_that_was_measured_and_told_nothing_stands_where_it_was_measured():
    controller = Controller(JOINTS, SO101, ScheduleConfig(), 0.2)
    place = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    controller.measure(place, 1.0, 1.0)
    brake = controller.brake(None, PERIOD, True)
    [held] = stops(brake)
    assert held.values == pytest.approx(place)
    assert brake.pose is None
    assert brake.reach_time == 0.0


@settings(max_examples=25)
@given(st.lists(st.floats(-0.1, 0.1), min_size=6, max_size=6), st.floats(0.1, 0.5))
def test_a_hand_that_is_led_by_poses_is_stopped_by_poses_and_goes_on_from_the_last(twist, seconds):
    bench = panda()
    bench.wanted = np.array([*twist, 0.04])
    bench.run(seconds, lambda: keep_up(bench))
    brake = bench.loop.brake()
    last = brake.pose
    assert pose_difference(last, bench.sent[-1]) == pytest.approx((0, 0), abs=1e-6)
    for each in stops(brake):
        away, turned = pose_difference(brake.pose, last)
        assert away == pytest.approx(np.linalg.norm(each.values[:3]) * PERIOD, abs=1e-9)
        assert turned == pytest.approx(np.linalg.norm(each.values[3:6]) * PERIOD, abs=1e-6)
        last = brake.pose
    bench.loop.adopt(brake)
    bench.pause()
    assert pose_difference(bench.step().pose, last) == pytest.approx((0, 0), abs=1e-6)


def test_an_arm_that_stands_has_no_steps_under_way_and_one_that_follows_has():
    bench = so101()
    now = bench.now + PERIOD
    chunk = ActionChunk(now, 0.05, np.tile(bench.wanted, (16, 1)))
    assert not bench.loop.view.prefix([chunk], now, 0.05, now).size
    bench.run(0.5, bench.follow)
    for _ in range(15):
        bench.follow()
        bench.step()
    view, now = bench.loop.view, bench.now
    assert not view.holding
    assert view.prefix([], now, 0.05, now).shape == (0, 6), 'the chunks before were there at once'
    # What still waits in the inbox counts, and is 0.2 s old, so the next one will be.
    coming = ActionChunk(now - 0.2, 0.05, np.tile(bench.wanted + 0.2, (16, 1)))
    asked = view.prefix([coming], now, 0.05, now)
    assert len(asked) == 4
    assert asked[0] == pytest.approx(bench.wanted)
    assert asked[-1] == pytest.approx(bench.wanted + 0.2)
    assert not view.prefix([], now, 0.05, now).size, 'and the view is as it was'
