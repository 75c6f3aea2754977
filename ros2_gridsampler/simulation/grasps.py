# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Task -> where and how the gripper takes the object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Grasp:
    """One way to take an object and to put it down.

    Attributes:
        offset: From the object's origin to the gripper [m], base frame.
        rotation: Of the gripper, x y z w, base frame.
        release_height: Of the object's origin above the goal's when the gripper opens [m].
        opening: Of the gripper before the grasp and after the release [m].
    """

    offset: Vector
    rotation: Vector
    release_height: float
    opening: float

    @property
    def outer_finger(self) -> Vector:
        """From the object's origin to the finger outside its rim [m], x and y."""
        distance = float(np.linalg.norm(self.offset[:2]))
        return self.offset[:2] * (1.0 + (0.5 * self.opening + FINGER) / max(distance, 1e-9))


FINGER = 0.02
"""Thickness of a finger [m]."""
RIM_RADIUS = 0.05
RIM_HEIGHT = 0.030
# Half open: the outer finger fits between the bowl and the wall of the drawer.
RIM_OPENING = 0.05

# Where the rim is taken, degrees from the x axis (away from the robot) towards y (its left).
# One place per task, so that a policy has no arbitrary choice to learn. At 90 the gripper need
# not turn. 4: along the drawer, whose other walls are too near. 6: on the near side, because
# the bowl is at the end of the arm's reach, between the cookie box and the cabinet.
RIM_ANGLES = {('libero_spatial', 4): 120.0, ('libero_spatial', 6): 165.0}


def top_down(yaw: float) -> Vector:
    """Gripper pointing down; at yaw 0 [rad] its fingers close along the base frame's y axis."""
    s, c = np.sin(yaw / 2), np.cos(yaw / 2)
    return np.sqrt(0.5) * np.array([c - s, c + s, 0.0, 0.0])


def rim_grasp(angle: float) -> Grasp:
    """Take a bowl by its rim, at an angle [rad] about its z axis, one finger inside."""
    # The gripper is the same after half a turn: take the smaller one.
    yaw = (angle % np.pi) - np.pi / 2
    offset = np.array([RIM_RADIUS * np.cos(angle), RIM_RADIUS * np.sin(angle), RIM_HEIGHT])
    return Grasp(offset, top_down(yaw), release_height=0.03, opening=RIM_OPENING)


def grasp_of(suite: str, task: int) -> Grasp:
    """The grasp of a task.

    Raises:
        ValueError: The suite has no scripted grasps.
    """
    if suite != 'libero_spatial':
        raise ValueError(f"There are scripted grasps for 'libero_spatial', not for '{suite}'.")
    return rim_grasp(np.deg2rad(RIM_ANGLES.get((suite, task), 90.0)))
