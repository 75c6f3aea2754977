# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted demonstrations on LIBERO -> bags with the live topics and clean labels."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from ..bags.bag_files import find_files
from ..bags.bag_writer import BagWriter, build
from ..files import write_whole
from ..stop_request import StopRequest
from . import arm_messages
from .anywhere import Anywhere
from .arm_state import OPEN, ArmState
from .benchmark import check_tasks
from .experts import ScriptedExpert
from .job_configs import RecordConfig
from .libero_arm import LiberoArm
from .placements import Placement, Sampled, Widened

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
        """Returns the next push [m/s], [rad/s]."""
        if self._generator.random() < (0.08 if self._active else 0.05):
            self._active = not self._active
        drive = self._generator.normal(size=6) * self._deviation * self._active
        self._state = 0.7 * self._state + 0.7 * drive
        return self._state.copy()


class Slip:
    """Once in some episodes the hand loses its object and goes on towards the goal without it.

    A policy that has only seen hands that hold what they carry puts nothing down with great care.

    Args:
        share: Share of the episodes in which this happens.
        generator: Source of the random numbers that say whether, when and for how long.
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
        """Returns what is executed instead of the expert's command, period by period.

        Args:
            carrying: Whether the expert carries the object now.
            twist: Twist that the expert commands [m/s], [rad/s].
            gripper: Opening of the gripper that the expert commands [m].
            to_goal: Vector from the hand to the goal [m].
            opening: Opening of the open gripper [m].
        """
        if self._carried_first > 0:
            self._carried_first -= carrying
        if self._carried_first != 0 or self._left == 0:
            return twist, gripper
        self._left -= 1
        across = to_goal[:2] * min(SPEED / max(float(np.linalg.norm(to_goal[:2])), 1e-9), 5.0)
        gone_on = np.concatenate([across, twist[2:]])
        return gone_on, opening if self._left >= self._closed_for else 0.0


MAXIMUM_STEPS = 320
START_TIME = 1.0


def record(config: RecordConfig, out: Path) -> None:
    """Records until every task has its episodes; what is there already stays.

    Tries are logged, see `tries_log`; a seed that was tried is not tried again.

    Args:
        config: What to record.
        out: Folder of the bags, one per episode.

    Raises:
        InterruptedError: SIGINT or SIGTERM came; the episode at hand is left out.
    """
    check_tasks(config.suite, config.tasks)
    out.mkdir(parents=True, exist_ok=True)
    for task in config.tasks:
        log = tries_log(out, config.suite, task)
        tries = _read_tries(log)
        done, tried = sum(entry['success'] for entry in tries), len(tries)
        seed = max([config.seed, *(entry['seed'] + 1 for entry in tries)])
        if done >= config.episodes:
            continue
        arm = LiberoArm(config.suite, task)
        try:
            with (
                StopRequest('; the same command goes on') as stop,
                tqdm(
                    total=config.episodes,
                    initial=done,
                    desc=f'{config.suite} {task}',
                    unit='episode',
                ) as progress,
                log.open('a') as lines,
            ):
                while done < config.episodes:
                    bag = out / f'{config.suite}_{task:02d}_{seed}'
                    # A run that ended between bag and log leaves a whole bag of this seed.
                    steps = _recorded_steps(bag) or record_episode(
                        arm, seed, config, bag, stop.check
                    )
                    success = steps is not None
                    entry = {'seed': seed, 'success': success, 'steps': steps}
                    lines.write(f'{json.dumps(entry)}\n')
                    lines.flush()
                    done += success
                    seed += 1
                    progress.update(int(success))
                    tried += 1
                    progress.set_postfix(tries=tried)
        finally:
            arm.close()


def tries_log(out: Path, suite: str, task: int) -> Path:
    """Returns where the tries of a task are; another suite has other tasks of the same numbers."""
    return out / f'tries_{suite}_{task:02d}.jsonl'


def _read_tries(log: Path) -> list[dict[str, Any]]:
    """Returns the entries of the log; a torn line is taken out, and its seed tried again."""
    tries, torn = [], False
    for line in log.read_text('utf-8', 'replace').splitlines() if log.exists() else []:
        try:
            entry = json.loads(line)
            tries.append({key: entry[key] for key in ('seed', 'success', 'steps')})
        except (ValueError, TypeError, KeyError):
            torn = True
    if torn:
        write_whole(log, ''.join(f'{json.dumps(entry)}\n' for entry in tries))
    return tries


def _recorded_steps(bag: Path) -> int | None:
    """Returns the steps of an episode that is there already; None where it is not."""
    if not bag.exists():
        return None
    return (find_files(bag).expected or {}).get(arm_messages.EXPERT_TWIST)


def placement_of(seed: int, widened: float, anywhere: float = 0.0) -> Placement:
    """Returns the placement that a training seed stands for."""
    drawn = _draw(seed, 'placement').random()
    if drawn < anywhere:
        return Anywhere(seed)
    return Widened(seed) if drawn - anywhere < widened * (1 - anywhere) else Sampled(seed)


def disturbances(seed: int) -> np.random.Generator:
    """Returns the generator from which start and noise of a training seed are drawn."""
    return _draw(seed, 'disturbances')


def _draw(seed: int, what: str) -> np.random.Generator:
    # `Widened` draws from the seed itself: the same numbers again would let the start of the hand
    # tell where the objects are.
    return np.random.default_rng((seed, *what.encode()))


@dataclass(frozen=True)
class _Step:
    state: ArmState
    label: tuple[Float[np.ndarray, '6'], float]
    executed: tuple[Float[np.ndarray, '6'], float]
    landmarks: Float[np.ndarray, 'landmarks 3']


def record_episode(
    arm: LiberoArm, seed: int, config: RecordConfig, bag: Path, check: Callable[[], None]
) -> int | None:
    """Runs the expert once and writes the bag if it succeeded.

    Args:
        arm: Simulated arm, built for the task.
        seed: Seed of placement, start and noise.
        config: What to record.
        bag: Folder to write.
        check: Called before every period; what it raises ends the episode, and there is no bag.

    Returns:
        Steps of the episode; None if the expert failed, and then there is no bag.
    """
    generator = disturbances(seed)
    disturb = ExecutionNoise(config.noise, generator), Slip(config.slips, generator.spawn(1)[0])
    placement = placement_of(seed, config.widened, config.anywhere)
    arm.reset(placement)
    told = arm.perturb(config.perturbation, seed)
    _random_start(arm, generator, config.wander)
    steps = _run_expert(arm, *disturb, check)
    if not arm.success():
        return None
    information = {
        'suite': config.suite,
        'task': arm.task,
        'placement': repr(placement),
        'noise': config.noise,
        'wander': config.wander,
        'slips': config.slips,
        'perturbation': config.perturbation,
        'rendering': arm.rendering,
    }
    with BagWriter(bag) as writer:
        sentence = build('std_msgs/msg/String', data=told)
        writer.write(arm_messages.INSTRUCTION, sentence, START_TIME, latched=True)
        origin = build('std_msgs/msg/String', data=json.dumps(information))
        writer.write('/simulation/episode', origin, START_TIME, latched=True)
        for camera in ('agentview', 'wrist'):
            rgb = steps[0].state.images[camera]
            matrix = arm.camera_intrinsics(camera)
            info = arm_messages.camera_info(camera, matrix, rgb.shape[1], rgb.shape[0], START_TIME)
            writer.write(f'/{camera}/camera_info', info, START_TIME)
        for index, step in enumerate(steps):
            write_step(writer, step, START_TIME + index * arm.period)
    return len(steps)


def write_step(writer: BagWriter, step: _Step, time: float) -> None:
    """Writes what was seen, what the expert wanted and what was done; `time` in seconds."""
    for topic, message in arm_messages.state_messages(step.state, time, compressed=True):
        writer.write(topic, message, time)
    for topic, message in arm_messages.command_messages(
        *step.label,
        time,
        twist_topic=arm_messages.EXPERT_TWIST,
        gripper_topic=arm_messages.EXPERT_GRIPPER,
    ):
        writer.write(topic, message, time)
    for topic, message in arm_messages.command_messages(*step.executed, time):
        writer.write(topic, message, time)
    landmarks = arm_messages.landmark_message(step.landmarks, time)
    writer.write(arm_messages.LANDMARKS, landmarks, time)


def _random_start(arm: LiberoArm, generator: np.random.Generator, wander: int) -> None:
    """Moves the hand somewhere near before the recording starts."""
    twist = np.concatenate([generator.uniform(-0.5, 0.5, 3), np.zeros(3)])
    for _ in range(int(generator.integers(0, wander))):
        arm.step(twist, 0.08)


def _run_expert(
    arm: LiberoArm, noise: ExecutionNoise, slip: Slip, check: Callable[[], None]
) -> Sequence[_Step]:
    expert = ScriptedExpert(arm)
    steps: list[_Step] = []
    after_success = 0
    for _ in range(MAXIMUM_STEPS):
        check()
        state = arm.observe()
        twist, gripper = expert.command(state)
        landmarks = arm.landmarks()
        to_goal = landmarks[1] - state.pose[:3]
        moved, opened = slip(expert.phase == 'carry', twist, gripper, to_goal, OPEN)
        executed = moved + noise(), opened
        steps.append(_Step(state, (twist, gripper), executed, landmarks))
        arm.step(*executed)
        # A few steps past success teach the policy to stay away from what it has placed.
        after_success += arm.success()
        if after_success > 5:
            break
    return steps
