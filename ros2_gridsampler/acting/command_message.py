# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Actions -> fields of command messages, and recorded commands -> actions.

The caller makes the message, of rclpy or of rosbags; only its fields are touched here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def fill_joint_trajectory(
    message: Any,
    point_factory: Callable[[], Any],
    names: Sequence[str],
    positions: Float[np.ndarray, 'steps joints'],
    time_from_start: Float[np.ndarray, ' steps'],
    stamp: float = 0.0,
) -> None:
    """Fills a `trajectory_msgs/JointTrajectory` with positions only.

    Velocities stay empty: a controller then interpolates by itself and comes to rest at the end
    (JointTrajectoryController refuses a last point that moves).

    Args:
        message: Message that is filled.
        point_factory: Makes an empty `JointTrajectoryPoint`.
        names: The names of the joints.
        positions: [rad], [m].
        time_from_start: When each is due, after `stamp`, strictly increasing [s].
        stamp: When the trajectory starts [s]; 0 means on arrival.

    Raises:
        ValueError: Sizes differ, times do not increase, or a number is not finite.
    """
    positions = _checked(positions, 'Joint positions', (len(time_from_start), len(names)))
    times = _checked(time_from_start, 'Times from start', (len(positions),))
    if not len(times) or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError(
            f'Times from start must increase strictly from 0 or later, got {times.tolist()}.'
        )
    _set_time(message.header.stamp, stamp)
    message.joint_names = list(names)
    points = []
    for row, time in zip(positions, times, strict=True):
        point = point_factory()
        point.positions = row.copy()
        _set_time(point.time_from_start, float(time))
        points.append(point)
    message.points = points


def fill_float64_multi_array(message: Any, values: Float[np.ndarray, ' values']) -> None:
    """Fills a `std_msgs/Float64MultiArray`, as ForwardCommandController reads it.

    Raises:
        ValueError: A number is not finite.
    """
    message.data = _checked(values, 'Command values', (len(values),))


def fill_twist(message: Any, twist: Float[np.ndarray, '6'], frame: str, stamp: float) -> None:
    """Fills a `geometry_msgs/TwistStamped`.

    Args:
        message: Message that is filled.
        twist: Linear [m/s], then angular [rad/s].
        frame: That the twist is expressed in.
        stamp: Now [s]; MoveIt Servo ignores a twist that is not fresh.

    Raises:
        ValueError: Not six finite numbers.
    """
    twist = _checked(twist, 'A twist', (6,))
    message.header.frame_id = frame
    _set_time(message.header.stamp, stamp)
    for vector, part in ((message.twist.linear, twist[:3]), (message.twist.angular, twist[3:])):
        vector.x, vector.y, vector.z = (float(number) for number in part)


def fill_pose(message: Any, pose: Float[np.ndarray, '7'], frame: str, stamp: float) -> None:
    """Fills a `geometry_msgs/PoseStamped`.

    Args:
        message: Message that is filled.
        pose: x y z [m], then a unit quaternion x y z w.
        frame: That the pose is expressed in.
        stamp: Now [s].

    Raises:
        ValueError: Not seven finite numbers, or no rotation.
    """
    pose = _checked(pose, 'A pose', (7,))
    norm = float(np.linalg.norm(pose[3:]))
    if abs(norm - 1) > 1e-6:
        raise ValueError(f'A pose needs a unit quaternion, its norm is {norm:.6f}; normalise it.')
    message.header.frame_id = frame
    _set_time(message.header.stamp, stamp)
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = (float(number) for number in pose[:3])
    orientation.x, orientation.y, orientation.z, orientation.w = (
        float(number) for number in pose[3:]
    )


def integrate_twist(
    pose: Float[np.ndarray, '7'], twist: Float[np.ndarray, '6'], period: float
) -> Float[np.ndarray, '7']:
    """Where a twist, followed for `period` [s], takes a pose; both in the base frame.

    Args:
        pose: x y z [m], then a unit quaternion x y z w.
        twist: Linear [m/s], then angular [rad/s], about the axes of the base frame.
        period: [s].

    Raises:
        ValueError: Wrong size, or a number is not finite.
    """
    pose = _checked(pose, 'A pose', (7,))
    twist = _checked(twist, 'A twist', (6,))
    turn = twist[3:] * period
    angle = float(np.linalg.norm(turn))
    # sin(angle / 2) / angle without a division by zero; np.sinc has a pi in it.
    imaginary = turn / 2 * np.sinc(angle / 2 / np.pi)
    real = np.cos(angle / 2)
    before, scalar = pose[3:6], pose[6]
    # From the left: the turn is about the base's axes, not about the hand's.
    rotated = np.concatenate(
        [
            real * before + scalar * imaginary + np.cross(imaginary, before),
            [real * scalar - imaginary @ before],
        ]
    )
    return np.concatenate([pose[:3] + twist[:3] * period, rotated / np.linalg.norm(rotated)])


def read_joint_trajectory(message: Any, names: Sequence[str]) -> Float[np.ndarray, 'steps joints']:
    """Positions of a `trajectory_msgs/JointTrajectory` in the order of `names` [rad], [m].

    Raises:
        ValueError: A joint is missing, too many or twice there; no points; a point with another
            number of positions; a position that is not finite.
    """
    there = [str(name) for name in message.joint_names]
    missing = [name for name in names if name not in there]
    extra = [name for name in there if name not in names]
    twice = sorted({name for name in there if there.count(name) > 1})
    if missing or extra or twice:
        raise ValueError(
            f'JointTrajectory does not fit the joints of the policy: missing {missing}, '
            f'extra {extra}, twice {twice}; expected exactly {list(names)} in any order.'
        )
    if not len(message.points):
        raise ValueError('JointTrajectory has no points; there is no action in it.')
    for step, point in enumerate(message.points):
        if not len(point.positions) and len(point.velocities):
            raise ValueError(
                f'JointTrajectory point {step} has velocities and no positions; record what the '
                'arm is told as positions.'
            )
        if len(point.positions) != len(there):
            raise ValueError(
                f'JointTrajectory point {step} has {len(point.positions)} positions for '
                f'{len(there)} joints.'
            )
    positions = np.array([point.positions for point in message.points], np.float64)
    _checked(positions, 'JointTrajectory positions', positions.shape)
    return positions[:, [there.index(name) for name in names]]


def read_joint_state(message: Any, names: Sequence[str]) -> Float[np.ndarray, ' joints']:
    """Positions of some joints of a `sensor_msgs/JointState` in the order of `names` [rad], [m].

    Raises:
        ValueError: A joint is missing, not every joint has a position, or one of them is not
            finite.
    """
    there = [str(name) for name in message.name]
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(f'JointState lacks the joints {missing}; it has {there}.')
    positions = np.asarray(message.position, np.float64)
    if len(positions) != len(there):
        raise ValueError(f'JointState has {len(there)} names but {len(positions)} positions.')
    wanted = positions[[there.index(name) for name in names]]
    return _checked(wanted, 'JointState positions', (len(names),))


def read_float64_multi_array(message: Any, size: int) -> Float[np.ndarray, ' size']:
    """The `size` values of a `std_msgs/Float64MultiArray`.

    Raises:
        ValueError: Another number of them, or one is not finite.
    """
    return _checked(message.data, 'Float64MultiArray data', (size,))


def read_twist(message: Any, frame: str = '') -> Float[np.ndarray, '6']:
    """Linear [m/s] and angular [rad/s] velocity of a `geometry_msgs/TwistStamped`.

    Args:
        message: Message that is read.
        frame: That it must be expressed in; empty accepts any.

    Raises:
        ValueError: Another frame, or a number is not finite.
    """
    _check_frame(message, frame)
    parts = (message.twist.linear, message.twist.angular)
    twist = np.array([number for v in parts for number in (v.x, v.y, v.z)], np.float64)
    return _checked(twist, 'TwistStamped', (6,))


def read_pose(message: Any, frame: str = '') -> Float[np.ndarray, '7']:
    """Position x y z [m] and quaternion x y z w of a `geometry_msgs/PoseStamped`.

    Args:
        message: Message that is read.
        frame: That it must be expressed in; empty accepts any.

    Raises:
        ValueError: Another frame, or a number is not finite.
    """
    _check_frame(message, frame)
    p, q = message.pose.position, message.pose.orientation
    return _checked(np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w]), 'PoseStamped', (7,))


def _check_frame(message: Any, frame: str) -> None:
    if frame and message.header.frame_id != frame:
        raise ValueError(
            f'Expected a message in frame {frame!r}, got {message.header.frame_id!r}; transform '
            'it, or record it in the frame of the policy.'
        )


def _checked(values: Any, what: str, shape: tuple[int, ...]) -> Numbers:
    array = np.array(values, np.float64)
    if array.shape != shape:
        raise ValueError(f'{what} must have the shape {shape}, got {array.shape}.')
    if not np.isfinite(array).all():
        raise ValueError(f'{what} must be finite, got {array.tolist()}.')
    return array


def _set_time(field: Any, seconds: float) -> None:
    """Fills a `builtin_interfaces` Time or Duration."""
    nanoseconds = round(seconds * 1e9)
    field.sec, field.nanosec = divmod(nanoseconds, 1_000_000_000)
