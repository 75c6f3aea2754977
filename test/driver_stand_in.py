# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A driver of ros2_control by its public configuration: controllers from our YAML, and an arm.

It has the names, orders, rates and QoS of the driver; controllers and MoveIt Servo are the models
of benchmarks/controller_models.py, and the arm follows them with a lag.
"""

import math
import time
from dataclasses import dataclass, field

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from launch_parts import of_arm
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.benchmarks.controller_models import (
    ForwardController,
    Servo,
    TrajectoryController,
)
from ros2_gridsampler.files import find
from ros2_gridsampler.nodes.topics import STATE, ros_time

# rclcpp's SystemDefaultsQoS: reliable, volatile; what Fast DDS takes for the depth.
SYSTEM_DEFAULT = QoSProfile(depth=1)
# Of the clock [s]; so many of them between two pictures, and that it goes on without a command.
TICK, _PICTURE, _AHEAD = 0.01, 5, 5
# For a command, in real time [s].
_PATIENCE = 1.0


@dataclass(frozen=True)
class Driver:
    """What the public configuration of a driver says.

    Attributes:
        controllers: Name of each controller that obeys the policy -> its parameters.
        states: Topic of each JointState -> its joints in the driver's order, and its rate [Hz].
        update_rate: Rate of the controller manager [Hz].
        namespace: Namespace of its controllers.
        lag: How far each joint is behind its command [s].
        pose: Topic of the hand's PoseStamped, its frame, and its rate [Hz]; then the hand obeys
            MoveIt Servo.
        servo: Parameters of Servo.
    """

    controllers: dict
    states: dict
    update_rate: float
    namespace: str = ''
    lag: float = 0.02
    pose: tuple = ()
    servo: dict = field(default_factory=dict)


class StandIn:
    """The driver, its controllers and its arm, in the process and the executor of a watcher.

    It publishes `/clock` as well, no faster than real time, and waits with it for the commands: on
    a busy machine the arm is slow, and everything else the same.

    Attributes:
        cameras: A `FakeArm` whose pictures are published with the time of the clock.
        positions: Joint -> where it is [rad], [m].
        refused: Messages that a real controller would have refused.
        track: Times [s] and all positions, one row for each update.
        frozen: Whether the arm stands whatever is commanded.
        hand: Joint -> speed by which a hand moves it [rad/s].
        pose: Where the arm's hand is, x y z [m].
        twists: Every twist that came.
    """

    def __init__(self, watcher, robot, driver, positions, cameras):
        self.driver, self.watcher, self.cameras = driver, watcher, cameras
        self.positions = dict(positions)
        self.pose, self.twists = np.array([0.4, 0.1, 0.3]), []
        self.limits = load_arm(
            find('calibration', of_arm(robot, 'launch.yaml')['arm'], '.yaml')
        ).joints
        self.refused, self.track, self.hand = [], [], {}
        self.frozen = False
        self.parts = [self._controller(*item) for item in driver.controllers.items()]
        node = watcher.node
        self._publishers = [
            (node.create_publisher(JointState, topic, SYSTEM_DEFAULT), joints, rate)
            for topic, (joints, rate) in driver.states.items()
        ]
        self._clock = node.create_publisher(Clock, '/clock', STATE)
        if driver.pose:
            self._poses = node.create_publisher(PoseStamped, driver.pose[0], SYSTEM_DEFAULT)
            self._servo = self._make_servo()
        self._ticks = 100
        self._commanded, self._ticked = math.inf, time.monotonic()
        cameras.timer.cancel()
        cameras.now = lambda: ros_time(self._ticks * TICK)
        self._timer = node.create_timer(TICK, self._step)

    def _controller(self, name, parameters):
        """A node that says of itself what the controller says, and its model."""
        node = rclpy.create_node(
            name, namespace=self.driver.namespace, context=self.watcher.context
        )
        self.watcher.executor.add_node(node)
        for key, value in parameters.items():
            if not isinstance(value, dict):
                node.declare_parameter(key, value)
        joints = parameters['joints']
        if 'interpolate_from_desired_state' in parameters:
            model = TrajectoryController(
                1 / self.driver.update_rate,
                from_desired=parameters['interpolate_from_desired_state'],
            )
            kind, topic = JointTrajectory, '~/joint_trajectory'
        else:
            model, kind, topic = ForwardController(), Float64MultiArray, '~/commands'
        model.activate(self._measured(joints))

        def take(message):
            self._commanded = self._ticks
            due, values = 0.0, None
            if kind is Float64MultiArray:
                values = message.data if len(message.data) == len(joints) else None
            elif sorted(message.joint_names) == sorted(joints):
                point = message.points[0]
                found = dict(zip(message.joint_names, point.positions, strict=True))
                values = [found[joint] for joint in joints]
                due = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
            if values is None:
                self.refused.append(message)
            else:
                model.take(np.array(values, float), due)

        node.create_subscription(kind, topic, take, SYSTEM_DEFAULT)
        return joints, model

    def _make_servo(self):
        """A node that listens as Servo does, and its model."""
        node = rclpy.create_node('servo_node', context=self.watcher.context)
        self.watcher.executor.add_node(node)
        settings = self.driver.servo

        def take(message):
            self._commanded = self._ticks
            self.twists.append(message)

        node.create_subscription(TwistStamped, '~/delta_twist_cmds', take, SYSTEM_DEFAULT)
        return Servo(
            settings['publish_period'],
            settings['scale']['linear'],
            settings['scale']['rotational'],
            settings['incoming_command_timeout'],
        )

    def switch(self, active):
        """Activates or deactivates all controllers; the hardware begins where it is measured."""
        for joints, model in self.parts:
            if active:
                model.command = None
                model.activate(self._measured(joints))
            else:
                model.deactivate()

    def fastest(self, joints, seconds=0.02):
        """Largest speed of these joints over their limits, since the track was cleared.

        Args:
            joints: Joints of one controller.
            seconds: Over which a speed is measured: commands of positions come a little early or
                late, and are obeyed at once.
        """
        rows = round(seconds * self.driver.update_rate)
        columns = [list(self.positions).index(joint) for joint in joints]
        times, places = (np.array(each) for each in zip(*self.track, strict=True))
        moved = np.abs(places[rows:, columns] - places[:-rows, columns])
        speeds = moved / (times[rows:] - times[:-rows])[:, None]
        return float((speeds / self.limits.select(joints).max_velocity).max())

    def _measured(self, joints):
        return np.array([self.positions[joint] for joint in joints])

    def _step(self):
        now = time.monotonic()
        # Who has stopped commanding is waited for once.
        if self._ticks - self._commanded == _AHEAD and now - self._ticked < _PATIENCE:
            return
        self._ticked = now
        for time_now in self._due(self.driver.update_rate):
            self._update(time_now)
        for stamp in self._due(self.driver.pose[2]) if self.driver.pose else ():
            self._move_hand(stamp, 1 / self.driver.pose[2])
        for publisher, joints, rate in self._publishers:
            for stamp in self._due(rate):
                message = JointState(name=joints, position=list(self._measured(joints)))
                message.velocity = [0.0] * len(joints)
                message.header.stamp = ros_time(stamp)
                publisher.publish(message)
        self._ticks += 1
        if self._ticks % _PICTURE == 0:
            self.cameras.publish()
        self._clock.publish(Clock(clock=ros_time(self._ticks * TICK)))

    def _move_hand(self, now, period):
        """Obeys the newest twist for one period [s], and says where the hand is."""
        if self.twists:
            header, twist = self.twists[-1].header, self.twists[-1].twist
            stamp = header.stamp.sec + 1e-9 * header.stamp.nanosec
            parts = [(v.x, v.y, v.z) for v in (twist.linear, twist.angular)]
            wanted = self._servo.twist(np.array(parts).ravel(), stamp, now)
            self.pose = self.pose + period * wanted[:3]
        message = PoseStamped()
        message.header.stamp, message.header.frame_id = ros_time(now), self.driver.pose[1]
        place = message.pose.position
        place.x, place.y, place.z = self.pose.tolist()
        message.pose.orientation.w = 1.0
        self._poses.publish(message)

    def _due(self, rate):
        """When something of a rate [Hz] happens in the next tick [s]."""
        first, end = (int((self._ticks + more) * TICK * rate + 1e-6) for more in (0, 1))
        return [number / rate for number in range(first + 1, end + 1)]

    def _update(self, now):
        share = 1 - np.exp(-1 / self.driver.update_rate / self.driver.lag)
        for joints, model in self.parts:
            measured = self._measured(joints)
            wanted = model.update(measured)
            if self.frozen or self.hand or wanted is None:
                continue
            moved = measured + (wanted - measured) * share
            self.positions.update(zip(joints, moved.tolist(), strict=True))
        for joint, speed in self.hand.items():
            self.positions[joint] += speed / self.driver.update_rate
        self.track.append((now, list(self.positions.values())))
