# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A configured policy: streams in, predictions in a thread, commands by a timer, a safe end."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from ..arm_limits import ArmLimits
from ..backends import Backend
from ..controller import Command, Controller
from ..latency import ChunkTimes, LatencyWindow
from ..observation import ObservationBuffer
from ..policy import PolicyConfig
from .command_outputs import choose_output, make_output
from .inference_thread import InferenceThread, TimedPrediction
from .input_topics import InputTopics
from .policy_parameters import PolicyParameters
from .policy_reports import PolicyReports
from .problems import Problems

# So long may simulated time stand still before the arm is stopped [s].
_CLOCK_PATIENCE = 0.5


class PolicyLoop:
    """All that exists between configure and cleanup.

    All but the inference runs in the thread of the ROS callbacks.

    Args:
        node: Owns topics and timer.
        parameters: Topics, rates, budgets.
        config: Of the checkpoint.
        backend: Predicts.
        arm: Limits.
        reports: Gets predictions and times.
        problems: Gets what goes wrong.
        steady: Steady time [s].

    Raises:
        ValueError: Checkpoint, arm and parameters do not fit each other.
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        *,
        config: PolicyConfig,
        backend: Backend,
        arm: ArmLimits,
        reports: PolicyReports,
        problems: Problems,
        steady: Callable[[], float],
    ) -> None:
        """Subscribe and advertise; `start` begins."""
        if len(parameters.camera_topics) != len(config.cameras):
            raise ValueError(
                f'The checkpoint looks through the cameras {list(config.cameras)}, but '
                f'camera_topics is {list(parameters.camera_topics)}; name one topic per camera, '
                'in that order.'
            )
        self._node = node
        self._config = config
        self._reports = reports
        self._problems = problems
        self._steady = steady
        self._period = 1 / parameters.command_rate
        self._stop_time = parameters.stop_time
        self._max_lead, self._lead = parameters.max_lead, 0.0
        space = config.action_space
        self._controller = Controller(space, arm, parameters.schedule, parameters.streams.max_age)
        by_joints = space.kind == 'joint_position'
        self.output = choose_output(parameters.output, space)
        self._output = make_output(node, self.output, space, self._period)
        self._inference = InferenceThread(
            ObservationBuffer(config.observation, parameters.streams),
            backend.predict,
            now=self._now,
            deliver=self._deliver,
            refuse=problems.report,
        )
        self._inputs = InputTopics(
            node,
            parameters,
            config=config.observation,
            measured_joints=space.names if by_joints else parameters.gripper_joints,
            needs_pose=not by_joints,
            base_frame=arm.base_frame,
            inference=self._inference,
            problems=problems,
            steady=steady,
            on_instruction=self._obey,
        )
        self._predictions: deque[TimedPrediction] = deque()
        self._newest: TimedPrediction | None = None
        self._timer: Any = None
        self._instruction = ''
        self._clock_value = self._clock_moved = -math.inf
        self._interventions: Counter[str] = Counter()
        self._commands, self._holding = 0, 'not active'
        self._latency = LatencyWindow()
        self.paused = False

    def start(self) -> None:
        """Begin to predict and, once the state of the arm is known, to command."""
        self._controller.restart()
        self._output.start(None)
        self._predictions.clear()
        self._newest = None
        self._commands = 0
        self._inference.start()
        clock = self._node.steady_clock
        self._timer = self._node.create_timer(self._period, self._tick, clock=clock)

    def stop(self) -> None:
        """Decelerate inside the limits; the last message is a safe command."""
        if self._timer is None:
            return
        self._node.destroy_timer(self._timer)
        self._timer = None
        try:
            self._decelerate()
        finally:
            self._inference.stop()
        self._holding = 'not active'

    def destroy(self) -> None:
        """Stop and take the topics back."""
        self.stop()
        self._inputs.destroy()
        self._output.destroy()

    def resume(self) -> None:
        """Go on after a pause, with what is predicted from now on."""
        self._controller.forget()
        self.paused = False

    def status(self) -> tuple[list[str], dict[str, Any]]:
        """What is wrong now, and numbers for people."""
        for text in (wrong := self._inputs.silent_cameras()):
            self._problems.report('silent camera', text)
        if self._timer is not None and self._holding:
            wrong.append(self._holding)
        config, cameras = self._config, len(self._config.cameras)
        values = {
            'output': self.output,
            'instruction': self._instruction,
            'visual tokens': f'{cameras * config.tokens} of {cameras * config.dense_tokens}',
            **{f'frames received: {c.name}': c.received for c in self._inputs.cameras},
            'observations decoded': self._inference.decoded,
            'commands': self._commands,
            'no observation because': self._inference.reason,
            'holding because': self._holding,
            **{f'safety: {name}': n for name, n in sorted(self._interventions.items())},
            **{f'problem: {name}': n for name, n in sorted(self._problems.counts.items())},
            **{f'last {name}': text for name, text in sorted(self._problems.last.items())},
            **{f'latency {k} (p50 / p99 / max)': v for k, v in self._latency.summaries().items()},
        }
        return wrong, values

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def _deliver(self, timed: TimedPrediction) -> None:
        self._predictions.append(timed)
        self._reports.prediction(timed, self._config)

    def _obey(self, instruction: str) -> None:
        if instruction != self._instruction:
            # What was predicted for another sentence must not move the arm any more.
            self._instruction = instruction
            self._controller.forget()
            self._node.get_logger().info(f'Instruction: {instruction!r}')

    def _tick(self) -> None:
        if self._inference.failure is not None:
            raise self._inference.failure
        now = self._now()
        if now != self._clock_value:
            self._clock_value, self._clock_moved = now, self._steady()
        waited = not self._controller.started
        if (measured := self._inputs.measured()) is not None:
            state = self._output.state(measured.values)
            self._lead = math.dist(state, measured.values)
            self._controller.measure(state, measured.time, now)
        if not self._controller.started:
            self._holding = f'The arm was not measured yet: waiting for {self._inputs.needed}.'
            self._problems.report('no command', self._holding)
            return
        if waited:
            pose = self._inputs.measured_pose
            self._output.start(None if pose is None else pose.values)
        self._take_predictions(now)
        command = self._command(now)
        self._output.publish(command.values, now)
        self._commands += 1
        self._interventions.update(command.interventions)
        self._holding = command.holding
        if command.holding:
            why = self._inference.reason
            self._problems.report('holding', f'The arm holds: {command.holding} {why}'.rstrip())
        elif self._newest is not None:
            self._account(self._newest)
            self._newest = None

    def _take_predictions(self, now: float) -> None:
        while self._predictions:
            timed = self._predictions.popleft()
            if timed.observation.instruction == self._instruction:
                self._controller.add(timed.prediction.chunk, now)
                self._newest = timed

    def _command(self, now: float) -> Command:
        reason = ''
        if self.paused:
            reason = 'Stopped by ~/stop; call ~/resume.'
        elif now <= 0 or self._steady() - self._clock_moved > _CLOCK_PATIENCE:
            reason = 'The clock stands still; is use_sim_time set and nobody publishes /clock?'
        elif self._lead > self._max_lead:
            reason = f'The arm is {self._lead:.3f} m behind the commanded pose.'
        if reason:
            return self._controller.hold(reason, self._period)
        return self._controller.command(now, self._period)

    def _account(self, timed: TimedPrediction) -> None:
        times = ChunkTimes(
            timed.observation.time, timed.taken, timed.decoded, timed.predicted, self._now()
        )
        self._latency.add(times)
        self._reports.timing(times)

    def _decelerate(self) -> None:
        if not self._commands:
            return
        for _ in range(math.ceil(self._stop_time / self._period)):
            begin = time.monotonic()
            safe = self._controller.stop(self._period)
            self._output.publish(safe.values, self._now())
            if safe.at_rest:
                break
            time.sleep(max(0.0, begin + self._period - time.monotonic()))
        else:
            self._node.get_logger().error(
                f'The arm could not stop within {self._stop_time} s; raise stop_time.'
            )
        self._output.wait_until_received()
