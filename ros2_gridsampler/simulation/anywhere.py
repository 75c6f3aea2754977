# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Seed -> an episode whose objects stand anywhere on the table, the instruction true of one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .placements import (
    MAX_SETTLING,
    MIN_CLEARANCE,
    SETTLING_STEPS,
    Official,
    groups_of,
    solvable,
)
from .relations import AtCentre, Between, NextTo, Relation, Upon
from .scene import Scene

Vector = NDArray[np.float64]

DEVELOPMENT_SEEDS = range(100)
"""Whoever builds a policy may look at these episodes, but never train on them."""
SCORED_SEEDS = range(100, 200)
"""These are run once per published policy. Training begins at `FIRST_TRAINING_SEED`."""

TABLE = {
    'libero_spatial': np.array([[0.40, -0.16], [0.82, 0.37]]),
    'libero_object': np.array([[0.38, -0.28], [0.78, 0.30]]),
}
"""Where objects are drawn, lower and upper corner in the base frame [m]."""
FIXTURE_SHIFT = 0.12
"""A fixture moves by at most this much in x and in y [m]."""
FIXTURE_GAP = 0.01
"""Between two fixtures [m]; nothing can push them apart."""
PEDESTAL = 0.17
"""The arm's pedestal ends here, in front of its base; fixtures begin behind it [m]. A stove whose
knob stands in the pedestal makes the simulation unstable."""
TALL = 0.10
"""The hand cannot pass above a fixture that is higher than this [m]."""
HAND = 0.11
"""Half the width of the hand, and some air [m]."""
STANDING = 0.05
"""The middle of a thing that is too tall for the hand to come down beside it is higher [m]."""
HOME = np.array([0.455, 0.0])
"""Where the hand is at the start of an episode [m]."""
MAX_DRAWS = 20000
MAX_SETTLINGS = 20

_PLATE, _RAMEKIN, _COOKIES = 'plate_1', 'glazed_rim_porcelain_ramekin_1', 'cookies_1'
RELATIONS: dict[str, tuple[Relation | Upon, ...]] = {
    'libero_spatial': (
        Between(_PLATE, _RAMEKIN),
        NextTo(_RAMEKIN),
        AtCentre(),
        Upon('on', _COOKIES),
        Upon('in', 'wooden_cabinet_1_top_region'),
        Upon('on', _RAMEKIN),
        NextTo(_COOKIES),
        Upon('on', 'flat_stove_1_cook_region'),
        NextTo(_PLATE),
        Upon('on', 'wooden_cabinet_1_top_side'),
    )
}
"""What the instructions say of the object to take, task by task; where a suite has none, the
object is the only one of its kind."""


def says_which(scene: Scene) -> bool:
    """Whether the instruction holds of the object to take, and plainly of no other one.

    Raises:
        ValueError: Nobody has written down what the instructions of this suite say.
    """
    relation, target = _relation(scene), scene.objects_of_interest[0]
    rivals = rivals_of(scene)
    if relation is None:
        return not rivals
    return relation.holds(scene, target) is True and all(
        relation.holds(scene, rival) is False for rival in rivals
    )


def rivals_of(scene: Scene) -> list[str]:
    """Objects of the same kind as the one to take."""
    target = scene.objects_of_interest[0]
    return [
        name
        for name in scene.object_positions()
        if name != target and _kind(name) == _kind(target)
    ]


def _relation(scene: Scene) -> Relation | Upon | None:
    if scene.suite not in TABLE:
        raise ValueError(
            f"There are no placements 'anywhere' of {scene.suite}; choose one of {[*TABLE]}."
        )
    relations = RELATIONS.get(scene.suite)
    return relations[scene.task] if relations else None


def _kind(name: str) -> str:
    return name.rstrip('0123456789').rstrip('_')


@dataclass(frozen=True)
class Anywhere:
    """Every object somewhere on the table within reach, as a draw from a seed.

    What stands on something moves with it; a fixture (stove, cabinet) moves by up to 12 cm. All
    the rest is drawn over the whole table, goal and distractors too, so that things exchange
    their places; an object that the instruction relates to others is then drawn where the
    relation holds. Nothing overlaps, the instruction is true of one object alone, and object and
    goal can be reached and are seen.
    """

    seed: int

    def apply(self, scene: Scene) -> None:
        """Brings a scene into this state, at rest.

        Raises:
            ValueError: No draw was good, or the suite has no such placements.
        """
        # `Widened` of the same seed draws other numbers.
        random = np.random.default_rng((self.seed, *b'anywhere'))
        relation = _relation(scene)
        Official(int(random.integers(len(scene.official_states)))).apply(scene)
        draws = _Draws(scene, relation, random)
        for _ in range(MAX_SETTLINGS):
            if not draws.next():
                break
            before = scene.object_positions()
            scene.settle(SETTLING_STEPS)
            after = scene.object_positions()
            moved = max(float(np.linalg.norm(after[name] - before[name])) for name in before)
            if moved < MAX_SETTLING and says_which(scene) and not scene.success():
                return
        raise ValueError(
            f'Anywhere({self.seed}) found no placement of {scene.suite} task {scene.task} in '
            f'{MAX_SETTLINGS} tries: take another seed.'
        )


class _Draws:
    """Layouts of a scene, one after the other, from its state at the start."""

    def __init__(
        self, scene: Scene, relation: Relation | Upon | None, random: np.random.Generator
    ) -> None:
        self._scene, self._relation, self._random = scene, relation, random
        self._start = scene.state()
        self._touching = scene.near_pairs(0.001)
        self._groups = groups_of(list(scene.object_positions()), self._touching)
        self._target = scene.objects_of_interest[0]
        self._rivals = rivals_of(scene)
        self._positions = scene.object_positions()
        self._left = MAX_DRAWS

    def next(self) -> bool:
        """Puts the scene into the next good layout; returns False when the draws are used up."""
        scene = self._scene
        while self._left:
            self._left -= 1
            shifts = self._shifts()
            scene.arrange(self._start, shifts)
            if self._relation is not None and not isinstance(self._relation, Upon):
                place = self._relation.place(scene, self._random)
                if place is None:
                    continue
                missing = place - scene.position(self._target)[:2]
                scene.arrange(self._start, shifts | {self._target: shifts[self._target] + missing})
            if self._good():
                scene.start()
                return True
        return False

    def _shifts(self) -> dict[str, Vector]:
        """Every group to a place of its own: what it stands on there, the rest with it."""
        random = self._random
        low, high = TABLE[self._scene.suite]
        moved = {name for group in self._groups for name in group}
        fixtures = [{name} for name in self._scene.fixture_bodies if name not in moved]
        shifts = {}
        for group in [*self._groups, *fixtures]:
            if group & self._scene.fixture_bodies.keys():
                shift = random.uniform(-FIXTURE_SHIFT, FIXTURE_SHIFT, 2)
            else:
                lowest = min(group, key=lambda name: float(self._positions[name][2]))
                shift = random.uniform(low, high) - self._positions[lowest][:2]
            shifts.update(dict.fromkeys(sorted(group), shift))
        return shifts

    def _good(self) -> bool:
        """The cheap questions first."""
        scene = self._scene
        low, high = TABLE[scene.suite]
        target, goal = scene.objects_of_interest[:2]
        places = {name: position[:2] for name, position in scene.object_positions().items()}
        free = [
            place
            for name, place in places.items()
            if not any(name in pair for pair in self._touching)
        ]
        if any(np.any(place < low) or np.any(place > high) for place in free):
            return False
        relation = self._relation
        if relation is not None and any(
            relation.holds(scene, rival) is not False for rival in self._rivals
        ):
            return False
        if not (solvable(scene, self._touching) and self._fixtures_apart()):
            return False
        if scene.near_pairs(MIN_CLEARANCE) - self._touching:
            return False
        if not (self._ways_free(target, goal) and self._hand_has_room(target)):
            return False
        with_it = set().union(*(g for g in self._groups if target in g or goal in g))
        return scene.sees('agentview', target, with_it) and scene.sees('agentview', goal, with_it)

    def _fixtures_apart(self) -> bool:
        """Whether fixtures are apart; MuJoCo finds no contact between what cannot move."""
        boxes = [self._scene.box(name) for name in sorted(self._scene.fixture_bodies)]
        overlaps = any(
            np.all(one[0][:2] < other[1][:2] + FIXTURE_GAP)
            and np.all(other[0][:2] < one[1][:2] + FIXTURE_GAP)
            for index, one in enumerate(boxes)
            for other in boxes[:index]
        )
        return not overlaps and all(low[0] > PEDESTAL for low, _ in boxes)

    def _hand_has_room(self, target: str) -> bool:
        """Whether nothing tall that stands free is beside the object to take."""
        positions = self._scene.object_positions()
        stacked = set().union(*self._touching)
        return not any(
            name not in stacked
            and name not in self._scene.objects_of_interest
            and position[2] > STANDING
            and np.linalg.norm((position - positions[target])[:2]) < HAND
            for name, position in positions.items()
        )

    def _ways_free(self, target: str, goal: str) -> bool:
        """Whether no tall fixture is in the hand's way to the object and on to the goal."""
        scene = self._scene
        ends = scene.position(target)[:2], scene.position(goal)[:2]
        parts = np.linspace(0.0, 1.0, 12)[:, None]
        for name in scene.fixture_bodies:
            low, high = scene.box(name)
            if high[2] < TALL:
                continue
            way = ends[0] + parts * (ends[1] - ends[0])
            if any({target, name} <= group for group in self._groups):
                # The hand comes down on the fixture, and goes up again before it goes across.
                way = ends[1][None]
            else:
                way = np.vstack([HOME + parts * (ends[0] - HOME), way])
            inside = (way > low[:2] - HAND) & (way < high[:2] + HAND)
            if inside.all(1).any():
                return False
        return True
