# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recording -> pairs of arm pose and board pose; commands, states and poses of an arm."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..bags.bag_reader import JOINT_STATE, read_topic
from ..seeing.camera_message import CameraIntrinsics, stamp_seconds
from .arm_motion import ArmMotion
from .board_pictures import find_boards
from .calibration_board import Board, require_views
from .camera_calibration import locate_board
from .pose_pairs import PosePairs
from .transform_tree import GripperTrack

_TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
_COMMAND_TYPES = (_TRAJECTORY, 'std_msgs/msg/Float64MultiArray')


def read_pose_pairs(
    bag: Path, board: Board, camera: CameraIntrinsics, gripper: GripperTrack, topic: str = ''
) -> PosePairs:
    """Returns where gripper and board were whenever the board stood still in the picture.

    Raises:
        ValueError: Too few views, or no pose of the gripper at their time.
    """
    views = require_views(*find_boards(bag, board, topic), board)
    if (views[0].width, views[0].height) != (camera.width, camera.height):
        raise ValueError(
            f'The pictures are {views[0].width}x{views[0].height}, the camera was calibrated at '
            f'{camera.width}x{camera.height}; calibrate it at the resolution in use.'
        )
    names = tuple(f'view at {view.name} s' for view in views)
    # The pictures of a bag are named after their capture time.
    arm = np.stack([gripper.at(float(view.name)) for view in views])
    return PosePairs(names, arm, np.stack([locate_board(camera, view) for view in views]))


def read_motion(
    bag: Path,
    command_topic: str,
    state_topic: str = '/joint_states',
    command_names: tuple[str, ...] = (),
) -> ArmMotion:
    """Returns what an arm was told and what it did.

    Args:
        bag: The recording.
        command_topic: JointTrajectory (its first points are taken) or Float64MultiArray.
        state_topic: JointState.
        command_names: Joints of a Float64MultiArray.

    Raises:
        ValueError: Topics or joints are missing.
    """
    names = command_names
    times: list[float] = []
    commands: list[Float[np.ndarray, ' joints']] = []
    for recorded in read_topic(bag, command_topic, *_COMMAND_TYPES):
        message, time = recorded.message, recorded.time
        if recorded.type == _TRAJECTORY:
            names = names or tuple(message.joint_names)
            if tuple(message.joint_names) != names:
                raise ValueError(f'{command_topic} changes its joints; record again.')
            if not message.points:
                continue  # which tells a controller to stop
            # A stamp of zero means "now"; then the recorder's clock has to do.
            time = stamp_seconds(message.header.stamp) or time
            values = message.points[0].positions
        else:
            values = message.data
        times.append(time)
        commands.append(_finite(values, names, command_topic))
    order, state_times, states = read_states(bag, state_topic)
    if len(commands) < 2 or len(states) < 2:
        raise ValueError(
            f'{bag} has {len(commands)} commands and {len(states)} states; record for some '
            'seconds in which every joint moves.'
        )
    missing = [name for name in names if name not in order]
    if missing:
        raise ValueError(
            f'{state_topic} lacks {missing}, which {command_topic} commands; it has {list(order)}.'
        )
    columns = [order.index(name) for name in names]
    measured = states[:, columns]
    return ArmMotion(names, np.array(times), np.stack(commands), state_times, measured)


def read_states(
    bag: Path, state_topic: str = '/joint_states'
) -> tuple[tuple[str, ...], Float[np.ndarray, ' times'], Float[np.ndarray, 'times joints']]:
    """Returns the joint names, times [s] and positions [rad], [m].

    Raises:
        ValueError: There are none, or their order changes.
    """
    names: tuple[str, ...] = ()
    rows = []
    for recorded in read_topic(bag, state_topic, JOINT_STATE):
        names = names or tuple(recorded.message.name)
        if tuple(recorded.message.name) != names:
            raise ValueError(f'{state_topic} changes the order of its joints; record again.')
        time = stamp_seconds(recorded.message.header.stamp)
        rows.append((time, _finite(recorded.message.position, names, state_topic)))
    return names, np.array([time for time, _ in rows]), np.stack([values for _, values in rows])


def _finite(values: Any, joints: tuple[str, ...], topic: str) -> Float[np.ndarray, ' joints']:
    positions = np.array(values, np.float64)
    if len(positions) != len(joints) or not np.isfinite(positions).all():
        raise ValueError(
            f'{topic} needs a finite position for each of {len(joints)} joints, got '
            f'{positions.tolist()}; check the driver. The joints of a bare array are named with '
            '--command-joints.'
        )
    return positions
