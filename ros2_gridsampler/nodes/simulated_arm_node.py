# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Twist and gripper topics -> the camera, joint and success topics of a LIBERO task."""

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.clock import Clock as SteadyClock
from rclpy.clock import ClockType
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ..acting.command_message import read_float64_multi_array, read_twist
from ..bags.bag_writer import serialise
from ..seeing.camera_message import stamp_seconds
from ..simulation import arm_messages
from ..simulation.libero_arm import Libero
from .node_setup import (
    BadParameter,
    Refused,
    RunnableNode,
    declare_parameters,
    read_parameters,
    run,
)
from .problems import Problems
from .simulated_clock import SimulatedClock
from .simulation_parameters import SimulationParameters
from .topics import LATCHED, NEWEST, STATE, ros_time

if TYPE_CHECKING:
    from .simulation_thread import Episode

_KINDS = {
    f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}': kind
    for kind in (Bool, CameraInfo, CompressedImage, Image, JointState, PoseStamped, String)
}


class SimulatedArmNode(RunnableNode):
    """A LIBERO task as a robot with cameras.

    Publishes what `arm_messages` names, as the very bytes that a recording would hold, and
    `~/episode` (String, latched): JSON of the current episode and the results of those before;
    at the end `done`. `~/reset` (Trigger) goes to the next episode.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('simulated_arm', **options)
        declare_parameters(self, SimulationParameters)
        parameters = read_parameters(self, SimulationParameters)
        if not (parameters.tasks or parameters.more_episodes):
            raise BadParameter('Parameter tasks is empty; name at least one, for instance [0].')
        try:
            _ = parameters.named_episodes
        except ValueError as error:
            raise BadParameter(f'Parameter more_episodes: {error}') from error
        self._problems = Problems(self.get_logger(), time.monotonic)
        self._outputs: dict[str, Any] = {}
        self._episode = self.create_publisher(String, '~/episode', LATCHED)
        try:
            from .simulation_thread import SimulationThread
        except ModuleNotFoundError as error:
            raise Refused(
                f'The simulation needs {error.name}, which {sys.executable} has not; run '
                "pip install '.[full,sim]' there, or activate the environment that has it."
            ) from error
        self._pace = self._make_clock() if parameters.publish_clock else None
        self._simulation = SimulationThread(
            parameters,
            Libero(parameters.suite, parameters.rendering),
            now=self.now,
            publish=self._publish,
            announce=self._announce,
            clock=self._pace,
        )
        if self._pace is not None:
            self.create_subscription(
                JointTrajectory, parameters.chunk_topic, self._take_answer, STATE
            )
        self.create_subscription(
            TwistStamped, arm_messages.TWIST_COMMAND, self._take_twist, NEWEST
        )
        self.create_subscription(
            Float64MultiArray, arm_messages.GRIPPER_COMMAND, self._take_gripper, NEWEST
        )
        self.create_service(Trigger, '~/reset', self._reset)
        # A failure of the other thread has to end the process, also where it was to go by /clock.
        steady = SteadyClock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.5, self._check, clock=steady)
        self.get_logger().info(f'Building the first scene of {parameters.suite}, some seconds ...')
        if self._pace is not None:
            self._pace.start()
        self._simulation.start()

    def stop(self) -> None:
        """Ends the simulation and returns."""
        if self._pace is not None:
            self._pace.stop()
        self._simulation.stop()

    def _make_clock(self) -> SimulatedClock:
        topic = self.create_publisher(Clock, '/clock', STATE)
        return SimulatedClock(lambda now: topic.publish(Clock(clock=ros_time(now))))

    def _check(self) -> None:
        failure = self._simulation.failure
        if isinstance(failure, ValueError):
            # A suite, task or placement that does not exist: its sentence says what to write.
            raise BadParameter(str(failure)) from failure
        if failure is not None:
            raise failure

    def _publish(self, topic: str, message: Any) -> None:
        if topic not in self._outputs:
            qos = LATCHED if topic == arm_messages.INSTRUCTION else STATE
            kind = _KINDS[message.__msgtype__]
            self._outputs[topic] = self.create_publisher(kind, topic, qos)
        self._outputs[topic].publish(serialise(message))

    def _announce(self, episode: 'Episode | None', finished: 'list[Episode]') -> None:
        results = [dataclasses.asdict(past) for past in finished]
        content: dict[str, Any] = {'done': episode is None, 'results': results}
        if episode is None:
            successes = sum(past.result['success'] for past in finished)
            self.get_logger().info(f'Done: {successes} of {len(finished)} episodes succeeded.')
        else:
            content = {**dataclasses.asdict(episode), **content}
            previous = f' (before: {finished[-1].result})' if finished else ''
            self.get_logger().info(
                f'Episode {episode.index}: task {episode.task}, {episode.placement}, '
                f'{episode.instruction!r}{previous}'
            )
        self._episode.publish(String(data=json.dumps(content)))

    def _take_twist(self, message: Any) -> None:
        try:
            self._simulation.move(
                read_twist(message, arm_messages.BASE_FRAME), stamp_seconds(message.header.stamp)
            )
        except ValueError as error:
            self._problems.report('twist', f'{error} The command was ignored.')

    def _take_gripper(self, message: Any) -> None:
        try:
            self._simulation.grip(float(read_float64_multi_array(message, 1)[0]))
        except ValueError as error:
            self._problems.report('gripper', f'{error} The command was ignored.')

    def _take_answer(self, message: Any) -> None:
        self._simulation.answer(stamp_seconds(message.header.stamp))

    def _reset(self, request: Any, response: Any) -> Any:
        episode = self._simulation.skip()
        response.success = episode is not None
        response.message = (
            'All episodes are done.'
            if episode is None
            else json.dumps(dataclasses.asdict(episode))
        )
        return response


def main() -> int:
    """Runs the simulated arm."""
    return run(SimulatedArmNode)


if __name__ == '__main__':
    raise SystemExit(main())
