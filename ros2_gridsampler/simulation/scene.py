# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmark suite and task -> the MuJoCo scene of LIBERO, stepped by LIBERO's own controller."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arm_state import PERIOD
from .benchmark import build_task, quiet, seeded
from .rendering import mujoco

Vector = NDArray[np.float64]
Goal = list[list[str]]

OPEN_GRIPPER = -1.0
FINGER_STEP = 0.01
"""LIBERO moves the fingers by this much of their range [-1, 1] in one physics step."""


class Scene:
    """The world of one LIBERO task.

    Positions are in the base frame (panda_link0, parallel to the world frame) [m].
    """

    def __init__(self, suite: str, task: int) -> None:
        built = build_task(suite, task)
        self._environment = built.environment
        self.official_states = built.official_states
        self.instruction = built.instruction
        self.suite, self.task = suite, task
        self.model: Any = self._environment.sim.model._model
        self.data: Any = self._environment.sim.data._data
        self._robot = self._environment.robots[0]
        self.base_position: Vector = self.data.body('robot0_link0').xpos.copy()
        self.objects_of_interest: tuple[str, ...] = tuple(self._environment.obj_of_interest)
        self._find_fixtures()
        self.sample(0)

    def _find_fixtures(self) -> None:
        """Finds where the fixtures are before LIBERO's sampler moves them, or on average."""
        self.fixture_bodies: dict[str, int] = {}
        self._unplaced: dict[int, tuple[Vector, Vector]] = {}
        self._central: dict[int, tuple[Vector, Vector]] = {}
        samplers = self._environment.placement_initializer.samplers
        for name, fixture in self._environment.fixtures_dict.items():
            body = self.model.body(fixture.root_body).id
            self.fixture_bodies[name] = body
            element = fixture.get_obj()
            self._unplaced[body] = (
                np.array(element.get('pos', '0 0 0').split(), dtype=float),
                np.array(element.get('quat', '1 0 0 0').split(), dtype=float),
            )
            position = self.model.body_pos[body].copy()
            quaternion = self.model.body_quat[body].copy()
            sampler = samplers.get(f'{name}_sampler')
            if sampler is not None:
                reference = np.asarray(sampler.reference_pos)
                centre = np.mean(sampler.x_ranges[0]), np.mean(sampler.y_ranges[0])
                position[:2] = reference[:2] + centre
                yaw = float(np.mean(sampler.rotation)) if sampler.rotation is not None else 0.0
                quaternion = np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
            self._central[body] = position, quaternion

    def _place_fixtures(self, poses: Mapping[int, tuple[Vector, Vector]]) -> None:
        for body, (position, quaternion) in poses.items():
            self.model.body_pos[body] = position
            self.model.body_quat[body] = quaternion

    def sample(self, seed: int) -> None:
        """Resets with LIBERO's own sampler; the same seed gives the same state."""
        # The sampler reads where the fixtures are and adds its shift to it: without this line,
        # objects on or in a fixture are placed wrongly from the second reset on.
        self._place_fixtures(self._unplaced)
        with seeded(seed), quiet():
            self._environment.reset()
        self._start()

    def restore(self, state: Vector) -> None:
        """Sets a flat MuJoCo state (time, qpos, qvel), the fixtures central in their regions."""
        expected = (1 + self.model.nq + self.model.nv,)
        if state.shape != expected:
            raise ValueError(
                f'The state has shape {state.shape}, {self.suite} task {self.task} needs '
                f'{expected}: take a state of the same task.'
            )
        mujoco.mj_resetData(self.model, self.data)
        self._place_fixtures(self._central)
        self.data.qpos[:] = state[1 : 1 + self.model.nq]
        self.data.qvel[:] = state[1 + self.model.nq :]
        mujoco.mj_forward(self.model, self.data)
        self._start()

    def state(self) -> Vector:
        """Returns the flat MuJoCo state: time, qpos, qvel."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def _start(self) -> None:
        self.data.time = 0.0
        self._robot.controller.update(force=True)
        self._robot.controller.reset_goal()
        self._robot.gripper.current_action = np.zeros(2)

    def settle(self, steps: int) -> None:
        """Lets objects come to rest while the arm holds still and opens its gripper."""
        for _ in range(steps):
            self.step(np.zeros(6), OPEN_GRIPPER)

    def step(self, delta: Vector, gripper: float) -> None:
        """Simulates one control period.

        Same physics as LIBERO's own step, without its observations and doubled forward passes.

        Args:
            delta: LIBERO's action in [-1, 1], position and rotation [6].
            gripper: Where the fingers shall go, -1 (open) to 1 (closed).
        """
        environment, simulation = self._environment, self._environment.sim
        controller, fingers = self._robot.controller, self._robot.gripper
        action = np.append(delta, 0.0)
        # The controller asks for a forward pass, which mj_step1 has just made.
        simulation.forward = lambda: None
        try:
            for substep in range(round(PERIOD / environment.model_timestep)):
                mujoco.mj_step1(self.model, self.data)
                controller.new_update = True
                missing = gripper - float(fingers.current_action[1])
                action[6] = np.sign(missing) * (abs(missing) > 0.6 * FINGER_STEP)
                environment._pre_action(action, policy_step=substep == 0)
                mujoco.mj_step2(self.model, self.data)
        finally:
            del simulation.forward
        mujoco.mj_kinematics(self.model, self.data)
        environment._post_process()

    @property
    def goal(self) -> Goal:
        """LIBERO's goal condition: relations that must all hold."""
        return self._environment.parsed_problem['goal_state']

    def holds(self, goal: Goal) -> bool:
        """Returns whether a goal holds now, of this task or of another one in the same room."""
        return all(self._environment._eval_predicate(relation) for relation in goal)

    def success(self) -> bool:
        """Returns whether the goal of this task holds now."""
        return self.holds(self.goal)

    def position(self, name: str) -> Vector:
        """Returns the position of an object, a fixture or one of its regions."""
        bodies = self._environment.obj_body_id
        world = self.data.xpos[bodies[name]] if name in bodies else self.data.site(name).xpos
        return np.asarray(world - self.base_position, dtype=float)

    def object_positions(self) -> dict[str, Vector]:
        """Returns the positions of all movable objects."""
        return {name: self.position(name) for name in self._environment.objects_dict}

    def object_quaternions(self) -> dict[str, Vector]:
        """Returns the orientations x y z w of all movable objects."""
        bodies = self._environment.obj_body_id
        return {
            name: np.roll(self.data.xquat[bodies[name]], -1)
            for name in self._environment.objects_dict
        }

    def shift(self, shifts: Mapping[str, Vector]) -> None:
        """Moves objects and fixtures by x, y [m] each and stops them."""
        self._move(shifts)
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def _move(self, shifts: Mapping[str, Vector]) -> None:
        for name, shift in shifts.items():
            if name in self.fixture_bodies:
                self.model.body_pos[self.fixture_bodies[name], :2] += shift
            else:
                joint = self._environment.objects_dict[name].joints[-1]
                start = int(self.model.joint(joint).qposadr[0])
                self.data.qpos[start : start + 2] += shift

    def arrange(self, state: Vector, shifts: Mapping[str, Vector]) -> None:
        """Shows a state with things moved by x, y [m] each; it is not one to go on from.

        Only positions are computed, so that many layouts can be looked at in little time: in
        this state nothing touches, and the controller knows nothing of it. `start` goes on.
        """
        self._place_fixtures(self._central)
        self.data.qpos[:] = state[1 : 1 + self.model.nq]
        self._move(shifts)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def start(self) -> None:
        """Makes an arranged state one to go on from, everything at rest."""
        self.data.qvel[:] = 0.0
        self.data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._start()

    def near_pairs(self, distance: float) -> set[frozenset[str]]:
        """Returns the pairs of objects and fixtures nearer to each other than `distance` [m]."""
        bodies = self._environment.obj_body_id
        roots = self.model.body_rootid[self.model.geom_bodyid]
        names = {int(self.model.body_rootid[body]): name for name, body in bodies.items()}
        margin = self.model.geom_margin.copy()
        self.model.geom_margin[:] = distance
        try:
            mujoco.mj_fwdPosition(self.model, self.data)
            contacts = self.data.contact[: self.data.ncon]
            pairs = [(int(roots[c.geom1]), int(roots[c.geom2])) for c in contacts]
        finally:
            self.model.geom_margin[:] = margin
        return {
            frozenset((names[a], names[b]))
            for a, b in pairs
            if a != b and a in names and b in names
        }

    def box(self, fixture: str) -> tuple[Vector, Vector]:
        """Lower and upper corner of the box around a fixture, along the base frame's axes [m]."""
        model, data = self.model, self.data
        own = model.body_rootid[model.geom_bodyid] == self.fixture_bodies[fixture]
        centres, halves = model.geom_aabb[own, :3], model.geom_aabb[own, 3:]
        turns = data.geom_xmat[own].reshape(-1, 3, 3)
        middles = data.geom_xpos[own] + (turns @ centres[:, :, None])[:, :, 0]
        reaches = (np.abs(turns) @ halves[:, :, None])[:, :, 0]
        low, high = (middles - reaches).min(0), (middles + reaches).max(0)
        return low - self.base_position, high - self.base_position

    def sees(self, camera: str, name: str, with_it: Collection[str]) -> bool:
        """Whether no object or fixture but those `with_it` hides the middle of a thing."""
        start = np.array(self.data.camera(camera).xpos)
        towards = self.position(name) + self.base_position - start
        hit = np.array([-1], np.int32)
        mujoco.mj_ray(self.model, self.data, start, towards, None, 1, -1, hit)
        bodies = self._environment.obj_body_id
        names = {int(self.model.body_rootid[body]): thing for thing, body in bodies.items()}
        first = names.get(int(self.model.body_rootid[self.model.geom_bodyid[hit[0]]]))
        return first is None or first in with_it or first == name

    def project(self, camera: str, position: Vector) -> Vector:
        """Returns where a camera sees a position: column and row, 0 to 1 inside the image."""
        view = self.data.camera(camera)
        x, y, z = view.xmat.reshape(3, 3).T @ (position + self.base_position - view.xpos)
        focal = 0.5 / np.tan(0.5 * np.deg2rad(self.model.camera(camera).fovy[0]))
        return np.array([0.5 - focal * x / z, 0.5 + focal * y / z])

    def close(self) -> None:
        """Frees the memory of the simulation."""
        self._environment.close()
