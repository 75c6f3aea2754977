# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node, with an exercise instead of the policy's aim and faults on demand."""

import contextlib
import time
from typing import Any

from std_msgs.msg import String

from ..engines.compiled_policy import Backend, CompiledPolicy
from ..nodes.node_setup import run
from ..nodes.policy_node import PolicyNode
from ..nodes.topics import LATCHED
from .exercise import Exercise

MODEL_FAULT = '/fault_bench/model'


class ExercisedPolicyNode(PolicyNode):
    """Everything but the numbers in the chunks is the policy node.

    In, besides: `/fault_bench/model` (String), see `Exercise.fault`; and 'hang' and 'hang inside',
    by which the thread of the commands stands still, between two commands or within one.
    """

    def __init__(self, **options: Any) -> None:
        self._exercise: Exercise | None = None
        self._fault = ''
        super().__init__(**options)
        self.create_subscription(String, MODEL_FAULT, self._obey_fault, LATCHED)

    def on_configure(self, state: Any) -> Any:
        """Configures as PolicyNode does; then the command thread can be hung."""
        result = super().on_configure(state)
        if self._loop is not None:
            self._loop.before_command = self._hang
        return result

    def announce(self, engine: CompiledPolicy) -> Backend:
        """Returns the engine with the exercise around it."""
        self._exercise = Exercise(super().announce(engine), engine.config)
        self._exercise.fault = self._fault
        return self._exercise

    def _hang(self) -> None:
        """Stands still in the thread of the commands, while that is the fault."""
        inside = self._loop is not None and self._fault == 'hang inside'
        with self._loop.sending() if inside and self._loop else contextlib.nullcontext():
            while self._fault.startswith('hang'):
                time.sleep(0.02)

    def _obey_fault(self, message: Any) -> None:
        self._fault = message.data
        if self._exercise is not None:
            self._exercise.fault = message.data


def main() -> int:
    """Runs the policy node with an exercise."""
    return run(ExercisedPolicyNode)


if __name__ == '__main__':
    raise SystemExit(main())
