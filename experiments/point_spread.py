# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and evaluation states -> whether its points follow the things or stay in place."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from ros2_gridsampler.acting.arm_limits import ArmLimits, load_arm
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output, prepare_output
from ros2_gridsampler.engines import Backend, load
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy_config import PolicyConfig
from ros2_gridsampler.simulation.benchmark import all_tasks
from ros2_gridsampler.simulation.closed_loop import LoopConfig, check_embodiment, drive
from ros2_gridsampler.simulation.job_configs import Placements
from ros2_gridsampler.simulation.libero_arm import CAMERAS, Libero, LiberoArm
from ros2_gridsampler.simulation.simulator import check_episodes

from . import run
from .glances import Glance, Glances


@dataclass(frozen=True)
class Aim:
    """How near the points of the front camera come to a thing.

    Attributes:
        distance: From the thing to the nearest point, mean over the episodes [cells].
        constant: The same if every point stood at its own mean over all episodes [cells].
    """

    distance: float
    constant: float


@dataclass(frozen=True)
class PointSpread:
    """Where a policy looks at the start of its episodes.

    Attributes:
        suite: LIBERO suite.
        policy: Name of the checkpoint.
        weights_sha256: Hash of its weights.
        placements: Which evaluation states.
        episodes: Number of all episodes.
        spread: Camera -> deviation of a point over all episodes, mean over the points and both
            axes [cells].
        spread_in_task: The same over the episodes of one task, mean over the tasks [cells].
        aims: 'object' to take and 'goal' -> how near the points come.
    """

    suite: str
    policy: str
    weights_sha256: str
    placements: str
    episodes: int
    spread: dict[str, float]
    spread_in_task: dict[str, float]
    aims: dict[str, Aim]

    def to_json(self) -> str:
        """Returns all attributes as JSON."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        lines = [
            f'{camera}: a point moves by {self.spread[camera]:.2f} cells (deviation) over all '
            f'episodes, by {self.spread_in_task[camera]:.2f} within a task'
            for camera in self.spread
        ]
        lines += [
            f'nearest point to the {thing}: {aim.distance:.2f} cells, {aim.constant:.2f} if no '
            'point moved'
            for thing, aim in self.aims.items()
        ]
        return '\n'.join([*lines, f'{self.episodes} episodes, {self.placements} placements'])


def measure_points(
    policy: Backend,
    config: PolicyConfig,
    limits: ArmLimits,
    simulator: Libero,
    *,
    name: str,
    weights_sha256: str,
    tasks: Sequence[int],
    episodes: int,
    placements: Placements,
    picture: Path | None = None,
) -> PointSpread:
    """Looks once at the start of every episode.

    Args:
        policy: The engine.
        config: Config of the policy.
        limits: Limits of the arm, in [m], [s], [rad].
        simulator: LIBERO suite whose tasks are looked at.
        name: Name of the checkpoint.
        weights_sha256: Hash of its weights.
        tasks: Numbers of the tasks, from 0.
        episodes: Evaluation states per task.
        placements: Which evaluation states.
        picture: PNG file for the first state of every task; None for no picture.

    Raises:
        ValueError: The policy samples no points or is for another arm, or there are no such
            states.
    """
    check_embodiment(config, name, simulator)
    check_episodes(simulator.states, placements, episodes)
    simulator.check_tasks(tasks)
    if not config.tokens:
        raise ValueError(f'{name} looks at no picture, so there is nothing to measure.')
    points: dict[str, list[list[Float[np.ndarray, 'tokens 2']]]] = {
        camera: [[] for _ in tasks] for camera in config.cameras
    }
    things: list[Float[np.ndarray, '2 2']] = []
    glances = Glances(config.encoder.grid)
    title = f'{simulator.name} points'
    with tqdm(total=len(tasks) * episodes, desc=title, unit='episode') as progress:
        for number, task in enumerate(tasks):
            arm = simulator.open(task, config.resolution[0])
            try:
                for index in range(episodes):
                    arm.begin(placements, index)
                    glance = _first_glance(policy, config, limits, arm)
                    if not index:
                        glances.add((0, 0), arm.instruction, glance)
                    for camera in config.cameras:
                        points[camera][number].append(_cells(config, glance.points[camera]))
                    things.append(_in_front(config, arm))
                    progress.update()
            finally:
                arm.close()
    if picture is not None:
        glances.draw(picture, config.encoder.patch)
    found = {camera: np.array(each) for camera, each in points.items()}
    return PointSpread(
        simulator.name,
        name,
        weights_sha256,
        placements,
        len(things),
        {camera: float(each.std((0, 1)).mean()) for camera, each in found.items()},
        {camera: float(each.std(1).mean()) for camera, each in found.items()},
        _aims(found[front], np.array(things)) if (front := _front(config)) else {},
    )


def _first_glance(
    policy: Backend, config: PolicyConfig, limits: ArmLimits, arm: LiberoArm
) -> Glance:
    step = next(drive(policy, config, limits, arm, LoopConfig(), arm.instruction))
    if step is None or step[1] is None:
        raise RuntimeError('The loop is to predict in its first step.')
    return Glance(step[0].images, step[1].points)


def _cells(
    config: PolicyConfig, points: Float[np.ndarray, 'tokens 2']
) -> Float[np.ndarray, 'tokens 2']:
    """Returns points in cells from the centre of the first one."""
    rows, columns = config.encoder.grid
    return np.asarray(points * np.array([columns - 1, rows - 1]))


def _front(config: PolicyConfig) -> str:
    """Returns the camera that sees the whole table; '' where the policy has none."""
    return next((name for name in config.cameras if CAMERAS[name] == 'agentview'), '')


def _in_front(config: PolicyConfig, arm: LiberoArm) -> Float[np.ndarray, '2 2']:
    """Returns object and goal as the front camera sees them, in the same cells."""
    rows, columns = config.encoder.grid
    parts = np.array([arm.scene.project('agentview', place) for place in arm.landmarks()])
    return np.asarray(parts * np.array([columns, rows]) - 0.5)


def _aims(
    points: Float[np.ndarray, 'tasks episodes tokens 2'],
    things: Float[np.ndarray, 'all things 2'],
) -> dict[str, Aim]:
    followed = points.reshape(-1, *points.shape[2:])
    still = np.broadcast_to(followed.mean(0), followed.shape)
    distances = [
        np.linalg.norm(each[:, None] - things[:, :, None], axis=-1).min(-1).mean(0)
        for each in (followed, still)
    ]
    return {
        thing: Aim(*(float(each[index]) for each in distances))
        for index, thing in enumerate(('object', 'goal'))
    }


def main(
    policy: str = 'libero_spatial',
    suite: str = 'libero_spatial',
    placements: Placements = 'anywhere',
    tasks: tuple[int, ...] = (),
    episodes: int = 10,
    json: Json = None,
    picture: Path | None = None,
) -> None:
    """Measure whether the sampled points follow the things of the scene, or stay where they are.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        suite: LIBERO suite.
        placements: Evaluation states; the policy looks once at the start of each.
        tasks: Numbers of the tasks, from 0; all of them if left out.
        episodes: Evaluation states per task.
        json: File for the result, or - for standard output.
        picture: PNG file for the first state of every task.
    """
    with json_output(json) as write:
        prepare_output(picture)
        numbers = tasks or all_tasks(suite)
        simulator = Libero(suite)
        check_episodes(simulator.states, placements, episodes)
        simulator.check_tasks(numbers)
        model, manifest = load_checkpoint(find('models', policy))
        result = measure_points(
            load(model, [golden_observation(model.config)], backends=('eager',)),
            model.config,
            load_arm(find('calibration', 'panda', '.yaml')),
            simulator,
            name=policy,
            weights_sha256=manifest.weights_sha256,
            tasks=numbers,
            episodes=episodes,
            placements=placements,
            picture=picture,
        )
        print(result)
        write(result.to_json())


if __name__ == '__main__':
    from experiments.point_spread import main as command

    run(command)
