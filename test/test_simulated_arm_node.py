# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm behaves as a robot: fresh streams, obedience, and a hold when left alone."""

import importlib.util
import json

import numpy as np
import pytest

from ros2_gridsampler.acting.command_message import fill_twist, read_pose
from ros2_gridsampler.seeing.camera_message import decode_image, stamp_seconds

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('libero') is None,
    reason='LIBERO is not installed; pip install .[sim]',
)
SCENE_TIMEOUT = 200.0


def test_the_arm_obeys_holds_when_commands_stop_and_goes_on_by_a_service(watcher, start_node):
    from geometry_msgs.msg import PoseStamped, TwistStamped
    from ros_watcher import ALL
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import String
    from std_srvs.srv import Trigger

    from ros2_gridsampler.nodes.topics import LATCHED, NEWEST_RELIABLE

    node = watcher.node
    stamps, arrivals, poses = [], [], []

    def now():
        return node.get_clock().now().nanoseconds * 1e-9

    def take(message):
        poses.append(read_pose(message, 'panda_link0'))
        stamps.append(stamp_seconds(message.header.stamp))
        arrivals.append(now())

    node.create_subscription(PoseStamped, '/end_effector_pose', take, ALL)
    pictures = watcher.collect(CompressedImage, '/wrist/image_raw/compressed')
    sentences = watcher.collect(String, '/instruction', LATCHED)
    twists = node.create_publisher(TwistStamped, '/arm/twist_command', NEWEST_RELIABLE)
    wanted, frame = np.zeros(6), 'panda_link0'

    def send():
        message = TwistStamped()
        fill_twist(message, wanted, frame, now())
        if spoiled:
            message.twist.linear.x = float('nan')
        twists.publish(message)

    spoiled = False
    arm = start_node(
        'ros2_gridsampler.nodes.simulated_arm_node', tasks='[0]', episodes_per_task=2, pause=0.0
    )
    watcher.until(lambda: len(poses) > 5 and pictures and sentences, arm, SCENE_TIMEOUT)
    assert 'bowl' in sentences[0].data
    assert decode_image(pictures[-1]).shape == (128, 128, 3)
    assert stamps == sorted(stamps)
    assert all(stamp <= arrival for stamp, arrival in zip(stamps, arrivals, strict=True))

    begin = poses[-1]
    wanted = np.array([0, 0, 0.1, 0, 0, 0])
    timer = node.create_timer(0.02, send)
    watcher.until(lambda: poses[-1][2] > begin[2] + 0.05, arm)
    assert poses[-1][:2] == pytest.approx(begin[:2], abs=0.02)
    for spoil in ('nothing is sent', 'not a number', 'another frame'):
        spoiled, frame = spoil == 'not a number', 'world' if spoil == 'another frame' else frame
        if spoil == 'nothing is sent':
            timer.cancel()
        else:
            timer.reset()
        seen = len(poses)
        watcher.until(lambda seen=seen: len(poses) > seen + 15, arm)
        held = poses[-1]
        watcher.until(lambda seen=seen: len(poses) > seen + 30, arm)
        assert poses[-1][:3] == pytest.approx(held[:3], abs=2e-3), spoil
    answer = watcher.call(Trigger, '/simulated_arm/reset', Trigger.Request(), arm)
    assert answer.success
    assert json.loads(answer.message)['index'] == 1
    watcher.until(lambda: poses[-1][2] < begin[2] + 0.03, arm)
    assert arm.end() == 0


def test_a_task_that_does_not_exist_is_refused_with_a_sentence(start_node):
    arm = start_node('ros2_gridsampler.nodes.simulated_arm_node', tasks='[99]')
    assert arm.wait(SCENE_TIMEOUT) == 1
    assert 'Traceback' not in arm.text
    assert '99' in arm.text
