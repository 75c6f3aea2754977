# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recording -> pairs of arm pose and board pose; commands, states and poses of an arm."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..calibrating.arm_motion import ArmMotion
from ..calibrating.calibration_board import Board, require_views
from ..calibrating.camera_calibration import locate_board
from ..calibrating.pose_pairs import PosePairs
from ..camera_message import CameraIntrinsics, stamp_seconds
from .bag_reader import read_messages, read_topics
from .board_pictures import find_boards
from .transform_tree import GripperTrack


def read_pose_pairs(
    bag: Path, board: Board, camera: CameraIntrinsics, gripper: GripperTrack, topic: str = ''
) -> PosePairs:
    """Where gripper and board were whenever the board stood still in the picture.

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
    """What an arm was told and what it did.

    Args:
        bag: The recording.
        command_topic: JointTrajectory (its first points are taken) or Float64MultiArray.
        state_topic: JointState.
        command_names: Joints of a Float64MultiArray.

    Raises:
        ValueError: Topics or joints are missing.
    """
    types = read_topics(bag)
    for topic in (command_topic, state_topic):
        if topic not in types:
            raise ValueError(f'{bag} has no topic {topic!r}; it has {sorted(types)}.')
    names = command_names
    commands: list[tuple[float, Float[np.ndarray, ' joints']]] = []
    states: list[tuple[float, Float[np.ndarray, ' joints']]] = []
    order: tuple[str, ...] = ()
    for recorded in read_messages(bag, (command_topic, state_topic)):
        message = recorded.message
        if recorded.topic == state_topic:
            order = order or tuple(message.name)
            if tuple(message.name) != order:
                raise ValueError(f'{state_topic} changes the order of its joints; record again.')
            time = stamp_seconds(message.header.stamp)
            states.append((time, np.array(message.position, np.float64)))
        elif hasattr(message, 'points'):
            names = names or tuple(message.joint_names)
            if tuple(message.joint_names) != names:
                raise ValueError(f'{command_topic} changes its joints; record again.')
            # A stamp of zero means "now"; then the recorder's clock has to do.
            time = stamp_seconds(message.header.stamp) or recorded.time
            commands.append((time, np.array(message.points[0].positions, np.float64)))
        else:
            commands.append((recorded.time, np.array(message.data, np.float64)))
    if len(commands) < 2 or len(states) < 2 or len(commands[0][1]) != len(names):
        raise ValueError(
            f'{bag} has {len(commands)} commands and {len(states)} states; the command names '
            f'{len(names)} joints. Name the joints of a bare array with --command-joints.'
        )
    missing = [name for name in names if name not in order]
    if missing:
        raise ValueError(
            f'{state_topic} lacks {missing}, which {command_topic} commands; it has {list(order)}.'
        )
    columns = [order.index(name) for name in names]
    return ArmMotion(
        names,
        np.array([time for time, _ in commands]),
        np.stack([values for _, values in commands]),
        np.array([time for time, _ in states]),
        np.stack([values for _, values in states])[:, columns],
        order,
    )


def read_states(
    bag: Path, state_topic: str = '/joint_states'
) -> tuple[tuple[str, ...], Float[np.ndarray, ' times'], Float[np.ndarray, 'times joints']]:
    """Joint names, times [s] and positions [rad], [m].

    Raises:
        ValueError: There are none, or their order changes.
    """
    names: tuple[str, ...] = ()
    rows = []
    for recorded in read_messages(bag, (state_topic,)):
        names = names or tuple(recorded.message.name)
        if tuple(recorded.message.name) != names:
            raise ValueError(f'{state_topic} changes the order of its joints; record again.')
        time = stamp_seconds(recorded.message.header.stamp)
        rows.append((time, np.array(recorded.message.position, np.float64)))
    if not rows:
        raise ValueError(f'{bag} has no JointState on {state_topic!r}.')
    return names, np.array([time for time, _ in rows]), np.stack([values for _, values in rows])
