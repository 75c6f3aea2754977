# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A session of the live node, recorded and evaluated: the same commands, state by state."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from policies import tiny_policy

pytest.importorskip('rclpy')

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.seeing.stream_health import Rung, StreamBudget

NODE = 'ros2_gridsampler.nodes.policy_node'
COMMANDS, GRIPPER = '/policy_node/twist_command', '/policy_node/gripper_command'
# What is published here comes late on a busy machine.
STREAMS = StreamBudget(max_skew=0.4)
# Between what the node and the recorder hear on a busy machine; pictures come every 50 ms [s].
REACH = 0.4


class Session:
    """Writes what passes on the topics, at the time when it is heard, as a recorder does."""

    def __init__(self, watcher, path):
        from geometry_msgs.msg import PoseStamped, TwistStamped
        from ros_watcher import ALL, EVERY
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import Float64MultiArray, String

        self._now = lambda: watcher.node.get_clock().now().nanoseconds * 1e-9
        self._bag = BagWriter(path)
        for topic, kind in (
            ('/front/image', Image),
            ('/wrist/image', Image),
            ('/joint_states', JointState),
            ('/end_effector_pose', PoseStamped),
            ('/instruction', String),
            (COMMANDS, TwistStamped),
            (GRIPPER, Float64MultiArray),
        ):
            # An arm may say where it is best effort.
            qos = EVERY if topic in ('/joint_states', '/end_effector_pose') else ALL
            watcher.node.create_subscription(kind, topic, self._writes(topic, kind), qos)

    def __enter__(self):
        self._bag.__enter__()
        return self

    def __exit__(self, *error):
        self._bag.__exit__(*error)

    def _writes(self, topic, kind):
        from rclpy.serialization import serialize_message

        name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
        return lambda message: self._bag.write_serialised(
            topic, name, serialize_message(message), self._now()
        )


def steady_policy():
    """It wants 0.1 m/s upwards, whatever it sees, for two seconds."""
    policy = Policy(dataclasses.replace(tiny_policy().config, steps=40)).eval()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 1e-6
    return policy


def test_a_recorded_session_replays_to_the_same_commands_state_by_state(
    start_node, tmp_path, watcher
):
    from ros_watcher import FakeArm

    policy = steady_policy()
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    arm = FakeArm(watcher)
    with Session(watcher, tmp_path / 'session'):
        watcher.spin(1.0)
        node = start_node(
            NODE,
            *('-r', '~/instruction:=/instruction'),
            policy=tmp_path / 'policy',
            arm='panda',
            camera_topics='[/front/image, /wrist/image]',
            gripper_joints='[finger]',
            backend='eager',
            streams__max_skew=STREAMS.max_skew,
        )
        arm.say('Lift the cup.')
        watcher.until(lambda: '-> FOLLOW' in node.text, node)
        for spoil, seconds in (
            (lambda: arm.muted.add('wrist'), 2.5),
            (arm.muted.clear, 2.0),
            (lambda: arm.muted.add('joints'), 1.5),
            (arm.muted.clear, 2.0),
            (lambda: arm.say(''), 1.0),
            (lambda: arm.say('Lift the cup.'), 1.5),
        ):
            spoil()
            watcher.spin(seconds)
    assert node.end() == 0

    contestant = Contestant('live', policy, policy.config, {})
    topics = map_topics(
        read_topics(tmp_path / 'session'),
        policy.config,
        TopicChoice(action=COMMANDS, gripper=GRIPPER, gripper_joints=('finger',)),
    )
    evaluation = evaluate_bag(
        tmp_path / 'session',
        [contestant],
        topics,
        load_arm(find('calibration', 'panda.yaml')),
        EvaluationConfig(latency_ms=20.0, streams=STREAMS),
        clock=lambda: 0.0,
    )
    # A busy machine may bring the arm onto the tail for a moment, here or there.
    told = re.findall(r'\[(\d+\.\d+)\] \[policy_node\]: .*(-> HOLD|HOLD -> \w+): ', node.text)
    begun = float(told[0][0])
    # Before it, the node was not there yet, and the recording was.
    replayed = [
        (time, '-> HOLD' if step.after is Rung.HOLD else f'HOLD -> {step.after.name}')
        for time, step in evaluation.scores[0].loop.transitions
        if time > begun + REACH and Rung.HOLD in (step.before, step.after)
    ]
    assert [step for _, step in told] == ['HOLD -> FOLLOW', *['-> HOLD', 'HOLD -> FOLLOW'] * 3]
    assert [step for _, step in replayed] == [step for _, step in told[1:]]
    for (mine, _), (live, _) in zip(replayed, told[1:], strict=True):
        assert mine == pytest.approx(float(live), abs=REACH)
    rows = evaluation.curves[evaluation.curves[:, 0] > begun + 2 * REACH]
    times, live = rows[:, 0], rows[:, 3]
    replayed = rows[:, 3 + len(policy.config.action_space.names)]
    assert len(rows) > 200
    for mine, other in ((live, replayed), (replayed, live)):
        for time, value in zip(times, mine, strict=True):
            near = other[np.abs(times - time) < REACH]
            assert near.min() - 1e-3 <= value <= near.max() + 1e-3, time
    assert np.mean(live > 0.09) > 0.3
    assert np.mean(np.abs(live) < 1e-3) > 0.1
