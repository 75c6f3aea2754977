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
        offset: Vector from the object's origin to the gripper [m], base frame.
        rotation: Orientation of the gripper, quaternion x y z w, base frame.
        release_height: Height of the object's origin above the goal's when the gripper opens [m].
        travel_height: Least height of it above the goal on the way there [m].
        opening: Opening of the gripper before the grasp and after the release [m].
        approach_height: Height above the grasp on the way to it [m].
    """

    offset: Vector
    rotation: Vector
    release_height: float
    travel_height: float
    opening: float
    approach_height: float = 0.10

    @property
    def outer_finger(self) -> Vector:
        """Way from the object's origin to the finger outside its rim [m], x and y."""
        distance = float(np.linalg.norm(self.offset[:2]))
        return self.offset[:2] * (1.0 + (0.5 * self.opening + FINGER) / max(distance, 1e-9))


FINGER = 0.02
"""Thickness of a finger [m]."""
RIM_RADIUS = 0.05
RIM_HEIGHT = 0.037
# Half open: the outer finger fits between the bowl and the wall of the drawer.
RIM_OPENING = 0.05

# Where the tasks of libero_spatial take the rim, in degrees from the x axis (away from the robot)
# towards y (its left). One place per task, so that a policy has no arbitrary choice to learn; at
# 90 the gripper need not turn. 4: along the drawer, whose other walls are too near. 6: on the
# near side, as the bowl is at the end of the arm's reach, between cookie box and cabinet.
RIM_ANGLES = {4: 120.0, 6: 165.0}

# Of the grasp above the origin [m]: in the upper half of what stands, low on what lies.
BASKET_HEIGHTS = {
    'alphabet_soup': 0.012,
    'bbq_sauce': 0.025,
    'butter': 0.006,
    'chocolate_pudding': 0.006,
    'cream_cheese': 0.006,
    'ketchup': 0.04,
    'milk': 0.03,
    'orange_juice': 0.03,
    'salad_dressing': 0.04,
    'tomato_sauce': 0.012,
}

# Tasks of libero_goal: the bowl on stove, cabinet, plate; the bottle on the cabinet; the cream
# cheese in the bowl. The other five open, push, turn, or lay the bottle into a rack.
GOAL_BOWL_TASKS, GOAL_BOTTLE_TASK, GOAL_CHEESE_TASK = (1, 4, 8), 2, 6


def top_down(yaw: float) -> Vector:
    """Returns a downward orientation; at yaw 0 [rad] the fingers close along the base's y axis."""
    s, c = np.sin(yaw / 2), np.cos(yaw / 2)
    return np.sqrt(0.5) * np.array([c - s, c + s, 0.0, 0.0])


def rim_grasp(angle: float, approach_height: float) -> Grasp:
    """Returns the grasp of a bowl's rim, at an angle [rad] about z, one finger inside."""
    # The gripper is the same after half a turn: take the smaller one.
    yaw = (angle % np.pi) - np.pi / 2
    offset = np.array([RIM_RADIUS * np.cos(angle), RIM_RADIUS * np.sin(angle), RIM_HEIGHT])
    return Grasp(
        offset,
        top_down(yaw),
        release_height=0.03,
        travel_height=0.16,
        opening=RIM_OPENING,
        approach_height=approach_height,
    )


def lying_grasp(kind: str, release_height: float) -> Grasp:
    """Returns the grasp of a thing's narrow side, to drop it [m] above the goal's origin."""
    # Cream cheese lies, and the wide hand would come down on the can behind it: take its near end.
    offset = np.array([-0.022 if kind == 'cream_cheese' else 0.0, 0.0, BASKET_HEIGHTS[kind]])
    return Grasp(offset, top_down(0.0), release_height, travel_height=0.25, opening=0.08)


def neck_grasp() -> Grasp:
    """Returns the grasp of a bottle's neck: lower down, its cork would meet the hand."""
    offset = np.array([0.0, 0.0, 0.135])
    return Grasp(offset, top_down(0.0), release_height=0.03, travel_height=0.2, opening=0.08)


def grasp_of(suite: str, task: int, thing: str) -> Grasp:
    """Returns the grasp of a task, whose object to take is `thing`.

    Raises:
        ValueError: There is no scripted grasp.
    """
    kind = thing.rstrip('0123456789').rstrip('_')
    # LIBERO-PRO's suites of that ending have the same tasks, two things exchanged.
    suite = suite.removesuffix('_swap')
    if suite == 'libero_spatial':
        # Task 6: above the handles of the cabinet.
        return rim_grasp(np.deg2rad(RIM_ANGLES.get(task, 90.0)), 0.20 if task == 6 else 0.10)
    if suite == 'libero_goal' and task in GOAL_BOWL_TASKS:
        return rim_grasp(np.deg2rad(90.0), 0.10)
    if suite == 'libero_goal' and task == GOAL_BOTTLE_TASK:
        return neck_grasp()
    if suite == 'libero_goal' and task == GOAL_CHEESE_TASK:
        return lying_grasp(kind, 0.08)
    if suite == 'libero_object' and kind in BASKET_HEIGHTS:
        # The hand is wider than the basket: it stays above the walls.
        return lying_grasp(kind, 0.15 - BASKET_HEIGHTS[kind])
    raise ValueError(
        f"There is no scripted grasp for '{thing}' of {suite} task {task}; there are some for "
        'libero_spatial, libero_object and tasks 1, 2, 4, 6 and 8 of libero_goal.'
    )
