# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The node under test: started, ended by a signal, started again, activated again."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from ..nodes.child_process import ChildProcess
from .campaign_config import CampaignConfig
from .exercise import FINGERS, save_exercise_policy
from .fault_bench import FaultBench

# For the answer of a service [s].
_ANSWER = 5.0
Until = Callable[[Callable[[], bool], float], bool]


class NodeUnderTest:
    """A process of ours, or a node that somebody else runs; use it as a context.

    Args:
        config: Configuration of the campaign.
        logs: Folder for what it says.
        client: The bench, which calls services.
        executor: Executor of the bench.
        until: Runs the bench until a condition holds or a time [s] is over; whether it held.
    """

    def __init__(
        self,
        config: CampaignConfig,
        logs: Path,
        client: FaultBench,
        executor: SingleThreadedExecutor,
        until: Until,
    ) -> None:
        self._config = config
        self._logs = logs
        self._client = client
        self._executor = executor
        self._until = until
        self._starts = 0
        self._process: ChildProcess | None = None
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> 'NodeUnderTest':
        if self._config.node in ('policy', 'naive'):
            save_exercise_policy(self._config.kind, self._policy)
        self._start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end()
        self._folder.cleanup()

    @property
    def _policy(self) -> Path:
        return Path(self._folder.name) / 'policy'

    @property
    def ended(self) -> bool:
        """Whether it was started here and has ended."""
        return self._process is not None and not self._process.running

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process; None while it runs, or where it is not ours."""
        return None if self._process is None else self._process.exit_code

    def restart(self) -> None:
        """A new process; nothing where it is not ours."""
        self._end()
        self._start()

    def end_by(self, signal_name: str) -> int | None:
        """Sends a signal and waits for the end; returns the exit code."""
        process = self._process
        if process is None:
            return None
        process.send(signal_name)
        self._until(lambda: not process.running, self._config.patience)
        return process.exit_code

    def activate(self, moves: Callable[[], bool]) -> None:
        """Activate its lifecycle, as soon as it has deactivated itself.

        Args:
            moves: Whether the arm moves; then the fault has not reached the node.
        """
        client = self._client.create_client(ChangeState, f'{self._config.node_name}/change_state')
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_ACTIVATE

        def activated() -> bool:
            # It deactivates itself a moment after the fault; before that there is nothing to do.
            if moves():
                return True
            if not client.wait_for_service(timeout_sec=0.1):
                return False
            return self._answered(client.call_async(request))

        self._until(activated, self._config.patience)
        self._client.destroy_client(client)

    def resume(self) -> None:
        """Calls `~/resume`, as a person who has looked at the arm does; where the node has it."""
        client = self._client.create_client(Trigger, f'{self._config.node_name}/resume')
        if self._until(lambda: client.wait_for_service(timeout_sec=0.0), _ANSWER):
            self._answered(client.call_async(Trigger.Request()))
        self._client.destroy_client(client)

    def _answered(self, future: Any) -> bool:
        """Whether the call came back and was a success."""

        def done() -> bool:
            self._executor.spin_once(timeout_sec=0.0)
            return bool(future.done())

        if self._until(done, _ANSWER) and future.result().success:
            return True
        self._until(lambda: False, 0.5)
        return False

    def _start(self) -> None:
        config, topics = self._config, self._config.topics
        if config.node == 'running':
            return
        output = {'positions': 'joint_position_array', 'pose': 'pose'}.get(config.kind, '')
        module = {
            'policy': 'benchmarks.exercised_policy_node',
            'remote': 'nodes.policy_node',
            'naive': 'benchmarks.naive_reference_node',
        }[config.node]
        server = self._client.server
        parameters: dict[str, Any] = {
            'policy': str(self._policy) if server is None else server.address,
            'camera_topics': list(topics.cameras),
            'output': output,
        }
        if config.node == 'policy':
            # Small, and started often: an engine would have to be built for nothing.
            parameters['backend'] = 'eager'
        if config.node != 'naive':
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
                '~/joint_positions': topics.positions_command,
                '~/pose_command': topics.pose_command,
            },
            log=self._logs / f'{config.node}_{config.kind}_{self._starts}.log',
        )
        self._process.__enter__()

    def _end(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None
