# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy whose points no longer move -> what it still solves, so what their moving was worth."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from ros2_gridsampler.acting.arm_limits import ArmLimits, load_arm
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.engines import Backend, load
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.grid_sampler import GridSampler, PointReader
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.point_locator import PointLocator
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.simulation.benchmark import all_tasks
from ros2_gridsampler.simulation.closed_loop import (
    LoopConfig,
    check_embodiment,
    drive,
    measure_success,
)
from ros2_gridsampler.simulation.job_configs import Placements
from ros2_gridsampler.simulation.libero_arm import Libero
from ros2_gridsampler.simulation.simulator import check_episodes

from . import run

Points = Float[np.ndarray, 'tokens 2']


@dataclass
class MeanPoints:
    """Where the points of each camera are on average, over whole episodes.

    Attributes:
        total: Camera -> sum over the predictions, (x, y) in [0, 1].
        predictions: How many there were.
    """

    total: dict[str, Points] = field(default_factory=dict)
    predictions: int = 0

    def add(self, points: Mapping[str, Points]) -> None:
        """Counts one prediction."""
        for camera, each in points.items():
            self.total[camera] = self.total.get(camera, np.zeros(each.shape)) + each
        self.predictions += 1

    def of(self, camera: str) -> Points:
        """Returns the mean of one camera."""
        return self.total[camera] / self.predictions


class HeldPoints(nn.Module):
    """A reducer that reads where it is told, whatever the picture shows.

    Args:
        reader: The policy's own reducer, whose weights read the map as before.
        points: In the order of the policy's cameras.
    """

    points: Tensor

    def __init__(self, reader: PointReader, points: Float[np.ndarray, 'cameras tokens 2']) -> None:
        super().__init__()
        self.reader = reader
        self.register_buffer('points', torch.from_numpy(points).float())

    def forward(
        self, feature_map: Float[Tensor, 'batch rows columns channels'], context: Tensor | None
    ) -> tuple[Float[Tensor, 'batch tokens channels'], Float[Tensor, 'batch tokens 2']]:
        """Reads each camera's map at that camera's points; as `GridSampler`."""
        points = self.points.repeat(len(feature_map) // len(self.points), 1, 1)
        return self.reader.read(feature_map, points), points


def hold_points(policy: Policy, mean: MeanPoints) -> Policy:
    """Returns a copy whose points stay at their mean; all weights are the policy's.

    Raises:
        ValueError: The policy does not predict points.
    """
    if not isinstance(policy.reducer, GridSampler | PointLocator):
        raise ValueError(
            f'A policy with reducer {policy.config.reducer!r} predicts no points, so none can be '
            'held; name one with a grid_sampler or a point_locator.'
        )
    held = copy.deepcopy(policy)
    points = np.stack([mean.of(camera) for camera in policy.config.cameras])
    held.reducer = HeldPoints(policy.reducer, points)
    return held


def find_mean(
    policy: Backend,
    model: Policy,
    limits: ArmLimits,
    simulator: Libero,
    tasks: Sequence[int],
    states: range,
    placements: Placements,
) -> MeanPoints:
    """Lets the policy drive whole episodes, and watches where it looks.

    Args:
        policy: The engine.
        model: What it computes.
        limits: Limits of the arm.
        simulator: LIBERO suite.
        tasks: Numbers of the tasks, from 0.
        states: Numbers of the evaluation states of each task.
        placements: Kind of these states.
    """
    mean, config = MeanPoints(), model.config
    title = f'{simulator.name} where it looks'
    with tqdm(total=len(tasks) * len(states), desc=title, unit='episode') as progress:
        for task in tasks:
            arm = simulator.open(task, config.resolution[0])
            try:
                for number in states:
                    arm.begin(placements, number)
                    for step in drive(policy, config, limits, arm, LoopConfig(), arm.instruction):
                        if step is not None and step[1] is not None:
                            mean.add(step[1].points)
                    progress.update()
            finally:
                arm.close()
    return mean


def main(
    policy: str = 'libero',
    suite: str = 'libero_spatial',
    placements: Placements = 'anywhere',
    tasks: tuple[int, ...] = (),
    episodes: int = 5,
    watched: int = 2,
    json: Json = None,
) -> None:
    """Hold the points of a policy at their mean and measure what it still solves.

    The mean is taken over whole episodes that the policy drives as it is, each camera and point
    by itself. The states that are then tried are others. `python -m experiments.paired_outcomes`
    compares the file with that of the policy itself.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        suite: LIBERO suite.
        placements: Evaluation states.
        tasks: Numbers of the tasks, from 0; all of them if left out.
        episodes: Evaluation states per task that are tried, from 0 on.
        watched: States after those, per task, over which the mean is taken.
        json: File for the result, or - for standard output.
    """
    with json_output(json) as write:
        numbers, simulator = tasks or all_tasks(suite), Libero(suite)
        check_episodes(simulator.states, placements, episodes + watched)
        simulator.check_tasks(numbers)
        model, manifest = load_checkpoint(find('models', policy))
        check_embodiment(model.config, policy, simulator)
        limits = load_arm(find('calibration', 'panda', '.yaml'))
        example = golden_observation(model.config)
        states = range(episodes, episodes + watched)
        looking = load(model, [example], backends=('eager',))
        mean = find_mean(looking, model, limits, simulator, numbers, states, placements)
        held = hold_points(model, mean)
        result = measure_success(
            load(held, [example], backends=('eager',)),
            model.config,
            limits,
            simulator,
            name=f'{policy}, points held at their mean',
            weights_sha256=manifest.weights_sha256,
            tasks=numbers,
            episodes=episodes,
            placements=placements,
        )
        for camera in model.config.cameras:
            places = ', '.join(f'({x:.2f}, {y:.2f})' for x, y in mean.of(camera))
            print(f'{camera}: held at {places}, mean of {mean.predictions} predictions')
        print(result)
        write(result.to_json())


if __name__ == '__main__':
    from experiments.frozen_points import main as command

    run(command)
