# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy, told one task and then another in the same room -> which of them it does."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from ros2_gridsampler.acting.arm_limits import ArmLimits, load_arm
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output, prepare_output
from ros2_gridsampler.engines import Backend, load
from ros2_gridsampler.evaluating.success_rate import wilson_interval
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy_config import PolicyConfig
from ros2_gridsampler.simulation.closed_loop import LoopConfig, check_embodiment, drive
from ros2_gridsampler.simulation.libero_arm import Libero, LiberoArm
from ros2_gridsampler.simulation.placements import Official
from ros2_gridsampler.simulation.scene import Goal
from ros2_gridsampler.simulation.simulator import check_episodes

from . import run
from .glances import Glance, Glances

NOTHING = 'none of them'


@dataclass(frozen=True)
class Obedience:
    """What was done when what was said.

    Attributes:
        suite: LIBERO suite.
        policy: Name of the checkpoint.
        episodes: Per sentence and room.
        own: Sentence -> sentence whose goal held first -> episodes, in the room of that task.
        other: The same in the rooms of the other tasks, whose states are those of another
            sentence: here a policy that does not listen does what belongs to the room.
        point_shift: Mean distance between a sampled point under two sentences, in the same
            first pictures of an episode [cells of the feature map].
    """

    suite: str
    policy: str
    episodes: int
    own: dict[str, dict[str, int]]
    other: dict[str, dict[str, int]]
    point_shift: float

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        return '\n'.join(
            (
                'told in its own room: ' + _obeyed(self.own),
                'told in the room of another task: ' + _obeyed(self.other),
                f'another sentence moves a sampled point by {self.point_shift:.2f} cells',
            )
        )


def measure_obedience(
    policy: Backend,
    config: PolicyConfig,
    limits: ArmLimits,
    *,
    name: str,
    suite: str,
    tasks: Sequence[int],
    episodes: int,
    picture: Path | None = None,
) -> Obedience:
    """Say every sentence in the official initial states of every task.

    Args:
        policy: The engine.
        config: The settings of the policy.
        limits: The limits of the arm.
        name: The name of the checkpoint, for the table.
        suite: A suite whose tasks share one room, such as libero_goal.
        tasks: Numbers from 0, at least two.
        episodes: Per sentence and room.
        picture: PNG file for where the policy looks under every sentence; None for no picture.

    Raises:
        ValueError: There are no such tasks, or not so many evaluation states.
    """
    if len(tasks) < 2:
        raise ValueError(f'Obedience needs at least two tasks to tell apart, got {[*tasks]}.')
    simulator = Libero(suite)
    check_embodiment(config, name, simulator)
    check_episodes(simulator.states, 'official', episodes)
    simulator.check_tasks(tasks)
    goals: dict[str, Goal] = {}
    for task in tasks:
        arm = LiberoArm(suite, task)
        goals[arm.instruction] = arm.scene.goal
        arm.close()
    counts = {
        where: {told: dict.fromkeys([*goals, NOTHING], 0) for told in goals}
        for where in ('own', 'other')
    }
    glances = Glances(config.encoder.grid)
    total = len(tasks) * len(goals) * episodes
    with tqdm(total=total, desc=f'{suite} sentences', unit='episode') as progress:
        for task in tasks:
            arm = LiberoArm(suite, task, image_size=config.resolution[0])
            try:
                for told in goals:
                    where = counts['own' if told == arm.instruction else 'other'][told]
                    for index in range(episodes):
                        arm.reset(Official(index))
                        glance, done = run_episode(policy, config, limits, arm, told, goals)
                        glances.add((task, index), told, glance)
                        where[done] += 1
                        progress.update()
            finally:
                arm.close()
    if picture is not None:
        glances.draw(picture, config.encoder.patch)
    return Obedience(suite, name, episodes, counts['own'], counts['other'], glances.shift())


def run_episode(
    policy: Backend,
    config: PolicyConfig,
    limits: ArmLimits,
    arm: LiberoArm,
    told: str,
    goals: dict[str, Goal],
) -> tuple[Glance, str]:
    """Run one episode until one of the goals holds.

    Returns:
        What was read in its first pictures; the sentence whose goal held.
    """
    glance = None
    for step in drive(policy, config, limits, arm, LoopConfig(), told):
        if glance is None and step is not None and step[1] is not None:
            glance = Glance(step[0].images, step[1].points)
        for sentence, goal in goals.items():
            if glance is not None and arm.scene.holds(goal):
                return glance, sentence
    if glance is None:
        raise RuntimeError('The loop is to predict in its first step.')
    return glance, NOTHING


def _obeyed(counts: dict[str, dict[str, int]]) -> str:
    obeyed = sum(done[told] for told, done in counts.items())
    nothing = sum(done[NOTHING] for done in counts.values())
    total = sum(sum(done.values()) for done in counts.values())
    low, high = (100 * bound for bound in wilson_interval(obeyed, total))
    return (
        f'did what it was told in {obeyed} of {total} episodes ({low:.0f} to {high:.0f}%), '
        f'something else that can be said in {total - obeyed - nothing}, nothing in {nothing}'
    )


def main(
    policy: str,
    suite: str = 'libero_goal',
    tasks: tuple[int, ...] = (1, 2, 4, 6, 8),
    episodes: int = 10,
    json: Json = None,
    picture: Path | None = None,
) -> None:
    """Measure whether a policy does what the sentence says, in rooms where more can be done.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        suite: LIBERO suite whose tasks share one room.
        tasks: Numbers of the tasks, from 0.
        episodes: Per sentence and room.
        json: File for the result, or - for standard output.
        picture: PNG file for where the policy looks under every sentence.
    """
    with json_output(json) as write:
        prepare_output(picture)
        simulator = Libero(suite)
        check_episodes(simulator.states, 'official', episodes)
        simulator.check_tasks(tasks)
        model, manifest = load_checkpoint(find('models', policy))
        result = measure_obedience(
            load(model, [golden_observation(manifest.policy)], backends=('eager',)),
            manifest.policy,
            load_arm(find('calibration', 'panda', '.yaml')),
            name=policy,
            suite=suite,
            tasks=tasks,
            episodes=episodes,
            picture=picture,
        )
        print(result)
        write(result.to_json())


if __name__ == '__main__':
    from experiments.obedience import main as command

    run(command)
