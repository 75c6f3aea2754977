# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, joint and instruction topics -> command topics, as a lifecycle node."""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_srvs.srv import Trigger

from ..acting.arm_limits import load_arm
from ..calibrating.camera_agreement import CameraDisagrees
from ..engines.compiled_policy import Backend, CompiledPolicy
from ..files import find
from .autostart import Autostart
from .causes import Cause, Finding, in_order
from .node_setup import (
    Refused,
    declare_parameters,
    read_parameters,
    refuse_unknown_parameters,
    run,
)
from .policy_loop import PolicyLoop
from .policy_parameters import (
    LiveParameter,
    PolicyParameters,
    refusal_of_change,
    take_change,
)
from .policy_reports import PolicyReports
from .problems import Problems
from .rclpy_repairs import attempt, create_slow_service, refuse_invalid_transitions
from .swappable_policy import live_encoder, load_swappable

if TYPE_CHECKING:
    from .encoder_swaps import EncoderSwaps

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """A policy as a lifecycle node, whose every way out ends with a safe command.

    Configure loads and verifies the policy, activate begins to command the arm.

    In: the cameras, JointState, the end-effector pose where needed, `~/instruction` (String,
    latched or not). Out, by the checkpoint's actions and `output`: `~/twist_command`
    (TwistStamped) with `~/gripper_command` (Float64MultiArray), `~/pose_command` (PoseStamped),
    `~/joint_trajectory` or `~/joint_positions`; see `command_outputs`. To watch:
    `~/action_chunk`, `~/sampled_points`, `~/timing`, `~/policy`, `/diagnostics`,
    `~/encoder`. Services: `~/stop`, `~/resume`, `~/check_mounts` and
    `~/rollback` (Trigger).
    The parameters `encoder`, `swap.allow_unvalidated` and `instruction` may be set while the node
    runs.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('policy_node', **options)
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._names = set(declare_parameters(self, PolicyParameters, refuse_others=False))
        self._live: dict[str, LiveParameter] = {}
        self.add_on_set_parameters_callback(self._check_change)
        self.add_post_set_parameters_callback(self._take_change)
        self._problems = Problems(self.get_logger(), self._steady)
        self._reports = PolicyReports(self, self._steady)
        self._loop: PolicyLoop | None = None
        self._swaps: 'EncoderSwaps | None' = None
        self._state = 'unconfigured'
        self._refusal = ''
        self._about: dict[str, Any] = {}
        self._engine: dict[str, str] = {}
        refuse_invalid_transitions(self, lambda: self._state)
        self.create_service(Trigger, '~/stop', self._pause)
        self.create_service(Trigger, '~/resume', self._resume)
        # Not of the encoders, which cleanup lets go of: the EventsExecutor ends with an error at
        # a request that waits while its service is destroyed.
        self.create_service(Trigger, '~/rollback', self._roll_back)
        log = self.get_logger()
        create_slow_service(self, Trigger, '~/check_mounts', self._check_mounts, log.error)
        self.create_timer(1.0, self._report, clock=self.steady_clock)
        self.create_timer(0.1, self._check_late_lenses, clock=self.steady_clock)
        wanted = read_parameters(self, PolicyParameters).autostart
        self._autostart = Autostart(self, wanted, lambda: self._state, self._awaited)

    @property
    def finished(self) -> bool:
        """Whether the node has ended, which it never does by itself.

        Raises:
            Refused: The node was to configure itself and cannot; says why.
        """
        if self._autostart.failed:
            raise Refused(f'Ended, because it cannot be configured: {self._refusal}')
        return False

    @property
    def commanding(self) -> bool:
        """Whether the arm is commanded, or still has to be sent a safe command."""
        return self._loop is not None and self._loop.commanding

    def stop(self) -> None:
        """Decelerates and holds the arm, and lets go of everything."""
        if self._state != 'finalized' and self.trigger_shutdown() != SUCCESS:
            raise RuntimeError('The arm may not have been stopped; see the line before.')

    def on_configure(self, state: Any) -> Any:
        """Loads checkpoint and arm, checks that they fit, and warms up."""
        refusals = (ValueError, OSError, NameValidationException)
        return self._transition('configure', self._configure, 'inactive', refusals)

    def on_activate(self, state: Any) -> Any:
        """Checks that no camera has moved; begins to predict and to command."""
        return self._transition('activate', self._activate, 'active', (Refused, CameraDisagrees))

    def on_deactivate(self, state: Any) -> Any:
        """Decelerates and holds the arm."""
        self._autostart.leave()
        return self._transition('deactivate', self._existing_loop().stop, 'inactive')

    def on_cleanup(self, state: Any) -> Any:
        """Lets go of checkpoint and topics."""
        self._autostart.leave()
        return self._transition('cleanup', self._release, 'unconfigured')

    def on_shutdown(self, state: Any) -> Any:
        """Decelerates, holds and lets go, from wherever the node is."""
        self._autostart.leave()
        return self._transition('shutdown', self._release, 'finalized')

    def on_error(self, state: Any) -> Any:
        """Lets go of everything, as cleanup does; what went wrong stays in the diagnostics."""
        reason = self._refusal
        result = self._transition('cleanup', self._release, 'unconfigured')
        if result != SUCCESS:
            self._state = 'finalized'
        self._refusal = reason or self._refusal
        return result

    def _transition(
        self,
        name: str,
        act: Callable[[], None],
        reached: str,
        refusals: tuple[type[Exception], ...] = (),
    ) -> Any:
        """Acts; returns and logs what came of it."""
        result, wrong = attempt(act, refusals)
        if result == SUCCESS:
            self._state = reached
        elif result == FAILURE:
            self.get_logger().error(f'Cannot {name}: {wrong}')
        else:
            self.get_logger().fatal(f'Cannot {name}:\n{wrong}')
        self._refusal = wrong
        return result

    def announce(self, engine: CompiledPolicy) -> Backend:
        """Takes note of an engine that was made, in any thread; returns what predicts."""
        report = engine.report
        self._engine = report.about()
        self.get_logger().info(f'{report.backend} computes the policy. {report.refused}'.rstrip())
        return engine

    def _configure(self) -> None:
        refuse_unknown_parameters(self, self._names)
        parameters = read_parameters(self, PolicyParameters)
        if not parameters.policy or not parameters.arm:
            raise ValueError(
                'Set the parameters policy (a checkpoint) and arm (its limits): '
                'policy_node --ros-args -p policy:=libero_spatial -p arm:=panda '
                '-p camera_topics:="[/front/image_raw, /wrist/image_raw]". Without an arm, '
                '`gridsampler demo` drives a simulated one.'
            )
        if not (parameters.check_following or self.get_parameter('use_sim_time').value):
            raise ValueError(
                'check_following is false, but use_sim_time is too: an arm whose time is the real '
                'one has to be watched. Leave check_following true, or set use_sim_time for a '
                'recording.'
            )
        arm = load_arm(find('calibration', parameters.arm, '.yaml'))
        self._engine = {}
        log = self.get_logger()
        loaded = load_swappable(parameters, self.announce, steady=self._steady, log=log)
        deployed = loaded.policy
        try:
            parameters.schedule.check_policy(deployed.config.ensemble_decay)
            self._loop = loop = PolicyLoop(
                self,
                parameters,
                config=deployed.config,
                backend=deployed.backend,
                check_instruction=deployed.check_instruction,
                elsewhere=deployed.elsewhere,
                arm=arm,
                records=deployed.cameras,
                views=deployed.views,
                reports=self._reports,
                problems=self._problems,
                steady=self._steady,
            )
            if refusal := loop.refusal_of_instruction(parameters.instruction):
                raise ValueError(f'Parameter instruction: {refusal}')
            loop.instruct(parameters.instruction)
            loop.checks.check_lenses(wait=True)
            self._swaps = loaded.make_swaps(self, parameters, lambda: loop.counts)
        except Exception:
            if self._loop is None and deployed.elsewhere is not None:
                # A server takes a few clients only, and this one may be configured again.
                deployed.elsewhere.close()
            self._release()
            raise
        self._live = {
            **live_encoder(self._swaps),
            'instruction': LiveParameter(
                lambda values: loop.refusal_of_instruction(values['instruction']), loop.instruct
            ),
        }
        self._about = {
            **self._engine,
            'arm': arm.name,
            **deployed.about,
        }
        encoder = {} if self._swaps is None else self._swaps.about()
        # Going through all that was loaded would keep the commands waiting for half a second.
        gc.collect()
        gc.freeze()
        self._reports.policy({**self._about, **encoder, 'output': self._loop.output})
        if not parameters.check_following:
            self.get_logger().warning('Nobody watches whether the arm follows (check_following).')
        self.get_logger().info(
            f'{loaded.name} is ready: {self._loop.output} for {arm.name}, '
            f'{1e3 * loaded.duration:.1f} ms per prediction ({self._about["backend"]}).'
        )

    def _activate(self) -> None:
        loop = self._existing_loop()
        loop.checks.check_lenses(wait=False)
        loop.checks.check_mounts_now()
        loop.start()

    def _release(self) -> None:
        loop, self._loop = self._loop, None
        swaps, self._swaps = self._swaps, None
        self._live = {}
        gc.unfreeze()
        try:
            if loop is not None:
                loop.destroy()
        finally:
            if swaps is not None:
                swaps.destroy()

    def _existing_loop(self) -> PolicyLoop:
        if self._loop is None:
            raise RuntimeError('The lifecycle let an unconfigured node start or stop.')
        return self._loop

    def _steady(self) -> float:
        return float(self.steady_clock.now().nanoseconds * 1e-9)

    def _awaited(self) -> str:
        return '' if self._loop is None else self._loop.checks.awaited

    def _pause(self, request: Any, response: Any) -> Any:
        return self._answer(response, PolicyLoop.pause)

    def _resume(self, request: Any, response: Any) -> Any:
        return self._answer(response, PolicyLoop.resume)

    def _roll_back(self, request: Any, response: Any) -> Any:
        if self._swaps is not None:
            response.success, response.message = self._swaps.roll_back()
        elif self._loop is not None:
            response.message = 'This policy keeps its own encoder; there is none to go back to.'
        else:
            response.message = f'The node is {self._state}; configure it first.'
        return response

    def _check_mounts(self, response: Any) -> None:
        loop = self._loop
        if loop is None:
            response.message = f'The node is {self._state}; configure it first.'
        else:
            loop.checks.answer_request(response)

    def _answer(self, response: Any, act: Callable[[PolicyLoop], None]) -> Any:
        response.success = self._state == 'active' and self._loop is not None
        response.message = '' if response.success else f'The node is {self._state}, not active.'
        if self._loop is not None and response.success:
            act(self._loop)
        return response

    def _check_late_lenses(self) -> None:
        """A camera whose CameraInfo came after activate may be another one than trained."""
        if self._loop is None or self._state != 'active':
            return
        try:
            self._loop.checks.check_late_lenses()
        except CameraDisagrees as error:
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        """Holds the arm until a person activates the node again."""
        self.get_logger().error(f'Deactivating: {reason} Then activate the node again.')
        if self.trigger_deactivate() == SUCCESS:
            self._refusal = reason

    def _report(self) -> None:
        if self._loop is not None and self._state == 'active' and self._loop.gives_up:
            self._give_up(self._loop.gives_up)
        found = [Finding(Cause.REFUSED, self._refusal)] if self._refusal else []
        if text := namesakes(self):
            self._problems.report('name', text)
            found.append(Finding(Cause.NAMESAKE, text))
        values: dict[str, Any] = {'state': self._state, **self._about}
        parts: dict[str, dict[str, Any]] = {}
        if self._loop is not None:
            wrong, numbers, parts = self._loop.status()
            found += wrong
            values |= numbers
        if missing := self._autostart.missing:
            cause = Cause.SILENT if self._awaited() else Cause.INACTIVE
            found.append(Finding(cause, missing))
            values['not active because'] = missing
        if self._swaps is not None:
            parts = {**parts, 'encoder': self._swaps.about()}
        level = DiagnosticStatus.ERROR if self._refusal else DiagnosticStatus.WARN
        sentences = in_order(found)
        status = (level, sentences[0]) if sentences else (DiagnosticStatus.OK, self._state)
        values |= {f'also {i}': text for i, text in enumerate(sentences[1:], 1)}
        now = self.get_clock().now().nanoseconds * 1e-9
        hardware = str(self._about.get('arm', ''))
        name = self.get_fully_qualified_name()
        self._reports.diagnostics(now, name, hardware, status, values, parts)

    def _check_change(self, parameters: list[Any]) -> Any:
        values = {parameter.name: parameter.value for parameter in parameters}
        reason = refusal_of_change(values, self._live, self._names, self._state)
        return SetParametersResult(successful=not reason, reason=reason)

    def _take_change(self, parameters: list[Any]) -> None:
        take_change({parameter.name: parameter.value for parameter in parameters}, self._live)


def namesakes(node: Any) -> str:
    """A sentence about other nodes of this name; empty where there are none.

    This is a reason to warn, and none to refuse a start: one that was killed and started again
    sees itself, until the middleware forgets the first.
    """
    own = (node.get_name(), node.get_namespace())
    others = node.get_node_names_and_namespaces().count(own) - 1
    if others < 1:
        return ''
    name = node.get_fully_qualified_name()
    return (
        f'{others} other node(s) are called {name} too: they share {name}/stop, topics and '
        'parameters, and whoever calls reaches any of them. Start each arm with its own '
        'namespace or name (launch arguments), or end the others; one that was killed is seen '
        'for about 20 s more.'
    )


def main() -> int:
    """Runs the policy node."""
    return run(PolicyNode)


if __name__ == '__main__':
    raise SystemExit(main())
