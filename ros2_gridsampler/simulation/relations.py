# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Scene and thing -> whether what an instruction says of the thing is true of it, or false."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .scene import Scene

Vector = NDArray[np.float64]

TABLE_CENTRE = np.array([0.585, 0.0])
"""Middle of LIBERO's region `table_center` in the base frame [m]."""
NEXT_TO = (0.11, 0.145)
"""Distances between the centres of two things that stand next to each other [m]."""
NOT_NEXT_TO = 0.20
"""Nobody would call things next to each other whose centres are farther apart than this [m]."""
AT_CENTRE, NOT_AT_CENTRE = 0.04, 0.15
"""The same for the centre of the table [m]."""
GAP = (0.24, 0.36)
"""Distance between two things that have a third one between them [m]."""
MIDDLE, ASIDE = 0.1, 0.03
"""A thing between two others is off the middle by at most this part of their distance, and off
their line by at most so much [m]."""
NOT_ASIDE = 0.10
"""Nobody would call a thing between two others that is farther off their line than this [m]."""


class Relation(Protocol):
    """What an instruction says about where a thing is."""

    def holds(self, scene: Scene, thing: str) -> bool | None:
        """Whether it plainly holds of a thing, or plainly not; None where people would argue."""

    def place(self, scene: Scene, random: np.random.Generator) -> Vector | None:
        """A place (x, y) [m] where it holds; None where the landmarks leave none."""


@dataclass(frozen=True)
class Upon:
    """On or in something, which carries the thing along.

    Attributes:
        predicate: 'on' or 'in'.
        support: An object, or a region of a fixture.
    """

    predicate: str
    support: str

    def holds(self, scene: Scene, thing: str) -> bool:
        """Returns whether it holds, as LIBERO itself decides it."""
        return scene.holds([[self.predicate, thing, self.support]])


@dataclass(frozen=True)
class NextTo:
    """Beside a landmark."""

    landmark: str

    def holds(self, scene: Scene, thing: str) -> bool | None:
        """Returns whether it holds, by the distance of the centres; None where undecided."""
        distance = _apart(scene.position(thing), scene.position(self.landmark))
        return _decided(distance, NEXT_TO[1] + 0.01, NOT_NEXT_TO)

    def place(self, scene: Scene, random: np.random.Generator) -> Vector | None:
        """Returns a place on any side of the landmark."""
        angle = random.uniform(-np.pi, np.pi)
        away = random.uniform(*NEXT_TO) * np.array([np.cos(angle), np.sin(angle)])
        return np.asarray(scene.position(self.landmark)[:2] + away)


@dataclass(frozen=True)
class Between:
    """Between two landmarks."""

    first: str
    second: str

    def holds(self, scene: Scene, thing: str) -> bool | None:
        """Returns whether it stands between them, near their line; None where undecided."""
        start, line = self._line(scene)
        away = scene.position(thing)[:2] - start
        length = float(np.linalg.norm(line))
        along = float(away @ line) / length**2
        aside = abs(float(line[0] * away[1] - line[1] * away[0])) / length
        if abs(along - 0.5) > 0.5 or aside > NOT_ASIDE:
            return False
        return True if abs(along - 0.5) < MIDDLE + 0.03 and aside < ASIDE + 0.01 else None

    def place(self, scene: Scene, random: np.random.Generator) -> Vector | None:
        """Returns a place about their middle; None where they are too near or too far."""
        start, line = self._line(scene)
        length = float(np.linalg.norm(line))
        if not GAP[0] < length < GAP[1]:
            return None
        across = np.array([-line[1], line[0]]) / length
        along, aside = random.uniform(-MIDDLE, MIDDLE), random.uniform(-ASIDE, ASIDE)
        return np.asarray(start + (0.5 + along) * line + aside * across)

    def _line(self, scene: Scene) -> tuple[Vector, Vector]:
        start, end = scene.position(self.first)[:2], scene.position(self.second)[:2]
        return start, end - start


@dataclass(frozen=True)
class AtCentre:
    """In the middle of the table."""

    def holds(self, scene: Scene, thing: str) -> bool | None:
        """Returns whether it holds, by the distance from it; None where undecided."""
        distance = _apart(scene.position(thing), TABLE_CENTRE)
        return _decided(distance, 1.5 * AT_CENTRE + 0.01, NOT_AT_CENTRE)

    def place(self, scene: Scene, random: np.random.Generator) -> Vector | None:
        """Returns a place about the middle of the table."""
        return TABLE_CENTRE + random.uniform(-AT_CENTRE, AT_CENTRE, 2)


def _apart(one: Vector, other: Vector) -> float:
    return float(np.linalg.norm(one[:2] - other[:2]))


def _decided(distance: float, near: float, far: float) -> bool | None:
    return True if distance < near else False if distance > far else None
