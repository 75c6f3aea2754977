# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The delay of an arm is found from what was commanded and measured, or said not to be there."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.calibrating.delay_estimate import DelayConfig, estimate_delay
from ros2_gridsampler.simulation.kinematic_arm import KinematicArm

TIMES = np.arange(0, 8, 0.01)


def follow(commanded, delay, lag):
    arm = KinematicArm(commanded[:1], np.zeros(3), lag=lag, delay=delay)
    measured = []
    for time, position in zip(TIMES, commanded, strict=True):
        arm.command('joints', np.array([position]), time)
        arm.step(time, 0.01)
        measured.append(arm.joints[0])
    return np.array(measured)


@settings(max_examples=15)
@given(delay=st.floats(0, 0.5), lag=st.floats(0.001, 0.1), offset=st.floats(-0.5, 0.5))
def test_the_delay_of_an_arm_is_found_whatever_its_lag_and_offset(delay, lag, offset):
    commanded = 0.1 * np.clip(4 * np.sin(2 * TIMES), -1, 1)
    measured = follow(commanded, delay, lag) + offset
    found = estimate_delay(TIMES, commanded, TIMES, measured)
    assert delay - 0.015 <= found.seconds <= delay + lag + 0.025


def test_an_arm_that_does_not_follow_is_told():
    commanded = np.sin(TIMES)
    with pytest.raises(ValueError, match='does not follow'):
        estimate_delay(TIMES, commanded, TIMES, np.random.default_rng(0).normal(size=TIMES.size))
    with pytest.raises(ValueError, match='did not move'):
        estimate_delay(TIMES, np.zeros_like(TIMES), TIMES, TIMES)
    with pytest.raises(ValueError, match='is the controller running'):
        estimate_delay(TIMES, commanded, TIMES[:3], TIMES[:3])


@pytest.mark.parametrize(
    ('begins', 'later', 'words'),
    [
        (0.1, [], '6 names but 0 positions'),
        (0.1, np.full(6, -1.5), 'not believed: joint'),
        (0.0, None, 'exactly 0: joint .* Nothing was moved'),
        (50.0, None, 'far outside of its limits.* Nothing was moved'),
    ],
)
def test_a_driver_that_says_what_cannot_be_ends_the_measurement_with_the_arm_at_rest(
    begins, later, words, ros_domain, monkeypatch
):
    """At once, or in the middle of a step where `later` is what it says then."""
    pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import JointState
    from trajectory_msgs.msg import JointTrajectory

    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find
    from ros2_gridsampler.nodes import actuation_delay
    from ros2_gridsampler.nodes.rclpy_repairs import own_context

    if later is None:
        monkeypatch.setattr(actuation_delay, '_PATIENCE', 2.0)
    limits = load_arm(find('calibration', 'so101', '.yaml')).joints
    sent, begin = [], np.full(len(limits.names), begins)
    with own_context() as context:
        node = Node('arm', context=context)
        states = node.create_publisher(JointState, '/joint_states', 10)

        def hear(message):
            sent.append(np.array(message.points[0].positions))

        node.create_subscription(JointTrajectory, '/commands', hear, 100)

        def say():
            place = sent[-1] if sent else begin
            if len(sent) > 2 and (sent[-1] != sent[-2]).any():
                place = np.array(later)
            message = JointState(name=limits.names, position=place.tolist())
            message.header.stamp = node.get_clock().now().to_msg()
            states.publish(message)

        node.create_timer(0.02, say)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        over = threading.Event()

        def spin():
            # An executor that is shut down in the middle of a callback throws.
            while not over.is_set():
                executor.spin_once(0.05)

        spinning = threading.Thread(target=spin, daemon=True)
        spinning.start()
        config = DelayConfig(limits.names[0], 'so101', 0.3, 2, command='/commands')
        with pytest.raises(ValueError, match=words):
            actuation_delay.measure_delay(config)
        over.set()
        spinning.join()
        executor.shutdown()
        node.destroy_node()
    if later is None:
        assert not sent
        return
    rates = np.diff(sent, axis=0) / 0.02
    assert rates[:, 0].max() > 0
    np.testing.assert_allclose(rates[-1], 0.0, atol=1e-2)
