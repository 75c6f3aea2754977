# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commanded twist and gripper opening -> a simulated Panda's images, joints, pose and success."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState
from ros2_gridsampler.simulation.placements import Placement
from ros2_gridsampler.simulation.rendering import Renderer, mujoco
from ros2_gridsampler.simulation.scene import PERIOD, Scene

Vector = NDArray[np.float64]

CAMERAS = {'agentview': 'agentview', 'wrist': 'robot0_eye_in_hand'}
OPEN = 0.08
"""Opening of the gripper when it is open [m]: the sum of both fingers."""
TWIST_RANGE = np.array([1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
"""Twist that LIBERO's action 1.0 means: 0.05 m and 0.5 rad per period [m/s], [rad/s]."""


class LiberoArm:
    """A LIBERO task as a robot."""

    period = PERIOD

    def __init__(
        self,
        suite: str,
        task: int,
        *,
        image_size: int = 128,
        rendering: Literal['simplified', 'original'] = 'simplified',
    ) -> None:
        self.suite, self.task = suite, task
        self.scene = Scene(suite, task)
        self.instruction = self.scene.instruction
        self._image_size = image_size
        self._renderer: Renderer | None = None
        self._rendering = rendering

    def reset(self, placement: Placement) -> None:
        placement.apply(self.scene)

    def observe(self, images: bool = True) -> ArmState:
        data = self.scene.data
        pictures = {}
        if images:
            if self._renderer is None:
                self._renderer = Renderer(
                    self.scene.model,
                    self._image_size,
                    self._image_size,
                    self._rendering == 'simplified',
                )
            pictures = {
                name: self._renderer.render(data, camera) for name, camera in CAMERAS.items()
            }
        sign = np.array([1.0] * 8 + [-1.0])
        site = data.site('gripper0_grip_site')
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, site.xmat)
        pose = np.concatenate([site.xpos - self.scene.base_position, np.roll(quaternion, -1)])
        return ArmState(
            pictures,
            JOINT_NAMES,
            data.qpos[:9] * sign,
            data.qvel[:9] * sign,
            pose,
            float(data.time),
        )

    def step(self, twist: Vector, gripper: float) -> None:
        delta = np.clip(np.asarray(twist) / TWIST_RANGE, -1.0, 1.0)
        closed = 1.0 - 2.0 * float(np.clip(gripper / OPEN, 0.0, 1.0))
        self.scene.step(delta, closed)

    def success(self) -> bool:
        return self.scene.success()

    def object_positions(self) -> dict[str, Vector]:
        return self.scene.object_positions()

    def landmarks(self) -> Vector:
        """Base-frame positions [m] of the object to grasp and of its goal [2, 3]."""
        return np.stack(
            [self.scene.body_position(name) for name in self.scene.objects_of_interest]
        )

    def camera_intrinsics(self, camera: str) -> Vector:
        fovy = np.deg2rad(self.scene.model.camera(CAMERAS[camera]).fovy[0])
        focal = 0.5 * self._image_size / np.tan(0.5 * fovy)
        centre = 0.5 * self._image_size
        return np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        self.scene.close()
