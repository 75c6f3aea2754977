# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A command loop in simulated time, an arm that is where it is told to be, and a policy."""

from pathlib import Path

import numpy as np

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.command_loop import CommandLoop
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import (
    Instant,
    Measured,
    Predicted,
    ResumeAsked,
    StopAsked,
    Told,
)

CALIBRATION = Path(__file__).parents[1] / 'calibration'
SO101 = load_arm(CALIBRATION / 'so101.yaml')
PANDA = load_arm(CALIBRATION / 'panda.yaml')
JOINTS = ActionSpace('joint_position', SO101.joints.names)
TWIST = ActionSpace('end_effector_twist', TWIST_NAMES, PANDA.base_frame)
PERIOD = 0.02
UPRIGHT = np.array([0.5, 0, 0.3, 0, 0, 0, 1.0])


class Bench:
    """A command loop in simulated time, an arm that is where it is told to be, and a policy.

    Attributes:
        values: Where the arm is measured, in the order of the actions (or x y z and opening).
        pose: Of the end effector; None for an arm that is commanded by its joints.
        wanted: What the policy wants, one action.
        age: Of the measurement, by its stamp [s].
        times: When each of `values` was captured; None for all at once.
        sent: The positions or poses that were sent.
    """

    def __init__(self, space, limits, values, pose=None, leads=False, **config):
        self.now, self.age, self.steady = 100.0, 0.0, 0.0
        self.values, self.pose, self.times = np.array(values, float), pose, None
        self.wanted = np.zeros(len(space.names))
        self.sent, self.inbox, self.sent_at = [], [], -np.inf
        by_joints = space.kind == 'joint_position'
        self.fastest = limits.joints.max_velocity if by_joints else None
        self.loop = CommandLoop(space, limits, LoopConfig(**config), leads=leads)
        self.restart()

    def restart(self):
        """As when the node is activated."""
        self.loop.start(self.steady)
        self.obey('go')

    def obey(self, sentence):
        self.inbox.append(Told(sentence))

    def pause(self):
        self.inbox.append(StopAsked())

    def resume(self):
        self.inbox.append(ResumeAsked())

    @property
    def holding(self):
        return self.loop.view.holding

    def measured(self):
        """What the driver says now."""
        pose = None if self.pose is None else self.pose.copy()
        time = self.now - self.age if self.times is None else float(self.times.min())
        return Measured(self.values.copy(), time, pose, self.times)

    def step(self):
        """One command."""
        self.now += PERIOD
        self.steady += PERIOD
        events, self.inbox = [*self.inbox, self.measured()], []
        command = self.loop.step(Instant(self.now, self.steady, self.now), events)
        if command is not None and command.sends:
            self.sent.append(command.values if command.pose is None else command.pose)
            self.check_step()
        return command

    def run(self, seconds, move=lambda: None):
        """Predict and command; `move` moves the arm before each command."""
        first = len(self.sent)
        for step in range(round(seconds / PERIOD)):
            move()
            if step % 3 == 0:
                time = self.now + PERIOD
                chunk = ActionChunk(time, 0.05, np.tile(self.wanted, (16, 1)))
                self.inbox.append(Predicted(chunk, 'go'))
            self.step()
        sent = self.sent[first:]
        return np.array(sent).reshape(len(sent), 7 if self.fastest is None else len(self.fastest))

    def check_step(self):
        """No command is farther from the one before than the arm goes in the time between."""
        elapsed, self.sent_at = self.steady - self.sent_at, self.steady
        if len(self.sent) > 1 and self.fastest is not None:
            step = np.abs(self.sent[-1] - self.sent[-2])
            assert (step <= self.fastest * elapsed * (1 + 1e-6)).all()

    def follow(self):
        """The arm is where it was commanded to be."""
        if self.sent:
            self.values = np.array(self.sent[-1])


def so101(**config):
    """At rest, the jaw open; no encoder says exactly 0."""
    bench = Bench(JOINTS, SO101, [1e-9] * 5 + [0.5], **config)
    bench.wanted[:5] = 1e-9
    return bench


def panda():
    """A hand whose poses are commanded, standing upright in the workspace."""
    return Bench(TWIST, PANDA, [*UPRIGHT[:3], 0.04], UPRIGHT.copy(), leads=True)


def keep_up(bench):
    """The hand is where it was commanded to be."""
    bench.pose = np.array(bench.sent[-1] if bench.sent else bench.pose)
    bench.values[:3] = bench.pose[:3]
