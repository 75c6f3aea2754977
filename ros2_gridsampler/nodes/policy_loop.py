# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A configured policy: streams in, predictions and commands in threads, a safe end."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..acting.arm_limits import ArmLimits
from ..acting.clock_watch import Clocks
from ..acting.controller import Controller
from ..encoders.swap_trial import Counts
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.camera_record import CameraRecord
from ..seeing.observation import Observation
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import Fault
from ..vla.deployed_policy import DeployedConfig
from .camera_checks import CameraChecks
from .command_cycle import CommandCycle
from .command_outputs import choose_output, make_output
from .command_thread import CommandThread
from .inference_thread import InferenceThread, TimedPrediction
from .input_topics import InputTopics
from .loop_report import LoopReport
from .policy_parameters import PolicyParameters
from .policy_reports import PolicyReports
from .problems import Problems

_WATCHDOG_PERIOD = 0.05
# The graph of the topics is asked less often: that takes a while [s].
_RIVAL_PERIOD = 0.5
# How often an arm that stands is told so again, before nothing more is sent.
_LAST_WORDS = 4


class PolicyLoop:
    """All that exists between configure and cleanup.

    Three threads watch each other. Inference predicts; the command thread commands at its
    deadlines, whatever the others do, and stops the arm when predictions or the arm's state do
    not come; the ROS thread receives, and stops the arm when the command thread falls silent.

    Args:
        node: Owns topics and timers.
        parameters: Topics, rates, budgets.
        config: Of the checkpoint.
        backend: Predicts.
        arm: Limits.
        records: What the checkpoint knows of its cameras.
        views: Its reference views.
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
        config: DeployedConfig,
        backend: Backend,
        arm: ArmLimits,
        records: Mapping[str, CameraRecord],
        views: Mapping[str, UInt8[np.ndarray, 'height width 3']],
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
        self._backend = backend
        self._parameters = parameters
        self._reports = reports
        self._problems = problems
        self._steady = steady
        space = config.action_space
        self.output = choose_output(parameters.output, space)
        controller = Controller(
            space,
            arm,
            parameters.schedule,
            parameters.streams.max_age,
            parameters.max_excess,
            leads=self.output == 'pose',
        )
        by_joints = space.kind == 'joint_position'
        period = 1 / parameters.command_rate
        # Where something that comes later is refused, nothing of what came before may stay.
        with contextlib.ExitStack() as undo:
            self._output = make_output(
                node, self.output, space, period, parameters.separate_joints
            )
            undo.callback(self._output.destroy)
            self._inference = InferenceThread(
                ObservationBuffer(config.observation, parameters.streams),
                self._predict,
                now=self._now,
                deliver=self._deliver,
                refuse=self._refuse,
                min_contrast=parameters.streams.min_contrast,
            )
            self._inputs = InputTopics(
                node,
                parameters,
                config=config.observation,
                measured_joints=space.names if by_joints else parameters.gripper_joints,
                gripper=None if by_joints else arm.gripper,
                base_frame=arm.base_frame,
                inference=self._inference,
                problems=problems,
                steady=steady,
                on_instruction=lambda sentence: self._cycle.obey(sentence),
            )
            undo.callback(self._inputs.destroy)
            self.checks = CameraChecks(
                self._inputs.cameras,
                config=config.observation,
                parameters=parameters.cameras,
                records=records,
                views=views,
                problems=problems,
                steady=steady,
            )
            self._cycle = CommandCycle(
                controller,
                self._output,
                self._inputs,
                parameters,
                problems=problems,
                clocks=Clocks(self._now, steady),
                log=node.get_logger(),
                follow=reports.timing,
                sent=self._inference.add_command,
            )
            undo.pop_all()
        self._report = LoopReport(config, self._cycle, self._inference, self._inputs, problems)
        self.before_command: Callable[[], None] = lambda: None
        """Called in the command thread before each command, while nothing is locked."""
        self._commands: CommandThread | None = None
        self._watchdog: Any = None
        self._rivals_checked = steady()

    def start(self) -> None:
        """Begin to predict and, once the state of the arm is known, to command."""
        self._cycle.start()
        self._inference.start()
        period = 1 / self._parameters.command_rate
        lead = min(self._parameters.command_lead, period / 2)
        niceness = self._parameters.command_niceness
        self._commands = CommandThread(period, lead, niceness, self._command)
        self._report.deadlines = self._commands.deadlines
        self._commands.start()
        self._watchdog = self._node.create_timer(
            _WATCHDOG_PERIOD, self._watch, clock=self._node.steady_clock
        )

    def stop(self) -> None:
        """Decelerate inside the limits; the last message is a safe command."""
        if self._commands is None:
            return
        commands, self._commands = self._commands, None
        self._node.destroy_timer(self._watchdog)
        patience = self._parameters.stop_time
        try:
            commands.stop(patience)
            if not self._cycle.decelerate(patience, _LAST_WORDS):
                raise RuntimeError(
                    'The command thread is stuck inside a command; nothing more can be sent. The '
                    "arm's controller has to stop by its own timeout."
                )
        finally:
            self._inference.stop()
            self._cycle.holding = 'not active'

    def destroy(self) -> None:
        """Stop and take the topics back."""
        try:
            self.stop()
        finally:
            self._inputs.destroy()
            self._output.destroy()

    def pause(self) -> None:
        """Decelerate and hold."""
        self._cycle.pause()

    def resume(self) -> None:
        """Go on after a pause, from where the arm is, with what is predicted from now on."""
        self._cycle.resume()

    def locked(self) -> contextlib.AbstractContextManager[Any]:
        """While this is entered nobody else can command."""
        return self._cycle.lock

    @property
    def counts(self) -> Counts:
        """What the trial of another encoder is judged by."""
        with (cycle := self._cycle).lock:
            bad = cycle.ladder.counts[f'policy: {Fault.BAD_PREDICTION.value}']
            statistics = cycle.statistics
            return Counts(statistics.commands, sum(statistics.interventions.values()), bad)

    @property
    def gives_up(self) -> str:
        """Why the node has to be deactivated; empty where it need not."""
        return self._cycle.gives_up

    def status(self) -> tuple[list[str], dict[str, Any], dict[str, dict[str, Any]]]:
        """What is wrong now, numbers for people, and more of them by part."""
        for text in (wrong := self._inputs.cameras.silent()):
            self._problems.report('silent camera', text)
        if self._commands is not None:
            # No hold: nothing moves anyway, and who only watches what would be commanded may.
            for topic in self._output.unheard:
                wrong.append(
                    f'{topic} has no subscriber: nobody executes the commands; check the '
                    'remapping, that the controller is active, and its QoS.'
                )
                self._problems.report('no subscriber', wrong[-1])
            if self._cycle.holding:
                wrong.append(self._cycle.holding)
        main = {'output': self.output, **self._report.main()}
        parts = self._report.parts(self._now(), self._steady())
        return wrong, main, {**parts, 'cameras': self.checks.report()}

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def _command(self, due: float) -> None:
        self.before_command()
        self._cycle.step(due)

    def _predict(self, observation: Observation) -> Prediction:
        if not self._config.continues:
            return self._backend.predict(observation)
        prefix = self._cycle.prefix(observation.time, self._config.period)
        return self._backend.predict(observation, prefix)

    def _deliver(self, timed: TimedPrediction) -> None:
        self._cycle.deliver(timed)
        self._reports.prediction(timed, self._config)

    def _refuse(self, fault: Fault, stream: str, text: str) -> None:
        self._problems.report(stream, text)
        self._cycle.report(fault, stream, text)

    def _watch(self) -> None:
        """In the ROS thread: is the command thread alive, and does nobody else command."""
        commands = self._commands
        if commands is None:
            return
        if commands.failure is not None:
            raise commands.failure
        # Slow commands are no silence.
        timeout = max(self._parameters.watchdog_timeout, 2 / self._parameters.command_rate)
        if commands.silence > timeout:
            text = f'The command thread is silent since {commands.silence:.2f} s.'
            if not self._cycle.decelerate(timeout):
                raise RuntimeError(f'{text} It is stuck inside a command.')
            self._cycle.report(Fault.LATE_COMMANDS, 'commands', text)
        if self._steady() - self._rivals_checked > _RIVAL_PERIOD:
            self._rivals_checked = self._steady()
            self._look_for_rivals()

    def _look_for_rivals(self) -> None:
        for topic in self._output.topics:
            publishers = self._node.get_publishers_info_by_topic(topic)
            others = len(publishers) - 1
            if others > 0:
                names = sorted(
                    {f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers}
                )
                text = f'{topic} has {others} more publisher(s), {names}; end all but one.'
                lasting = 2 * _RIVAL_PERIOD
                self._cycle.report(Fault.RIVAL, 'command topic', text, lasting)
