# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arm state and object positions -> the twist and gripper opening of a scripted demonstrator."""

import numpy as np
from numpy.typing import NDArray

from ros2_gridsampler.simulation.grasps import Grasp, grasp_of
from ros2_gridsampler.simulation.libero_arm import ArmState, LiberoArm

Vector = NDArray[np.float64]

GAIN = 25.0
"""Commanded speed per distance [1/s]: the distance of one period, LIBERO's position goal."""
TURN_GAIN = 40.0
MAX_SPEED = 1.0
MAX_RATE = 2.4
MAX_SPEED_CHANGE = 0.55
MAX_RATE_CHANGE = 1.2
CLEARANCE = 0.10
"""Height above the grasp at which the gripper travels to the object [m]."""
FUNNEL = 2.0
"""Height above the target per horizontal distance from it, so that approaches end vertically."""
TURN_FUNNEL = 0.5
"""The same per angle that the gripper has yet to turn [m/rad]."""
ARRIVED = 0.016
CLOSED_ON_NOTHING = 0.003


class ScriptedExpert:
    """Reach, grasp, carry, release, retreat; starts over when the object is not in the hand."""

    def __init__(self, arm: LiberoArm) -> None:
        self._arm = arm
        self._object, self._goal = arm.scene.objects_of_interest[:2]
        self._grasp: Grasp = grasp_of(arm.suite, arm.task)
        self._phase = 'reach'
        self._twist = np.zeros(6)
        self._opening = 0.0
        self._height = np.inf
        self._held_offset = np.zeros(3)
        start = arm.object_positions()[self._object][2]
        self._travel_height = max(start + 0.10, arm.object_positions()[self._goal][2] + 0.16)

    @property
    def phase(self) -> str:
        return self._phase

    @property
    def done(self) -> bool:
        return self._phase == 'done'

    def command(self, state: ArmState) -> tuple[Vector, float]:
        """Twist [m/s], [rad/s] in the base frame and gripper opening [m] for this period."""
        positions = self._arm.object_positions()
        hand = state.pose[:3]
        bowl, plate = positions[self._object], positions[self._goal]
        opening = state.gripper_opening
        grasp = bowl + self._grasp.offset
        self._advance(hand, bowl, plate, grasp, opening)
        rotation = rotation_vector(self._grasp.rotation, state.pose[3:])
        target, gripper = hand, self._grasp.opening
        if self._phase == 'reach':
            distance = float(np.linalg.norm(grasp[:2] - hand[:2]))
            turn = abs(float(rotation[2]))
            rise = FUNNEL * max(distance - ARRIVED, 0.0) + TURN_FUNNEL * max(turn - 0.1, 0.0)
            rise = min(rise, CLEARANCE)
            target = grasp + np.array([0.0, 0.0, rise])
        elif self._phase == 'grasp':
            target, gripper = grasp, 0.0
        elif self._phase == 'carry':
            target, gripper = self._carry_target(hand, bowl, plate), 0.0
        elif self._phase == 'release':
            target = hand
        elif self._phase in ('retry', 'retreat', 'done'):
            target = hand.copy()
            target[2] = self._rise
        self._opening = opening
        linear = GAIN * (target - hand)
        angular = TURN_GAIN * rotation
        return self._smooth(linear, angular), gripper

    def _advance(
        self, hand: Vector, bowl: Vector, plate: Vector, grasp: Vector, opening: float
    ) -> None:
        moved = abs(opening - self._opening)
        fallen = self._height - hand[2]
        self._height = hand[2]
        if self._phase == 'reach':
            error = np.abs(grasp - hand)
            if np.linalg.norm(error[:2]) < ARRIVED and error[2] < 0.008:
                self._phase = 'grasp'
        elif self._phase == 'grasp':
            if opening < CLOSED_ON_NOTHING:
                self._start_over(hand)
            elif opening < 0.035 and moved < 0.0015:
                self._phase = 'carry'
                self._held_offset = bowl - hand
        elif self._phase == 'carry':
            slip = float(np.linalg.norm(bowl - hand - self._held_offset))
            above = bowl - plate
            if opening < CLOSED_ON_NOTHING or slip > 0.05:
                self._start_over(hand)
            elif np.linalg.norm(above[:2]) < 0.02 and (
                above[2] < self._grasp.release_height or (above[2] < 0.06 and fallen < 0.001)
            ):
                self._phase = 'release'
        elif self._phase == 'release':
            if opening > 0.7 * self._grasp.opening:
                self._phase = 'retreat'
                self._rise = hand[2] + 0.10
        elif self._phase == 'retry':
            if hand[2] > self._rise - 0.03:
                self._phase = 'reach'
        elif self._phase == 'retreat':
            if hand[2] > self._rise - 0.03:
                if self._arm.success():
                    self._phase = 'done'
                else:
                    self._start_over(hand)

    def _start_over(self, hand: Vector) -> None:
        self._phase = 'retry'
        self._rise = hand[2] + CLEARANCE

    def _carry_target(self, hand: Vector, bowl: Vector, plate: Vector) -> Vector:
        above = plate[:2] - bowl[:2]
        distance = float(np.linalg.norm(above))
        lowest = hand[2] + plate[2] + self._grasp.release_height - 0.02 - bowl[2]
        height = min(self._travel_height, bowl[2] + 10.0)
        rise = np.clip(FUNNEL * (distance - 0.02), 0.0, 1.0)
        goal_height = lowest + rise
        travel = hand[2] + self._travel_height - bowl[2]
        z = min(goal_height, travel)
        # Sideways only as far as the object is already up, so that it clears what it stood in.
        lifted = float(np.clip(1.0 - (z - hand[2] - 0.03) / 0.05, 0.0, 1.0))
        return np.array([hand[0] + lifted * above[0], hand[1] + lifted * above[1], z])

    def _smooth(self, linear: Vector, angular: Vector) -> Vector:
        wanted = np.concatenate([capped(linear, MAX_SPEED), capped(angular, MAX_RATE)])
        change = wanted - self._twist
        self._twist = self._twist + np.concatenate(
            [capped(change[:3], MAX_SPEED_CHANGE), capped(change[3:], MAX_RATE_CHANGE)]
        )
        return self._twist.copy()


def capped(vector: Vector, limit: float) -> Vector:
    """The same direction, no longer than the limit."""
    return vector * min(1.0, limit / max(float(np.linalg.norm(vector)), 1e-9))


def rotation_vector(target: Vector, quaternion: Vector) -> Vector:
    """Rotation [rad] in the base frame from a quaternion x y z w to a target quaternion."""
    x, y, z, w = quaternion
    a, b, c, d = target
    # target * conjugate(quaternion)
    product = np.array(
        [
            -d * x + a * w - b * z + c * y,
            -d * y + a * z + b * w - c * x,
            -d * z - a * y + b * x + c * w,
            d * w + a * x + b * y + c * z,
        ]
    )
    if product[3] < 0:
        product = -product
    angle = 2.0 * np.arctan2(np.linalg.norm(product[:3]), product[3])
    return np.asarray(angle * product[:3] / max(float(np.linalg.norm(product[:3])), 1e-9))
