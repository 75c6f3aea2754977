# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node drives an arm with a lerobot checkpoint, with the safety of our own."""

import dataclasses
import json
import os

import numpy as np
import pytest

os.environ.setdefault('HF_HUB_OFFLINE', '1')
pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
import lerobot_policies as small
from test_plugins_lerobot import folder_of

from ros2_gridsampler.vla.lerobot import SamplerPlan
from ros2_gridsampler.vla.lerobot_policy import adopt
from ros2_gridsampler.vla.robot import Units

pytestmark = pytest.mark.filterwarnings('ignore')
NODE = 'ros2_gridsampler.nodes.policy_node'
LONGEST = 280.0  # lerobot takes its time to be imported
JOINTS = ('finger', 'other', 'toe')


@pytest.mark.parametrize('kind', ['smolvla', 'act'])
@pytest.mark.timeout(600)
def test_a_lerobot_checkpoint_moves_the_arm_and_is_ended_safely(
    kind, tmp_path, watcher, start_node
):
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import FakeArm
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import String

    from ros2_gridsampler.nodes.topics import LATCHED

    vlm = small.language_model(tmp_path / 'vlm')
    folder = folder_of(kind, vlm, tmp_path / 'policy', SamplerPlan(2))
    robot = dataclasses.replace(
        small.robot(str(vlm) if kind == 'smolvla' else ''),
        resolution=(96, 72),
        joints=JOINTS,
        action=Units.same(7, 0.5),
    )
    adopt(folder, robot)
    arm = FakeArm(watcher)
    arm.joint_names, arm.joint_positions = list(JOINTS), [0.02, 0.1, 0.2]
    twists = watcher.collect(TwistStamped, '/policy_node/twist_command')
    pictures = watcher.collect(CompressedImage, '/policy_node/sampled_points')
    about = watcher.collect(String, '/policy_node/policy', LATCHED)
    node = start_node(
        NODE,
        *('-r', '~/instruction:=/instruction'),
        policy=folder,
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
    )
    arm.say('pick up the bowl')

    def speeds():
        parts = [(m.twist.linear, m.twist.angular) for m in twists]
        return np.array([[v for p in pair for v in (p.x, p.y, p.z)] for pair in parts])

    watcher.until(lambda: len(twists) > 20 and speeds()[-20:].any() and pictures, node, LONGEST)
    known = json.loads(about[-1].data)
    assert known['tokens per camera'] == 2
    assert known['cameras'] == ['front', 'wrist']
    assert node.end() == 0
    watcher.spin(0.3)
    found = speeds()
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 1e-4
    assert not found[-1].any(), 'the last command moves the arm'
