# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arm state and object positions -> the twist and gripper opening of a scripted demonstrator."""

import numpy as np
from numpy.typing import NDArray

from .arm_state import ArmState
from .grasps import grasp_of
from .libero_arm import LiberoArm

Vector = NDArray[np.float64]

GAIN, TURN_GAIN = 25.0, 40.0
"""Commanded speed per distance and per angle [1/s]; 20 aims at the target itself."""
MAX_SPEED, MAX_RATE = 1.0, 2.4
"""Of the commanded twist [m/s], [rad/s]."""
MAX_SPEED_CHANGE, MAX_RATE_CHANGE = 0.55, 1.2
"""Of the commanded twist from one period to the next [m/s], [rad/s]."""
RETREAT = 0.10
"""The gripper rises this much after a release and before a new try [m]."""
FUNNEL = 2.0
"""Height above the target per horizontal distance from it, so that approaches end vertically."""
TURN_FUNNEL = 0.5
"""The same per angle that the gripper has yet to turn [m/rad]."""
ARRIVED, ARRIVED_HEIGHT = 0.016, 0.008
"""The gripper closes when it is this near to the grasp, horizontally and above it [m]."""
PLACED = 0.02
"""The gripper opens when the object is horizontally this near to its goal [m]."""
CLOSED_ON_NOTHING = 0.003
CLOSED = 0.01
"""The fingers are about to close when they are this much nearer than before [m]."""
AT_REST = 0.0015
"""The fingers have closed when they move less than this in a period [m]."""
SLIPPED = 0.05
"""The object is lost when it moves this much in the hand [m]."""
PATIENCE = {'reach': 80, 'grasp': 30, 'carry': 150, 'release': 30}
"""Periods after which a phase that does not end is given up."""


class ScriptedExpert:
    """Reach, grasp, carry, release, retreat; start over when the object is not in the hand.

    The command follows from what can be seen (poses, opening of the fingers) and the phase,
    so that a policy can learn it. Its change is bounded, as a safety filter bounds it.
    Make a new one for every episode, after the arm's reset.
    """

    def __init__(self, arm: LiberoArm) -> None:
        self._arm = arm
        self._grasp = grasp_of(arm.suite, arm.task, arm.scene.objects_of_interest[0])
        self._offset = self._grasp.offset
        self._phase = 'reach'
        self._waited = 0
        self._twist = np.zeros(6)
        self._opening = 0.0
        self._height = np.inf
        self._rise_to = 0.0
        self._held, self._held_opening = np.zeros(3), 0.0
        start, goal = arm.landmarks()
        self._travel_height = max(start[2] + 0.10, goal[2] + self._grasp.travel_height)

    @property
    def phase(self) -> str:
        """One of reach, grasp, carry, release, retreat, retry, done."""
        return self._phase

    @property
    def done(self) -> bool:
        """Whether the object is on its goal and the gripper away from it."""
        return self._phase == 'done'

    def command(self, state: ArmState) -> tuple[Vector, float]:
        """Returns the twist [m/s], [rad/s] in the base frame and the gripper opening [m]."""
        hand = state.pose[:3]
        thing, goal = self._arm.landmarks()
        grasp = thing + self._offset
        self._advance(hand, thing, goal, state.gripper_opening)
        turn = rotation_vector(self._grasp.rotation, state.pose[3:])
        target, opening = hand, self._grasp.opening
        if self._phase == 'reach':
            target = grasp + np.array([0.0, 0.0, self._rise(grasp - hand, float(turn[2]))])
        elif self._phase == 'grasp':
            target, opening = grasp, 0.0
        elif self._phase == 'carry':
            target, opening = self._carry_target(hand, thing, goal), 0.0
        elif self._phase != 'release':
            target = np.array([hand[0], hand[1], self._rise_to])
        return self._smooth(GAIN * (target - hand), TURN_GAIN * turn), opening

    def _advance(self, hand: Vector, thing: Vector, goal: Vector, opening: float) -> None:
        """Goes on to the next phase when this one has reached its end."""
        closing, sinking = abs(opening - self._opening), self._height - hand[2]
        self._opening, self._height = opening, float(hand[2])
        self._waited += 1
        away, above = thing + self._offset - hand, thing - goal
        if self._waited > PATIENCE.get(self._phase, 1000):
            if self._phase == 'reach':
                # Something is in the way: take the rim on the other side, without turning.
                self._offset = self._offset * np.array([-1.0, -1.0, 1.0])
            self._enter('retry', hand)
        elif self._phase == 'reach':
            if np.linalg.norm(away[:2]) < ARRIVED and abs(away[2]) < ARRIVED_HEIGHT:
                self._enter('grasp', hand)
        elif self._phase == 'grasp':
            if opening < CLOSED_ON_NOTHING:
                self._enter('retry', hand)
            elif opening < self._grasp.opening - CLOSED and closing < AT_REST:
                self._held, self._held_opening = thing - hand, opening
                self._enter('carry', hand)
        elif self._phase == 'carry':
            low = above[2] < self._grasp.release_height
            stopped = above[2] < self._grasp.release_height + 0.03 and sinking < 0.001
            if opening < CLOSED_ON_NOTHING or np.linalg.norm(thing - hand - self._held) > SLIPPED:
                self._enter('retry', hand)
            elif np.linalg.norm(above[:2]) < PLACED and (low or stopped):
                self._enter('release', hand)
        elif self._phase == 'release':
            if opening > max(0.7 * self._grasp.opening, self._held_opening + CLOSED):
                self._enter('retreat', hand)
        elif hand[2] > self._rise_to - 0.03 and not self.done:
            placed = self._phase == 'retreat' and self._arm.success()
            lost = self._phase == 'retreat' and not placed
            self._enter('done' if placed else 'retry' if lost else 'reach', hand)

    def _enter(self, phase: str, hand: Vector) -> None:
        self._phase, self._waited = phase, 0
        if phase in ('retry', 'retreat'):
            self._rise_to = float(hand[2]) + RETREAT

    def _rise(self, away: Vector, yaw: float) -> float:
        """Returns how far above the grasp to be, at this distance [m] and angle [rad] from it."""
        distance = float(np.linalg.norm(away[:2]))
        rise = FUNNEL * max(distance - ARRIVED, 0.0) + TURN_FUNNEL * max(abs(yaw) - 0.1, 0.0)
        return min(rise, self._grasp.approach_height)

    def _carry_target(self, hand: Vector, thing: Vector, goal: Vector) -> Vector:
        """Returns the next point of a path up, across and down again without corners."""
        across = goal[:2] - thing[:2]
        rise = FUNNEL * max(float(np.linalg.norm(across)) - PLACED, 0.0)
        lowest = goal[2] + self._grasp.release_height - 0.02
        climb = min(lowest + rise, self._travel_height) - thing[2]
        # Sideways only as far as the object is already up, so that it clears what it stood in.
        lifted = float(np.clip(1.0 - (climb - 0.03) / 0.05, 0.0, 1.0))
        return hand + np.array([lifted * across[0], lifted * across[1], climb])

    def _smooth(self, linear: Vector, angular: Vector) -> Vector:
        wanted = np.concatenate([_capped(linear, MAX_SPEED), _capped(angular, MAX_RATE)])
        change = wanted - self._twist
        self._twist = self._twist + np.concatenate(
            [_capped(change[:3], MAX_SPEED_CHANGE), _capped(change[3:], MAX_RATE_CHANGE)]
        )
        return self._twist.copy()


def _capped(vector: Vector, limit: float) -> Vector:
    """Returns a vector of the same direction, no longer than the limit."""
    return vector * min(1.0, limit / max(float(np.linalg.norm(vector)), 1e-9))


def rotation_vector(target: Vector, quaternion: Vector) -> Vector:
    """Returns the base-frame rotation [rad] that turns a quaternion x y z w into the target."""
    vector, scalar = quaternion[:3], quaternion[3]
    axis = scalar * target[:3] - target[3] * vector - np.cross(target[:3], vector)
    cosine = float(target @ quaternion)
    sine = float(np.linalg.norm(axis))
    # q and -q are the same rotation: take the shorter way.
    angle = 2.0 * np.arctan2(sine, abs(cosine)) * (1.0 if cosine >= 0.0 else -1.0)
    return np.asarray(angle * axis / max(sine, 1e-9))
