# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node, real processes and DDS, faults one by one and in pairs -> what was commanded."""

import contextlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from tqdm import tqdm

from ..acting.arm_limits import load_arm
from ..files import find
from ..nodes.node_setup import prepare_process
from ..nodes.rclpy_repairs import own_context
from .campaign_config import CampaignConfig
from .exercised_policy_server import ExercisedPolicyServer
from .fault_bench import FaultBench
from .fault_report import CampaignReport, FaultResult
from .fault_table import FAULTS, START_SENTENCE, FaultCase, end_fault
from .node_under_test import NodeUnderTest

_BENCH_NICENESS = -5


class FaultCampaign:
    """Runs the faults against one node; use it as a context.

    Args:
        config: What to try, and on which node.
        logs: Folder for what the node says.
        check: Called all the time; may raise to end the campaign.
    """

    def __init__(self, config: CampaignConfig, logs: Path, check: Callable[[], None]) -> None:
        self._config = config
        self._logs = logs
        self._check = check
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> 'FaultCampaign':
        with contextlib.ExitStack() as stack:
            prepare_process()
            # A bench that is late is an arm with a delay; where that is allowed, it goes first.
            before = os.getpriority(os.PRIO_PROCESS, 0)
            stack.callback(_prioritise, before)
            _prioritise(_BENCH_NICENESS)
            context = stack.enter_context(own_context())
            config = self._config
            arm = load_arm(find('calibration', config.arm, '.yaml'))
            self.bench = FaultBench(
                config.kind, arm, 1 / config.rate, config.topics, context=context
            )
            stack.callback(self.bench.destroy_node)
            if config.node == 'remote':
                # In this process: it answers in a thread, and only numbers that are made up.
                self.bench.server = stack.enter_context(
                    ExercisedPolicyServer(self.bench.by_joints, self.bench.now)
                )
            self.executor = SingleThreadedExecutor(context=context)
            self.executor.add_node(self.bench)
            stack.callback(self.executor.shutdown)
            self.node = stack.enter_context(
                NodeUnderTest(config, self._logs, self.bench, self.executor, self.until)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def run(self) -> Iterator[FaultResult]:
        """The faults one by one, then random pairs."""
        names = self._config.chosen
        for name in names:
            yield self._try((name,))
        pairs = [
            pair
            for pair in itertools.combinations(names, 2)
            if not any(FAULTS[name].ends_process for name in pair)
        ]
        chosen = random.Random(self._config.seed)  # noqa: S311 - not a secret
        for pair in chosen.sample(pairs, min(self._config.pairs, len(pairs))):
            yield self._try(pair)

    def _try(self, names: Sequence[str]) -> FaultResult:
        bench, config = self.bench, self._config
        cases = [FAULTS[name] for name in names]
        bench.say(START_SENTENCE)
        bench.judge.begin()
        if not self.until(self.moving, config.start_patience):
            # A node that an earlier fault has ended for good gets a new life; that is counted.
            self.node.restart()
            self.until(self.moving, config.start_patience)
        self.spin(1.0)
        begin = time.monotonic()
        for case in cases:
            case.begin(bench)
        signal_name = next((case.ends_process for case in cases if case.ends_process), '')
        exit_code = None
        if signal_name:
            exit_code = self.node.end_by(signal_name)
        duration = max(config.duration, *(case.lasts for case in cases), 0.0)
        self.spin(max(begin + duration - time.monotonic(), 0.5))
        end = time.monotonic()
        commands = [command for command in bench.judge.commands if command.time >= begin]
        for case in cases:
            end_fault(bench, case)
        recovered = self._recover(cases, end)
        return FaultResult.of(
            name=' + '.join(names),
            expected=[case.expected for case in cases],
            commands=commands,
            begin=begin,
            end=end,
            recovered=recovered,
            worst=bench.judge.worst,
            exit_code=exit_code,
        )

    def _recover(self, cases: Sequence[FaultCase], begin: float) -> float | None:
        """How long it takes until the arm moves again [s]; None where it does not."""
        bench, config = self.bench, self._config
        bench.say(START_SENTENCE)
        restarted = self.node.ended or any(case.ends_process for case in cases)
        since = time.monotonic()
        if restarted:
            self.node.restart()
        elif any(case.deactivates for case in cases):
            self.node.activate(lambda: self.moving(since))
        if not restarted and any(case.asks for case in cases):
            self.node.resume()
        patience = config.start_patience if restarted else config.patience
        moving = self.until(lambda: self.moving(since), patience)
        return time.monotonic() - begin if moving else None

    def moving(self, since: float = 0.0) -> bool:
        """Whether the node commands a motion now, by commands after `since`, steady time [s]."""
        begin = max(since, time.monotonic() - 0.5)
        newest = [command for command in self.bench.judge.commands[-200:] if command.time > begin]
        # Some nodes send the same command more than once.
        return sum(command.moves for command in newest) >= 3

    def until(self, condition: Callable[[], bool], patience: float) -> bool:
        """Runs until the condition holds; returns whether it did within `patience` [s]."""
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.spin(0.02)
        return True

    def spin(self, duration: float) -> None:
        """Runs bench and arm for `duration` [s]."""
        deadline = time.monotonic() + duration
        while (left := deadline - time.monotonic()) > 0:
            self._check()
            self.bench.tick(left)


def _prioritise(niceness: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def run_campaign(
    config: CampaignConfig, logs: Path, check: Callable[[], None] = lambda: None
) -> CampaignReport:
    """All faults against one node; the logs stay in `logs`.

    Raises:
        ValueError: There is no such fault, or the arm lacks limits.
        InterruptedError: What `check` raised.
    """
    logs.mkdir(parents=True, exist_ok=True)
    results = []
    with FaultCampaign(config, logs, check) as campaign:
        total = len(config.chosen) + config.pairs
        for result in tqdm(campaign.run(), total=total, desc=f'{config.node} {config.kind}'):
            results.append(result)
    return CampaignReport(config.node, config.kind, config.rate, tuple(results))
