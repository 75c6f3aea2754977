# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a simulator is here: tasks, each of them an arm that follows twists and shows pictures.

LIBERO is one (`libero_arm.Libero`). Another one is one class with these methods: success, closed
loop and the simulated arm's node take it as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .arm_state import ArmState

Vector = NDArray[np.float64]


class SimulatedArm(Protocol):
    """One task of a simulator, as a robot."""

    @property
    def period(self) -> float:
        """Control period [s]."""

    @property
    def instruction(self) -> str:
        """What the arm is told to do."""

    def begin(self, placements: str, number: int) -> str:
        """Starts an episode; the same arguments give the same state.

        Args:
            placements: One of the kinds that `Simulator.states` names.
            number: Number of the state, from 0.

        Returns:
            What distinguishes the state, for the reader of a log.

        Raises:
            ValueError: There is no such state.
        """

    def perturb(self, kind: str, seed: int) -> str:
        """Changes the episode that has just begun; the next one undoes it.

        Args:
            kind: 'none', or what is changed.
            seed: The same seed, the same change.

        Returns:
            The instruction to give.

        Raises:
            ValueError: The simulator has no such change.
        """

    def observe(self, images: bool = True) -> ArmState:
        """Returns what the arm shows now, without pictures if they are not wanted."""

    def step(self, twist: Vector, gripper: float) -> None:
        """Commands one period.

        Args:
            twist: Linear [m/s], angular [rad/s], both in the base frame [6].
            gripper: Opening [m].

        Raises:
            ValueError: A number is not finite.
        """

    def success(self) -> bool:
        """Returns whether the task's goal condition holds now."""

    def camera_intrinsics(self, camera: str) -> Vector:
        """Returns the pinhole matrix [3, 3] of a camera [px]; 0 is the middle of a pixel."""

    def close(self) -> None:
        """Frees what the task holds."""


Arm = TypeVar('Arm', bound=SimulatedArm, covariant=True)


class Simulator(Protocol[Arm]):
    """Tasks that an arm can be put to."""

    @property
    def name(self) -> str:
        """Name of the suite of tasks, for reports."""

    @property
    def rendering(self) -> str:
        """How its pictures are made, for reports."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints, in the order of `ArmState`."""

    @property
    def states(self) -> Mapping[str, int]:
        """Kind of placements -> evaluation states of each task, which no training may see."""

    def check_tasks(self, tasks: Sequence[int]) -> None:
        """Refuses tasks that do not exist, before the first of them takes its hours.

        Raises:
            ValueError: Says which, and what there is.
        """

    def open(self, task: int, image_size: int) -> Arm:
        """Returns the arm of a task, whose pictures have that width and height [px]."""


def check_episodes(
    states: Mapping[str, int], placements: str, episodes: int, first: int = 0
) -> None:
    """Refuses more episodes than there are evaluation states of a task, and none.

    Args:
        states: Kind of placements -> evaluation states of each task, see `Simulator`.
        placements: One of the kinds.
        episodes: Number of the states that are asked for.
        first: Number of the first of them.

    Raises:
        ValueError: Says which kinds there are, or how many states.
    """
    if placements not in states:
        raise ValueError(f'There are no placements {placements!r}; choose one of {[*states]}.')
    there = f'There are {states[placements]} evaluation states {placements!r} per task'
    left = states[placements] - first
    if first < 0 or left < 1:
        raise ValueError(f'{there}, numbered from 0; got {first} as the first one.')
    if not 1 <= episodes <= left:
        raise ValueError(
            f'{there}, {left} of them from number {first} on; got {episodes} episodes, ask for 1 '
            'to that many.'
        )
