# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the demonstrator commands -> what is executed instead; recordings show how to recover.

The labels stay clean (arXiv:1703.09327).
"""

import numpy as np
from jaxtyping import Float

SPEED = 0.6
"""Of the arm that goes on without its object, as commanded [m/s]."""
CARRIED = 25
"""The object is let go within so many periods of being carried."""
LET_GO = 4
"""For so many periods the fingers are open."""
UNNOTICED = (6, 26)
"""For so many periods, the last excluded, they are closed again and the arm goes on."""


class ExecutionNoise:
    """Correlated noise on the executed twist, in bursts.

    The arm is pushed off the path that the expert would take, and the recording shows how the
    expert comes back.
    """

    def __init__(self, deviation: float, generator: np.random.Generator) -> None:
        self._deviation = deviation * np.array([1, 1, 1, 0.6, 0.6, 0.6])
        self._generator = generator
        self._state = np.zeros(6)
        self._active = False

    def __call__(self) -> Float[np.ndarray, '6']:
        """The next push [m/s], [rad/s]."""
        if self._generator.random() < (0.08 if self._active else 0.05):
            self._active = not self._active
        drive = self._generator.normal(size=6) * self._deviation * self._active
        self._state = 0.7 * self._state + 0.7 * drive
        return self._state.copy()


class Slip:
    """Once in some episodes the hand loses its object and goes on towards the goal without it.

    A policy that has only seen hands that hold what they carry puts nothing down with great care.

    Args:
        share: Of the episodes.
        generator: Decides whether, when and for how long.
    """

    def __init__(self, share: float, generator: np.random.Generator) -> None:
        happens = generator.random() < share
        self._carried_first = int(generator.integers(1, CARRIED)) if happens else -1
        self._left = LET_GO + int(generator.integers(*UNNOTICED))
        self._closed_for = self._left - LET_GO

    def __call__(
        self,
        carrying: bool,
        twist: Float[np.ndarray, '6'],
        gripper: float,
        to_goal: Float[np.ndarray, '3'],
        opening: float,
    ) -> tuple[Float[np.ndarray, '6'], float]:
        """What is executed instead of the expert's command, one period after the other.

        Args:
            carrying: Whether the expert carries the object now.
            twist: The expert's [m/s], [rad/s].
            gripper: The expert's opening [m].
            to_goal: From the hand [m].
            opening: Of open fingers [m].
        """
        if self._carried_first > 0:
            self._carried_first -= carrying
        if self._carried_first != 0 or self._left == 0:
            return twist, gripper
        self._left -= 1
        across = to_goal[:2] * min(SPEED / max(float(np.linalg.norm(to_goal[:2])), 1e-9), 5.0)
        gone_on = np.concatenate([across, twist[2:]])
        return gone_on, opening if self._left >= self._closed_for else 0.0
