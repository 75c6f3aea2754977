# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Streams become an observation by capture time, or a sentence says why not."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.seeing.calibration import ImagePreparation, prepare_image
from ros2_gridsampler.seeing.camera_message import decode_image, intrinsics
from ros2_gridsampler.seeing.joint_states import JointNames, JointStream, parse_joint_names
from ros2_gridsampler.seeing.observation import NotObservable, ObservationConfig, check_contrast
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.sample_stream import SampleStream
from ros2_gridsampler.seeing.stream_health import Fault, StreamBudget

SIZE = (8, 6)
CONFIG = ObservationConfig(
    {name: ImagePreparation(*SIZE) for name in ('front', 'wrist')}, SIZE, ('a', 'b'), False
)


def picture(value: int, width: int = SIZE[0], height: int = SIZE[1]) -> SimpleNamespace:
    """An Image's fields."""
    data = np.full((height, width, 3), value, np.uint8).tobytes()
    return SimpleNamespace(
        encoding='rgb8', width=width, height=height, step=3 * width, is_bigendian=0, data=data
    )


def filled(time: float = 10.0, budget: StreamBudget | None = None) -> ObservationBuffer:
    """A buffer with one sample of every stream."""
    buffer = ObservationBuffer(CONFIG, budget or StreamBudget())
    buffer.set_instruction('pick up the bowl')
    buffer.add_joints(['a', 'b'], [0.1, 0.2], time)
    buffer.add_image('wrist', picture(2), time)
    buffer.add_image('front', picture(1), time)
    return buffer


def test_joints_are_mapped_by_name_whatever_their_order():
    buffer = filled()
    buffer.add_joints(['other', 'b', 'a'], [9, 2, 1], 10.01)
    buffer.add_image('front', picture(1), 10.01)
    np.testing.assert_array_equal(buffer.newest(10.05).joints, [1, 2])


@pytest.mark.parametrize(
    ('names', 'positions', 'words'),
    [
        (['a', 'b'], [1.0, np.nan], "not finite for joint 'b'"),
        (['a', 'b', 'a'], [1.0, 2.0, 3.0], 'twice'),
        (['a', 'b'], [1.0], '2 names but 1 positions'),
        ([], [1.0, 2.0], '0 names but 2 positions'),
    ],
)
def test_joint_states_that_cannot_be_trusted_are_refused_and_not_stored(names, positions, words):
    buffer = filled()
    with pytest.raises(ValueError, match=words):
        buffer.add_joints(names, positions, 10.1)
    np.testing.assert_array_equal(buffer.newest(10.1).joints, [0.1, 0.2])


STEP = st.tuples(st.sampled_from(['a', 'b', 'ab', 'other']), st.integers(0, 40))


@given(st.lists(STEP, min_size=1, max_size=30), st.integers(0, 40))
def test_joints_in_parts_are_each_the_newest_of_its_own_and_none_is_filled_in(steps, asked):
    names, known = ('a', 'b'), {'a': {}, 'b': {}}
    stream = JointStream(names, depth=1000, reach=1000.0, span=1000.0)
    for part, time in steps:
        there = {'ab': ['b', 'other', 'a']}.get(part, [part])
        # What a joint is says when it was.
        stream.add(there, [time + 0.5 * (name == 'b') for name in there], float(time))
        for name in names:
            if name in there:
                known[name][time] = time + 0.5 * (name == 'b')
    expected = [max((t for t in known[name] if t <= asked), default=None) for name in names]
    found = stream.positions(float(asked))
    if None in expected:
        assert found is None
        return
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], [expected[0], expected[1] + 0.5])
    assert stream.at(float(asked))[0] == min(expected)
    assert stream.newest == min(max(known[name]) for name in names)


def test_a_part_that_falls_silent_is_named_and_the_others_do_not_hide_it():
    buffer = filled()
    buffer.add_joints(['a'], [0.1], 10.7)
    for camera in ('front', 'wrist'):
        buffer.add_image(camera, picture(3), 10.7)
    with pytest.raises(NotObservable, match=r"joint states of \['b'\] is 0\.700 s old"):
        buffer.newest(10.7)
    buffer.add_joints(['b'], [0.2], 10.7)
    np.testing.assert_array_equal(buffer.newest(10.7).joints, [0.1, 0.2])


def test_a_joint_that_never_came_is_named_with_those_that_did():
    buffer = ObservationBuffer(CONFIG, StreamBudget())
    for camera in ('front', 'wrist'):
        buffer.add_image(camera, picture(0), 1.0)
    buffer.add_joints(['a', 'left_b'], [0, 0], 1.0)
    with pytest.raises(NotObservable, match=r"of \['b'\] \(there are \['a', 'left_b'\]\)"):
        buffer.newest(1.0)


def test_parts_from_before_a_clock_was_set_back_are_forgotten():
    stream = JointStream(('a', 'b'), 100, 0.5, 10.0)
    stream.add(['a', 'b'], [1, 2], 100.0)
    stream.add(['a'], [1], 100.1)
    stream.add(['a', 'b'], [3, 4], 5.0)
    stream.add(['a', 'b'], [5, 6], 5.1)
    assert stream.newest == 5.1
    np.testing.assert_array_equal(stream.at(np.inf)[1], [5, 6])


def test_joints_that_come_in_other_parts_since_a_clock_was_set_back_are_those_of_now():
    stream = JointStream(('a', 'b'), 100, 0.5, 10.0)
    stream.add(['a', 'b'], [1, 2], 100.0)
    for time in (5.0, 5.1):
        stream.add(['a'], [3], time)
        stream.add(['b'], [4], time)
    assert (stream.newest, stream.restarts) == (5.1, 1)
    np.testing.assert_array_equal(stream.at(np.inf)[1], [3, 4])


NAME = st.text('abc', min_size=1, max_size=2)


@given(st.dictionaries(NAME, NAME, max_size=4), st.sampled_from(['', 'left_']))
def test_each_joint_of_the_policy_is_one_of_the_robot_or_the_map_is_refused(names, prefix):
    joints = ('a', 'b', 'aa')
    called = [prefix + names.get(joint, joint) for joint in joints]
    if len(set(names.values())) < len(names) or len(set(called)) < len(called):
        with pytest.raises(ValueError, match='joint_names'):
            JointNames(names, prefix).of_robot(joints)
        return
    map_ = parse_joint_names([f'{policy}={robot}' for policy, robot in names.items()], prefix)
    assert map_.of_robot(joints) == tuple(called)
    config = dataclasses.replace(CONFIG, joints=joints)
    buffer = ObservationBuffer(config, StreamBudget(), map_)
    buffer.set_instruction('go')
    for camera in ('front', 'wrist'):
        buffer.add_image(camera, picture(0), 1.0)
    # The robot has others too, that are called as the policy calls its own.
    others = [joint for joint in joints if joint not in called]
    buffer.add_joints([*others, *called], [9.0] * len(others) + [1.0, 2.0, 3.0], 1.0)
    np.testing.assert_array_equal(buffer.newest(1.0).joints, [1.0, 2.0, 3.0])


@pytest.mark.parametrize('pairs', [['elbow'], ['=b'], ['a='], ['a=b', 'a=c']])
def test_a_joint_name_that_is_no_pair_is_refused(pairs):
    with pytest.raises(ValueError, match=r'write each joint .* like elbow=elbow_joint'):
        parse_joint_names(pairs, '')


def test_the_observation_carries_the_capture_time_of_its_oldest_stream():
    buffer = filled()
    buffer.add_image('front', picture(3), 10.05)
    buffer.add_joints(['a', 'b'], [1, 2], 10.05)
    observation = buffer.newest(10.2)
    assert observation.time == 10.0
    assert observation.images['front'][0, 0, 0] == 3


@pytest.mark.parametrize('silent', ['front', 'wrist', 'joint states'])
def test_a_stream_that_never_came_is_named(silent):
    buffer = ObservationBuffer(CONFIG, StreamBudget())
    buffer.set_instruction('go')
    for camera in ('front', 'wrist'):
        if camera != silent:
            buffer.add_image(camera, picture(0), 1.0)
    if silent != 'joint states':
        buffer.add_joints(['a', 'b'], [0, 0], 1.0)
    with pytest.raises(NotObservable, match=silent):
        buffer.newest(1.0)


def test_an_old_stream_stops_observations():
    buffer = filled()
    assert buffer.newest(10.4).time == 10.0
    with pytest.raises(NotObservable, match=r'0\.600 s old'):
        buffer.newest(10.6)


def test_cameras_that_are_too_far_apart_stop_observations():
    buffer = filled()
    buffer.add_image('front', picture(3), 10.2)
    buffer.add_joints(['a', 'b'], [1, 2], 10.2)
    with pytest.raises(NotObservable, match="camera 'wrist' is 0.200 s behind"):
        buffer.newest(10.25)


def test_joints_at_1_khz_are_kept_as_long_as_a_picture_may_be_late():
    buffer = filled(time=9.0)
    for step in range(1000):
        time = 10 + 0.001 * step
        buffer.add_joints(['a', 'b'], [time, 0], time)
    for camera in ('front', 'wrist'):
        buffer.add_image(camera, picture(5), 10.6)
    observation = buffer.newest(11.0)
    assert observation.joints[0] == pytest.approx(10.6, abs=2e-3)


def test_samples_that_no_observation_can_use_any_more_are_dropped():
    stream = SampleStream('numbers', 4096, 0.5, 0.6, bytes)
    for step in range(3000):
        stream.add(10 + 0.001 * step, b'')
    assert len(stream.samples) < 620
    stream.add(100.0, b'')
    # What was there last before a long silence.
    assert stream.at(99.0)[0] == pytest.approx(12.999)
    assert len(stream.samples) == 2


def test_without_an_instruction_there_is_no_observation():
    buffer = filled()
    buffer.set_instruction('  ')
    with pytest.raises(NotObservable, match='instruction'):
        buffer.newest(10.0)


def test_a_picture_of_another_resolution_is_refused_with_both_sizes():
    buffer = filled()
    buffer.add_image('front', picture(1, 16, 12), 10.05)
    with pytest.raises(ValueError, match='publishes 16x12 pictures.*trained on 8x6'):
        buffer.newest(10.1)


def test_a_clock_that_jumps_back_starts_anew():
    buffer = filled(100.0)
    assert buffer.take(100.0) is not None
    buffer.add_joints(['a', 'b'], [5, 6], 1.0)
    buffer.add_image('wrist', picture(8), 1.0)
    buffer.add_image('front', picture(7), 1.0)
    decode = buffer.take(1.0)
    assert decode is not None
    observation = decode()
    assert observation.time == 1.0
    np.testing.assert_array_equal(observation.joints, [5, 6])


@given(st.permutations(range(3)), st.integers(1, 6))
def test_the_order_of_arrival_within_one_frame_does_not_matter(arrival, frames):
    buffer = ObservationBuffer(CONFIG, StreamBudget())
    buffer.set_instruction('go')
    seen = []
    for frame in range(frames):
        time = 1 + 0.05 * frame
        adds = (
            lambda t=time, f=frame: buffer.add_image('front', picture(f), t),
            lambda t=time, f=frame: buffer.add_image('wrist', picture(f), t),
            lambda t=time, f=frame: buffer.add_joints(['a', 'b'], [f, f], t),
        )
        for index in arrival:
            adds[index]()
            try:
                decode = buffer.take(time)
            except NotObservable:
                continue
            if decode:
                seen.append(decode())
    assert [o.images['front'][0, 0, 0] for o in seen] == list(range(frames))
    assert [o.images['wrist'][0, 0, 0] for o in seen] == list(range(frames))
    assert [o.joints[0] for o in seen] == list(range(frames))


moments = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(['front', 'wrist', 'joints']), st.integers(0, 9)),
    min_size=6,
    max_size=12,
)


@given(moments, st.randoms(use_true_random=False))
def test_messages_may_arrive_in_any_order_even_with_equal_stamps(messages, random):
    def filled_by(order):
        buffer = ObservationBuffer(CONFIG, StreamBudget())
        buffer.set_instruction('go')
        for step, stream, value in order:
            if stream == 'joints':
                buffer.add_joints(['a', 'b'], [value, value], 1 + 0.01 * step)
            else:
                buffer.add_image(stream, picture(value), 1 + 0.01 * step)
        try:
            seen = buffer.newest(1.1)
        except NotObservable as error:
            return str(error)
        return seen.time, seen.joints.tolist(), [int(i[0, 0, 0]) for i in seen.images.values()]

    shuffled = list(messages)
    random.shuffle(shuffled)
    assert filled_by(messages) == filled_by(shuffled)


def test_stamps_ahead_of_the_clock_stop_observations():
    with pytest.raises(NotObservable, match=r'10\.000 s ahead of the clock') as caught:
        filled(20.0).newest(10.0)
    assert caught.value.fault is Fault.STAMPS_AHEAD


def show(buffer, value, times, joint):
    for time in times:
        buffer.add_joints(['a', 'b'], [joint(time), 0.0], time)
        buffer.add_image('wrist', picture(value), time)
        buffer.add_image('front', picture(int(100 * time) % 256), time)


def test_a_picture_that_stays_while_the_arm_moves_is_a_frozen_one():
    buffer, times = filled(10.0), 10.0 + 0.05 * np.arange(1, 30)
    show(buffer, 7, times, joint=lambda time: time)
    with pytest.raises(NotObservable, match="'wrist' repeats one picture") as caught:
        buffer.newest(times[-1])
    assert caught.value.fault is Fault.FROZEN
    show(buffer, 8, times[-1:] + 0.05, joint=lambda time: time)
    assert buffer.newest(times[-1] + 0.05).images['wrist'][0, 0, 0] == 8


def test_a_picture_that_stays_while_nothing_moves_is_a_still_scene():
    buffer, times = filled(10.0), 10.0 + 0.05 * np.arange(1, 30)
    show(buffer, 7, times, joint=lambda time: 0.3)
    assert buffer.newest(times[-1]).images['wrist'][0, 0, 0] == 7


@pytest.mark.parametrize('begin', [0.1, 0.5])
@pytest.mark.parametrize('end', [0.8, 9.0])
def test_a_joint_state_that_jumps_is_no_motion_that_a_still_scene_has_to_show(begin, end):
    buffer, times = filled(10.0), 10.0 + 0.05 * np.arange(1, 30)
    show(buffer, 7, times, joint=lambda time: 0.0 if begin < time - 10 < end else 0.3)
    assert buffer.newest(times[-1]).images['wrist'][0, 0, 0] == 7


def test_a_stream_that_stops_is_named_though_nothing_new_can_be_taken():
    buffer = filled(10.0)
    assert buffer.take(10.05) is not None
    assert buffer.take(10.1) is None
    with pytest.raises(NotObservable, match='s old'):
        buffer.take(11.0)


def test_a_black_picture_is_refused():
    seen = filled().newest(10.0)
    with pytest.raises(ValueError, match="'front' shows nothing"):
        check_contrast(seen, 1.0)


def test_the_command_is_the_one_sent_before_the_picture_never_its_answer():
    config = ObservationConfig(
        {'front': ImagePreparation(*SIZE)}, SIZE, ('a', 'b'), False, uses_command=True
    )
    buffer = ObservationBuffer(config, StreamBudget())
    buffer.set_instruction('go')

    def seen(time):
        buffer.add_joints(['a', 'b'], [0.1, 0.2], time)
        buffer.add_image('front', picture(1), time)
        return buffer.newest(time).command

    np.testing.assert_array_equal(seen(10.0), [0.1, 0.2])  # nothing sent: where the arm is
    buffer.add_command(np.array([1.0, 2.0]), 10.02)
    buffer.add_command(np.array([3.0, 4.0]), 10.03)
    np.testing.assert_array_equal(seen(10.03), [1.0, 2.0])
    np.testing.assert_array_equal(seen(10.06), [3.0, 4.0])
    buffer.add_command(np.array([np.nan, 0.0]), 10.07)
    np.testing.assert_array_equal(seen(10.09), [3.0, 4.0])
    np.testing.assert_array_equal(seen(11.0), [0.1, 0.2])  # sent too long ago


def test_a_recording_at_another_scale_is_taken_and_told_another_shape_is_not():
    buffer = ObservationBuffer(CONFIG, StreamBudget(), any_scale=True)
    buffer.set_instruction('go')
    buffer.add_joints(['a', 'b'], [0, 0], 1.0)
    buffer.add_image('wrist', picture(2), 1.0)
    buffer.add_image('front', picture(1, 16, 12), 1.0)
    assert buffer.newest(1.0).images['front'].shape == (6, 8, 3)
    assert buffer.scaled == {'front': (16, 12)}
    buffer.add_image('front', picture(1, 16, 10), 1.01)
    buffer.add_joints(['a', 'b'], [0, 0], 1.01)
    with pytest.raises(ValueError, match='publishes 16x10'):
        buffer.newest(1.3)


RECTIFIED = dataclasses.replace(
    CONFIG, cameras={**CONFIG.cameras, 'front': ImagePreparation(*SIZE, rectify=True)}
)


def camera_info(focal: float = 6.0) -> SimpleNamespace:
    """A CameraInfo's fields."""
    return SimpleNamespace(
        width=SIZE[0],
        height=SIZE[1],
        distortion_model='plumb_bob',
        k=[focal, 0, 4, 0, focal, 3, 0, 0, 1],
        d=[-0.3, 0.1, 0, 0, 0],
    )


def fill_rectified() -> tuple[ObservationBuffer, SimpleNamespace]:
    """One sample of every stream, and the picture of the rectified camera; no CameraInfo yet."""
    buffer, shown = ObservationBuffer(RECTIFIED, StreamBudget()), picture(0)
    shown.data = np.random.default_rng(0).integers(0, 255, 3 * SIZE[0] * SIZE[1], np.uint8)
    buffer.set_instruction('go')
    buffer.add_joints(['a', 'b'], [0, 0], 1.0)
    buffer.add_image('wrist', picture(1), 1.0)
    buffer.add_image('front', shown, 1.0)
    return buffer, shown


def test_a_rectified_camera_is_waited_for_until_its_camera_info_has_come():
    buffer, shown = fill_rectified()
    with pytest.raises(NotObservable, match="come yet from: CameraInfo of camera 'front'"):
        buffer.take(1.0)
    buffer.add_camera_info('front', camera_info())
    seen = buffer.newest(1.0).images['front']
    raw = decode_image(shown)
    expected = prepare_image(raw, RECTIFIED.cameras['front'], intrinsics(camera_info()))
    np.testing.assert_array_equal(seen, expected)
    assert (seen != raw).any()


def test_another_camera_info_on_the_way_is_named_and_changes_no_picture():
    buffer, _ = fill_rectified()
    buffer.add_camera_info('front', camera_info())
    before = buffer.newest(1.0).images['front']
    with pytest.raises(ValueError, match="CameraInfo of camera 'front' has changed"):
        buffer.add_camera_info('front', camera_info(6.1))
    np.testing.assert_array_equal(buffer.newest(1.0).images['front'], before)
    buffer.add_camera_info('wrist', camera_info(0.0))  # not rectified, so nobody asks


def test_an_uncalibrated_camera_cannot_be_rectified():
    buffer, _ = fill_rectified()
    nothing = camera_info()
    nothing.k = [0.0] * 9
    with pytest.raises(ValueError, match='not calibrated'):
        buffer.add_camera_info('front', nothing)


@given(
    lag=st.integers(0, 3),
    earlier=st.integers(1, 3),
    every=st.sampled_from([0.01, 0.02, 0.05]),
    frames=st.integers(1, 60),
)
@settings(max_examples=40)
def test_earlier_observations_are_whole_periods_before_and_copied_where_nothing_was(
    lag, earlier, every, frames
):
    period = 0.1
    config = dataclasses.replace(CONFIG, earlier=earlier, earlier_period=period)
    # A frame waits for its companions, however late they are.
    buffer = ObservationBuffer(config, StreamBudget(settle_time=0.4))
    buffer.set_instruction('pick up the bowl')
    for index in range(frames):
        time = 10 + index * every
        # The wrist's frames come late; what a frame shows is its number.
        buffer.add_joints(['a', 'b'], [index, -index], time)
        buffer.add_image('front', picture(index), time)
        if index >= lag:
            buffer.add_image('wrist', picture(index - lag), 10 + (index - lag) * every)
    last = frames - 1 - lag
    if last < 0:
        return
    found = buffer.newest(10 + (frames - 1) * every)
    assert len(found.earlier) == earlier
    first = found.images['front'][0, 0, 0]
    assert first == last
    expected, after = [], last
    for count in range(1, earlier + 1):
        index = last - count * round(period / every)
        after = index if index >= 0 else after
        expected.append(after)
    assert [each.images['front'][0, 0, 0] for each in found.earlier] == expected
    assert [each.images['wrist'][0, 0, 0] for each in found.earlier] == expected
    assert [each.joints[0] for each in found.earlier] == expected
    assert all(each.instruction == 'pick up the bowl' for each in found.earlier)


def test_a_history_without_a_period_is_refused():
    with pytest.raises(ValueError, match='need a time between them'):
        dataclasses.replace(CONFIG, earlier=1)


@pytest.mark.parametrize(
    ('names', 'positions'),
    [(['wheel_left', 'wheel_right'], []), (['c', 'c'], [1.0, 2.0]), (['c'], [np.nan])],
)
def test_what_a_driver_says_of_joints_that_nobody_reads_is_no_fault(names, positions):
    buffer = ObservationBuffer(CONFIG, StreamBudget())
    buffer.add_joints(['a', 'b'], [0.1, 0.2], 1.0)
    buffer.add_joints(names, positions, 1.1)
    assert buffer.streams['joint states'].newest == 1.0
    with pytest.raises(ValueError, match='names'):
        buffer.add_joints(['a', *names, *names], [0.1], 1.2)
