# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration of a policy -> one made-up observation, the same on every machine."""

import numpy as np
from jaxtyping import UInt8

from ..seeing.calibration import prepare_image
from ..seeing.camera_message import CameraIntrinsics
from ..seeing.observation import Observation
from .policy_config import PolicyConfig


def golden_observation(config: PolicyConfig) -> Observation:
    """A made-up observation that is the same on every machine."""
    images = {
        camera: prepare_image(
            golden_picture(*config.resolution, index),
            config.preparation,
            golden_camera(*config.resolution),
        )
        for index, camera in enumerate(config.cameras)
    }
    mean = np.array(config.proprioception_statistics.mean)
    of_joints = iter(mean[9 * config.uses_pose :].reshape(-1, max(len(config.joints), 1)))
    pose = np.array([*mean[:3], 0, 0, 0, 1.0]) if config.uses_pose else None
    return Observation(
        images,
        next(of_joints) if config.joints else np.empty(0),
        pose,
        'golden observation',
        0.0,
        next(of_joints) if config.velocity_window else None,
        next(of_joints) if config.uses_command else None,
    )


def golden_picture(width: int, height: int, index: int) -> UInt8[np.ndarray, 'height width 3']:
    """A made-up picture [px]; another one for each `index`."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [(7 * x + 3 * y) % 256, (x * y // 8 + 40 * index) % 256, (x ^ y) % 256]
    return np.stack(channels, -1).astype(np.uint8)


def golden_camera(width: int, height: int) -> CameraIntrinsics:
    """A made-up camera that bends straight lines, for policies that see rectified pictures."""
    matrix = np.array([[width, 0, 0.5 * width], [0, width, 0.5 * height], [0, 0, 1.0]])
    return CameraIntrinsics(
        width, height, matrix, 'plumb_bob', np.array([-0.2, 0.05, 0.001, -0.001, 0.0])
    )
