# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The models of controllers do what the public source says, point by point.

Sources, by file, function and line at a commit:

- JTC: github.com/ros-controls/ros2_controllers, aacd842600a09d556b983ac3d53a0983e9ebcbb1 (4.42.1,
  of ROS 2 Jazzy), joint_trajectory_controller/src/joint_trajectory_controller.cpp
- TRAJECTORY: there, joint_trajectory_controller/src/trajectory.cpp
- FORWARD: there, forward_command_controller/src/forward_controllers_base.cpp
- SERVO: github.com/moveit/moveit2, 8fcb5d2327767af3c764b1348a69a9b74c5efd18,
  moveit_ros/moveit_servo/src/servo_node.cpp and src/utils/command.cpp
"""

import shutil

import numpy as np
import pytest
from command_bench import PERIOD as STEP
from command_bench import SO101, so101
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.benchmarks.controller_models import (
    ForwardController,
    Servo,
    TrajectoryController,
)

PERIOD = 0.01
ARM = np.array([0.0])


def controller(measured=ARM, period=PERIOD, **options):
    """Active, and holding for a while where the arm is."""
    made = TrajectoryController(period, **options)
    made.activate(measured)
    for _ in range(3):
        made.update(measured)
    return made


def positions(made, measured, count):
    return [float(made.update(measured)[0]) for _ in range(count)]


def test_a_point_is_reached_in_a_straight_line_from_the_measured_arm():
    # JTC update, 300-313: without interpolate_from_desired_state the point before the message is
    # (time, state_current_); 327-329: what is sent is sampled one update ahead. TRAJECTORY
    # interpolate_between_points, 315-330: a line where there are no velocities.
    made = controller()
    made.take(np.array([1.0]), 0.1)
    moved = positions(made, np.array([0.5]), 12)
    np.testing.assert_allclose(moved[:10], 0.5 + 0.05 * np.arange(1, 11))
    # TRAJECTORY sample, 208-237: behind its end the last point is what is wanted.
    assert moved[10:] == [1.0, 1.0]


def test_from_the_desired_state_the_first_update_goes_twice_the_way():
    # JTC update, 300-308: the point before is (last_commanded_time_, last_commanded_state_), and
    # 451-453: that state is the one for one update after that time.
    made = controller(from_desired=True)
    made.take(np.array([1.0]), 0.1)
    moved = positions(made, np.array([0.5]), 11)
    np.testing.assert_allclose(moved, [*(np.arange(2, 12) / 11), 1.0])


def test_a_new_message_replaces_the_one_before_from_its_next_update_on():
    # JTC update, 275-283: current_trajectory_->update(new); topic_callback, 1385-1398.
    made = controller(from_desired=True)
    made.take(np.array([1.0]), 0.1)
    positions(made, ARM, 4)
    before = made.command
    made.take(np.array([-1.0]), 0.1)
    assert made.command is before
    assert positions(made, ARM, 1)[0] < before[0]


def test_a_time_from_start_shorter_than_an_update_is_a_jump():
    # TRAJECTORY sample, 148: past the first point's time there is nothing to interpolate.
    made = controller()
    made.take(np.array([1.0]), PERIOD / 2)
    assert positions(made, ARM, 1) == [1.0]


def test_activation_holds_the_measured_arm_or_what_the_hardware_was_told_last():
    # JTC on_activate, 1207-1208: states are read; 1210-1218: where
    # set_last_command_interface_value_as_state_on_activation (true by default) and the command
    # interface holds numbers, these; 1228: add_new_trajectory_msg(set_hold_position()).
    made = TrajectoryController(PERIOD)
    assert made.update(np.array([0.3])) is None
    made.activate(np.array([0.3]))
    assert positions(made, np.array([0.4]), 2) == [0.3, 0.3]
    made.deactivate()
    made.activate(np.array([0.7]))
    assert positions(made, np.array([0.7]), 1) == [0.3]
    measured = TrajectoryController(PERIOD, last_command_as_state=False)
    measured.command = np.array([0.3])
    measured.activate(np.array([0.7]))
    assert positions(measured, np.array([0.7]), 1) == [0.7]


def test_an_inactive_one_leaves_the_last_command_and_keeps_no_message():
    # JTC on_deactivate, 1273-1286: the position command is written again as it is; topic_callback,
    # 1394: a message counts only while subscriber_is_active_; on_activate, 1202.
    made = controller()
    made.take(np.array([1.0]), 0.1)
    positions(made, ARM, 5)
    made.deactivate()
    made.take(np.array([-5.0]), 0.1)
    left = positions(made, np.array([9.0]), 3)
    assert len(set(left)) == 1
    made.activate(np.array([9.0]))
    assert positions(made, np.array([9.0]), 3) == pytest.approx(left)


def test_a_cancelled_goal_is_a_hold_at_the_measured_arm():
    # JTC goal_cancelled_callback, 1446-1449, and set_hold_position, 1840-1850: state_current_.
    made = controller()
    made.take(np.array([1.0]), 0.1)
    positions(made, ARM, 5)
    made.cancel(np.array([0.2]))
    assert positions(made, np.array([0.2]), 3) == [0.2] * 3


def test_a_stream_of_points_is_a_sawtooth_from_a_lagging_arm_and_none_from_the_desired_state():
    # What a real one did, on GenericSystem with a lag of 50 ms and a command of 1 rad/s at 50 Hz:
    # 11.8 rad/s by default, 3.4 from the desired state, 13.5 of a forward controller. The model
    # has an update rate of 100 Hz and no late messages, so it is calmer.
    def fastest(made):
        made.activate(ARM)
        arm, before, worst = ARM, ARM, 0.0
        for tick in range(200):
            if tick % 2 == 0:
                made.take(np.array([0.01 * tick]), 0.02)
            told = made.update(arm)
            told = before if told is None else told
            worst = max(worst, abs(float((told - before)[0])) / 0.01 if tick > 100 else 0.0)
            arm, before = told + (arm - told) * np.exp(-0.01 / 0.05), told
        return worst

    assert fastest(TrajectoryController(0.01)) > 3.0
    assert fastest(TrajectoryController(0.01, from_desired=True)) < 1.5
    assert fastest(ForwardController()) == pytest.approx(2.0)


@given(
    st.floats(-3, 3), st.floats(-3, 3), st.floats(0.02, 5), st.booleans(), st.sampled_from([1, 5])
)
def test_the_hardware_is_never_faster_than_the_way_over_time_from_start(
    arm, goal, due, from_desired, milliseconds
):
    period = milliseconds * 1e-3
    arm = np.array([arm])
    made = controller(arm, period, from_desired=from_desired)
    made.take(np.array([goal]), due)
    moved = np.diff([float(arm[0]), *positions(made, arm, 40)])
    # The first update from the desired state covers two.
    most = abs(goal - arm[0]) / due * period * (2 if from_desired else 1)
    assert np.abs(moved).max() <= most * (1 + 1e-9) + 1e-12


def test_a_forward_controller_writes_what_comes_and_forgets_what_came_before_it_was_active():
    # FORWARD update, 151-186; the callback of ~/commands, 73-89: not finite is dropped;
    # on_activate, 131-135: the buffer is reset.
    made = ForwardController()
    made.take(np.array([5.0]))
    made.activate(ARM)
    assert made.update(ARM) is None
    made.take(np.array([1.0]))
    made.take(np.array([np.nan]))
    assert made.update(ARM) == 1.0
    made.deactivate()
    made.take(np.array([2.0]))
    assert made.update(ARM) == 1.0
    made.activate(ARM)
    assert made.update(ARM) == 1.0


def test_servo_follows_a_fresh_twist_within_its_scales_and_stands_without_one():
    # SERVO servo_node.cpp processTwistCommand, 275-277: stale from incoming_command_timeout on;
    # command.cpp jointDeltaFromTwist, 181-198: in speed units each part is scaled to its scale.
    made = Servo(max_speed=0.4, max_rate=0.8)
    slow = np.array([0.1, 0, 0, 0, 0, 0.2])
    np.testing.assert_allclose(made.twist(slow, 1.0, 1.05), slow)
    fast = made.twist(np.array([3.0, 4.0, 0, 0, 0, 0.2]), 1.0, 1.0)
    np.testing.assert_allclose(fast, [0.24, 0.32, 0, 0, 0, 0.2])
    np.testing.assert_array_equal(made.twist(slow, 1.0, 1.1), np.zeros(6))


def test_servo_goes_to_a_pose_no_faster_than_its_scales():
    # SERVO command.cpp jointDeltaFromPose, 255-278: the error over one period, scaled likewise.
    made = Servo(period=0.01)
    near = made.pose(np.array([0.001, 0, 0, 0, 0, 0]), 1.0, 1.0)
    assert near[0] == pytest.approx(0.1)
    far = made.pose(np.array([0.0, 2.0, 0, 0, 0, 1.0]), 1.0, 1.0)
    np.testing.assert_allclose(far, [0, 0.4, 0, 0, 0, 0.8])


def held_at(share, lag, **options):
    """Why an arm is held whose policy swings a joint at a share of its largest speed."""
    bench = so101()
    bench.wanted[5] = 0.5
    made = TrajectoryController(0.005, **options)
    arm = bench.values.copy()
    made.activate(arm)
    rate, said = share * SO101.joints.max_velocity[0], set()
    sent = bench.step

    def step():
        command = sent()
        if command is not None and command.sends:
            made.take(command.values, max(command.reach_time, STEP))
        return command

    def move():
        nonlocal arm
        for _ in range(round(STEP / 0.005)):
            told = made.update(arm)
            arm = told + (arm - told) * np.exp(-0.005 / lag)
        bench.values = arm.copy()
        bench.wanted[0] = rate / 2.0 * np.sin(2.0 * bench.now)
        said.add(bench.holding)

    bench.step = step
    bench.run(0.5, move)
    said.clear()
    bench.run(6.0, move)
    return said - {''}


@pytest.mark.parametrize('lag', [0.03, 0.05])
def test_from_the_desired_state_an_arm_follows_up_to_its_largest_speed(lag):
    assert not held_at(1.0, lag, from_desired=True)


def test_from_the_measured_arm_a_tenth_of_the_speed_is_followed_and_half_is_not():
    assert not held_at(0.1, 0.05)
    assert any('behind its command' in said for said in held_at(0.5, 0.05))


URDF = """<robot name="one"><link name="a"/><link name="b"/>
<joint name="joint" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 0 1"/>
<limit lower="-3" upper="3" velocity="10" effort="1"/></joint>
<ros2_control name="hardware" type="system">
<hardware><plugin>mock_components/GenericSystem</plugin></hardware>
<joint name="joint"><command_interface name="position"/>
<state_interface name="position"><param name="initial_value">0.5</param></state_interface></joint>
</ros2_control></robot>"""


@pytest.mark.ros2_control
@pytest.mark.parametrize('from_desired', [False, True])
def test_a_real_controller_does_what_the_model_does(from_desired, ros_domain, tmp_path):
    if not shutil.which('ros2'):
        pytest.skip('no ros2 command: source a workspace with ros2_control and ros2_controllers')
    for package in ('controller_manager_msgs', 'control_msgs'):
        pytest.importorskip(package, reason=f'{package} is not installed')
    from real_controller import record

    seconds, references = record(tmp_path, URDF, from_desired=from_desired, goal=1.0, due=0.5)
    made = controller(np.array([0.5]), from_desired=from_desired)
    made.take(np.array([1.0]), 0.5)
    wanted = np.array(positions(made, np.array([0.5]), 70))
    # The recording begins with a message, not with an update; and an arm that follows at once is
    # where the controller wants it, so both settings go the same way.
    expected = np.interp(seconds, PERIOD * np.arange(1, 71), wanted)
    np.testing.assert_allclose(references, expected, atol=0.03)
