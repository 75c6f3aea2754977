# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy reads and commands -> a made-up bag of it, as long as one likes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.policy.policy_config import PolicyConfig
from ros2_gridsampler.seeing.camera_message import encode_jpeg

RATE = 30.0
"""Of pictures, states and actions [Hz]."""
CAMERA = '/camera/image'
"""Topic of raw pictures; of compressed ones, `/compressed` follows."""


def write_bag(
    path: Path, config: PolicyConfig, frames: int, size: tuple[int, int], raw: bool
) -> None:
    """A bag of an arm that swings, before a camera in front of which things move."""
    mean = np.array(config.action_statistics.mean)
    if config.relative:
        mean = np.array(config.proprioception_statistics.mean)[: len(mean)]
    with BagWriter(path) as writer:
        sentence = build('std_msgs/msg/String', data='do it')
        writer.write('/instruction', sentence, 1.0, latched=True)
        for index in tqdm(range(frames), desc='making the bag', unit='frame'):
            time = 1.0 + index / RATE
            picture = _picture_message(_picture(index, size), time, raw)
            writer.write(CAMERA if raw else f'{CAMERA}/compressed', picture, time + 0.002)
            wanted = mean + 0.05 * np.sin(2 * time + np.arange(len(mean)))
            joints = build(
                'sensor_msgs/msg/JointState',
                header=build_header(time, ''),
                name=list(config.joints),
                position=mean + 0.05 * np.sin(2 * time - 0.2 + np.arange(len(mean))),
                velocity=np.empty(0),
                effort=np.empty(0),
            )
            writer.write('/joint_states', joints, time + 0.003)
            writer.write('/joint_trajectory', _trajectory(config, wanted, time), time + 0.004)


def _trajectory(config: PolicyConfig, wanted: Any, time: float) -> Any:
    point = build(
        'trajectory_msgs/msg/JointTrajectoryPoint',
        positions=wanted,
        velocities=np.empty(0),
        accelerations=np.empty(0),
        effort=np.empty(0),
        time_from_start=build('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
    )
    return build(
        'trajectory_msgs/msg/JointTrajectory',
        header=build_header(time, ''),
        joint_names=list(config.action_space.names),
        points=[point],
    )


def _picture(index: int, size: tuple[int, int]) -> UInt8[np.ndarray, 'height width 3']:
    """A room that passes by and four things that move: about as large a JPEG as a real one."""
    width, height = size
    rgb = np.roll(_room(size), 2 * index, axis=1)
    for number in range(4):
        left = round(width * (0.45 + 0.35 * np.sin(index / 25 + 2 * number)))
        top = round(height * (0.2 * number + 0.1))
        thing = rgb[top : top + height // 6, left : left + width // 9]
        thing[:] = (40 * number, 200 - 30 * number, 90)
    return rgb


@cache
def _room(size: tuple[int, int]) -> UInt8[np.ndarray, 'height width 3']:
    """Smooth surfaces and a little noise."""
    width, height = size
    y, x = np.mgrid[:height, :width] / height
    surface = 110 + 60 * np.sin(3 * x) + 40 * np.cos(4 * y)
    rgb = np.stack([surface, 0.8 * surface + 20, 190 - 0.6 * surface], -1)
    noise = np.random.default_rng(0).normal(0, 2, (height, width, 1))
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def _picture_message(rgb: UInt8[np.ndarray, 'height width 3'], time: float, raw: bool) -> Any:
    header = build_header(time, 'camera')
    if not raw:
        jpeg = np.frombuffer(encode_jpeg(rgb), np.uint8)
        return build(
            'sensor_msgs/msg/CompressedImage',
            header=header,
            format='rgb8; jpeg compressed bgr8',
            data=jpeg,
        )
    height, width = rgb.shape[:2]
    return build(
        'sensor_msgs/msg/Image',
        header=header,
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=3 * width,
        data=rgb.reshape(-1),
    )
