# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy node and naive node, idle and under load -> when their commands leave."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import Float64MultiArray
from tqdm import tqdm

from ..acting.arm_limits import load_arm
from ..evaluating.hardware import describe_hardware
from ..files import find
from ..nodes.child_process import ChildProcess
from ..nodes.policy_reports import TIMING_COLUMNS
from ..nodes.rclpy_repairs import own_context, take_waiting
from ..nodes.topics import REPORTS
from .campaign_config import BenchTopics
from .exercise import FINGERS, save_exercise_policy
from .fault_bench import FaultBench
from .fault_report import shown
from .fault_table import START_SENTENCE, busy

_RESOLUTION = (640, 480)
_START = 120.0
_MODULES = {
    'policy': 'benchmarks.exercised_policy_node',
    'naive': 'benchmarks.naive_reference_node',
}
# What the naive node is asked to need for a prediction, besides the small network [s].
_INFERENCE = 0.03
LOADS = {'inference': 'inference', 'all-cores': 'inference, all cores loaded'}
"""Name -> what else runs, as the table says it."""
NODES = tuple(_MODULES)
# A period that is off by more is irregular [s].
_TOLERANCE = 0.005


@dataclass(frozen=True)
class TimingRow:
    """One measurement; durations in [ms].

    Attributes:
        node: 'policy' or 'naive' (which predicts in the callback of its command timer).
        rate: Commands per second that were asked for [Hz].
        load: What else runs.
        commands: Number of commands that came.
        period_p50: Median time between two commands.
        period_p99: 99th percentile of that time.
        period_max: Longest time between two commands.
        regular_percent: Share of periods that are right within 5 ms.
        missed: Commands that did not come.
        overhead_p50: Camera stamp to command stamp without the inference; the naive node does
            not measure it.
        own_p50: The same without the time until the next command was due, which the period
            decides: it is half of it at the median, whoever predicts.
    """

    node: str
    rate: float
    load: str
    commands: int
    period_p50: float
    period_p99: float
    period_max: float
    regular_percent: float
    missed: int
    overhead_p50: float | None
    own_p50: float | None


@dataclass(frozen=True)
class TimingReport:
    """All measurements and the machine."""

    rows: tuple[TimingRow, ...]
    hardware: dict[str, str]

    def to_json(self) -> str:
        """Returns the whole report as JSON."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        head = (
            '| node | rate | load | period p50 / p99 / max [ms] | within 5 ms | missed '
            '| overhead p50 [ms] | of it before a command is due [ms] |'
            '\n|---|---|---|---|---|---|---|---|'
        )
        rows = [
            f'| {r.node} | {r.rate:g} Hz | {r.load} | {r.period_p50:.1f} / {r.period_p99:.1f} / '
            f'{r.period_max:.1f} | {r.regular_percent:.1f}% | {r.missed} of '
            f'{r.commands + r.missed} | '
            f'{shown(r.overhead_p50, 1)} | {shown(r.own_p50, 1)} |'
            for r in self.rows
        ]
        machine = ', '.join(f'{key}: {value}' for key, value in self.hardware.items())
        return '\n'.join([head, *rows, '', machine])


def run_timing(
    rates: Sequence[float],
    seconds: float,
    check: Callable[[], None],
    *,
    nodes: Sequence[str] = NODES,
    loads: Sequence[str] = tuple(LOADS),
) -> TimingReport:
    """Measures nodes at every rate under every load, with two cameras of 640x480.

    Args:
        rates: Commands per second [Hz].
        seconds: Duration of each measurement.
        check: Called all the time; may raise to end it.
        nodes: Some of `NODES`.
        loads: Some of `LOADS`.

    Raises:
        TimeoutError: A node does not command.
    """
    with own_context() as context, tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / 'policy'
        save_exercise_policy('twist', policy, _RESOLUTION)
        rows = [
            row
            for rate in rates
            for node in nodes
            for row in _measure(context, node, rate, seconds, policy, check, loads)
        ]
    return TimingReport(tuple(rows), dict(describe_hardware()))


def _measure(
    context: Any,
    node: str,
    rate: float,
    seconds: float,
    policy: Path,
    check: Callable[[], None],
    loads: Sequence[str],
) -> Iterator[TimingRow]:
    topics = BenchTopics()
    limits = load_arm(find('calibration', 'panda', '.yaml'))
    bench = FaultBench('twist', limits, 1 / rate, topics, _RESOLUTION, context=context)
    timings = bench.create_subscription(
        Float64MultiArray, '/policy_node/timing', lambda message: None, REPORTS
    )
    parameters: dict[str, Any] = {
        'policy': str(policy),
        'camera_topics': list(topics.cameras),
        'command_rate': rate,
    }
    if node == 'policy':
        parameters |= {'arm': 'panda', 'backend': 'eager', 'gripper_joints': list(FINGERS)}
    child = ChildProcess(
        _MODULES[node],
        parameters,
        {'~/instruction': topics.instruction, '~/twist_command': topics.twist_command},
        log=policy.parent / f'{node}.log',
    )
    try:
        with child:
            bench.say(START_SENTENCE)
            _until(bench, lambda: any(c.moves for c in bench.judge.commands), child, check)
            bench.spoil_model(f'slow {_INFERENCE}')
            for load in (LOADS[name] for name in loads):
                with busy(os.cpu_count() or 1 if 'cores' in load else 0):
                    _spin(bench, 2.0, check)
                    bench.judge.begin()
                    _take_timings(timings)
                    _spin(bench, seconds, check, f'{node}, {rate:g} Hz, {load}')
                    row = _row(
                        node,
                        rate,
                        load,
                        bench.judge.sent,
                        _take_timings(timings),
                    )
                yield row
    finally:
        bench.destroy_node()


def _row(
    node: str, rate: float, load: str, sent: Sequence[float], timings: Sequence[Any]
) -> TimingRow:
    if len(sent) < 2:
        raise TimeoutError(f'The {node} node sent {len(sent)} commands under {load}.')
    periods = np.diff(sent)
    p50, p99 = np.percentile(periods, (50, 99))
    wait, decode, schedule = (
        np.array([message.data[TIMING_COLUMNS.index(name)] for message in timings])
        for name in ('wait', 'decode', 'schedule')
    )
    return TimingRow(
        node=node,
        rate=rate,
        load=load,
        commands=len(sent),
        period_p50=1e3 * float(p50),
        period_p99=1e3 * float(p99),
        period_max=1e3 * float(periods.max()),
        regular_percent=100 * float(np.mean(np.abs(periods - 1 / rate) <= _TOLERANCE)),
        # A period of 1.4 is late; one of 1.6 has swallowed a command.
        missed=int(np.maximum(np.round(periods * rate) - 1, 0).sum()),
        overhead_p50=1e3 * float(np.median(wait + decode + schedule)) if timings else None,
        own_p50=1e3 * float(np.median(wait + decode)) if timings else None,
    )


def _take_timings(subscription: Any) -> list[Any]:
    return [message for message, _ in take_waiting(subscription)]


def _until(
    bench: FaultBench,
    condition: Callable[[], bool],
    child: ChildProcess,
    check: Callable[[], None],
) -> None:
    deadline = time.monotonic() + _START
    while not condition():
        child.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f'No command has come for {_START:.0f} s. {child.last_words()}')
        _spin(bench, 0.1, check)


def _spin(bench: FaultBench, duration: float, check: Callable[[], None], what: str = '') -> None:
    begin = time.monotonic()
    # None hides the bar where nobody looks; nothing is shown of the short waits.
    with tqdm(total=round(duration), desc=what, unit='s', disable=None if what else True) as bar:
        while (left := begin + duration - time.monotonic()) > 0:
            check()
            bench.tick(left)
            bar.update(int(time.monotonic() - begin) - bar.n)
