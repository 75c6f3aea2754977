# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A third kind of action, added by one class: nobody else asks which kind an action is."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from arm_recordings import ARM, CAMERA, JOINTS, PERIOD, arm_policy, wanted, write_arm

from ros2_gridsampler.acting import action_kinds
from ros2_gridsampler.acting.action_chunk import ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.command_loop import CommandLoop
from ros2_gridsampler.acting.command_message import read_float64_multi_array
from ros2_gridsampler.acting.grip_watch import GripWatch
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import Instant, Measured, Predicted, Told
from ros2_gridsampler.acting.safety_filter import SafeCommand
from ros2_gridsampler.acting.state_belief import joint_parts
from ros2_gridsampler.bags.bag_reader import read_messages, read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter, build
from ros2_gridsampler.bags.observation_replay import StreamTopics
from ros2_gridsampler.datasets.episodes import ActionTopics, EpisodeConfig, store_episodes
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import Statistics

PACKAGE = Path(action_kinds.__file__).parents[1]


class VelocityMotion:
    """Velocities of joints, no faster than they may go, reached and left at their acceleration."""

    def __init__(self, limits):
        self._limits = limits
        self.watched = np.zeros(0, bool)
        self.grips = GripWatch(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
        self.parts = joint_parts(limits)
        self.reset(None)

    def plausible(self, targets):
        return bool((np.abs(targets) <= 2 * self._limits.max_velocity).all())

    def reset(self, state):
        self._last = np.zeros(len(self._limits.names))

    def admit(self, target, state, period, lag, since):
        top, step = self._limits.max_velocity, self._limits.max_acceleration * period
        near = np.clip(np.clip(target, -top, top), self._last - step, self._last + step)
        changed = tuple(
            f'velocity:{name}'
            for name, one, other in zip(self._limits.names, near, target, strict=True)
            if one != other
        )
        self._last = near
        return SafeCommand(near, changed, not near.any())

    def stop(self, period):
        return self.admit(np.zeros_like(self._last), None, period, 0.0, period)

    def copy(self):
        return copy.copy(self)

    def travel_time(self, values, state, from_rest=False):
        return 0.0


class JointVelocities(action_kinds.ActionKind):
    """How fast joints shall go [rad/s], [m/s]."""

    name = 'joint_velocity'
    of_joints = True
    velocities = True
    outputs = ('joint_position_array',)
    messages = ('std_msgs/msg/Float64MultiArray',)

    def motion(self, names, frame, limits, max_excess):
        return VelocityMotion(limits.joints.select(names))

    def scale(self, names, limits):
        return limits.joints.select(names).max_velocity

    def units(self, names, limits):
        return ('rad/s',) * len(names)

    def read(self, message, message_type, names, frame):
        return read_float64_multi_array(message, len(names))

    def standing(self, measured):
        return np.zeros(len(measured))


@pytest.fixture(autouse=True)
def third(monkeypatch):
    """The one thing that has to be done to add a kind."""
    kind = JointVelocities()
    monkeypatch.setattr(action_kinds, 'KINDS', {**action_kinds.KINDS, kind.name: kind})
    monkeypatch.setattr('ros2_gridsampler.acting.action_chunk.KINDS', action_kinds.KINDS)
    return ActionSpace(kind.name, JOINTS)


def policy_of(space):
    """It wants 0.1 rad/s of each joint."""
    config = arm_policy().config
    return Policy(
        dataclasses.replace(
            config, action_space=space, action_statistics=Statistics((0.1,) * 3, (1e-6,) * 3)
        )
    ).eval()


def test_nobody_compares_the_kind_of_an_action_but_what_serves_one_kind_only():
    """The naive node, the exercise and the simulated arm are made for kinds that they name."""
    made_for_it = {
        *('benchmarks/exercise.py', 'benchmarks/naive_reference_node.py'),
        'simulation/closed_loop.py',
    }
    asking = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob('*.py')
        if any(
            f'{space}.kind {how}= ' in path.read_text()
            for space in ('space', 'action_space')
            for how in '=!'
        )
    }
    assert asking == made_for_it


def test_its_checkpoint_is_read_as_it_was_written(third, tmp_path):
    save_checkpoint(policy_of(third), tmp_path / 'policy', training={}, results={})
    assert load_checkpoint(tmp_path / 'policy')[0].config.action_space == third


def test_the_command_loop_follows_it_inside_its_limits_and_stops_it(third):
    loop = CommandLoop(third, load_arm(ARM), LoopConfig())
    loop.start(0.0)
    limits = load_arm(ARM).joints.select(JOINTS)
    inbox, sent = [Told('go')], []
    for step in range(100):
        now = 100.0 + 0.02 * step
        inbox.append(Measured(wanted(100.0) + 0.001 * step, now))
        if step < 50 and step % 3 == 0:
            chunk = ActionChunk(now, PERIOD, np.full((8, 3), 1.5 * limits.max_velocity))
            inbox.append(Predicted(chunk, 'go'))
        command = loop.step(Instant(now, now, now), inbox)
        inbox = []
        sent.append(command.values)
    sent = np.array(sent)
    assert (np.abs(sent) <= limits.max_velocity).all()
    assert (sent[40] > 0.9 * np.minimum(limits.max_velocity, 0.02 * limits.max_acceleration)).all()
    assert (np.abs(np.diff(sent, axis=0)) <= 0.0201 * limits.max_acceleration).all()
    np.testing.assert_array_equal(sent[-1], 0)


@pytest.fixture
def bag(third, tmp_path):
    """The recorded arm, whose operator commands velocities."""
    write_arm(tmp_path / 'positions')
    with BagWriter(tmp_path / 'bag') as writer:
        for recorded in read_messages(tmp_path / 'positions'):
            if recorded.topic == '/arm/joint_trajectory':
                layout = build('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
                message = build(
                    'std_msgs/msg/Float64MultiArray', layout=layout, data=np.full(3, 0.1)
                )
                writer.write('/arm/velocities', message, recorded.time)
            else:
                writer.write(recorded.topic, recorded.message, recorded.time)
    return tmp_path / 'bag'


def test_a_recording_of_it_is_evaluated(third, bag):
    policy = policy_of(third)
    evaluation = evaluate_bag(
        bag,
        [Contestant('velocities', policy, policy.config, {})],
        map_topics(read_topics(bag), policy.config, TopicChoice(action='/arm/velocities')),
        load_arm(ARM),
        EvaluationConfig(),
        clock=lambda: 0.0,
    )
    assert evaluation.units == ('rad/s',) * 3
    assert evaluation.report['mean_absolute_error_overall']['policy'] < 1e-5
    # Standing is to command no velocity.
    still = evaluation.report['mean_absolute_error_by_action']['hold_state']
    assert list(still.values()) == pytest.approx([0.1] * 3)
    assert evaluation.report['holds']['commands']['FOLLOWING'] > 100
    json.dumps(evaluation.report)


def test_a_recording_of_it_is_read_for_training(third, bag, tmp_path):
    config = EpisodeConfig(
        observation=policy_of(third).config.observation,
        topics=StreamTopics({'front': CAMERA}),
        labels=ActionTopics('/arm/velocities'),
        action_space=third,
        steps=5,
        period=PERIOD,
    )
    store = store_episodes([bag], config, tmp_path / 'cache')
    assert len(store) > 50
    np.testing.assert_allclose(store.chunks[:50], 0.1, rtol=1e-6)
    # When the operator has gone, the arm stands.
    np.testing.assert_array_equal(store.chunks[-1, -1], 0)


def test_it_is_sent_as_it_says_it_can_be(third):
    choose_output = pytest.importorskip('ros2_gridsampler.nodes.command_outputs').choose_output
    assert choose_output('', third) == 'joint_position_array'
    with pytest.raises(ValueError, match='joint_velocity, which cannot be sent as .twist.'):
        choose_output('twist', third)
