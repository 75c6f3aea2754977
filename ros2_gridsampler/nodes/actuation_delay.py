# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A joint stepped within its limits and read back -> the actuation delay of the arm."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..acting.arm_limits import load_arm
from ..acting.command_message import fill_joint_trajectory
from ..acting.loop_config import LoopConfig
from ..acting.safety_filter import JointSafetyFilter, SafeCommand
from ..acting.state_belief import StateBelief, joint_parts
from ..calibrating.delay_estimate import Delay, DelayConfig, estimate_delay
from ..files import find
from ..seeing.camera_message import stamp_seconds
from ..seeing.joint_states import NewestJoints
from ..stop_request import StopRequest
from .node_setup import own_node
from .topics import EVERY, NEWEST_RELIABLE

_PERIOD = 0.02
# Each step has so long to be followed [s].
_STEP_TIME = 1.0
_PATIENCE = 15.0
# A stop takes a few tenths of a second [s].
_LONGEST_STOP = 5.0


class DelayNode(Node):
    """Steps one joint of an arm; the others are commanded to stay.

    Args:
        config: Joint to move, and how.
        options: Those of rclpy's Node.
    """

    def __init__(self, config: DelayConfig, **options: Any) -> None:
        super().__init__('actuation_delay', **options)
        limits = load_arm(find('calibration', config.arm, '.yaml')).joints
        self._limits = limits.select(limits.names)
        self._limits.select([config.joint])
        self._row = self._limits.names.index(config.joint)
        self._config = config
        self.commanded: list[tuple[float, float]] = []
        self.measured: list[tuple[float, float]] = []
        self._joints = NewestJoints(self._limits.names)
        self._sent: NDArray[np.float64] | None = None
        usual = LoopConfig()
        self.belief = StateBelief(
            joint_parts(self._limits),
            usual.max_tracking_error,
            usual.rest_time,
            config.accept_zero_state,
        )
        self.newest: Any = None
        """Positions of all joints; None before each has come and they were believed."""
        self._output = self.create_publisher(JointTrajectory, config.command, NEWEST_RELIABLE)
        self.create_subscription(JointState, config.joint_states, self._hear, EVERY)

    def step(self, made: JointSafetyFilter, target: Any) -> None:
        """Sends what the filter makes of the target."""
        self._send(made.filter(target, _PERIOD))

    def come_to_rest(self, made: JointSafetyFilter) -> None:
        """Decelerates inside the limits from what was sent last; returns when the arm has it."""
        for _ in range(round(_LONGEST_STOP / _PERIOD)):
            safe = made.stop(_PERIOD)
            self._send(safe)
            if safe.at_rest:
                break
            time.sleep(_PERIOD)
        self._output.wait_for_all_acked(Duration(seconds=0.5))

    def _send(self, safe: SafeCommand) -> None:
        message = JointTrajectory()
        fill_joint_trajectory(
            message,
            JointTrajectoryPoint,
            self._limits.names,
            safe.values[None],
            np.array([_PERIOD]),
        )
        now = self.get_clock().now().nanoseconds * 1e-9
        self.commanded.append((now, float(safe.values[self._row])))
        self._sent = safe.values
        self._output.publish(message)

    def targets(self) -> list[Any]:
        """Returns where the joint goes to and fro, a step each `_STEP_TIME`; back at the end."""
        away = self.newest.copy()
        away[self._row] += self._config.amplitude
        return [away if k % 2 == 0 else self.newest for k in range(self._config.repetitions)] + [
            self.newest
        ]

    def make_filter(self) -> JointSafetyFilter:
        """Returns a filter by the limits of the arm, from where it is."""
        made = JointSafetyFilter(self._limits)
        made.reset(self.newest)
        return made

    def _hear(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        if self._joints.add(message.name, message.position, time):
            positions, times = self._joints.positions, self._joints.times
            if self.belief.believe(positions, times, self._sent):
                self.newest = positions
        if self._config.joint in message.name:
            self.measured.append((time, float(self._joints.positions[self._row])))


def measure_delay(config: DelayConfig) -> Delay:
    """Moves the joint and measures how late it follows.

    Raises:
        TimeoutError: No joint states come.
        ValueError: The arm does not follow, has no such joint, or says what cannot be read or
            cannot be.
    """
    made = own_node(lambda context: DelayNode(config, context=context))
    with made as (node, executor), StopRequest() as stop:
        deadline = time.monotonic() + _PATIENCE
        while node.newest is None:
            stop.check()
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > deadline:
                if wrong := node.belief.wrong:
                    raise ValueError(
                        f'{wrong} Nothing was moved; look at the driver (--accept-zero-state for '
                        'a simulated arm that begins at 0).'
                    )
                raise TimeoutError(f'Nothing came on {config.joint_states}.')
        made_filter = node.make_filter()
        due = time.monotonic()
        try:
            for target in node.targets():
                for _ in range(round(_STEP_TIME / _PERIOD)):
                    stop.check()
                    if wrong := node.belief.wrong:
                        raise ValueError(f'{wrong} Look at the driver, and measure again.')
                    node.step(made_filter, target)
                    due += _PERIOD
                    while (left := due - time.monotonic()) > 0:
                        executor.spin_once(timeout_sec=left)
        finally:
            # Also where a signal, or a joint state that cannot be read, comes in the middle.
            node.come_to_rest(made_filter)
        commanded, measured = np.array(node.commanded), np.array(node.measured)
        return estimate_delay(*commanded.T, *measured.T)
