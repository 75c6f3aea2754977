# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A configured policy: streams in, predictions and commands in threads, a safe end."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..acting.arm_limits import ArmLimits
from ..acting.command_loop import Command, CommandLoop, LoopView
from ..acting.loop_events import FaultSeen, Measured, Predicted, ResumeAsked, StopAsked, Told
from ..encoders.swap_trial import Counts
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.camera_record import CameraRecord
from ..seeing.joint_states import parse_joint_names
from ..seeing.observation import Observation
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import Fault, Rung
from ..vla.deployed_policy import DeployedConfig, Elsewhere
from .camera_checks import CameraChecks
from .causes import Cause, Finding
from .command_outputs import choose_output, make_output
from .command_thread import Clocks, CommandThread
from .gripper_message import GripperMessage
from .inference_thread import InferenceThread, TimedPrediction
from .input_topics import InputTopics
from .loop_findings import LoopFindings
from .loop_report import CommandStatistics, LoopReport
from .policy_parameters import PolicyParameters
from .policy_reports import PolicyReports
from .problems import Problems
from .rclpy_repairs import log_line
from .silent_topics import Listener
from .state_topics import MeasuredArm

_WATCHDOG_PERIOD = 0.05
# The graph of the topics is asked less often: that takes a while [s].
_RIVAL_PERIOD = 0.5
# What nobody else writes into the log, and under which name.
_LOGGED = {
    Cause.CLOCK: 'clock',
    Cause.SILENT: 'silent topic',
    Cause.STAMPS: 'stamps',
    Cause.INSTRUCTION: 'no instruction',
    Cause.UNHEARD: 'no subscriber',
    Cause.CONTROLLER: 'controller',
}


class PolicyLoop:
    """All that exists between configure and cleanup.

    Three threads watch each other. Inference predicts; the command thread commands at its
    deadlines, whatever the others do, and stops the arm when predictions or the arm's state do
    not come; the ROS thread receives, and stops the arm when the command thread falls silent.

    Args:
        node: Owns topics and timers.
        parameters: Topics, rates, budgets.
        config: Configuration of the checkpoint.
        backend: Engine that predicts.
        check_instruction: See `DeployedPolicy`.
        elsewhere: See `DeployedPolicy`.
        arm: Limits of the arm.
        records: What the checkpoint knows of its cameras.
        views: Reference views of the checkpoint.
        reports: Gets predictions and times.
        problems: Gets what goes wrong.
        steady: Returns steady time [s].

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
        check_instruction: Callable[[str], object],
        elsewhere: Elsewhere | None,
        arm: ArmLimits,
        records: Mapping[str, CameraRecord],
        views: Mapping[str, UInt8[np.ndarray, 'height width 3']],
        reports: PolicyReports,
        problems: Problems,
        steady: Callable[[], float],
    ) -> None:
        if len(parameters.camera_topics) != len(config.cameras):
            raise ValueError(
                f'The checkpoint looks through the cameras {list(config.cameras)}, but '
                f'camera_topics is {list(parameters.camera_topics)}; name one topic per camera, '
                'in that order.'
            )
        self._node = node
        self._config = config
        self._backend = backend
        self._elsewhere = elsewhere
        self._parameters = parameters
        self._reports = reports
        self._problems = problems
        self._steady = steady
        space = config.action_space
        self.output = choose_output(parameters.output, space)
        by_joints = space.means.of_joints
        names = parse_joint_names(parameters.joint_names, parameters.joint_prefix)
        called = space.called(names)
        separate = names.of_robot(parameters.separate_joints)
        fingers = names.of_robot(parameters.gripper_joints)
        # Where something that comes later is refused, nothing of what came before may stay.
        with contextlib.ExitStack() as undo:
            self._output = make_output(
                node,
                self.output,
                called,
                parameters.period,
                separate,
                GripperMessage(
                    parameters.gripper_command_type,
                    separate or (fingers if len(fingers) == 1 else ('gripper',)),
                    parameters.gripper_max_effort,
                    None if by_joints else arm.gripper,
                ),
            )
            undo.callback(self._output.destroy)
            self._inference = InferenceThread(
                ObservationBuffer(config.observation, parameters.streams, names),
                self._predict,
                now=self._now,
                steady=steady,
                deliver=self._deliver,
                refuse=self._refuse,
                min_contrast=parameters.streams.min_contrast,
            )
            self._inputs = InputTopics(
                Listener(
                    node=node,
                    parameters=parameters,
                    config=config.observation,
                    inference=self._inference,
                    problems=problems,
                    steady=steady,
                ),
                MeasuredArm(
                    names=names,
                    joints=space.names if by_joints else parameters.gripper_joints,
                    gripper=None if by_joints else arm.gripper,
                    base_frame=arm.base_frame,
                ),
                on_instruction=self._obey,
                check_instruction=check_instruction,
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
            self._loop = CommandLoop(
                space,
                arm,
                parameters,
                leads=self._output.leads,
                needed=self._inputs.states.needed,
            )
            undo.pop_all()
        self._findings = LoopFindings(
            node,
            parameters,
            view=lambda: self.view,
            inference=self._inference,
            inputs=self._inputs,
            output=self._output,
            steady=steady,
        )
        self.statistics = CommandStatistics(steady, reports.timing)
        self._report = LoopReport(config, self.statistics, self._inference, self._inputs, problems)
        self.before_command: Callable[[], None] = lambda: None
        """Called in the command thread before each command."""
        self._instruction = ''
        self.commanding = False
        """Whether the arm is commanded, or still has to be sent a safe command."""
        self._commands: CommandThread | None = None
        self._watchdog: Any = None
        self._rivals_checked = steady()

    def start(self) -> None:
        """Begins to predict and, once the state of the arm is known, to command."""
        self._findings.stopped = False
        self.commanding = True
        parameters = self._parameters
        self._loop.start(self._steady())
        self.statistics.begin()
        self._commands = CommandThread(
            self._loop,
            parameters,
            self._output,
            Clocks(self._now, self._steady, bool(self._node.get_parameter('use_sim_time').value)),
            measured=self._measured,
            watch=self._note,
            lead=parameters.command_lead,
            niceness=parameters.command_niceness,
        )
        self._commands.before_command = lambda: self.before_command()
        self._commands.post(Told(self._instruction))
        if self._elsewhere is not None:
            self._elsewhere.resume()
        self._inference.start()
        self._report.deadlines = self._commands.deadlines
        self._commands.start()
        self._watchdog = self._node.create_timer(
            _WATCHDOG_PERIOD, self._watch, clock=self._node.steady_clock
        )

    def stop(self) -> None:
        """Decelerates inside the limits; the last message is a safe command."""
        if self._commands is None:
            return
        commands, self._commands = self._commands, None
        self._node.destroy_timer(self._watchdog)
        patience = self._parameters.stop_time
        try:
            stopped = commands.stop(patience)
            if not commands.stopped_in_time:
                self._node.get_logger().error(
                    f'The arm could not stop within {patience} s; raise stop_time.'
                )
            if not stopped:
                raise RuntimeError(
                    'The command thread is stuck inside a command; nothing more can be sent. The '
                    "arm's controller has to stop by its own timeout."
                )
        finally:
            self.commanding = False
            if self._elsewhere is not None:
                # Nobody waits for a machine that may not answer.
                self._elsewhere.interrupt()
            self._inference.stop()

    def destroy(self) -> None:
        """Stops and takes the topics back."""
        try:
            self.stop()
        finally:
            self._findings.destroy()
            self._inputs.destroy()
            self._output.destroy()
            if self._elsewhere is not None:
                self._elsewhere.close()

    def sending(self) -> contextlib.AbstractContextManager[Any]:
        """While this is entered no command can be sent, not even by the watchdog."""
        return contextlib.nullcontext() if self._commands is None else self._commands.sending

    def pause(self) -> None:
        """Decelerates the arm and holds it."""
        self._findings.stopped = True
        self._post(StopAsked())

    def resume(self) -> None:
        """Goes on after a pause, from where the arm is, with what is predicted from now on."""
        self._findings.stopped = False
        self._post(ResumeAsked())

    def refusal_of_instruction(self, sentence: str) -> str:
        """Returns why a sentence cannot be obeyed; empty where it can."""
        return self._inputs.refusal_of_instruction(sentence)

    def instruct(self, sentence: str) -> None:
        """Obeys a sentence that is not refused, from now on; '' holds the arm."""
        self._inputs.instruct(sentence)

    @property
    def view(self) -> LoopView:
        """What the last step of the command loop left."""
        # Another thread may be ending the commands.
        commands = self._commands
        return self._loop.view if commands is None else commands.view

    @property
    def counts(self) -> Counts:
        """What the trial of another encoder is judged by."""
        bad = self.view.counts.get(f'policy: {Fault.BAD_PREDICTION.value}', 0)
        interventions = sum(tuple(self.statistics.interventions.values()))
        return Counts(self.statistics.commands, interventions, bad)

    @property
    def gives_up(self) -> str:
        """Why the node has to be deactivated; empty where it need not."""
        view = self.view
        return view.reason if view.rung is Rung.DEACTIVATE else ''

    def status(self) -> tuple[list[Finding], dict[str, Any], dict[str, dict[str, Any]]]:
        """What is wrong now, numbers for people, and more of them by part."""
        wrong = self._findings.look(active=self._commands is not None)
        for finding in wrong:
            if finding.cause in _LOGGED:
                self._problems.report(_LOGGED[finding.cause], finding.sentence)
        main = {'output': self.output, **self._report.main(self.view)}
        parts = self._report.parts(self.view, self._now())
        if (elsewhere := self._elsewhere) is not None:
            parts['server'] = elsewhere.numbers
            if text := elsewhere.wrong:
                # It is why no prediction comes.
                wrong.insert(0, Finding(Cause.POLICY, text))
        return wrong, main, {**parts, 'cameras': self.checks.report()}

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def _post(self, event: Any) -> None:
        # The inference posts while the ROS thread ends the commands.
        if (commands := self._commands) is not None:
            commands.post(event)

    def _obey(self, instruction: str) -> None:
        """What was predicted for another sentence must not move the arm any more."""
        if instruction != self._instruction:
            self._instruction = instruction
            self._node.get_logger().info(f'Instruction: {instruction!r}')
            self._post(Told(instruction))

    def _measured(self) -> Measured | None:
        states = self._inputs.states
        measured, pose = states.measured(), states.measured_pose
        if measured is None:
            return None
        place = None if pose is None else pose.values
        return Measured(measured.values, measured.time, place, measured.times)

    def _predict(self, observation: Observation) -> Prediction:
        commands = self._commands
        if not self._config.continues or commands is None:
            return self._backend.predict(observation)
        prefix = commands.prefix(observation.time, self._config.period)
        return self._backend.predict(observation, prefix)

    def _deliver(self, timed: TimedPrediction) -> None:
        self._findings.delivered()
        self._post(Predicted(timed.prediction.chunk, timed.observation.instruction, timed))
        try:
            self._reports.prediction(timed, self._config)
        except Exception as error:  # what people watch must not end what drives the arm
            text = f'A prediction cannot be shown: {type(error).__name__}: {error}'
            self._problems.report('reports', text)

    def _refuse(self, fault: Fault, stream: str, text: str) -> None:
        self._problems.report(stream, text)
        self._post(FaultSeen(fault, stream, text))

    def _note(self, command: Command | None, view: LoopView, due: float) -> None:
        """Takes what was commanded, in the command thread, for counts and other readers."""
        steady, log = self._steady(), self._node.get_logger()
        for timed, seam in view.taken:
            self.statistics.took(timed, seam, steady)
        if command is None:
            self._problems.report('no command', view.holding)
        else:
            self._inference.add_command(command.values, due)
            self.statistics.sent(command, due, view.information_time)
            if command.holding:
                self._problems.report('holding', f'The arm holds: {command.holding}')
        for step in view.transitions:
            log_line(log, str(step), warning=step.after is not Rung.FOLLOW)

    def _watch(self) -> None:
        """Checks, in the ROS thread, that the command thread lives and no other node commands."""
        commands = self._commands
        if commands is None:
            return
        if commands.failure is not None:
            raise commands.failure
        # Slow commands are no silence.
        timeout = max(self._parameters.watchdog_timeout, 2 / self._parameters.command_rate)
        if commands.silence > timeout:
            text = f'The command thread is silent since {commands.silence:.2f} s.'
            self._problems.report('commands', text)
            if not commands.take_over(timeout):
                raise RuntimeError(f'{text} It is stuck inside a command.')
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
                self._findings.rivals(text)
                lasting = 2 * _RIVAL_PERIOD
                self._post(FaultSeen(Fault.RIVAL, 'command topic', text, lasting))
