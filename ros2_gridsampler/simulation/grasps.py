# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Task and where its objects stand -> where and how the gripper takes the object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Grasp:
    """Gripper position relative to the object [m], orientation x y z w, both in the base frame."""

    offset: Vector
    rotation: Vector
    release_height: float
    opening: float


def top_down(yaw: float) -> Vector:
    """Gripper pointing down; at yaw 0 [rad] its fingers close along the base frame's y axis."""
    # A half turn about (x + y) / sqrt(2), then the yaw about z.
    s, c = np.sin(yaw / 2), np.cos(yaw / 2)
    h = np.sqrt(0.5)
    return np.array([h * (c - s), h * (c + s), 0.0, 0.0])


def rim_grasp(angle: float, height: float, radius: float = 0.05) -> Grasp:
    """Take a bowl by its rim, at an angle [rad] from its x axis, fingers across the rim."""
    yaw = (angle - np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2
    offset = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
    return Grasp(offset, top_down(yaw), 0.03, 0.05)


def grasp_of(suite: str, task: int) -> Grasp:
    """The grasp of the arm's task; one per task, so that a policy sees no arbitrary choice."""
    import os
    angle = {4: 129.0, 6: 165.0}.get(task, 90.0)
    angle = float(os.environ.get('ANGLE', angle))
    return rim_grasp(np.deg2rad(angle), 0.037)
