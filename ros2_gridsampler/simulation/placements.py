# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Seed or index -> where the objects of an episode stand."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import NDArray

from ros2_gridsampler.simulation.grasps import grasp_of

if TYPE_CHECKING:
    from ros2_gridsampler.simulation.scene import Scene

SETTLING_STEPS = 15
MAX_SHIFT = 0.05
"""An object is moved by at most this much in x and in y [m]."""
MIN_CLEARANCE = 0.01
"""Between objects that do not stand on one another [m]."""
FINGER_CLEARANCE = 0.065
"""From the outer finger, at the grasp and at the goal, to any other object's centre [m]."""
MAX_REACH = 0.785
"""From the base to a grasp on the table, gripper pointing down [m]."""
OWN_SHIFT = 0.015
"""What the object to grasp moves against its landmark, in x and in y [m]."""
MAX_SETTLING = 0.01
MAX_DRAWS = 500
MAX_SETTLINGS = 20

EVALUATION_SEEDS = range(50)
FIRST_TRAINING_SEED = 1000

# The landmarks that an instruction of libero_spatial names without contact to the object.
LANDMARKS: dict[tuple[str, int], tuple[str, ...]] = {
    ('libero_spatial', 0): ('glazed_rim_porcelain_ramekin_1', 'plate_1'),
    ('libero_spatial', 1): ('glazed_rim_porcelain_ramekin_1',),
    ('libero_spatial', 6): ('cookies_1',),
    ('libero_spatial', 8): ('plate_1',),
}


@dataclass(frozen=True)
class Official:
    """One of LIBERO's published initial states of the task, index 0 to 49."""

    index: int

    def apply(self, scene: 'Scene') -> None:
        count = len(scene.official_states)
        if not 0 <= self.index < count:
            raise ValueError(
                f'Official initial state {self.index} does not exist: choose 0 to {count - 1}.'
            )
        scene.restore(scene.official_states[self.index])
        scene.settle(SETTLING_STEPS)


@dataclass(frozen=True)
class Sampled:
    """LIBERO's own sampler over the regions of its BDDL file, by seed."""

    seed: int

    def apply(self, scene: 'Scene') -> None:
        scene.sample(self.seed)
        scene.settle(SETTLING_STEPS)


@dataclass(frozen=True)
class Widened:
    """An official state with its objects shifted by up to 5 cm; the instruction stays true.

    What stands on something moves with it; the object to grasp moves with the landmark that the
    instruction names (between two: by their mean), also where the landmark is a fixture.
    """

    seed: int

    def apply(self, scene: 'Scene') -> None:
        random = np.random.default_rng(self.seed)
        official = Official(int(random.integers(len(scene.official_states))))
        official.apply(scene)
        start, fixtures = scene.state(), scene.model.body_pos.copy()
        touching = scene.near_pairs(0.001)
        groups = _groups(scene, touching)
        for _ in range(MAX_SETTLINGS):
            for _ in range(MAX_DRAWS):
                shifts = _draw(scene, groups, random)
                scene.restore(start)
                scene.model.body_pos[:] = fixtures
                scene.shift(shifts)
                if _clear(scene, touching):
                    break
            else:
                break
            before = scene.object_positions()
            scene.settle(SETTLING_STEPS)
            after = scene.object_positions()
            if all(np.linalg.norm(after[n] - before[n]) < MAX_SETTLING for n in before):
                return
        raise ValueError(
            f'Widened({self.seed}) found no placement of {scene.suite} task {scene.task} without '
            f'overlap in {MAX_SETTLINGS} x {MAX_DRAWS} draws: take another seed.'
        )


def _groups(scene: 'Scene', touching: set[frozenset[str]]) -> list[set[str]]:
    """Objects that must move together, because one stands on or in the other."""
    groups: list[set[str]] = [{name} for name in scene.object_positions()]
    for pair in touching:
        joined = set(pair).union(*(group for group in groups if group & pair))
        groups = [group for group in groups if not group & pair] + [joined]
    return groups


def _draw(
    scene: 'Scene', groups: list[set[str]], random: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    target = scene.objects_of_interest[0]
    shifts = {}
    for group in sorted(groups, key=min):
        shift = random.uniform(-MAX_SHIFT, MAX_SHIFT, size=2)
        if target in group or not group & scene.fixture_bodies.keys():
            shifts.update(dict.fromkeys(sorted(group), shift))
    landmarks = LANDMARKS.get((scene.suite, scene.task), ())
    if landmarks:
        shifts[target] = np.mean([shifts[name] for name in landmarks], axis=0)
        shifts[target] += random.uniform(-OWN_SHIFT, OWN_SHIFT, size=2)
    return shifts


def _clear(scene: 'Scene', touching: set[frozenset[str]]) -> bool:
    """No object near another that it did not touch before, and room for the outer finger."""
    if scene.near_pairs(MIN_CLEARANCE) - touching:
        return False
    positions = scene.object_positions()
    target, goal = scene.objects_of_interest[:2]
    grasp = grasp_of(scene.suite, scene.task)
    outer = grasp.offset[:2] * 1.9
    reach = [float(np.linalg.norm(positions[name][:2] + grasp.offset[:2])) for name in (target, goal)]
    if reach[0] > MAX_REACH or reach[1] > MAX_REACH + 0.03:
        return False
    for name, position in positions.items():
        for taken in (target, goal):
            if name in (target, goal) or frozenset((name, taken)) in touching:
                continue
            spot = positions[taken][:2] + outer
            if np.linalg.norm(position[:2] - spot) < FINGER_CLEARANCE:
                return False
    return True


Placement = Union[Official, Sampled, Widened]
