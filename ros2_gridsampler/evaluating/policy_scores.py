# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""One policy on one recording -> all that can be said of its predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk
from ..acting.arm_limits import ArmLimits
from ..bags.observation_replay import TimeSource
from ..bounds import checked
from ..engines import Backend
from ..policy.policy_config import PolicyConfig
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from ..seeing.stream_budget import StreamBudget
from .action_errors import ActionErrors
from .action_scale import action_scale
from .command_replay import (
    CommandConfig,
    CommandReplay,
    FilteredCommands,
    ScheduledCommands,
    percentiles,
)
from .critical_error import CriticalConfig, CriticalError
from .gripper_events import GripperEvents, GripperScale
from .smoothness import Smoothness

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
@checked
class EvaluationConfig:
    """How recordings are judged.

    Attributes:
        latency: From a frame's arrival to its chunk that commands, seams and interventions are
            computed with [s]. A figure of the reader's, so that a report does not depend on the
            machine that made it.
        injected: What if it were these [s].
        commands: The command loop.
        streams: How old and how far apart streams may be.
        time: Whose time is believed.
        critical: What frames are critical.
    """

    latency: float = field(default=0.05, metadata={'unit': 's', 'minimum': 0})
    injected: tuple[float, ...] = field(
        default=(0.06, 0.12, 0.25), metadata={'unit': 's', 'minimum': 0}
    )
    commands: CommandConfig = field(default_factory=CommandConfig)
    streams: StreamBudget = field(default_factory=StreamBudget)
    time: TimeSource = 'recorded'
    critical: CriticalConfig = field(default_factory=CriticalConfig)


@dataclass(frozen=True)
class Contestant:
    """A policy that is judged.

    Attributes:
        name: Of its checkpoint.
        backend: Its engine.
        config: What it reads and commands.
        identity: Hashes and engine, for the report.
    """

    name: str
    backend: Backend
    config: PolicyConfig
    identity: dict[str, Any]


class PolicyScores:
    """Collects what one policy says, and compares it when the recording has gone on.

    Args:
        contestant: The policy.
        limits: Of the arm.
        config: How to judge.
        clock: Steady time, to measure the engine [s].
    """

    def __init__(
        self,
        contestant: Contestant,
        limits: ArmLimits,
        config: EvaluationConfig,
        clock: Callable[[], float],
    ) -> None:
        self.contestant = contestant
        policy = contestant.config
        space = policy.action_space
        self._scale = action_scale(space, limits)
        self._clock = clock
        self._gripper = GripperScale(space, limits)
        self.errors = ActionErrors(space.names, policy.steps)
        self.critical = CriticalError(config.critical, self._scale)
        self.events = GripperEvents()
        order = 2 if space.kind == 'end_effector_twist' else 3
        self.smoothness = Smoothness(self._scale, order)
        self.inference: list[float] = []
        """How long the engine took [s]."""
        commands = config.commands
        self.main = CommandReplay(
            FilteredCommands(space, limits, commands),
            commands,
            self._scale,
            lambda: config.latency,
        )
        """Commands at the assumed latency, as the arm would get them."""

        def timing(latency: Callable[[], float]) -> CommandReplay:
            return CommandReplay(ScheduledCommands(commands), commands, self._scale, latency)

        def constant(latency: float) -> Callable[[], float]:
            return lambda: latency

        self.replays = {config.latency: self.main}
        for latency in config.injected:
            self.replays.setdefault(latency, timing(constant(latency)))
        self.measured = timing(lambda: self.inference[-1])
        """Commands at the latency that was measured here; in no deterministic report."""

    def predict(self, observation: Observation, now: float) -> Prediction:
        """Ask the policy, and let every command loop have its answer."""
        begin = self._clock()
        prediction = self._predict(observation, now)
        self.inference.append(self._clock() - begin)
        for replay in (*self.replays.values(), self.measured):
            replay.offer(prediction.chunk, now)
        return prediction

    def _predict(self, observation: Observation, now: float) -> Prediction:
        policy = self.contestant
        if not policy.config.continues:
            return policy.backend.predict(observation)
        # One chunk for all loops: it goes on from what the main one commands.
        prefix = self.main.prefix(observation.time, policy.config.period, now)
        return policy.backend.predict(observation, prefix)

    def measure(self, state: Numbers, time: float) -> None:
        """Where the recorded arm is; see `Controller.measure`."""
        for replay in (*self.replays.values(), self.measured):
            replay.measure(state, time)

    def advance(self, now: float) -> None:
        """Send the commands due before `now` [s]."""
        for replay in (*self.replays.values(), self.measured):
            replay.advance(now)

    def compare(
        self,
        chunk: ActionChunk,
        recorded: tuple[Numbers, Bool[np.ndarray, ' steps']],
        baselines: tuple[Numbers, Numbers] | None,
        critical: bool,
    ) -> None:
        """Compare a chunk with what was recorded; in order of time.

        Args:
            chunk: As predicted.
            recorded: Targets and which of them were recorded.
            baselines: Where the arm was, as an action, and the action before; None where one of
                them is not known.
            critical: Whether the frame is.
        """
        targets, valid = (side[: len(chunk.targets)] for side in recorded)
        ensembled = self.critical.ensembled(chunk)
        if not valid.any():
            return
        if baselines is not None:
            self.errors.add(chunk.targets, targets, valid, *baselines)
        if critical:
            self.critical.add(ensembled[valid], targets[valid])
        if self._gripper:
            shares = (self._gripper.share(row) for row in (targets[0], chunk.targets[0]))
            self.events.add(chunk.start_time, *shares)

    def summary(self, recorded_jerk: float | None) -> dict[str, Any]:
        """Everything that is the same whenever it is computed."""
        jerk = self.smoothness.value()
        main = self.main.summary()
        ratio = jerk / recorded_jerk if jerk is not None and recorded_jerk else None
        return {
            **self.errors.summary(),
            'frames_compared': self.errors.frames,
            'critical_interval_mse': self.critical.mean(),
            'critical_frames': self.critical.frames,
            'gripper_events': self.events.summary(),
            'seams': main['seams'],
            'jerk': {'commanded': jerk, 'recorded': recorded_jerk, 'ratio': ratio},
            'filter_interventions': main['filter_interventions'],
            'deadlines': {
                f'{1e3 * latency:g}': {
                    key: value
                    for key, value in replay.summary().items()
                    if key not in ('seams', 'filter_interventions')
                }
                for latency, replay in self.replays.items()
            },
        }

    def measured_summary(self) -> dict[str, Any]:
        """What depends on the machine."""
        return {
            'inference_ms': percentiles(1e3 * np.array(self.inference)),
            'deadlines': self.measured.summary(),
        }
