# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""State of the simulated arm -> the messages of its topics, live and recorded alike."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from ..bags.bag_writer import build, build_header, build_numbers
from ..seeing.camera_message import encode_jpeg
from .arm_state import BASE_FRAME as BASE_FRAME
from .arm_state import ArmState

JOINT_STATES = '/joint_states'
POSE = '/end_effector_pose'
INSTRUCTION = '/instruction'
SUCCESS = '/success'
TWIST_COMMAND = '/arm/twist_command'
GRIPPER_COMMAND = '/arm/gripper_command'
EXPERT_TWIST = '/expert/twist_command'
EXPERT_GRIPPER = '/expert/gripper_command'
LANDMARKS = '/simulation/landmarks'


def image_topic(camera: str, *, compressed: bool) -> str:
    """Returns where a camera publishes, by the conventions of image_transport."""
    return f'/{camera}/image_raw' + ('/compressed' if compressed else '')


def state_messages(state: ArmState, time: float, *, compressed: bool) -> Iterator[tuple[str, Any]]:
    """Yields the topic and message of all that the arm feels and sees.

    Args:
        state: What `SimulatedArm.observe` gave.
        time: Capture time [s].
        compressed: JPEG instead of raw pictures.
    """
    yield (
        JOINT_STATES,
        build(
            'sensor_msgs/msg/JointState',
            header=build_header(time, ''),
            name=list(state.joint_names),
            position=np.asarray(state.joint_positions, float),
            velocity=np.asarray(state.joint_velocities, float),
            effort=np.empty(0),
        ),
    )
    yield (
        POSE,
        build(
            'geometry_msgs/msg/PoseStamped',
            header=build_header(time, state.base_frame),
            pose=_pose(state.pose[:3], state.pose[3:]),
        ),
    )
    for camera, rgb in state.images.items():
        header = build_header(time, f'{camera}_optical_frame')
        topic = image_topic(camera, compressed=compressed)
        if compressed:
            data = np.frombuffer(encode_jpeg(rgb), np.uint8)
            yield (
                topic,
                build(
                    'sensor_msgs/msg/CompressedImage',
                    header=header,
                    format='rgb8; jpeg compressed bgr8',
                    data=data,
                ),
            )
        else:
            yield (
                topic,
                build(
                    'sensor_msgs/msg/Image',
                    header=header,
                    height=rgb.shape[0],
                    width=rgb.shape[1],
                    encoding='rgb8',
                    is_bigendian=0,
                    step=3 * rgb.shape[1],
                    data=np.ascontiguousarray(rgb).reshape(-1),
                ),
            )


def camera_info(
    camera: str, matrix: Float[np.ndarray, '3 3'], width: int, height: int, time: float
) -> Any:
    """Returns the CameraInfo of an ideal pinhole camera; `matrix` in pixels."""
    return build(
        'sensor_msgs/msg/CameraInfo',
        header=build_header(time, f'{camera}_optical_frame'),
        height=height,
        width=width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=matrix.flatten(),
        r=np.eye(3).flatten(),
        p=np.hstack([matrix, np.zeros((3, 1))]).flatten(),
        binning_x=0,
        binning_y=0,
        roi=build(
            'sensor_msgs/msg/RegionOfInterest',
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        ),
    )


def command_messages(
    twist: Float[np.ndarray, '6'],
    gripper: float,
    time: float,
    *,
    twist_topic: str = TWIST_COMMAND,
    gripper_topic: str = GRIPPER_COMMAND,
) -> Iterator[tuple[str, Any]]:
    """Yields a command's topics and messages; twist [m/s], [rad/s], base frame, gripper [m]."""
    linear, angular = (_vector(part) for part in np.split(np.asarray(twist, float), 2))
    yield (
        twist_topic,
        build(
            'geometry_msgs/msg/TwistStamped',
            header=build_header(time, BASE_FRAME),
            twist=build('geometry_msgs/msg/Twist', linear=linear, angular=angular),
        ),
    )
    yield gripper_topic, build_numbers([gripper])


def landmark_message(landmarks: Float[np.ndarray, 'landmarks 3'], time: float) -> Any:
    """Returns base-frame positions [m] as a PoseArray; for training only, no policy sees it."""
    poses = [_pose(position, (0.0, 0.0, 0.0, 1.0)) for position in landmarks]
    return build('geometry_msgs/msg/PoseArray', header=build_header(time, BASE_FRAME), poses=poses)


def _vector(values: Any) -> Any:
    x, y, z = (float(value) for value in values)
    return build('geometry_msgs/msg/Vector3', x=x, y=y, z=z)


def _pose(position: Any, quaternion: Any) -> Any:
    x, y, z = (float(value) for value in position)
    qx, qy, qz, qw = (float(value) for value in quaternion)
    return build(
        'geometry_msgs/msg/Pose',
        position=build('geometry_msgs/msg/Point', x=x, y=y, z=z),
        orientation=build('geometry_msgs/msg/Quaternion', x=qx, y=qy, z=qz, w=qw),
    )
