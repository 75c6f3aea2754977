# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and simulated tasks -> how often it succeeds, through the code that runs live."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..acting.action_chunk import ActionChunk
from ..acting.arm_limits import ArmLimits
from ..acting.chunk_schedule import ScheduleConfig
from ..acting.controller import Controller
from ..bags.bag_storage import RecordedMessage
from ..bags.observation_replay import StreamTopics, feed
from ..bounds import checked, setting
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import StreamBudget
from ..vla.deployed_policy import DeployedConfig
from .arm_messages import (
    INSTRUCTION,
    JOINT_STATES,
    POSE,
    camera_info,
    image_topic,
    state_messages,
)
from .arm_state import ArmState
from .simulator import SimulatedArm, Simulator
from .solved_states import Tally, try_states


@dataclass(frozen=True)
@checked
class LoopConfig:
    """How the loop is closed.

    Attributes:
        latency: Time from capture to the command that answers it [s]; meanwhile the arm follows
            the old chunk.
        replan_every: Control periods between two predictions.
        maximum_steps: Control periods before an episode counts as failed.
    """

    latency: float = setting(0.05, unit='s', minimum=0)
    replan_every: int = setting(4, minimum=1)
    maximum_steps: int = setting(220, minimum=1)


@dataclass(frozen=True)
class Success:
    """How many evaluation states a policy solved, and under which conditions.

    Attributes:
        suite: Name of the simulator's suite of tasks, such as libero_spatial.
        policy: Name of the checkpoint.
        weights_sha256: Hash of the checkpoint's weights.
        encoder: Name of the encoder through which it saw; '' is its own.
        placements: Which evaluation states, one of the simulator's kinds.
        first: Number of the first state of every task.
        episodes: Number of all episodes.
        successes: Number of all solved episodes.
        interval: Wilson's 95% interval of the rate.
        per_task: Instruction -> successes and episodes.
        outcomes: Instruction -> whether each evaluation state was solved, in order.
        tokens_per_camera: Visual tokens kept; 0 where nobody says.
        dense_tokens_per_camera: Visual tokens of the whole map; 0 where nobody says.
        rendering: How the pictures were made: LIBERO's 'simplified' or 'original'.
        perturbation: What was changed in every episode, or 'none'.
    """

    suite: str
    policy: str
    weights_sha256: str
    encoder: str
    placements: str
    first: int
    episodes: int
    successes: int
    interval: tuple[float, float]
    per_task: dict[str, tuple[int, int]]
    outcomes: dict[str, tuple[bool, ...]]
    tokens_per_camera: int
    dense_tokens_per_camera: int
    rendering: str
    perturbation: str

    def to_json(self) -> str:
        """Returns all attributes as JSON."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        conditions = [
            f'{Tally(self.outcomes)}, {self.placements} placements, {self.rendering} rendering',
            f'perturbation: {self.perturbation}',
        ]
        if self.dense_tokens_per_camera:
            kept = f'{self.tokens_per_camera} of {self.dense_tokens_per_camera}'
            conditions.insert(1, f'{kept} visual tokens per camera')
        return ', '.join(conditions)


def measure_success(
    policy: Backend,
    config: DeployedConfig,
    limits: ArmLimits,
    simulator: Simulator[SimulatedArm],
    *,
    name: str,
    weights_sha256: str,
    encoder: str = '',
    tasks: Sequence[int],
    episodes: int,
    placements: str,
    first: int = 0,
    perturbation: str = 'none',
    loop: LoopConfig | None = None,
) -> Success:
    """Runs every task from `episodes` of its evaluation states.

    Args:
        policy: The engine.
        config: Config of the policy.
        limits: Limits of the arm, in [m], [s], [rad].
        simulator: Simulator whose tasks are tried.
        name: Name of the checkpoint, for the table.
        weights_sha256: Hash of its weights, by which the result is known later.
        encoder: Name of another encoder that the engine sees through; '' is its own.
        tasks: Numbers of the tasks, from 0.
        episodes: Evaluation states per task.
        placements: Which evaluation states, one of the simulator's kinds.
        first: Number of the first state.
        perturbation: What is changed in every episode after its reset.
        loop: How the loop is closed.

    Raises:
        ValueError: There are not so many evaluation states, no such tasks, or the policy is for
            another arm.
    """
    check_embodiment(config, name, simulator)
    loop = loop or LoopConfig()

    def attempt(arm: SimulatedArm, number: int) -> bool:
        told = arm.perturb(perturbation, number)
        return any(step is None for step in drive(policy, config, limits, arm, loop, told))

    outcomes = try_states(
        attempt,
        simulator,
        tasks=tasks,
        episodes=episodes,
        placements=placements,
        first=first,
        image_size=config.observation.resolution[0],
    )
    tally = Tally(outcomes)
    return Success(
        suite=simulator.name,
        policy=name,
        weights_sha256=weights_sha256,
        encoder=encoder,
        placements=placements,
        first=first,
        episodes=tally.episodes,
        successes=tally.successes,
        interval=tally.interval,
        per_task=tally.per_task,
        outcomes=outcomes,
        tokens_per_camera=config.tokens,
        dense_tokens_per_camera=config.dense_tokens,
        rendering=simulator.rendering,
        perturbation=perturbation,
    )


def check_embodiment(
    config: DeployedConfig, name: str, simulator: Simulator[SimulatedArm]
) -> None:
    """Refuses a policy that was trained for another arm than the simulated one.

    Raises:
        ValueError: Says what the policy commands and sees, and what the simulated arm has.
    """
    space = config.action_space
    foreign = [each for each in config.observation.joints if each not in simulator.joints]
    unseen = [each for each in config.cameras if each not in simulator.cameras]
    if space.kind != 'end_effector_twist' or foreign or unseen:
        raise ValueError(
            f'{name} commands {space.kind} and sees {[*config.cameras]}, the simulated arm takes '
            f'end_effector_twist and has {[*simulator.cameras]}; name a policy trained on its '
            'recordings.'
        )


def drive(
    policy: Backend,
    config: DeployedConfig,
    limits: ArmLimits,
    arm: SimulatedArm,
    loop: LoopConfig,
    instruction: str,
) -> Iterator[tuple[ArmState, Prediction | None] | None]:
    """Yields one episode: what was seen and what was predicted at each control period.

    The pictures go through the arm's messages and the observation buffer, the chunks through
    schedule and safety filter, as on the live topics.

    Yields:
        State and, where one was made, the prediction; None at the end if the task was solved.
    """
    topics = StreamTopics(
        {camera: image_topic(camera, compressed=True) for camera in config.cameras},
        JOINT_STATES,
        POSE if config.observation.uses_pose else '',
        INSTRUCTION,
    )
    buffer = ObservationBuffer(config.observation, StreamBudget())
    buffer.set_instruction(instruction)
    for camera in buffer.rectified:
        matrix = arm.camera_intrinsics(camera)
        buffer.add_camera_info(
            camera, camera_info(camera, matrix, *config.observation.resolution, 0.0)
        )
    schedule = ScheduleConfig.of_policy(config.ensemble_decay)
    controller = Controller(config.action_space, limits, schedule, max_state_age=1.0)
    waiting: list[tuple[float, ActionChunk]] = []
    for step in range(loop.maximum_steps):
        now = 1.0 + step * arm.period
        looking = step % loop.replan_every == 0
        state = arm.observe(images=looking or config.observation.earlier > 0)
        controller.measure(np.append(state.pose[:3], state.gripper_opening), now)
        prediction = None
        if looking or config.observation.earlier:
            for topic, message in state_messages(state, now, compressed=True):
                feed(buffer, topics, RecordedMessage(topic, message.__msgtype__, now, message))
        if looking:
            observation = buffer.newest(now)
            known = controller.prefix(observation.time, config.period, now)
            prediction = policy.predict(observation, known if config.continues else None)
            waiting.append((now + loop.latency, prediction.chunk))
        while waiting and waiting[0][0] <= now + 1e-6:
            controller.add(waiting.pop(0)[1], now)
        yield state, prediction
        values = controller.command(now, arm.period).values
        arm.step(values[:6], float(values[6]))
        if arm.success():
            yield None
            return
