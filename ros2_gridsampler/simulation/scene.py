# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmark suite and task -> the MuJoCo scene of LIBERO, stepped with LIBERO's own controller."""

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_gridsampler.simulation.rendering import Renderer, mujoco


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what robosuite and LIBERO print and log while they load; exceptions pass unchanged."""
    logger = logging.getLogger('robosuite_logs')
    level = logger.level
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(level)


with quiet():
    from libero.libero import get_libero_path
    from libero.libero.benchmark import get_benchmark
    from libero.libero.envs.env_wrapper import ControlEnv

PERIOD = 0.05
"""Control period of LIBERO's controller [s]."""
ROBOT_JOINTS = 9
OPEN_GRIPPER = -1.0
Vector = NDArray[np.float64]


class Scene:
    """One LIBERO task; world frame inside, panda_link0 in everything that ends with _in_base."""

    def __init__(self, suite: str, task: int) -> None:
        with quiet():
            benchmark = get_benchmark(suite)()
            description = benchmark.get_task(task)
            self.official_states: Vector = np.asarray(benchmark.get_task_init_states(task))
        bddl = os.path.join(
            get_libero_path('bddl_files'), description.problem_folder, description.bddl_file
        )
        random_state = np.random.get_state()
        np.random.seed(0)
        with quiet():
            self._environment = ControlEnv(
                bddl_file_name=bddl,
                use_camera_obs=False,
                has_offscreen_renderer=False,
                hard_reset=False,
                ignore_done=True,
            ).env
        np.random.set_state(random_state)
        self.suite, self.task = suite, task
        self.instruction: str = description.language
        self.model: Any = self._environment.sim.model._model
        self.data: Any = self._environment.sim.data._data
        self._robot = self._environment.robots[0]
        self.base_position: Vector = self.data.body('robot0_link0').xpos.copy()
        self._renderer: Renderer | None = None
        self._sampled_fixtures()
        self.sample(0)

    def _sampled_fixtures(self) -> None:
        """Remember where the compiled model had the fixtures, and the centre of their regions."""
        environment = self._environment
        self.fixture_bodies = {
            name: environment.sim.model.body_name2id(fixture.root_body)
            for name, fixture in environment.fixtures_dict.items()
        }
        compiled = mujoco.MjModel.from_xml_string(environment.model.get_xml())
        self._compiled_pos: Vector = compiled.body_pos.copy()
        self._compiled_quat: Vector = compiled.body_quat.copy()
        self._central_pos: Vector = self.model.body_pos.copy()
        self._central_quat: Vector = self.model.body_quat.copy()
        for name, body in self.fixture_bodies.items():
            sampler = environment.placement_initializer.samplers.get(f'{name}_sampler')
            if sampler is None:
                continue
            reference = np.asarray(sampler.reference_pos)
            self._central_pos[body, 0] = reference[0] + np.mean(sampler.x_ranges[0])
            self._central_pos[body, 1] = reference[1] + np.mean(sampler.y_ranges[0])
            if sampler.rotation is not None:
                yaw = float(np.mean(sampler.rotation))
                self._central_quat[body] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))

    @property
    def movable(self) -> tuple[str, ...]:
        return tuple(self._environment.objects_dict)

    @property
    def objects_of_interest(self) -> tuple[str, ...]:
        return tuple(self._environment.obj_of_interest)

    def object_joint(self, name: str) -> int:
        """Index of a movable object's free joint in qpos: x y z [m] qw qx qy qz, world frame."""
        joint = self._environment.objects_dict[name].joints[-1]
        return int(self.model.jnt_qposadr[self.model.joint(joint).id])

    def sample(self, seed: int) -> None:
        """LIBERO's own sampler, made reproducible."""
        # LIBERO reads the fixtures' sites before it moves them, so they must stand where the
        # compiled model has them; a reset without this adds the last shift again.
        self.model.body_pos[:] = self._compiled_pos
        self.model.body_quat[:] = self._compiled_quat
        random_state = np.random.get_state()
        np.random.seed(seed)
        try:
            with quiet():
                self._environment.reset()
        finally:
            np.random.set_state(random_state)
        self._start()

    def restore(self, state: Vector) -> None:
        """Set a flat MuJoCo state (time, qpos, qvel) with the fixtures central in their regions."""
        expected = 1 + self.model.nq + self.model.nv
        if state.shape != (expected,):
            raise ValueError(
                f'The initial state has shape {state.shape}, this scene needs ({expected},): '
                'take a state of the same task.'
            )
        self._environment.sim.reset()
        self.model.body_pos[:] = self._central_pos
        self.model.body_quat[:] = self._central_quat
        self.data.qpos[:] = state[1 : 1 + self.model.nq]
        self.data.qvel[:] = state[1 + self.model.nq :]
        mujoco.mj_forward(self.model, self.data)
        self._start()

    def state(self) -> Vector:
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def _start(self) -> None:
        self.data.time = 0.0
        controller = self._robot.controller
        controller.update(force=True)
        controller.reset_goal()
        self._robot.gripper.current_action = np.zeros(2)

    def owners(self) -> dict[int, str]:
        """Root body -> name, for everything that a task names: objects and fixtures."""
        bodies = dict(self._environment.obj_body_id)
        return {int(self.model.body_rootid[body]): name for name, body in bodies.items()}

    def near_pairs(self, distance: float) -> set[frozenset[str]]:
        """Names of the objects and fixtures that are nearer to each other than distance [m]."""
        owners = self.owners()
        margin = self.model.geom_margin.copy()
        self.model.geom_margin[:] = distance
        try:
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_comPos(self.model, self.data)
            mujoco.mj_collision(self.model, self.data)
            pairs = set()
            for contact in self.data.contact[: self.data.ncon]:
                roots = (
                    int(self.model.body_rootid[self.model.geom_bodyid[contact.geom1]]),
                    int(self.model.body_rootid[self.model.geom_bodyid[contact.geom2]]),
                )
                if roots[0] != roots[1] and roots[0] in owners and roots[1] in owners:
                    pairs.add(frozenset((owners[roots[0]], owners[roots[1]])))
        finally:
            self.model.geom_margin[:] = margin
        return pairs

    def shift(self, shifts: dict[str, Vector]) -> None:
        """Move objects and fixtures by x y [m]; everything stands still afterwards."""
        for name, shift in shifts.items():
            if name in self.fixture_bodies:
                self.model.body_pos[self.fixture_bodies[name], :2] += shift
            else:
                start = self.object_joint(name)
                self.data.qpos[start : start + 2] += shift
        self.data.qvel[:] = 0.0

    def settle(self, steps: int) -> None:
        for _ in range(steps):
            self.step(np.zeros(6), OPEN_GRIPPER)

    def step(self, delta: Vector, gripper: float) -> None:
        """One control period. delta: LIBERO's action in [-1, 1]; gripper: -1 open .. 1 closed."""
        environment = self._environment
        substeps = round(environment.control_timestep / environment.model_timestep)
        simulation = environment.sim
        controller = self._robot.controller
        action = np.concatenate([delta, [0.0]])
        current = self._robot.gripper
        forward, simulation.forward = simulation.forward, lambda: None
        try:
            for substep in range(substeps):
                mujoco.mj_step1(self.model, self.data)
                controller.new_update = True
                difference = gripper - float(current.current_action[1])
                action[6] = np.sign(difference) if abs(difference) > 0.006 else 0.0
                environment._pre_action(action, substep == 0)
                mujoco.mj_step2(self.model, self.data)
        finally:
            del simulation.forward
        mujoco.mj_kinematics(self.model, self.data)
        environment._post_process()

    def success(self) -> bool:
        return bool(self._environment._check_success())

    def body_position(self, name: str) -> Vector:
        return self.data.xpos[self._environment.obj_body_id[name]] - self.base_position

    def object_positions(self) -> dict[str, Vector]:
        return {name: self.body_position(name) for name in self.movable}

    def close(self) -> None:
        self._environment.close()
