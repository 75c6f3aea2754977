# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A running policy -> the numbers of its diagnostics, by part: streams, timing, safety."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..acting.chunk_schedule import Seam
from ..acting.command_loop import Command, LoopView
from ..acting.latency import (
    ChunkTimes,
    DeadlineMonitor,
    LatencyWindow,
    RateWindow,
    Summary,
    Window,
)
from ..vla.deployed_policy import DeployedConfig
from .inference_thread import InferenceThread, TimedPrediction
from .input_topics import InputTopics
from .problems import Problems


class CommandStatistics:
    """What diagnostics and swaps are told of the commands.

    Args:
        steady: Returns steady time [s].
        follow: Called with the times of every chunk when it is commanded first.

    Attributes:
        commands: How many were sent since `begin`.
        interventions: What the safety filter did -> how often.
        latency: Latency of the stages from camera to command.
        information_age: Age of what a command was made from, while the arm follows.
        used: Predictions that were taken into use since `begin`, in steady time [s].
        seam_positions: Jumps from one chunk to the next.
        seam_velocities: The same of their velocities.
    """

    def __init__(self, steady: Callable[[], float], follow: Callable[[ChunkTimes], None]) -> None:
        self._steady = steady
        self._follow = follow
        self._newest: TimedPrediction | None = None
        self.commands = 0
        self.interventions: Counter[str] = Counter()
        self.latency = LatencyWindow()
        self.information_age = Window()
        self.used = RateWindow()
        self.seam_positions, self.seam_velocities = Window(), Window()

    def begin(self) -> None:
        """The arm is commanded anew."""
        self._newest = None
        self.commands = 0
        self.used = RateWindow()

    def took(self, timed: TimedPrediction, seam: Seam | None, steady: float) -> None:
        """A prediction was taken into use at `steady` [s]; the next command may say so."""
        if seam is not None:
            self.seam_positions.add(seam.position)
            self.seam_velocities.add(seam.velocity)
        self.used.add(steady)
        self._newest = timed

    def sent(self, command: Command, now: float, seen: float | None) -> None:
        """A command was sent.

        Args:
            command: Command that was sent.
            now: Time that it was for [s].
            seen: Capture time of what it was made from [s]; None without a chunk.
        """
        self.commands += 1
        self.interventions.update(command.interventions)
        if command.holding:
            return
        if seen is not None:
            self.information_age.add(now - seen)
        if self._newest is not None:
            timed, self._newest = self._newest, None
            times = ChunkTimes(
                timed.captured,
                timed.taken,
                timed.decoded,
                timed.predicted,
                self._steady(),
            )
            self.latency.add(times)
            self._follow(times)


class LoopReport:
    """Reads what the parts of a `PolicyLoop` count.

    Args:
        config: Configuration of the policy.
        statistics: Counts what is commanded.
        inference: Predicts.
        inputs: Receive.
        problems: Went wrong.
    """

    def __init__(
        self,
        config: DeployedConfig,
        statistics: CommandStatistics,
        inference: InferenceThread,
        inputs: InputTopics,
        problems: Problems,
    ) -> None:
        self._config = config
        self._statistics = statistics
        self._inference = inference
        self._inputs = inputs
        self._problems = problems
        self.deadlines: DeadlineMonitor | None = None
        """When the command thread has sent its commands; None before it began."""

    def main(self, view: LoopView) -> dict[str, Any]:
        """What the policy is doing."""
        config, cameras = self._config, len(self._config.cameras)
        return {
            'instruction': view.instruction,
            'visual tokens': f'{cameras * config.tokens} of {cameras * config.dense_tokens}',
            **{f'frames received: {c.name}': c.received for c in self._inputs.cameras.all},
            'state of the arm from': self._inputs.states.publishers(),
            'observations decoded': self._inference.decoded,
            'loop': view.state.name,
            'commands': self._statistics.commands,
            'no observation because': self._inference.reason,
            'holding because': view.holding,
            **{f'problem: {name}': n for name, n in sorted(self._problems.counts.items())},
            **{f'last {name}': text for name, text in sorted(self._problems.last.items())},
        }

    def parts(self, view: LoopView, now: float) -> dict[str, dict[str, Any]]:
        """Part -> key -> value; durations in [ms], seams in the units of the actions.

        Args:
            view: What the last step of the command loop left.
            now: Time by the clock that stamps the streams [s].
        """
        return {
            'streams': self._streams(view, now),
            'timing': self._timing(),
            'safety': self._safety(view),
        }

    def _streams(self, view: LoopView, now: float) -> dict[str, Any]:
        states = view.streams
        values: dict[str, Any] = {}
        for name, (newest, repeated, restarts) in self._inference.streams().items():
            age = 'nothing came' if newest is None else f'{1e3 * (now - newest):.0f} ms old'
            values[name] = f'{states.get(name, "good")}, {age}'
            values[f'{name}: repeated stamps'] = repeated
            values[f'{name}: stamps went back'] = restarts
        others = {name: state for name, state in states.items() if name not in values}
        return {**values, **others}

    def _timing(self) -> dict[str, Any]:
        statistics = self._statistics
        values: dict[str, Any] = {
            **_milliseconds(
                {f'latency {k}': s for k, s in statistics.latency.summaries().items()}
            ),
            **_milliseconds(
                {'age of information at command': statistics.information_age.summary()}
            ),
            'predictions per second': f'{statistics.used.rate:.2f}',
            'prediction under way [ms]': f'{1e3 * self._inference.busy:.0f}',
        }
        if self.deadlines is not None:
            values |= {
                **_milliseconds({'command period': self.deadlines.periods()}),
                'commands within 5 ms [%]': f'{100 * self.deadlines.regular:.2f}',
                'deadlines missed': self.deadlines.missed,
            }
        for name, window in (
            ('seam position', statistics.seam_positions),
            ('seam velocity', statistics.seam_velocities),
        ):
            found = window.summary()
            values[f'{name} (p50 / p99 / max)'] = ' / '.join(
                f'{value:.4g}' for value in (found.p50, found.p99, found.maximum)
            )
        return values

    def _safety(self, view: LoopView) -> dict[str, Any]:
        interventions = sorted(self._statistics.interventions.items())
        return {
            'loop': f'{view.state.name}: {view.state.value}',
            'rung': view.rung.name,
            'rung because': view.reason,
            **{f'filter: {name}': n for name, n in interventions},
            **{f'ladder: {name}': n for name, n in sorted(view.counts.items())},
        }


def _milliseconds(summaries: dict[str, Summary]) -> dict[str, str]:
    return {
        f'{name} (p50 / p99 / max) [ms]': str(summary).removesuffix(' ms')
        for name, summary in summaries.items()
    }
