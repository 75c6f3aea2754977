# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A controller that cannot follow is named, by what it says of itself over DDS."""

import re
import time

import pytest

JOINTS = ('shoulder', 'elbow')
TRAJECTORY = {
    'joints': list(JOINTS),
    'interpolate_from_desired_state': True,
    'interpolation_method': 'splines',
    'allow_partial_joints_goal': False,
}


@pytest.fixture
def graph(ros_domain):
    """Who commands, with its watch, and stand-ins for controllers in the same process."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from trajectory_msgs.msg import JointTrajectory

    from ros2_gridsampler.nodes.controller_watch import ControllerWatch

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor(context=context)

    class Graph:
        def __init__(self):
            self.node = self.add('commander')
            publisher = self.node.create_publisher(JointTrajectory, '/commands', 1)
            self.watch = ControllerWatch(self.node, {publisher.topic_name: JOINTS})

        def add(self, name, **parameters):
            node = rclpy.create_node(name, context=context)
            for key, value in parameters.items():
                node.declare_parameter(key, value)
            executor.add_node(node)
            return node

        def controller(self, name='arm_controller', **parameters):
            node = self.add(name, **parameters)
            node.create_subscription(JointTrajectory, '/commands', lambda message: None, 1)
            return node

        def spin(self, seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.02)

        def said(self, of='arm_controller', patience=60.0):
            """What is found once the controller has answered everything."""
            end = time.monotonic() + patience
            while True:
                found = self.watch.look(time.monotonic())
                known = self.watch._controllers.get(f'/{of}')
                if known is not None and 'joints' in known.said:
                    self.spin(0.5)
                    return self.watch.look(time.monotonic())
                assert time.monotonic() < end, f'{of} was not heard; {found}'
                self.spin(0.05)

    made = Graph()
    yield made
    made.watch.destroy()
    executor.shutdown()
    rclpy.try_shutdown(context=context)


def test_a_controller_that_does_all_that_is_needed_is_not_named(graph):
    graph.controller(**TRAJECTORY)
    assert graph.said() == []


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'joints': ['shoulder', 'wrist']}, r"does not own the joints \['elbow'\]"),
        ({'joints': ['shoulder', 'elbow', 'jaw']}, r"owns the joints \['jaw'\] as well"),
        ({'interpolate_from_desired_state': False}, 'begins each command at the measured arm'),
        ({'interpolation_method': 'none'}, 'steps from command to command'),
    ],
    ids=['joints missing', 'joints too many', 'from the measured arm', 'no interpolation'],
)
def test_one_that_cannot_follow_is_named_with_why(graph, changes, sentence):
    graph.controller(**{**TRAJECTORY, **changes})
    (text,) = graph.said()
    assert text.startswith('/commands goes to /arm_controller, which')
    assert re.search(sentence, text)


@pytest.mark.parametrize(
    'changes',
    [
        {'interpolate_from_desired_state': False, 'open_loop_control': True},
        {'joints': ['shoulder', 'elbow', 'jaw'], 'allow_partial_joints_goal': True},
        {'joints': ['elbow', 'shoulder']},
    ],
    ids=['open loop', 'partial goals', 'names are sent with the numbers'],
)
def test_what_can_follow_all_the_same_is_not_named(graph, changes):
    graph.controller(**{**TRAJECTORY, **changes})
    assert graph.said() == []


def test_a_forward_controller_with_joints_in_another_order_is_named(graph):
    graph.controller(joints=['elbow', 'shoulder'], interface_name='position')
    (text,) = graph.said()
    assert 'each joint would get the position of another' in text


def test_others_who_listen_are_no_controllers_and_who_leaves_is_forgotten(graph):
    listener = graph.controller('recorder', rate=1.0)
    for _ in range(30):
        assert graph.watch.look(time.monotonic()) == []
        graph.spin(0.05)
    listener.destroy_node()
    arm = graph.controller(**{**TRAJECTORY, 'interpolate_from_desired_state': False})
    assert graph.said()
    arm.destroy_node()
    end = time.monotonic() + 60
    while graph.watch.look(time.monotonic()):
        assert time.monotonic() < end
        graph.spin(0.05)


@pytest.mark.parametrize('joints', [6, 'all', [0.0, 0.5]])
def test_a_listener_whose_joints_are_no_names_is_no_controller(graph, joints):
    graph.controller('logger', joints=joints, interpolation_method='none')
    end = time.monotonic() + 60
    while True:
        assert graph.watch.look(time.monotonic()) == []
        known = graph.watch._controllers.get('/logger')
        if known is not None and 'interpolation_method' in known.said:
            break
        assert time.monotonic() < end
        graph.spin(0.05)
    graph.spin(0.5)
    assert graph.watch.look(time.monotonic()) == []


def test_one_that_is_inactive_is_named_where_the_manager_says_so(graph):
    """`controller_manager_msgs` comes with a ROS installation; what it says is only read."""
    activity = pytest.importorskip(
        'controller_manager_msgs.msg', reason='controller_manager_msgs is not installed'
    )
    from ros2_gridsampler.nodes.topics import LATCHED

    graph.controller(**TRAJECTORY)
    kind = activity.ControllerManagerActivity
    publisher = graph.node.create_publisher(kind, '/controller_manager/activity', LATCHED)
    state = activity.NamedLifecycleState(name='arm_controller')
    state.state.label = 'inactive'
    publisher.publish(kind(controllers=[state]))
    graph.said()
    graph.spin(1.0)
    assert 'which is inactive' in graph.said()[0]
