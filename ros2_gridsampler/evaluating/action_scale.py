# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm can do -> the unit in which errors add up, and whether numbers are in its units."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import ArmLimits


def action_scale(space: ActionSpace, limits: ArmLimits) -> Float[np.ndarray, ' actions']:
    """One unit of each entry of an action.

    A joint's is the way that it goes at its top speed in a second, so an error is the time that
    it takes to correct; a speed's is the top speed; the gripper's is its whole opening. It depends
    on the arm alone: not on a checkpoint's statistics, nor on a bag, so that scores compare.

    Raises:
        ValueError: The arm has no limits for this action space.
    """
    return space.means.scale(space.names, limits)


def action_units(space: ActionSpace, limits: ArmLimits) -> tuple[str, ...]:
    """Returns the unit of each entry of an action; empty for a share of a range."""
    return space.means.units(space.names, limits)


class UnitWatch:
    """Recorded numbers, one by one -> whether they can be in the units of the arm's limits.

    Degrees, percent and millimetres are outside of what an arm can reach by far; so are the
    numbers of another joint, or those that a transport has damaged.

    Args:
        what: What the numbers are, for people.
        space: What an action means.
        limits: The limits of the arm.
    """

    def __init__(self, what: str, space: ActionSpace, limits: ArmLimits) -> None:
        self._what = what
        self._names = space.names
        self._low, self._high = space.means.believable(space.names, limits)
        self._count = self._outside = 0
        self._entry, self._worst, self._excess = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take the entries of one action, or of the state in its order."""
        self._count += 1
        excess = np.maximum(self._low - values, values - self._high)
        entry = int(np.argmax(excess))
        if excess[entry] <= 0:
            return
        self._outside += 1
        if excess[entry] > self._excess:
            self._entry, self._worst, self._excess = entry, values[entry], excess[entry]

    @property
    def problem(self) -> str:
        """What a person should know; empty where there is nothing."""
        if not self._outside:
            return ''
        return (
            f'{self._what}: {self._outside} of {self._count} are far outside of the limits of '
            f'the arm, {self._names[self._entry]} {self._worst:.4g} where '
            f'{self._low[self._entry]:.4g} to {self._high[self._entry]:.4g} would be believed; '
            'are these degrees, percent or millimetres, or the numbers of another joint?'
        )
