# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Two arms in one domain, each in its namespace: nothing crosses, and what is missing is named."""

import numpy as np
import pytest
import torch
import yaml
from policies import joint_policy, tiny_policy

from ros2_gridsampler.policy.checkpoint import save_checkpoint

NODE = 'ros2_gridsampler.nodes.policy_node'
PARAMETERS = {
    'arm': 'panda',
    # Relative, like every topic that is an arm's own.
    'camera_topics': '[front/image, wrist/image]',
    'gripper_joints': '[finger]',
    'backend': 'eager',
    'camera_silence_timeout': 1.0,
    # A machine that is busy with other things is no fault of an arm.
    'streams__max_skew': 0.4,
}
JOINTS = ('shoulder', 'elbow', 'jaw')


def write_arm(path):
    limits = {
        'unit': 'rad',
        'min_position': -2.0,
        'max_position': 2.0,
        'max_velocity': 1.0,
        'max_acceleration': 10.0,
        'max_jerk': 100.0,
    }
    content = {
        'name': 'parts',
        'base_frame': 'base',
        'source': 'made up',
        'joints': {joint: limits for joint in JOINTS},
        'end_effector': None,
        'gripper': None,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def start_arm(start_node, tmp_path):
    """Starts the policy node of an arm: a tiny policy that goes up at about 0.1 m/s."""
    policy = tiny_policy()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})

    def start(namespace):
        remappings = ('-r', f'__ns:={namespace}', '-r', f'~/instruction:={namespace}/instruction')
        return start_node(NODE, *remappings, policy=tmp_path / 'policy', **PARAMETERS)

    return start


@pytest.fixture
def heard(watcher):
    """Arm -> twists and gripper openings that were commanded, and its newest diagnostics."""
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import ALL
    from std_msgs.msg import Float64MultiArray

    found = {arm: {'twists': [], 'openings': [], 'says': ''} for arm in ('/left', '/right')}
    for arm, of in found.items():
        watcher.node.create_subscription(
            TwistStamped,
            f'{arm}/policy_node/twist_command',
            lambda message, of=of: of['twists'].append(message.twist.linear.z),
            ALL,
        )
        watcher.node.create_subscription(
            Float64MultiArray,
            f'{arm}/policy_node/gripper_command',
            lambda message, of=of: of['openings'].append(message.data[0]),
            ALL,
        )

    def take(message):
        status = message.status[0]
        found[status.name.removesuffix('/policy_node')]['says'] = status.message

    watcher.node.create_subscription(DiagnosticArray, '/diagnostics', take, ALL)
    return found


def test_nothing_of_one_arm_reaches_the_other_and_a_silent_one_waits(start_arm, watcher, heard):
    from ros_watcher import FakeArm

    nodes = {name: start_arm(name) for name in ('/left', '/right')}
    left, right = FakeArm(watcher, namespace='/left'), FakeArm(watcher, namespace='/right')
    left.joint_positions, right.joint_positions = [0.04, 0.1], [0.01, 0.7]
    # The right arm's driver of joints is not there; its cameras and its pose are.
    watcher.node.destroy_publisher(right.joints)
    right.joints = watcher.node.create_publisher(*_elsewhere())
    left.say('Lift the cup.')
    watcher.until(lambda: len(heard['/left']['twists']) > 50, nodes['/left'])
    watcher.until(lambda: 'nobody publishes' in heard['/right']['says'], nodes['/right'])
    said = heard['/right']['says']
    assert 'Joint states: nobody publishes /right/joint_states; start the driver or set' in said
    assert '/left/joint_states' in said, 'what is there is named'
    assert not heard['/right']['twists'], 'it never learned where its own arm is'
    watcher.until(lambda: max(heard['/left']['twists']) > 0.05, nodes['/left'])
    # Now it comes, and stands otherwise than the other one.
    watcher.node.destroy_publisher(right.joints)
    right.joints = watcher.node.create_publisher(*_elsewhere('/right/joint_states'))
    watcher.until(lambda: len(heard['/right']['openings']) > 50, nodes['/right'])
    assert heard['/right']['openings'] == pytest.approx([0.01] * len(heard['/right']['openings']))
    assert not np.any(heard['/right']['twists']), 'what the other arm was told is not for it'
    right.say('Lift the cup.')
    left.say('')
    watcher.until(lambda: heard['/right']['twists'][-1] > 0.05, nodes['/right'])
    watcher.until(lambda: not np.any(heard['/left']['twists'][-3:]), nodes['/left'])
    assert [node.end() for node in nodes.values()] == [0, 0]


def test_a_joint_that_never_comes_is_named_with_those_that_do(start_arm, watcher, heard):
    from ros_watcher import FakeArm

    node = start_arm('/left')
    arm = FakeArm(watcher, namespace='/left')
    arm.joint_names = ['left_finger', 'other']
    arm.say('Lift the cup.')
    watcher.until(lambda: 'no position of' in heard['/left']['says'], node)
    said = heard['/left']['says']
    assert "no position of ['finger'] has come on /left/joint_states" in said
    assert "where there are ['left_finger', 'other']" in said
    assert not heard['/left']['twists']
    assert 'waiting for joint states on /left/joint_states and end-effector pose' in node.text
    assert node.end() == 0


def _elsewhere(topic='/elsewhere'):
    from sensor_msgs.msg import JointState

    from ros2_gridsampler.nodes.topics import EVERY

    return JointState, topic, EVERY


def test_joints_in_parts_a_prefix_and_a_gripper_on_its_own_topic_drive_an_arm(
    start_node, tmp_path, watcher
):
    from ros_watcher import ALL, FakeArm
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64
    from trajectory_msgs.msg import JointTrajectory

    from ros2_gridsampler.nodes.topics import EVERY

    policy = joint_policy(JOINTS, (0.3, -0.4, 0.02))
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    node = start_node(
        NODE,
        '-r',
        '~/instruction:=/instruction',
        policy=tmp_path / 'policy',
        arm=write_arm(tmp_path / 'arm.yaml'),
        camera_topics='[front/image, wrist/image]',
        backend='eager',
        joint_names='[elbow=elbow_joint]',
        joint_prefix='left_',
        separate_joints='[jaw]',
        gripper_state_topic='gripper',
        gripper_state_type='float64',
        streams__max_skew=0.4,
    )
    arm = FakeArm(watcher)
    # Shoulder and elbow each in a message of its own, beside what the other arm is called.
    arm.joint_names, arm.joint_positions = ['left_shoulder', 'elbow'], [0.3, 9.0]
    elbow = watcher.node.create_publisher(JointState, '/joint_states', EVERY)
    jaw = watcher.node.create_publisher(Float64, '/gripper', EVERY)
    speaks = {'elbow': True, 'jaw': False}

    def publish():
        message = JointState(name=['left_elbow_joint'], position=[-0.4])
        message.header.stamp = arm.now()
        if speaks['elbow']:
            elbow.publish(message)
        if speaks['jaw']:
            jaw.publish(Float64(data=0.02))

    watcher.node.create_timer(0.03, publish)
    trajectories = watcher.collect(JointTrajectory, '/policy_node/joint_trajectory', ALL)
    openings = watcher.collect(*_numbers('/policy_node/gripper_command'), ALL)
    arm.say('Hold still.')
    watcher.until(lambda: "joint states of ['left_jaw']" in node.text, node)
    assert not trajectories
    speaks['jaw'] = True
    watcher.until(lambda: len(trajectories) > 20 and len(openings) > 20, node)
    for message in trajectories[:5]:
        assert message.joint_names == ['left_shoulder', 'left_elbow_joint']
        assert message.points[0].positions == pytest.approx([0.3, -0.4], abs=0.05)
    assert openings[0].data[0] == pytest.approx(0.02, abs=1e-3)
    watcher.until(lambda: '-> FOLLOW' in node.text, node)
    speaks['elbow'] = False
    watcher.until(lambda: "joint states of ['left_elbow_joint'] is" in node.text, node)
    assert node.end() == 0
    assert 'Traceback' not in node.text


def _numbers(topic):
    from std_msgs.msg import Float64MultiArray

    return Float64MultiArray, topic
