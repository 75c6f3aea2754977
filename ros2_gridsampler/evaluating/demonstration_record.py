# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What was seen of a running arm and its policy -> the numbers, and a table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..acting.latency import STAGES, Summary
from .film import Picture
from .success_rate import wilson_interval

ENDED = ('accepted', 'refused', 'rolled back')
"""What can come of an encoder."""


@dataclass(frozen=True)
class EpisodeSeen:
    """One episode, as a third party saw it.

    Attributes:
        task: Number of the task in its suite, from 0.
        instruction: What the policy was told.
        placement: Where the objects stood at the start.
        success: Whether the simulator says that the task was solved.
        steps: Control periods from the first command to the end.
        held: Those of them without a fresh command.
        real_time_factor: Simulated over real time; None where nothing was timed.
        pictures: What the policy saw, with the sampled points.
        command_times: Stamps of the commands [s].
    """

    task: int
    instruction: str
    placement: str
    success: bool
    steps: int
    held: int
    real_time_factor: float | None
    pictures: Sequence[Picture] = field(repr=False)
    command_times: Sequence[float] = field(repr=False)


@dataclass(frozen=True)
class CameraTraffic:
    """Frames of one camera while both ends were counted."""

    published: int
    received: int

    @property
    def dropped(self) -> int:
        """Published, but never in the hands of the policy node."""
        return self.published - self.received


@dataclass(frozen=True)
class EncoderSwap:
    """What a policy node did with an encoder that its server made the active one.

    Attributes:
        encoder: Its name on the server.
        outcome: 'accepted', 'refused' or 'rolled back', as `~/encoder` says; what the node was
            at where that had not come.
        reason: Why it is not in use, as far as the node has said so; empty where it is.
        before: sha256 of the encoder in use before.
        after: sha256 of the encoder in use at the end.
        states: What the node was at, in order, with its simulated time [s].
    """

    encoder: str
    outcome: str
    reason: str
    before: str
    after: str
    states: tuple[tuple[str, float], ...]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.states:
            words = f'{self.encoder} was not tried before the last episode ended'
        elif self.outcome not in ENDED:
            words = f'{self.encoder} was still at {self.outcome!r} when the last episode ended'
        else:
            took = self.states[-1][1] - self.states[0][1]
            words = f'{self.encoder} was {self.outcome} after {took:.1f} s, while the arm moved'
        return f'{words}: {self.reason}' if self.reason else words


@dataclass(frozen=True)
class Demonstration:
    """Everything measured while a policy drove a simulated arm.

    Attributes:
        policy: Name of the checkpoint.
        suite: LIBERO suite.
        period: One control period of the simulated arm [s].
        episodes: In order.
        stages: Stage of `latency.STAGES` -> its durations, one per executed chunk [s].
        cameras: Camera -> its frames.
        tokens: Visual tokens kept per camera.
        dense_tokens: Visual tokens per camera before sampling.
        hardware: Property -> its words.
        swap: The encoder that was swapped in meanwhile, if one was.
    """

    policy: str
    suite: str
    period: float
    episodes: Sequence[EpisodeSeen]
    stages: Mapping[str, Sequence[float]]
    cameras: Mapping[str, CameraTraffic]
    tokens: int
    dense_tokens: int
    hardware: Mapping[str, str]
    swap: EncoderSwap | None = None

    @property
    def successes(self) -> int:
        """Episodes that were solved."""
        return sum(episode.success for episode in self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the success rate."""
        return wilson_interval(self.successes, len(self.episodes))

    @property
    def verdict(self) -> str:
        """One sentence."""
        count = len(self.episodes)
        low, high = (100 * bound for bound in self.interval)
        return (
            f'{self.successes} of {count} episodes solved ({100 * self.successes / count:.0f}%, '
            f'95% interval {low:.0f} to {high:.0f}%)'
        )

    def per_task(self) -> dict[str, tuple[int, int]]:
        """Instruction -> solved and all episodes, in order of appearance."""
        counts: dict[str, tuple[int, int]] = {}
        for episode in self.episodes:
            solved, tried = counts.get(episode.instruction, (0, 0))
            counts[episode.instruction] = (solved + episode.success, tried + 1)
        return counts

    def latency(self) -> dict[str, Summary]:
        """Stage -> how long it takes [s]."""
        return {stage: Summary.of(self.stages.get(stage, ())) for stage in STAGES}

    def overhead(self) -> Summary:
        """Time from camera stamp to command stamp without the inference [s]."""
        pairs = zip(self.stages.get('total', ()), self.stages.get('inference', ()), strict=True)
        return Summary.of([total - inference for total, inference in pairs])

    def command_period(self) -> Summary:
        """Between two commands of one episode [s]."""
        gaps = [np.diff(episode.command_times) for episode in self.episodes]
        return Summary.of([float(gap) for episode in gaps for gap in episode])

    def real_time_factors(self) -> list[float]:
        """Real-time factors of the episodes that were timed."""
        factors = [episode.real_time_factor for episode in self.episodes]
        return [factor for factor in factors if factor is not None]

    @property
    def pace(self) -> float | None:
        """Mean real-time factor; None where no episode was timed."""
        factors = self.real_time_factors()
        return sum(factors) / len(factors) if factors else None

    def numbers(self) -> dict[str, Any]:
        """All of it but the pictures, for JSON; times in [s]."""
        return {
            'policy': self.policy,
            'suite': self.suite,
            'episodes': [self._episode_numbers(episode) for episode in self.episodes],
            'success': {
                'solved': self.successes,
                'episodes': len(self.episodes),
                'interval_95': self.interval,
                'per_task': self.per_task(),
            },
            'latency': {stage: _summary(summary) for stage, summary in self.latency().items()},
            'overhead': _summary(self.overhead()),
            'command_period': _summary(self.command_period()),
            'cameras': {
                name: {**asdict(camera), 'dropped': camera.dropped}
                for name, camera in self.cameras.items()
            },
            'visual_tokens_per_camera': {'used': self.tokens, 'available': self.dense_tokens},
            'real_time_factor': {
                'mean': self.pace,
                'minimum': min(self.real_time_factors(), default=None),
            },
            'swap': asdict(self.swap) if self.swap else None,
            'hardware': dict(self.hardware),
        }

    def _episode_numbers(self, episode: EpisodeSeen) -> dict[str, Any]:
        return {
            'task': episode.task,
            'instruction': episode.instruction,
            'placement': episode.placement,
            'success': episode.success,
            'simulated_time': round(episode.steps * self.period, 6),
            'steps': episode.steps,
            'held': episode.held,
            'real_time_factor': episode.real_time_factor,
            'commands': len(episode.command_times),
            'pictures': len(episode.pictures),
        }

    def table(self) -> str:
        """The numbers for a terminal."""
        rows = [
            f'{solved:3d} / {tried:<3d} {instruction}'
            for instruction, (solved, tried) in self.per_task().items()
        ]
        rows += [self.verdict, '', f'{"[ms]":34s}{"p50":>8s}{"p99":>8s}{"max":>8s}']
        for stage, summary in self.latency().items():
            name = 'camera stamp -> command stamp' if stage == 'total' else f'  {stage}'
            rows.append(f'{name:34s}{_milliseconds(summary)}')
        rows.append(f'{"  without inference":34s}{_milliseconds(self.overhead())}')
        rows += [f'{"command period":34s}{_milliseconds(self.command_period())}', '']
        for name, camera in self.cameras.items():
            rows.append(
                f'{"frames: " + name:34s}{camera.received} received of {camera.published}, '
                f'{camera.dropped} dropped'
            )
        share = 100 * self.tokens / self.dense_tokens
        rows.append(
            f'{"visual tokens per camera":34s}{self.tokens} of {self.dense_tokens} ({share:.1f}%)'
        )
        if self.pace:
            slowest = min(self.real_time_factors())
            rows.append(f'{"real-time factor":34s}{self.pace:.2f} (slowest {slowest:.2f})')
        held, steps = (sum(getattr(e, name) for e in self.episodes) for name in ('held', 'steps'))
        rows.append(f'{"steps without a fresh command":34s}{held} of {steps}')
        if self.swap:
            rows.append(f'{"encoder":34s}{self.swap.verdict}')
        words = (self.hardware.get(key, '') for key in ('processor', 'cores', 'load'))
        rows.append('on {}, {} cores, {}'.format(*words))
        return '\n'.join(rows)


def _summary(summary: Summary) -> dict[str, float | int | None]:
    """JSON has no NaN, so what was not measured is null."""
    values = asdict(summary)
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _milliseconds(summary: Summary) -> str:
    values = (summary.p50, summary.p99, summary.maximum)
    return ''.join(f'{1e3 * value:8.1f}' for value in values)
