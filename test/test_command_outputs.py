# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Which numbers of a command go out on which topic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.acting.arm_limits import GripperLimits
from ros2_gridsampler.nodes.command_outputs import make_output
from ros2_gridsampler.nodes.gripper_message import GripperMessage

TWIST = ActionSpace('end_effector_twist', TWIST_NAMES, 'base')
ARM = ActionSpace('joint_position', ('shoulder', 'jaw', 'elbow', 'thumb'))


class Node:
    """Keeps what is published."""

    def __init__(self):
        self.sent, self.destroyed = {}, []

    refused = None

    def create_publisher(self, kind, topic, qos):
        if topic == self.refused:
            raise RuntimeError('This topic is of another type.')
        node = self

        class Publisher:
            topic_name = topic

            def publish(self, message):
                assert isinstance(message, kind)
                node.sent.setdefault(topic, []).append(message)

            def get_subscription_count(self):
                return int(topic == '~/joint_trajectory')

        return Publisher()

    def destroy_publisher(self, publisher):
        self.destroyed.append(publisher.topic_name)


@pytest.mark.parametrize('separate', [('thumb', 'jaw'), ('elbow',)])
def test_joints_of_another_controller_go_out_beside_the_trajectory_of_the_others(separate):
    node, values = Node(), dict(zip(ARM.names, (0.1, 0.2, 0.3, 0.4), strict=True))
    output = make_output(node, 'joint_trajectory', ARM, 0.02, separate)
    output.publish(np.array([*values.values()]), None, 5.0, 0.0)
    (trajectory,), (array,) = node.sent['~/joint_trajectory'], node.sent['~/gripper_command']
    rest = [name for name in ARM.names if name not in separate]
    assert list(trajectory.joint_names) == rest
    assert list(trajectory.points[0].positions) == [values[name] for name in rest]
    assert list(array.data) == [values[name] for name in separate]
    assert output.topics == ['~/joint_trajectory', '~/gripper_command']
    assert output.unheard == ['~/gripper_command']
    output.destroy()
    assert node.destroyed == output.topics


def test_an_array_of_positions_keeps_the_order_of_the_joints_that_stay():
    node = Node()
    output = make_output(node, 'joint_position_array', ARM, 0.02, ('shoulder',))
    output.publish(np.array([0.1, 0.2, 0.3, 0.4]), None, 5.0, 0.0)
    assert list(node.sent['~/joint_positions'][0].data) == [0.2, 0.3, 0.4]
    assert list(node.sent['~/gripper_command'][0].data) == [0.1]


@pytest.mark.parametrize('separate', [('jaw', 'wrist'), ARM.names, ('jaw', 'jaw')])
def test_joints_that_nobody_commands_twice_named_or_all_cannot_be_separate(separate):
    node = Node()
    with pytest.raises(ValueError, match='some but not all of the joints'):
        make_output(node, 'joint_trajectory', ARM, 0.02, separate)
    assert not node.sent


def test_the_gripper_beside_a_twist_is_separate_already():
    with pytest.raises(ValueError, match='leave it empty'):
        make_output(Node(), 'twist', TWIST, 0.02, ('gripper',))


@pytest.mark.parametrize(
    ('name', 'space', 'separate', 'refused', 'left'),
    [
        ('joint_trajectory', ARM, ('jaw',), '~/joint_trajectory', ['~/gripper_command']),
        ('joint_trajectory', ARM, ('jaw',), '~/gripper_command', []),
        ('twist', TWIST, (), '~/gripper_command', ['~/twist_command']),
    ],
)
def test_an_output_that_cannot_be_whole_leaves_no_topic_behind(
    name, space, separate, refused, left
):
    node = Node()
    node.refused = refused
    with pytest.raises(RuntimeError, match='another type'):
        make_output(node, name, space, 0.02, separate)
    assert node.destroyed == left


@pytest.mark.parametrize('kind', ['float64', 'joint_state', 'float64_multi_array'])
@pytest.mark.parametrize(
    ('name', 'space', 'separate', 'value'),
    [('joint_trajectory', ARM, ('jaw',), 0.2), ('twist', TWIST, (), 0.07)],
)
def test_a_gripper_gets_the_message_that_its_controller_takes(kind, name, space, separate, value):
    node = Node()
    gripper = GripperMessage(kind, separate or ('finger',))
    output = make_output(node, name, space, 0.02, separate, gripper)
    values = np.array([0.1, 0.2, 0.3, 0.4]) if space is ARM else np.array([0.0] * 6 + [0.07])
    output.publish(values, None, 5.0, 0.0)
    (message,) = node.sent['~/gripper_command']
    if kind == 'joint_state':
        assert list(message.name) == list(separate or ('finger',))
        assert list(message.position) == [value]
        assert message.header.stamp.sec == 5
    else:
        assert (message.data if kind == 'float64' else message.data[0]) == value


@given(st.floats(0, 0.085))
def test_an_opening_is_sent_as_its_joint_says_it_when_it_is_there(opening):
    limits = GripperLimits(0.085, 0.15, scale=-0.10625, offset=0.085)
    message = GripperMessage(limits=limits).make(np.array([opening]), 5.0)
    assert limits.opening(np.array(message.data)) == pytest.approx(opening)
    plain = GripperMessage(limits=GripperLimits(0.085, 0.15)).make(np.array([opening]), 5.0)
    assert plain.data[0] == opening


def test_a_message_of_one_number_is_refused_for_two_joints():
    with pytest.raises(
        ValueError, match=r"one number, but the joints apart are \['jaw', 'thumb'\]"
    ):
        GripperMessage('float64', ('jaw', 'thumb'))


def test_the_message_of_gripper_controllers_is_used_where_it_is_installed():
    try:
        import control_msgs.msg
    except ImportError:
        with pytest.raises(ValueError, match='needs control_msgs: install it with your ROS 2'):
            GripperMessage('gripper_command')
        return
    message = GripperMessage('gripper_command', ('jaw',), 20.0).make(np.array([0.03]), 5.0)
    assert isinstance(message, control_msgs.msg.GripperCommand)
    assert (message.position, message.max_effort) == (0.03, 20.0)
