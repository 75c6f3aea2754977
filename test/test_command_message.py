# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is written into a command is read back from it, of live and of recorded messages."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from ros2_gridsampler.acting.command_message import (
    fill_float64_multi_array,
    fill_joint_trajectory,
    fill_pose,
    fill_twist,
    integrate_twist,
    read_float64_multi_array,
    read_joint_state,
    read_joint_trajectory,
    read_pose,
    read_twist,
)
from ros2_gridsampler.seeing.camera_message import stamp_seconds

STORE = get_typestore(Stores.ROS2_JAZZY)
NAMES = ('first', 'second', 'third')


def recorded(name, **fields):
    """An empty message of rosbags, whose dataclasses have no defaults."""
    return STORE.types[name](**fields)


def recorded_header():
    time = recorded('builtin_interfaces/msg/Time', sec=0, nanosec=0)
    return recorded('std_msgs/msg/Header', stamp=time, frame_id='')


def recorded_vector():
    return recorded('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)


def recorded_messages():
    layout = recorded('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
    empty = np.empty(0)
    return SimpleNamespace(
        JointTrajectory=lambda: recorded(
            'trajectory_msgs/msg/JointTrajectory',
            header=recorded_header(),
            joint_names=[],
            points=[],
        ),
        JointTrajectoryPoint=lambda: recorded(
            'trajectory_msgs/msg/JointTrajectoryPoint',
            positions=empty,
            velocities=empty,
            accelerations=empty,
            effort=empty,
            time_from_start=recorded('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
        ),
        Float64MultiArray=lambda: recorded(
            'std_msgs/msg/Float64MultiArray', layout=layout, data=empty
        ),
        TwistStamped=lambda: recorded(
            'geometry_msgs/msg/TwistStamped',
            header=recorded_header(),
            twist=recorded(
                'geometry_msgs/msg/Twist', linear=recorded_vector(), angular=recorded_vector()
            ),
        ),
        PoseStamped=lambda: recorded(
            'geometry_msgs/msg/PoseStamped',
            header=recorded_header(),
            pose=recorded(
                'geometry_msgs/msg/Pose',
                position=recorded('geometry_msgs/msg/Point', x=0.0, y=0.0, z=0.0),
                orientation=recorded('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
            ),
        ),
        over_the_wire=over_the_wire,
    )


def over_the_wire(message):
    name = message.__msgtype__
    return STORE.deserialize_cdr(STORE.serialize_cdr(message, name), name)


def live_messages():
    pytest.importorskip('trajectory_msgs')
    from geometry_msgs.msg import PoseStamped, TwistStamped
    from std_msgs.msg import Float64MultiArray
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    return SimpleNamespace(
        JointTrajectory=JointTrajectory,
        JointTrajectoryPoint=JointTrajectoryPoint,
        Float64MultiArray=Float64MultiArray,
        TwistStamped=TwistStamped,
        PoseStamped=PoseStamped,
        over_the_wire=live_over_the_wire,
    )


def live_over_the_wire(message):
    serialization = pytest.importorskip('rclpy.serialization')
    return serialization.deserialize_message(
        serialization.serialize_message(message), type(message)
    )


@pytest.fixture(params=[recorded_messages, live_messages], ids=['recorded', 'live'])
def messages(request):
    return request.param()


def trajectory(messages, positions, times=None, stamp=0.0, names=NAMES):
    message = messages.JointTrajectory()
    times = 0.1 * np.arange(1, len(positions) + 1) if times is None else times
    fill_joint_trajectory(message, messages.JointTrajectoryPoint, names, positions, times, stamp)
    return message


def test_a_trajectory_is_read_back_in_any_order_of_joints(messages):
    positions = np.arange(12.0).reshape(4, 3)
    message = messages.over_the_wire(trajectory(messages, positions, stamp=12.25))
    np.testing.assert_array_equal(read_joint_trajectory(message, NAMES), positions)
    backwards = read_joint_trajectory(message, NAMES[::-1])
    np.testing.assert_array_equal(backwards, positions[:, ::-1])
    assert stamp_seconds(message.header.stamp) == 12.25


def test_a_trajectory_is_what_joint_trajectory_controller_accepts(messages):
    message = trajectory(messages, np.zeros((3, 3)), [0.1, 0.9999999999, 2.5])
    times = [(p.time_from_start.sec, p.time_from_start.nanosec) for p in message.points]
    assert times == [(0, 100_000_000), (1, 0), (2, 500_000_000)]
    assert all(not len(point.velocities) for point in message.points)
    assert list(message.joint_names) == list(NAMES)


@pytest.mark.parametrize(
    ('positions', 'times', 'words'),
    [
        (np.zeros((2, 3)), [0.2, 0.2], 'increase strictly'),
        (np.zeros((2, 3)), [-0.1, 0.2], 'increase strictly'),
        (np.zeros((0, 3)), [], 'increase strictly'),
        (np.zeros((2, 2)), [0.1, 0.2], r'shape \(2, 3\), got \(2, 2\)'),
        (np.zeros((2, 3)), [0.1], r'shape \(1, 3\), got \(2, 3\)'),
        (np.full((1, 3), np.nan), [0.1], 'must be finite'),
    ],
)
def test_a_trajectory_that_no_controller_would_take_is_not_written(positions, times, words):
    messages = recorded_messages()
    message = messages.JointTrajectory()
    with pytest.raises(ValueError, match=words):
        fill_joint_trajectory(
            message, messages.JointTrajectoryPoint, NAMES, positions, np.array(times)
        )
    assert message.points == []


@pytest.mark.parametrize(
    ('there', 'words'),
    [
        (('first', 'second', 'fourth'), r"missing \['third'\], extra \['fourth'\]"),
        (('first', 'second'), r"missing \['third'\]"),
        ((*NAMES, 'fourth'), r"extra \['fourth'\]"),
        ((*NAMES, 'second'), r"twice \['second'\]"),
    ],
)
def test_joints_that_do_not_fit_are_named(there, words):
    message = trajectory(recorded_messages(), np.zeros((1, len(there))), names=there)
    with pytest.raises(ValueError, match=words):
        read_joint_trajectory(message, NAMES)


def test_a_damaged_trajectory_is_refused():
    message = trajectory(recorded_messages(), np.zeros((2, 3)))
    message.points[1].positions = np.zeros(2)
    with pytest.raises(ValueError, match='point 1 has 2 positions for 3 joints'):
        read_joint_trajectory(message, NAMES)
    message.points[1].positions = np.array([0, np.inf, 0])
    with pytest.raises(ValueError, match='finite'):
        read_joint_trajectory(message, NAMES)
    message.points[1].positions, message.points[1].velocities = np.empty(0), np.zeros(3)
    with pytest.raises(ValueError, match='point 1 has velocities and no positions'):
        read_joint_trajectory(message, NAMES)
    message.points = []
    with pytest.raises(ValueError, match='no points'):
        read_joint_trajectory(message, NAMES)


def test_an_array_is_read_back(messages):
    message = messages.Float64MultiArray()
    fill_float64_multi_array(message, np.array([0.5, -1.0]))
    message = messages.over_the_wire(message)
    np.testing.assert_array_equal(read_float64_multi_array(message, 2), [0.5, -1.0])
    with pytest.raises(ValueError, match=r'shape \(3,\), got \(2,\)'):
        read_float64_multi_array(message, 3)
    with pytest.raises(ValueError, match='finite'):
        fill_float64_multi_array(message, np.array([np.nan]))


def test_a_twist_is_read_back(messages):
    twist = np.array([1, 2, 3, 4, 5, 6.5])
    message = messages.TwistStamped()
    fill_twist(message, twist, 'panda_link0', 7.125)
    message = messages.over_the_wire(message)
    np.testing.assert_array_equal(read_twist(message, 'panda_link0'), twist)
    assert stamp_seconds(message.header.stamp) == 7.125
    with pytest.raises(ValueError, match="frame 'base', got 'panda_link0'"):
        read_twist(message, 'base')
    with pytest.raises(ValueError, match='finite'):
        fill_twist(message, twist * np.nan, 'panda_link0', 8.0)


def test_a_pose_is_read_back(messages):
    pose = np.array([0.1, 0.2, 0.3, 0, 0.6, 0, 0.8])
    message = messages.PoseStamped()
    fill_pose(message, pose, 'panda_link0', 7.125)
    message = messages.over_the_wire(message)
    np.testing.assert_array_equal(read_pose(message, 'panda_link0'), pose)
    with pytest.raises(ValueError, match='unit quaternion'):
        fill_pose(message, np.ones(7), 'panda_link0', 8.0)


def turned(quaternion, vector):
    """The vector after the turn that the quaternion x y z w means."""
    axis, w = quaternion[:3], quaternion[3]
    return vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)


def test_a_quarter_turn_is_about_the_axis_of_the_base():
    tilted = np.array([1.0, 2.0, 3.0, np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    twist = np.array([0.5, 0, -1, 0, 0, np.pi / 2])
    moved = integrate_twist(tilted, twist, 1.0)
    np.testing.assert_allclose(moved[:3], [1.5, 2, 2])
    # The hand's y pointed up, along the axis of the turn, and so it stays.
    np.testing.assert_allclose(turned(moved[3:], np.array([0, 1.0, 0])), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turned(moved[3:], np.array([1.0, 0, 0])), [0, 1, 0], atol=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(0, 1), st.integers(1, 20))
def test_many_short_moves_are_one_long_move(twist, duration, parts):
    start = pose = np.array([0.1, 0.2, 0.3, 0.5, -0.5, 0.5, 0.5])
    for _ in range(parts):
        pose = integrate_twist(pose, np.array(twist), duration / parts)
    whole = integrate_twist(start, np.array(twist), duration)
    np.testing.assert_allclose(pose, whole, atol=1e-9)
    assert np.linalg.norm(pose[3:]) == pytest.approx(1)
    back = integrate_twist(whole, -np.array(twist), duration)
    np.testing.assert_allclose(back, start, atol=1e-9)


def test_joint_states_are_mapped_by_name_and_refused_where_they_do_not_fit():
    def state(names, positions):
        return SimpleNamespace(name=names, position=np.array(positions, float))

    found = read_joint_state(state(['c', 'a', 'b'], [3, 1, 2]), ('a', 'b'))
    np.testing.assert_array_equal(found, [1, 2])
    for names, positions, words in (
        (['a', 'c'], [1, 3], r"lacks the joints \['b'\]"),
        (['a', 'b'], [], '2 names but 0 positions'),
        (['a', 'b'], [1, np.nan], 'must be finite'),
    ):
        with pytest.raises(ValueError, match=words):
            read_joint_state(state(names, positions), ('a', 'b'))
    # What a joint that nobody asks for says does not matter.
    read_joint_state(state(['a', 'spare', 'b'], [1, np.nan, 2]), ('a', 'b'))
