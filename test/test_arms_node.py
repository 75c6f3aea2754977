# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Each arm of arms/ is driven over DDS, behind a stand-in for its driver, as it is launched.

No real arm was at hand. The stand-ins have the names, orders, rates and QoS of the drivers' public
configuration:

- UR: ur_robot_driver/config/ur_controllers.yaml and ur5e_update_rate.yaml of
  UniversalRobots/Universal_Robots_ROS2_Driver, branch jazzy at a16a268; joint_state_broadcaster of
  ros-controls/ros2_controllers, branch jazzy at ed360c9. The order of the joints is that which
  users see (Universal_Robots_ROS_Driver#619, #173): by the alphabet. Of a protective stop: the
  program pauses (doc/usage/startup.rst), and controller_stopper deactivates the controllers until
  it runs again (doc/controller_stopper.rst).
- FR3: franka_bringup/launch/franka.launch.py and config/controllers.yaml of
  frankarobotics/franka_ros2 at 43357d1: joint_state_publisher merges what the arm says, 30 times a
  second; an arm behind gains of p = 600 and d = 30 is about d / p late.
- SO-101: so101_bringup/config/ros2_control/follower_controllers.yaml and
  launch/follower.launch.py of legalaspro/so101-ros-physical-ai at 58318c9. How late its servos are
  is a guess.
- MoveIt Servo: moveit_ros/moveit_servo of moveit/moveit2 at 8fcb5d2 (src/servo_node.cpp for
  topics, QoS and stale twists); the pose as tcp_pose_broadcaster of ur_controllers.yaml says it.
- xArm 6: xarm_controller/config/xarm6_controllers.yaml of xArm-Developer/xarm_ros2, branch jazzy
  at 0417b0f. The order is one that users see of six joints of these names
  (ros2_controllers#159).
"""

import numpy as np
import pytest
from launch_parts import ARMS, controllers, of_arm, parts_of
from policies import joint_policy, twist_policy

from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.training.recipe import load_recipe

UR5E = [f'{joint}_joint' for joint in ('shoulder_pan', 'shoulder_lift', 'elbow')]
UR5E += [f'wrist_{number}_joint' for number in (1, 2, 3)]
KNUCKLE = 'robotiq_85_left_knuckle_joint'


def drivers():
    """Robot -> what the public configuration of its driver says."""
    from driver_stand_in import Driver

    fr3 = [f'fr3_joint{number}' for number in range(1, 8)]
    so101 = ['shoulder_pan', 'shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll', 'gripper']
    xarm6 = [f'joint{number}' for number in (2, 3, 1, 4, 5, 6)]
    of_ur = {'states': {'/joint_states': (sorted([*UR5E, KNUCKLE]), 500.0)}, 'update_rate': 500.0}
    gripper = {name: of for name, of in controllers('ur5e').items() if 'gripper' in name}
    servo = of_arm('ur5e_servo', 'servo.yaml')['servo_node']['ros__parameters']['moveit_servo']
    return {
        'ur5e': Driver(controllers('ur5e'), **of_ur),
        'ur5e_servo': Driver(
            gripper, **of_ur, pose=('/tcp_pose_broadcaster/pose', 'base', 500.0), servo=servo
        ),
        'fr3': Driver(controllers('fr3'), {'/joint_states': (fr3, 30.0)}, 1000.0, lag=0.05),
        'so101': Driver(
            controllers('so101'),
            {'/follower/joint_states': (so101, 100.0)},
            100.0,
            namespace='/follower',
            lag=0.05,
        ),
        'xarm6': Driver(controllers('xarm6'), {'/joint_states': (xarm6, 150.0)}, 150.0),
    }


@pytest.fixture
def drive(start_node, watcher, tmp_path, monkeypatch):
    """Starts the policy node on an arm by its launch file: node, driver, goal of each joint."""
    from driver_stand_in import StandIn
    from ros_watcher import FakeArm

    def begin(robot, way=0.0):
        # In the order of the recipe, which is not that of the driver.
        space = load_recipe(ARMS / robot / 'recipe.yaml').episodes.action_space
        # A machine that is busy with other things is no fault of an arm: long chunks.
        if space.means.of_joints:
            start = of_arm(robot, 'start.yaml')
            at = dict(zip(start['joint_names'], start['points'][0]['positions'], strict=True))
            positions = {joint: at.get(joint, 0.1) for joint in space.names}
            ways = np.linspace(way / len(positions), way, len(positions))
            there = np.array([*positions.values()]) + ways
            goal = dict(zip(positions, there.tolist(), strict=True))
            policy = joint_policy(space.names, there.tolist(), steps=40)
        else:
            positions, goal = dict.fromkeys([*UR5E, KNUCKLE], 0.1), {KNUCKLE: 0.8 * 0.045 / 0.085}
            policy = twist_policy(space.frame, KNUCKLE, (0.0, 0.0, 0.05), 0.04)
        save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
        node = parts_of(monkeypatch)(
            'policy',
            robot=str(ARMS / robot),
            policy=str(tmp_path / 'policy'),
            camera_topics='/front/image,/wrist/image',
            backend='eager',
            instruction='Go.',
        )[-1]
        cameras = FakeArm(watcher)
        cameras.muted = {'joints', 'pose'}
        for publisher in (cameras.joints, cameras.pose):
            watcher.node.destroy_publisher(publisher)
        driver = StandIn(watcher, robot, drivers()[robot], positions, cameras)
        remapped = [word for pair in node.remappings for word in ('-r', ':='.join(pair))]
        # What a busy machine does to its messages and threads is no fault of an arm.
        budgets = {'max_age': 2.0, 'max_ahead': 2.0, 'max_skew': 2.0, 'frozen_time': 10.0}
        patience = {f'streams__{name}': value for name, value in budgets.items()}
        patience |= {'watchdog_timeout': 5.0, 'clock_patience': 5.0, 'use_sim_time': True}
        parameters = {**node.parameters[0], **patience}
        return (
            start_node('ros2_gridsampler.nodes.policy_node', *remapped, **parameters),
            driver,
            goal,
        )

    return begin


def reached(driver, goal):
    return all(abs(driver.positions[joint] - to) < 0.045 for joint, to in goal.items())


@pytest.mark.parametrize('robot', ['ur5e', 'fr3', 'so101', 'xarm6'])
def test_an_arm_goes_where_its_policy_wants_it_joint_by_joint(drive, watcher, robot):
    node, driver, goal = drive(robot, 0.4)
    assert not reached(driver, goal)
    watcher.until(lambda: reached(driver, goal), node)
    for joints, model in driver.parts:
        # Positions are obeyed when they come, a little early or late.
        window, allowed = (0.02, 1.1) if hasattr(model, 'cancel') else (0.1, 1.3)
        assert driver.fastest(joints, window) < allowed
    assert not driver.refused
    # Long enough for the node to have asked the controllers what they are.
    watcher.spin(1.0)
    assert node.end() == 0
    assert ' goes to /' not in node.text, 'a controller that cannot follow would be named'
    assert 'Traceback' not in node.text


def test_the_hand_of_a_ur_goes_by_twists_in_its_base_and_stops_when_they_do(drive, watcher):
    node, driver, goal = drive('ur5e_servo')
    begun = driver.pose
    watcher.until(lambda: driver.pose[2] > begun[2] + 0.05 and reached(driver, goal), node)
    assert {message.header.frame_id for message in driver.twists} == {'base'}
    assert driver.pose[:2] == pytest.approx(begun[:2], abs=0.01)
    assert node.end() == 0
    stood = driver.pose
    watcher.spin(2.0)
    assert driver.pose == pytest.approx(stood, abs=1e-3)
    assert 'Traceback' not in node.text


def test_a_protective_stop_and_freedrive_of_a_ur_end_without_a_jump(drive, watcher):
    node, driver, goal = drive('ur5e', 0.6)
    begun = dict(driver.positions)
    far = 'wrist_3_joint'
    watcher.until(lambda: driver.positions[far] > begun[far] + 0.05, node)
    # The program pauses: the arm stands, and its controllers are deactivated.
    driver.switch(active=False)
    driver.frozen = True
    watcher.until(lambda: 'behind its command' in node.text, node)
    stood = dict(driver.positions)
    driver.frozen = False
    driver.track.clear()
    driver.switch(active=True)
    watcher.until(lambda: reached(driver, goal), node)
    assert stood[far] < goal[far] - 0.1, 'it was stopped on its way'
    assert driver.fastest(UR5E) < 1.1
    # Freedrive: only one controller may have the joints, and a hand moves the elbow.
    driver.switch(active=False)
    held = len(node.text)
    driver.hand = {'elbow_joint': -0.4}
    watcher.until(lambda: driver.positions['elbow_joint'] < goal['elbow_joint'] - 0.6, node)
    driver.hand = {'elbow_joint': 0.0}
    watcher.until(lambda: 'FOLLOW -> HOLD' in node.text[held:], node)
    driver.hand = {}
    driver.track.clear()
    driver.switch(active=True)
    watcher.until(lambda: reached(driver, goal), node)
    assert driver.fastest(UR5E) < 1.1
    assert node.end() == 0
    assert 'Traceback' not in node.text
