# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""One policy on one recording -> all that can be said of its predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk
from ..acting.arm_limits import ArmLimits
from ..acting.loop_events import Event
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from ..vla.deployed_policy import DeployedConfig
from .action_scale import action_scale
from .command_replay import CommandReplay, LoopCommands, ScheduledCommands, percentiles
from .evaluation_config import EvaluationConfig
from .metric import ComparedFrame, Metric, Setting
from .metrics import METRICS

Numbers = NDArray[np.float64]


class PolicyDrift:
    """Mean absolute difference of two policies, by step and entry of an action.

    Args:
        names: The names of the entries of an action.
        scale: Unit of each, see `action_scale`.
        steps: The steps of the shorter chunk.
    """

    def __init__(self, names: Sequence[str], scale: NDArray[np.float64], steps: int) -> None:
        self._names, self._scale = tuple(names), scale
        self._sum = np.zeros((steps, len(names)))
        self._frames = 0

    def add(self, first: ActionChunk, other: ActionChunk) -> None:
        """What both say to one frame."""
        steps = len(self._sum)
        self._sum += np.abs(first.targets[:steps] - other.targets[:steps])
        self._frames += 1

    def summary(self) -> dict[str, Any]:
        """Returns the drift by step and entry in physical units, and over all in arm units."""
        mean = self._sum / self._frames
        return {
            'mean_absolute_difference': mean.mean(1).tolist(),
            'scaled': float((mean / self._scale).mean()),
            'by_action': dict(zip(self._names, mean.mean(0).tolist(), strict=True)),
        }


@dataclass(frozen=True)
class Contestant:
    """A policy that is judged.

    Attributes:
        name: The name of its checkpoint.
        backend: Its engine.
        config: What it reads and commands.
        identity: Hashes and engine, for the report.
    """

    name: str
    backend: Backend
    config: DeployedConfig
    identity: dict[str, Any]


class PolicyScores:
    """Collects what one policy says, and compares it when the recording has gone on.

    Args:
        contestant: The policy.
        limits: Limits of the arm.
        config: How to judge.
        clock: Steady time, to measure the engine [s].
        metrics: What is computed.
    """

    def __init__(
        self,
        contestant: Contestant,
        limits: ArmLimits,
        config: EvaluationConfig,
        clock: Callable[[], float],
        metrics: Sequence[type[Metric]] = METRICS,
    ) -> None:
        self.contestant = contestant
        self._clock = clock
        policy, commands = contestant.config, config.commands
        space, scale = policy.action_space, action_scale(policy.action_space, limits)
        self.inference: list[float] = []
        """How long the engine took [s]."""
        self.loop = LoopCommands(space, limits, commands.loop(config.streams))
        """What the live node would do."""
        self.main = CommandReplay(self.loop, commands, scale, lambda: config.latency)
        """Commands at the assumed latency, as the arm would get them."""

        def timing(latency: Callable[[], float]) -> CommandReplay:
            return CommandReplay(ScheduledCommands(commands), commands, scale, latency)

        def constant(latency: float) -> Callable[[], float]:
            return lambda: latency

        replays = {
            latency: timing(constant(latency)) for latency in (config.latency, *config.injected)
        }
        self._measured = timing(lambda: self.inference[-1])
        self._replays = (self.main, *replays.values(), self._measured)
        setting = Setting(
            space=space,
            steps=policy.steps,
            period=policy.period,
            limits=limits,
            scale=scale,
            config=config,
            main=self.main,
            loop=self.loop,
            replays=replays,
        )
        self._metrics = tuple(metric(setting) for metric in metrics)

    def predict(self, observation: Observation, now: float, *, seen: bool) -> Prediction:
        """Asks the policy, and gives its answer to every command loop.

        Args:
            observation: What it sees.
            now: When the observation was ready [s].
            seen: Whether its pictures show something; the live node predicts of no other.
        """
        begin = self._clock()
        prediction = self._predict(observation, now)
        self.inference.append(self._clock() - begin)
        for replay in self._replays:
            if seen or replay is not self.main:
                replay.offer(prediction.chunk, observation.instruction, now)
        return prediction

    def _predict(self, observation: Observation, now: float) -> Prediction:
        policy = self.contestant
        if not policy.config.continues:
            return policy.backend.predict(observation)
        # One chunk for all loops: it goes on from what the main one commands.
        prefix = self.main.prefix(observation.time, policy.config.period, now)
        return policy.backend.predict(observation, prefix)

    def tell(self, event: Event) -> None:
        """What else the live node's command loop would have heard now."""
        self.loop.tell(event)

    def measure(self, state: Numbers, time: float) -> None:
        """The recorded arm was at `state` at `time` [s]; see `Measured`."""
        for replay in self._replays:
            replay.measure(state, time)

    def cut(self) -> None:
        """The recording is cut here: what follows is judged apart, and counted on."""
        for replay in self._replays:
            replay.cut()
        for metric in self._metrics:
            metric.cut()

    def advance(self, now: float) -> None:
        """Sends the commands due before `now` [s]."""
        for replay in self._replays:
            replay.advance(now)

    def command(self, time: float, operator: Numbers) -> None:
        """The operator's action at `time` [s], to stand beside what is commanded then."""
        for metric in self._metrics:
            metric.command(time, operator, self.main.command)

    def compare(
        self,
        chunk: ActionChunk,
        recorded: tuple[Numbers, Bool[np.ndarray, ' steps']],
        baselines: tuple[Numbers, Numbers],
        critical: bool,
    ) -> None:
        """Compares a chunk with what was recorded; in order of time.

        Args:
            chunk: As predicted.
            recorded: Targets and which of them were recorded.
            baselines: Where the arm was, as an action, and the action before.
            critical: Whether the frame is.
        """
        targets, valid = (side[: len(chunk.targets)] for side in recorded)
        if not valid.any():
            return
        frame = ComparedFrame(chunk, targets, valid, *baselines, critical)
        for metric in self._metrics:
            metric.add(frame)

    def summary(self) -> dict[str, Any]:
        """Returns everything that is the same whenever it is computed."""
        return {key: v for metric in self._metrics for key, v in metric.summary().items()}

    def measured_summary(self) -> dict[str, Any]:
        """Returns what depends on the machine."""
        return {
            'inference_ms': percentiles(1e3 * np.array(self.inference)),
            'deadlines': self._measured.summary(),
        }
