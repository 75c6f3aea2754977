# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A command cycle in simulated time, an arm that is where it is told to be, and a policy."""

import logging
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.clock_watch import Clocks
from ros2_gridsampler.acting.controller import Controller
from ros2_gridsampler.nodes.command_cycle import CommandCycle
from ros2_gridsampler.nodes.command_outputs import PoseOutput
from ros2_gridsampler.nodes.input_topics import Measured
from ros2_gridsampler.nodes.output_topics import CommandOutput
from ros2_gridsampler.nodes.policy_parameters import PolicyParameters
from ros2_gridsampler.nodes.problems import Problems

CALIBRATION = Path(__file__).parents[1] / 'calibration'
SO101 = load_arm(CALIBRATION / 'so101.yaml')
PANDA = load_arm(CALIBRATION / 'panda.yaml')
JOINTS = ActionSpace('joint_position', SO101.joints.names)
TWIST = ActionSpace('end_effector_twist', TWIST_NAMES, PANDA.base_frame)
PERIOD = 0.02
UPRIGHT = np.array([0.5, 0, 0.3, 0, 0, 0, 1.0])


class Joints(CommandOutput):
    """Keeps what is sent."""

    def __init__(self):
        self.sent = []

    def publish(self, values, time, reach_time=0.0):
        self.sent.append(values)

    def wait_until_received(self):
        pass


class Pose(PoseOutput):
    """Keeps the poses that are sent."""

    def __init__(self):
        self._frame, self._period, self._pose = TWIST.frame, PERIOD, None
        self._publishers = [SimpleNamespace(publish=lambda message: None)] * 2
        self.sent = []

    def publish(self, values, time, reach_time=0.0):
        super().publish(values, time)
        self.sent.append(self._pose)


class Bench:
    """A command cycle in simulated time, an arm that is where it is told to be, and a policy.

    Attributes:
        values: Where the arm is measured, in the order of the actions (or x y z and opening).
        pose: Of the end effector; None for an arm that is commanded by its joints.
        wanted: What the policy wants, one action.
        age: Of the measurement, by its stamp [s].
    """

    def __init__(self, space, limits, output, values, pose=None, **parameters):
        self.now, self.age, self.steady = 100.0, 0.0, 0.0
        self.values, self.pose = np.array(values, float), pose
        self.wanted = np.zeros(len(space.names))
        self.output, self.log = output, []
        self.sent_at = -np.inf
        by_joints = space.kind == 'joint_position'
        self.fastest = limits.joints.max_velocity if by_joints else None
        parameters = PolicyParameters(**parameters)
        clocks = Clocks(lambda: self.now, lambda: self.steady)
        noted = SimpleNamespace(info=self.log.append, warning=self.log.append)
        self.cycle = CommandCycle(
            Controller(space, limits, parameters.schedule, parameters.streams.max_age),
            output,
            self,
            parameters,
            problems=Problems(logging.getLogger('bench'), lambda: self.now),
            clocks=clocks,
            log=noted,
            follow=lambda times: None,
            sent=lambda values, time: None,
        )
        self.cycle.start()
        self.cycle.obey('go')

    needed = 'nothing'

    def measured(self):
        """As of `InputTopics`."""
        return Measured(self.values.copy(), self.now - self.age)

    @property
    def measured_pose(self):
        """As of `InputTopics`."""
        return None if self.pose is None else Measured(self.pose.copy(), self.now)

    def run(self, seconds, move=lambda: None):
        """Predict and command; `move` moves the arm before each command."""
        first = len(self.output.sent)
        for step in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.steady += PERIOD
            move()
            if step % 3 == 0:
                targets = np.tile(self.wanted, (16, 1))
                self.cycle.deliver(
                    SimpleNamespace(
                        observation=SimpleNamespace(instruction='go', time=self.now),
                        prediction=SimpleNamespace(chunk=ActionChunk(self.now, 0.05, targets)),
                        taken=self.now,
                        decoded=self.now,
                        predicted=self.now,
                    )
                )
            before = len(self.output.sent)
            self.cycle.step(time.monotonic())
            self.check_step(before)
        sent = self.output.sent[first:]
        return np.array(sent).reshape(len(sent), 7 if self.fastest is None else len(self.fastest))

    def check_step(self, before):
        """No command is farther from the one before than the arm goes in the time between."""
        if len(self.output.sent) == before:
            return
        elapsed, self.sent_at = self.steady - self.sent_at, self.steady
        if before and self.fastest is not None:
            step = np.abs(self.output.sent[-1] - self.output.sent[-2])
            assert (step <= self.fastest * elapsed * (1 + 1e-6)).all()

    def follow(self):
        """The arm is where it was commanded to be."""
        if self.output.sent:
            self.values = np.array(self.output.sent[-1])


def so101(**parameters):
    """At rest, the jaw open."""
    return Bench(JOINTS, SO101, Joints(), [0, 0, 0, 0, 0, 0.5], **parameters)


def panda():
    """A hand whose poses are commanded, standing upright in the workspace."""
    return Bench(TWIST, PANDA, Pose(), [*UPRIGHT[:3], 0.04], UPRIGHT.copy())


def keep_up(bench):
    """The hand is where it was commanded to be."""
    bench.pose = np.array(bench.output.sent[-1] if bench.output.sent else bench.pose)
    bench.values[:3] = bench.pose[:3]
