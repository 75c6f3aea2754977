# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node, real processes and DDS, faults one by one and in pairs -> what was commanded."""

import contextlib
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from ..arm_limits import load_arm
from ..installed_files import find
from .child_process import ChildProcess
from .exercise import FINGERS, save_exercise_policy
from .fault_bench import BenchTopics, FaultBench
from .fault_report import CampaignReport, FaultResult
from .fault_table import FAULTS, START_SENTENCE, FaultCase, end_fault
from .node_setup import prepare_process

_BENCH_NICENESS = -5
Tested = Literal['policy', 'naive', 'running']


@dataclass(frozen=True)
class CampaignConfig:
    """What to do to which node.

    Attributes:
        node: 'policy' is ours, 'naive' the reference that must fail, 'running' whatever runs
            already in this ROS domain and uses the bench's topics.
        kind: 'joints' or 'twist'.
        faults: Names; all if empty.
        pairs: How many random pairs besides.
        seed: Of the pairs.
        arm: Whose limits count.
        rate: Commands per second of the node [Hz].
        duration: Of each fault [s].
        patience: For a hold, or for the recovery from a fault [s].
        start_patience: For the first motion of a new process [s].
        node_name: For its lifecycle.
    """

    node: Tested = 'policy'
    kind: Literal['joints', 'twist'] = 'joints'
    faults: tuple[str, ...] = ()
    pairs: int = 0
    seed: int = 0
    arm: str = 'panda'
    rate: float = 50.0
    duration: float = 4.0
    patience: float = 30.0
    start_patience: float = 120.0
    node_name: str = '/policy_node'
    topics: BenchTopics = field(default_factory=BenchTopics)

    def __post_init__(self) -> None:
        """Refuse faults that do not exist."""
        unknown = [name for name in self.faults if name not in FAULTS]
        if unknown:
            raise ValueError(f'There are no faults {unknown}; choose some of {list(FAULTS)}.')


class FaultCampaign:
    """Runs the faults against one node; use it as a context.

    Args:
        config: See there.
        logs: Folder for what the node says.
        check: Called all the time; may raise to end the campaign.
    """

    def __init__(self, config: CampaignConfig, logs: Path, check: Callable[[], None]) -> None:
        """Know what to do; entering starts bench and node."""
        self._config = config
        self._logs = logs
        self._check = check
        self._stack = contextlib.ExitStack()
        self._starts = 0
        self._process: ChildProcess | None = None

    def __enter__(self) -> 'FaultCampaign':
        """Start both."""
        with contextlib.ExitStack() as stack:
            prepare_process()
            # A bench that is late is an arm with a delay; where that is allowed, it goes first.
            before = os.getpriority(os.PRIO_PROCESS, 0)
            stack.callback(_prioritise, before)
            _prioritise(_BENCH_NICENESS)
            context = Context()
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown, context=context)
            config = self._config
            arm = load_arm(find('calibration', config.arm, '.yaml'))
            self.bench = FaultBench(
                config.kind, arm, 1 / config.rate, config.topics, context=context
            )
            stack.callback(self.bench.destroy_node)
            self.executor = SingleThreadedExecutor(context=context)
            self.executor.add_node(self.bench)
            stack.callback(self.executor.shutdown)
            self._policy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / 'policy'
            if config.node != 'running':
                save_exercise_policy(config.kind, self._policy)
            stack.callback(self._end_process)
            self._start_process()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """End both."""
        self._stack.close()

    def run(self) -> Iterator[FaultResult]:
        """The faults one by one, then random pairs."""
        names = self._config.faults or tuple(FAULTS)
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
        bench.begin()
        if not self.until(self.moving, config.start_patience):
            # A node that an earlier fault has ended for good gets a new life; that is counted.
            self._restart()
            self.until(self.moving, config.start_patience)
        self.spin(1.0)
        begin = time.monotonic()
        for case in cases:
            case.begin(bench)
        signal_name = next((case.ends_process for case in cases if case.ends_process), '')
        exit_code = None
        if signal_name and self._process is not None:
            exit_code = self._wait_for_end(signal_name)
        self.spin(max(begin + config.duration - time.monotonic(), 0.5))
        end = time.monotonic()
        commands = [command for command in bench.commands if command.time >= begin]
        for case in cases:
            end_fault(bench, case)
        recovered = self._recover(cases, end)
        return FaultResult.of(
            ' + '.join(names),
            [case.expected for case in cases],
            commands,
            begin,
            end,
            recovered,
            bench.worst,
            exit_code,
        )

    def _recover(self, cases: Sequence[FaultCase], begin: float) -> float | None:
        """How long it takes until the arm moves again [s]; None where it does not."""
        bench, config = self.bench, self._config
        bench.say(START_SENTENCE)
        ended = self._process is not None and not self._process.running
        if ended or any(case.ends_process for case in cases):
            self._restart()
        elif any(case.deactivates for case in cases):
            self._activate()
        patience = config.start_patience if self._restarted else config.patience
        self._restarted = False
        since = time.monotonic()
        moving = self.until(lambda: self.moving(since), patience)
        return time.monotonic() - begin if moving else None

    def moving(self, since: float = 0.0) -> bool:
        """Whether the node commands a motion now, by commands after `since`, steady time [s]."""
        begin = max(since, time.monotonic() - 0.5)
        newest = [command for command in self.bench.commands[-200:] if command.time > begin]
        # Some nodes send the same command more than once.
        return sum(command.moves for command in newest) >= 3

    def _activate(self) -> None:
        client = self.bench.create_client(ChangeState, f'{self._config.node_name}/change_state')
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_ACTIVATE
        # It deactivates itself a moment after the fault; before that there is nothing to do.
        deadline = time.monotonic() + self._config.patience
        while time.monotonic() < deadline and client.wait_for_service(timeout_sec=0.1):
            future = client.call_async(request)
            if self._answer(future):
                break
            self.spin(0.5)
        self.bench.destroy_client(client)

    def _answer(self, future: Any) -> bool:
        """Whether the call came back and was a success."""

        def done() -> bool:
            self.executor.spin_once(timeout_sec=0.0)
            return bool(future.done())

        return self.until(done, 5.0) and bool(future.result().success)

    _restarted = False

    def _restart(self) -> None:
        self._end_process()
        self._start_process()
        self._restarted = True

    def _start_process(self) -> None:
        config, topics = self._config, self._config.topics
        if config.node == 'running':
            return
        module = 'exercised_policy_node' if config.node == 'policy' else 'naive_reference_node'
        parameters: dict[str, Any] = {
            'policy': str(self._policy),
            'camera_topics': list(topics.cameras),
        }
        if config.node == 'policy':
            parameters |= {
                'arm': config.arm,
                'command_rate': config.rate,
                'gripper_joints': list(FINGERS),
            }
        self._starts += 1
        self._process = ChildProcess(
            module,
            parameters,
            {
                '~/instruction': topics.instruction,
                '~/joint_trajectory': topics.joint_command,
                '~/twist_command': topics.twist_command,
            },
            environment={'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1', **os.environ},
            log=self._logs / f'{config.node}_{config.kind}_{self._starts}.log',
            patience=15.0,
        )
        self._process.__enter__()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None

    def _wait_for_end(self, signal_name: str) -> int | None:
        process = self._process
        if process is None:
            return None
        process.send(signal_name)
        self.until(lambda: not process.running, self._config.patience)
        return process.exit_code

    def until(self, condition: Callable[[], bool], patience: float) -> bool:
        """Run until the condition holds; whether it did within `patience` [s]."""
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.spin(0.02)
        return True

    def spin(self, duration: float) -> None:
        """Run bench and arm for so long [s]."""
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
    names = config.faults or tuple(FAULTS)
    results = []
    with FaultCampaign(config, logs, check) as campaign:
        total = len(names) + config.pairs
        for result in tqdm(campaign.run(), total=total, desc=f'{config.node} {config.kind}'):
            results.append(result)
    return CampaignReport(config.node, config.kind, config.rate, tuple(results))
