# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What keeps an observation away is a fault of a stream, or a stream that is only waited for."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_observation import CONFIG, filled, picture

from ros2_gridsampler.seeing.depth_image import DepthRange
from ros2_gridsampler.seeing.joint_states import JointStream
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.observation_search import ObservationSearch
from ros2_gridsampler.seeing.sample_stream import SampleStream
from ros2_gridsampler.seeing.stream_health import Fault, StreamBudget

NUMBERS = st.floats(-3, 3)


def test_a_stream_that_is_waited_for_is_a_reason_and_no_fault():
    buffer = filled(10.0)
    search = ObservationSearch(buffer)
    decode, wrong = search.look(10.01)
    assert decode().time == 10.0
    assert (wrong, search.reason, search.fault) == ([], '', None)
    fresh = ObservationBuffer(CONFIG, StreamBudget(settle_time=0.5))
    fresh.set_instruction('pick up the bowl')
    fresh.add_joints(['a', 'b'], [0.1, 0.2], 9.99)
    for camera in ('wrist', 'front'):
        fresh.add_image(camera, picture(1), 10.0)
    search = ObservationSearch(fresh)
    decode, wrong = search.look(10.01)
    assert (decode, wrong, search.fault) == (None, [], None)
    assert "camera 'front' waits for streams captured at the same time" in search.reason
    fresh.add_joints(['a', 'b'], [0.1, 0.2], 10.0)
    assert search.look(10.02)[0] is not None
    assert search.reason == ''


def test_stamps_that_go_back_are_told_once_and_the_stream_starts_anew():
    buffer = filled(10.0)
    search = ObservationSearch(buffer)
    assert search.look(10.01)[1] == []
    for camera in ('wrist', 'front'):
        buffer.add_image(camera, picture(3), 4.0)
    buffer.add_joints(['a', 'b'], [0.3, 0.4], 4.0)
    decode, wrong = search.look(4.01)
    assert {(each.fault, each.stream) for each in wrong} == {
        (Fault.STAMPS_BACK, stream)
        for stream in ("camera 'front'", "camera 'wrist'", 'joint states')
    }
    assert decode().joints.tolist() == [0.3, 0.4]
    assert search.look(4.02)[1] == []


def test_a_stream_that_fell_behind_while_its_frame_was_waited_for_is_too_old():
    budget = StreamBudget(max_age=0.2, max_skew=0.15, settle_time=0.0)
    buffer = filled(10.0, budget)
    buffer.add_image('front', picture(1), 10.14)
    buffer.add_joints(['a', 'b'], [0.1, 0.2], 10.19)
    buffer.add_image('wrist', picture(1), 10.19)
    search = ObservationSearch(buffer)
    decode, [wrong] = search.look(10.21)
    assert decode is None
    assert wrong.fault is Fault.OLD
    assert 'is 0.210 s old; at most 0.200 s is allowed' in wrong.text


@pytest.mark.parametrize(
    ('position', 'quaternion', 'words'),
    [
        ((0, 0), (0, 0, 0, 1), 'seven finite numbers'),
        ((0, 0, np.nan), (0, 0, 0, 1), 'seven finite numbers'),
        ((0, 0, 0), (0, 0, 0, 0.9), 'its norm is 0.9000'),
        ((0, 0, 0), (0, 0, 0, 0), 'its norm is 0.0000'),
    ],
)
def test_a_pose_that_is_none_is_refused_and_not_stored(position, quaternion, words):
    config = dataclasses.replace(CONFIG, uses_pose=True)
    buffer = ObservationBuffer(config, StreamBudget())
    with pytest.raises(ValueError, match=words):
        buffer.add_pose(position, quaternion, 10.0)
    assert buffer.streams['end-effector pose'].newest is None


@given(NUMBERS, NUMBERS, st.floats(0.05, 0.3), st.integers(2, 40))
def test_the_velocity_of_a_steady_joint_is_its_velocity_however_often_it_is_measured(
    first, second, window, count
):
    config = dataclasses.replace(CONFIG, velocity_window=window)
    buffer = ObservationBuffer(config, StreamBudget())
    buffer.set_instruction('go')
    for time in np.linspace(9.5, 10.0, count):
        # The second joint comes in messages of its own, a little earlier.
        buffer.add_joints(['b'], [second * (time - 0.01)], time - 0.01)
        buffer.add_joints(['a'], [first * time], time)
    for camera in ('wrist', 'front'):
        buffer.add_image(camera, picture(1), 10.0)
    found = buffer.newest(10.05).velocities
    assert found == pytest.approx([first, second], abs=1e-9)


def test_a_joint_that_was_measured_once_stands_as_far_as_anybody_knows():
    buffer = ObservationBuffer(dataclasses.replace(CONFIG, velocity_window=0.1), StreamBudget())
    buffer.set_instruction('go')
    buffer.add_joints(['a', 'b'], [0.1, 0.2], 10.0)
    for camera in ('wrist', 'front'):
        buffer.add_image(camera, picture(1), 10.0)
    assert buffer.newest(10.05).velocities.tolist() == [0, 0]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 8))
def test_a_full_stream_keeps_the_newest_in_order_whatever_the_order_of_arrival(times, depth):
    stream = SampleStream('numbers', depth, 1000.0, 1000.0, lambda sample: bytes([sample]))
    for time in times:
        stream.add(float(time), time)
    kept = sorted(set(times))[-depth:]
    assert [time for time, _ in stream.samples] == kept
    assert all(time == sample for time, sample in stream.samples)
    assert stream.restarts == 0
    assert stream.newest == max(times)


def test_a_driver_that_names_joints_at_random_does_not_fill_the_memory():
    names = tuple(f'j{i}' for i in range(20))
    stream = JointStream(names, depth=4, reach=1000.0, span=1000.0)
    for i in range(2000):
        stream.add([names[i % 20], f'other{i}'], [0.0, 0.0], float(i))
    found = stream.late(np.inf)
    assert found.count('other') < 1100
    # The joints that came last are known, and those that gave way are missing again.
    assert stream.missing == ['j0', 'j1', 'j2', 'j3']
    stream.add(['j19'], [0.0], 1999.0)
    assert stream.repeated == 1


def test_streams_that_contradict_each_other_are_refused_by_name():
    with pytest.raises(ValueError, match=r"depth names the cameras \['top'\]"):
        dataclasses.replace(CONFIG, depth={'top': DepthRange(0.1, 1.0)})
    with pytest.raises(ValueError, match=r"joints \['a'\] are named twice"):
        dataclasses.replace(CONFIG, joints=('a', 'b', 'a'))
