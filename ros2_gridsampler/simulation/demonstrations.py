# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted demonstrations on LIBERO -> bags with the live topics and clean labels."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from ..bags.bag_files import find_files
from ..bags.bag_writer import BagWriter, build
from ..bounds import checked
from ..files import write_whole
from ..stop_request import StopRequest
from . import arm_messages
from .arm_state import OPEN, ArmState
from .benchmark import check_tasks
from .disturbances import ExecutionNoise, Slip
from .experts import ScriptedExpert
from .libero_arm import LiberoArm
from .placements import FIRST_TRAINING_SEED, Placement, Sampled, Widened

MAXIMUM_STEPS = 320
START_TIME = 1.0
MAX_NOISE = 5.0
"""No expert finds its way back from more [m/s]."""
MAX_WANDER = 40
"""In 2 s the hand can be out of every picture [periods]."""


@dataclass(frozen=True)
@checked
class RecordConfig:
    """What to record.

    Attributes:
        suite: LIBERO suite.
        tasks: Task numbers, from 0.
        episodes: Successful episodes per task.
        widened: Share of placements widened by 5 cm; the rest as LIBERO's own problem files.
        noise: Deviation of the noise in the executed twist [m/s], 0.6 of it [rad/s].
        wander: The hand moves somewhere for fewer than so many periods of 0.05 s before each
            episode, at up to 0.5 m/s commanded along each axis.
        slips: Share of episodes in which the hand loses the object once and goes on without it.
        seed: Of the first try of every task, counted up from there.
    """

    suite: str
    tasks: tuple[int, ...]
    episodes: int = field(metadata={'minimum': 1})
    widened: float = field(metadata={'minimum': 0, 'maximum': 1})
    noise: float = field(metadata={'unit': 'm/s', 'minimum': 0, 'maximum': MAX_NOISE})
    wander: int = field(default=12, metadata={'minimum': 1, 'maximum': MAX_WANDER})
    slips: float = field(default=0.0, metadata={'minimum': 0, 'maximum': 1})
    seed: int = field(
        default=FIRST_TRAINING_SEED,
        metadata={
            'minimum': FIRST_TRAINING_SEED,
            'why': 'smaller ones are those of evaluation, which no training may see',
        },
    )


def record(config: RecordConfig, out: Path) -> None:
    """Record until every task has its episodes; what is there already stays.

    Tries are logged in `tries_<task>.jsonl`; a seed that was tried is not tried again.

    Args:
        config: What to record.
        out: Folder of the bags, one per episode.

    Raises:
        InterruptedError: SIGINT or SIGTERM came; the episode at hand is left out.
    """
    check_tasks(config.suite, config.tasks)
    out.mkdir(parents=True, exist_ok=True)
    for task in config.tasks:
        log = out / f'tries_{task:02d}.jsonl'
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


def _read_tries(log: Path) -> list[dict[str, Any]]:
    """Entries of the log; a line that was torn is taken out, and its seed tried again."""
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
    """Steps of an episode that is there already; None where it is not."""
    if not bag.exists():
        return None
    return (find_files(bag).expected or {}).get(arm_messages.EXPERT_TWIST)


def placement_of(seed: int, widened: float) -> Placement:
    """The placement that a training seed stands for."""
    chosen = _draw(seed, 'placement').random() < widened
    return Widened(seed) if chosen else Sampled(seed)


def disturbances(seed: int) -> np.random.Generator:
    """What start and noise of a training seed are drawn from."""
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
    """Run the expert once and write the bag if it succeeded.

    Args:
        arm: Of the task.
        seed: Of placement, start and noise.
        config: What to record.
        bag: Folder to write.
        check: Called before every period; what it raises ends the episode, and there is no bag.

    Returns:
        Steps of the episode; None if the expert failed, and then there is no bag.
    """
    generator = disturbances(seed)
    disturb = ExecutionNoise(config.noise, generator), Slip(config.slips, generator.spawn(1)[0])
    placement = placement_of(seed, config.widened)
    arm.reset(placement)
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
        'rendering': arm.rendering,
    }
    with BagWriter(bag) as writer:
        sentence = build('std_msgs/msg/String', data=arm.instruction)
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
    """What was seen, what the expert wanted, what was done; `time` in seconds."""
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
    """Move the hand somewhere near before the recording starts."""
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
