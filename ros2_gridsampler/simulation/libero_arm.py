# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commanded twist and gripper opening -> a simulated Panda's images, joints, pose and success."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .anywhere import DEVELOPMENT_SEEDS, SCORED_SEEDS, Anywhere
from .arm_state import JOINT_NAMES, OPEN, PERIOD, ArmState
from .benchmark import check_tasks
from .perturbations import perturb
from .placements import EVALUATION_SEEDS, Official, Placement, Widened
from .rendering import Decoration, Looks, Renderer, mujoco
from .scene import Scene
from .simulator import check_episodes

Vector = NDArray[np.float64]

CAMERAS = {'agentview': 'agentview', 'wrist': 'robot0_eye_in_hand'}
STATES: Mapping[str, Sequence[Placement]] = {
    'official': [Official(index) for index in range(50)],
    'widened': [Widened(seed) for seed in EVALUATION_SEEDS],
    'anywhere': [Anywhere(seed) for seed in DEVELOPMENT_SEEDS],
    'anywhere_scored': [Anywhere(seed) for seed in SCORED_SEEDS],
}
"""Kind of placements -> the evaluation states of every task; no training may see them."""
_COUNTS = {kind: len(states) for kind, states in STATES.items()}
TWIST_RANGE = np.array([1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
"""Twist that LIBERO's action 1.0 stands for: 0.05 m and 0.5 rad per period [m/s], [rad/s]."""
# MuJoCo counts the second finger's way downwards; a real Panda reports both as positive.
_JOINT_SIGNS = np.array([1.0] * 8 + [-1.0])


class LiberoArm:
    """A LIBERO task as a robot.

    The end effector is the point between the finger tips, its z axis the fingers' direction.
    LIBERO's controller aims at the present pose plus one period of the commanded twist, with
    the compliance of a spring: free motion reaches about 27% of the commanded twist.

    Args:
        suite: Benchmark suite, such as libero_spatial.
        task: Number of the task in the suite.
        image_size: Width and height of both cameras' images [px].
        rendering: 'simplified' takes 23 CPU ms for two images of 128 pixels, 'original' (shadows,
            reflections, multisampling, full meshes) several times that.
    """

    period = PERIOD

    def __init__(
        self,
        suite: str,
        task: int,
        *,
        image_size: int = 128,
        rendering: Literal['simplified', 'original'] = 'simplified',
    ) -> None:
        if rendering not in ('simplified', 'original'):
            raise ValueError(f"Rendering '{rendering}' is neither 'simplified' nor 'original'.")
        self.scene = Scene(suite, task)
        self._image_size = image_size
        self.rendering = rendering
        self._renderer: Renderer | None = None
        self._looks = Looks(self.scene.model)
        self._decoration: Decoration | None = None

    @property
    def suite(self) -> str:
        """Name of the benchmark suite."""
        return self.scene.suite

    @property
    def task(self) -> int:
        """Number of the task in its suite."""
        return self.scene.task

    @property
    def instruction(self) -> str:
        return self.scene.instruction

    def reset(self, placement: Placement) -> None:
        """Starts an episode; the same placement gives the same state.

        Raises:
            ValueError: The placement cannot be realised in this task.
        """
        self._looks.restore(self.scene.model)
        self._decoration = None
        placement.apply(self.scene)

    def begin(self, placements: str, number: int) -> str:
        check_episodes(_COUNTS, placements, episodes=1, first=number)
        placement = STATES[placements][number]
        self.reset(placement)
        return repr(placement)

    def perturb(self, kind: str, seed: int) -> str:
        return perturb(self, kind, seed)

    def decorate(self, position: Vector, half_side: float, colour: Vector) -> None:
        """Draws a cube into the pictures until the next reset; it has no substance.

        Args:
            position: Position of its centre in the base frame [m].
            half_side: Half of its edge length [m].
            colour: Red, green, blue, alpha in [0, 1].
        """
        world = position + self.scene.base_position
        self._decoration = Decoration(world, half_side, np.asarray(colour))

    def observe(self, images: bool = True) -> ArmState:
        """Returns the state of the arm now; without images this takes 0.03 ms."""
        data = self.scene.data
        site = data.site('gripper0_grip_site')
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, site.xmat)
        return ArmState(
            images=self._images() if images else {},
            joint_names=JOINT_NAMES,
            joint_positions=data.qpos[:9] * _JOINT_SIGNS,
            joint_velocities=data.qvel[:9] * _JOINT_SIGNS,
            pose=np.concatenate([site.xpos - self.scene.base_position, np.roll(quaternion, -1)]),
            time=float(data.time),
        )

    def _images(self) -> dict[str, NDArray[np.uint8]]:
        if self._renderer is None:
            self._renderer = Renderer(
                self.scene.model, self._image_size, simplified=self.rendering == 'simplified'
            )
        return {
            name: self._renderer.render(self.scene.data, camera, self._decoration)
            for name, camera in CAMERAS.items()
        }

    def step(self, twist: Vector, gripper: float) -> None:
        """Commands the arm for one control period.

        Args:
            twist: Linear [m/s], angular [rad/s], both in the base frame [6]; cut to TWIST_RANGE.
            gripper: Opening [m], 0 closed to 0.08 open.

        Raises:
            ValueError: A number is not finite.
        """
        if not (np.all(np.isfinite(twist)) and np.isfinite(gripper)):
            raise ValueError(f'The command must be finite; got twist {twist}, gripper {gripper}.')
        delta = np.clip(np.asarray(twist) / TWIST_RANGE, -1.0, 1.0)
        self.scene.step(delta, 1.0 - 2.0 * float(np.clip(gripper / OPEN, 0.0, 1.0)))

    def success(self) -> bool:
        return self.scene.success()

    def object_positions(self) -> dict[str, Vector]:
        """Returns the base-frame position [m] of every movable object."""
        return self.scene.object_positions()

    def object_quaternions(self) -> dict[str, Vector]:
        """Returns the base-frame orientation x y z w of every movable object."""
        return self.scene.object_quaternions()

    def landmarks(self) -> Vector:
        """Returns the base-frame positions [m] of the object to grasp and of its goal [2, 3]."""
        return np.stack([self.scene.position(n) for n in self.scene.objects_of_interest[:2]])

    def camera_intrinsics(self, camera: str) -> Vector:
        """Returns the pinhole matrix [3, 3] of 'agentview' or 'wrist' [px].

        As OpenCV counts, 0 is the middle of the first pixel.
        """
        fovy = np.deg2rad(self.scene.model.camera(CAMERAS[camera]).fovy[0])
        focal = 0.5 * self._image_size / np.tan(0.5 * fovy)
        centre = 0.5 * (self._image_size - 1)
        return np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        """Frees the simulation and its OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.scene.close()


@dataclass(frozen=True)
class Libero:
    """A suite of LIBERO as a `Simulator`.

    Attributes:
        name: The name of the suite, such as libero_spatial.
        rendering: See `LiberoArm`.
    """

    name: str
    rendering: Literal['simplified', 'original'] = 'simplified'

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(CAMERAS)

    @property
    def joints(self) -> tuple[str, ...]:
        return JOINT_NAMES

    @property
    def states(self) -> Mapping[str, int]:
        return _COUNTS

    def check_tasks(self, tasks: Sequence[int]) -> None:
        check_tasks(self.name, tasks)

    def open(self, task: int, image_size: int) -> LiberoArm:
        return LiberoArm(self.name, task, image_size=image_size, rendering=self.rendering)
