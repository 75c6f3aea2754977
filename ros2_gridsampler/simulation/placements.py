# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Index or seed -> where the objects of an episode stand; the same number, the same state."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .grasps import grasp_of
from .scene import Scene

EVALUATION_SEEDS = range(50)
"""Widened states that no training may see."""

SETTLING_STEPS = 15
MAX_SHIFT = 0.05
"""A widened object is moved by at most this much in x and in y [m]."""
OWN_SHIFT = 0.015
"""What the object to grasp moves against the landmark that the instruction names [m]."""
MIN_CLEARANCE = 0.01
"""Between objects that do not stand on one another [m]."""
FINGER_CLEARANCE = 0.065
"""From the outer finger, at the grasp and at the goal, to any other object's centre [m]."""
MAX_REACH = 0.77
"""From the base to a grasp near the table, gripper pointing down [m]."""
GOAL_TILT_REACH = 0.045
"""How much further a held object is still put down, with a tilted gripper [m]."""
VIEW_MARGIN = 0.04
"""Object and goal are this far inside the agentview image, in parts of it."""
MAX_SETTLING = 0.01
"""A settling object that moves further has fallen or was pushed [m]."""
MAX_DRAWS = 500
MAX_SETTLINGS = 20

# Landmarks that an instruction names and that the object to grasp does not touch.
LANDMARKS = {
    ('libero_spatial', 0): ('glazed_rim_porcelain_ramekin_1', 'plate_1'),
    ('libero_spatial', 1): ('glazed_rim_porcelain_ramekin_1',),
    ('libero_spatial', 6): ('cookies_1',),
    ('libero_spatial', 8): ('plate_1',),
}

Pair = frozenset[str]


@dataclass(frozen=True)
class Official:
    """One of LIBERO's published initial states of the task, index 0 to 49.

    They say nothing about the fixtures, which LIBERO places anew, within 1 cm, at each reset:
    here they stand in the middle of their regions.
    """

    index: int

    def apply(self, scene: Scene) -> None:
        count = len(scene.official_states)
        if not 0 <= self.index < count:
            raise ValueError(
                f'Official initial state {self.index} does not exist: choose 0 to {count - 1}.'
            )
        scene.restore(scene.official_states[self.index])
        scene.settle(SETTLING_STEPS)


@dataclass(frozen=True)
class Sampled:
    """LIBERO's own sampler over the regions of its task description, by seed."""

    seed: int

    def apply(self, scene: Scene) -> None:
        scene.sample(self.seed)
        scene.settle(SETTLING_STEPS)


@dataclass(frozen=True)
class Widened:
    """An official state with its objects shifted by up to 5 cm; the instruction stays true.

    What stands on something moves with it. The object to grasp moves with what the instruction
    relates it to, be it a fixture (stove, cabinet) or, between two things, their middle.
    Everything else, the goal too, moves on its own.
    """

    seed: int

    def apply(self, scene: Scene) -> None:
        """Brings a scene into this state, at rest.

        Raises:
            ValueError: No draw was free of overlaps and came to rest.
        """
        random = np.random.default_rng(self.seed)
        Official(int(random.integers(len(scene.official_states)))).apply(scene)
        start = scene.state()
        touching = scene.near_pairs(0.001)
        groups = groups_of(list(scene.object_positions()), touching)
        for _ in range(MAX_SETTLINGS):
            if not _place(scene, start, groups, touching, random):
                break
            before = scene.object_positions()
            scene.settle(SETTLING_STEPS)
            after = scene.object_positions()
            if all(np.linalg.norm(after[n] - before[n]) < MAX_SETTLING for n in before):
                return
        raise ValueError(
            f'Widened({self.seed}) found no placement of {scene.suite} task {scene.task} that is '
            f'free of overlaps and comes to rest in {MAX_SETTLINGS} x {MAX_DRAWS} draws: '
            'take another seed.'
        )


class Placement(Protocol):
    """Where the objects of an episode stand; its `repr` is written into recordings."""

    def apply(self, scene: Scene) -> None:
        """Brings a scene into this state, at rest."""


def groups_of(objects: list[str], touching: set[Pair]) -> list[set[str]]:
    """Returns the objects that must move together, because one stands on or in the other."""
    groups = [{name} for name in objects]
    for pair in touching:
        joined = set(pair).union(*(group for group in groups if group & pair))
        groups = [group for group in groups if not group & pair] + [joined]
    return sorted(groups, key=min)


def _place(
    scene: Scene,
    start: NDArray[np.float64],
    groups: list[set[str]],
    touching: set[Pair],
    random: np.random.Generator,
) -> bool:
    """Shifts the objects until nothing overlaps; False when no draw did."""
    for _ in range(MAX_DRAWS):
        scene.restore(start)
        scene.shift(_draw(scene, groups, random))
        if not scene.near_pairs(MIN_CLEARANCE) - touching and solvable(scene, touching):
            return True
    return False


def _draw(
    scene: Scene, groups: list[set[str]], random: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    target = scene.objects_of_interest[0]
    shifts = {}
    for group in groups:
        shift = random.uniform(-MAX_SHIFT, MAX_SHIFT, size=2)
        # A fixture moves only where it is what the instruction is about.
        if target in group or not group & scene.fixture_bodies.keys():
            shifts.update(dict.fromkeys(sorted(group), shift))
    landmarks = LANDMARKS.get((scene.suite, scene.task))
    if landmarks:
        own = random.uniform(-OWN_SHIFT, OWN_SHIFT, size=2)
        shifts[target] = np.mean([shifts[name] for name in landmarks], axis=0) + own
    return shifts


def solvable(scene: Scene, touching: set[Pair]) -> bool:
    """Returns whether object and goal are seen and in reach, with room for the outer finger."""
    positions = scene.object_positions()
    target, goal = scene.objects_of_interest[:2]
    grasp = grasp_of(scene.suite, scene.task, target)
    for name, reach in ((target, MAX_REACH), (goal, MAX_REACH + GOAL_TILT_REACH)):
        position = scene.position(name)
        seen = scene.project('agentview', position)
        if np.any(np.abs(seen - 0.5) > 0.5 - VIEW_MARGIN):
            return False
        if np.linalg.norm(position[:2] + grasp.offset[:2]) > reach:
            return False
        finger = position[:2] + grasp.outer_finger
        for other, place in positions.items():
            if other in (target, goal) or frozenset((other, name)) in touching:
                continue
            if np.linalg.norm(place[:2] - finger) < FINGER_CLEARANCE:
                return False
    return True
