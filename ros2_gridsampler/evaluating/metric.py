# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a metric is: it sees frames and commands, sums them up, and adds its sums over bags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk, ActionSpace
from ..acting.arm_limits import ArmLimits
from .command_replay import CommandReplay, LoopCommands
from .evaluation_config import EvaluationConfig

Numbers = NDArray[np.float64]
Report = Mapping[str, Any]
POLICY, HOLD_STATE, HOLD_ACTION = 'policy', 'hold_state', 'hold_action'
BASELINES = {HOLD_ACTION: 'holding the previous action', HOLD_STATE: 'holding the state'}
"""What does nothing, in words: every score of predictions stands beside the same of these."""


@dataclass(frozen=True)
class Setting:
    """What a metric is made from.

    Attributes:
        space: What an action means.
        steps: Targets per chunk.
        period: Time between two targets [s].
        limits: Limits of the arm.
        scale: Unit of each entry of an action, see `action_scale`.
        config: How to judge.
        main: The commands at the assumed latency, as the arm would get them.
        loop: The command loop that makes those.
        replays: Latency [s] -> what the schedule alone has due; the first one is the assumed.
    """

    space: ActionSpace
    steps: int
    period: float
    limits: ArmLimits
    scale: Numbers
    config: EvaluationConfig
    main: CommandReplay
    loop: LoopCommands
    replays: Mapping[float, CommandReplay]


@dataclass(frozen=True)
class ComparedFrame:
    """A frame whose future has been recorded.

    Attributes:
        chunk: What the policy said.
        targets: What was recorded, a row per step of the chunk, in units of the actions.
        valid: The steps to which the recording reaches.
        state: Where the arm was, as an action that stays there.
        previous: The action that was recorded one period before.
        critical: Whether the frame is in a critical interval.
    """

    chunk: ActionChunk
    targets: Numbers
    valid: Bool[np.ndarray, ' steps']
    state: Numbers
    previous: Numbers
    critical: bool

    @cached_property
    def contenders(self) -> dict[str, ActionChunk]:
        """The policy's chunk, and those of the two baselines."""
        held = {HOLD_STATE: self.state, HOLD_ACTION: self.previous}
        start, period, shape = self.chunk.start_time, self.chunk.period, self.chunk.targets.shape
        return {
            POLICY: self.chunk,
            **{
                name: ActionChunk(start, period, np.broadcast_to(value, shape))
                for name, value in held.items()
            },
        }


@dataclass(frozen=True)
class Row:
    """A line of a report's table, and a column of the index of many reports.

    Attributes:
        name: What it is, with its unit in brackets.
        policy: The score of the policy; a number, a text, or None where there is none.
        hold_action: The same score of holding the previous action; None where that says nothing.
        hold_state: The same score of holding the state.
        column: Heading in the index; empty where the row is not shown there.
        meaning: One sentence for the legend of the index.
        order: What the index sorts by where `policy` is a text.
    """

    name: str
    policy: Any
    hold_action: Any = None
    hold_state: Any = None
    column: str = ''
    meaning: str = ''
    order: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        scores: Mapping[str, Any],
        column: str = '',
        meaning: str = '',
        order: float | None = None,
    ) -> 'Row':
        """A row of the scores of all three contenders, by their keys."""
        policy, hold_action, hold_state = (scores[k] for k in (POLICY, HOLD_ACTION, HOLD_STATE))
        return cls(name, policy, hold_action, hold_state, column, meaning, order)

    @property
    def key(self) -> float:
        """What the index sorts by; what is not known comes last."""
        known = self.policy if self.order is None else self.order
        return float(known) if isinstance(known, (int, float)) else float('inf')


class Metric:
    """A score of one policy on one recording.

    A subclass fills its `keys` of the report in `summary`; the rest has a default. To add a
    metric, write the class and name it in `metrics.METRICS`.
    """

    keys: ClassVar[Mapping[str, str]]
    """The keys of the report that `summary` fills, and what each says."""
    compares: ClassVar[bool] = False
    """Whether it says nothing where no frame could be compared with recorded actions."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def add(self, frame: ComparedFrame) -> None:
        """Takes a frame, in order of time."""

    def cut(self) -> None:
        """The recording is cut here: what comes now has nothing to do with what was."""

    def command(self, time: float, operator: Numbers, commanded: Numbers | None) -> None:
        """Takes what operator and policy command at `time` [s]; None where nothing was due."""

    def summary(self) -> dict[str, Any]:
        """Returns the `keys` with JSON that is the same whenever it is computed."""
        raise NotImplementedError

    @classmethod
    def merge(cls, reports: Sequence[Report], weights: Numbers) -> dict[str, Any]:
        """Returns the `keys` over several bags, which weigh by the frames that were compared."""
        return {key: accumulate([r[key] for r in reports], weights) for key in cls.keys}

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        """Returns what a page shows of it."""
        return []

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns what a person should do about it, a sentence each."""
        return []


def mean(values: Sequence[Any], weights: Numbers) -> Any:
    """Weighted mean of the numbers at the leaves of equal trees."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: mean([value[key] for value in values], weights) for key in first}
    if isinstance(first, list):
        return [mean(list(column), weights) for column in zip(*values, strict=True)]
    # Where nothing was compared anywhere, all are 0.
    share = weights if weights.any() else None
    return float(np.average(np.array(values, float), weights=share))


def accumulate(values: Sequence[Any], weights: Numbers) -> Any:
    """Counts added up, p99 and max the largest, every other number averaged."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    if not pairs:
        return None
    first = pairs[0][0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for value, _ in pairs for key in value)
        merged = {}
        for key in keys:
            inner = [(v[key], w) for v, w in pairs if key in v]
            there = [v for v, _ in inner if v is not None]
            if key in ('p99', 'max', 'largest') and there:
                merged[key] = max(there)
            else:
                merged[key] = accumulate([v for v, _ in inner], np.array([w for _, w in inner]))
        return merged
    if isinstance(first, list):
        return [accumulate(list(column), weights) for column in zip(*values, strict=True)]
    if isinstance(first, int):
        return sum(value for value, _ in pairs)
    share = np.array([weight for _, weight in pairs])
    return float(np.average([value for value, _ in pairs], weights=share if share.any() else None))


def some(names: Sequence[str], listed: int = 3) -> str:
    """The first of many names, and how many more there are."""
    rest = len(names) - listed
    return ', '.join(names[:listed]) + (f' and {rest} more' if rest > 0 else '')
