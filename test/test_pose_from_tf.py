# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node publishes where the hand is by TF, or says what it lacks."""

import pytest


def test_a_node_without_what_it_needs_says_what_to_do(start_node):
    module = 'ros2_gridsampler.nodes.pose_from_tf_node'
    wrong = {'frame': {'arm': 'panda'}, 'arm': {'frame': 'tool0', 'arm': 'nobody'}}
    for parameter, given_parameters in wrong.items():
        node = start_node(module, **given_parameters)
        assert node.wait() == 1
        assert parameter in node.text
        assert 'Traceback' not in node.text


def test_a_node_publishes_the_pose_of_the_hand(start_node, watcher):
    messages = pytest.importorskip(
        'tf2_msgs.msg', reason='tf2_msgs comes with a ROS 2 installation only'
    )
    from geometry_msgs.msg import PoseStamped, TransformStamped

    node = start_node('ros2_gridsampler.nodes.pose_from_tf_node', arm='panda', frame='tool0')
    poses = watcher.collect(PoseStamped, '/end_effector_pose')
    publisher = watcher.node.create_publisher(messages.TFMessage, '/tf', 100)

    stamped = True

    def say():
        moving = TransformStamped(child_frame_id='tool0')
        moving.header.frame_id = 'panda_link0'
        if stamped:
            moving.header.stamp = watcher.node.get_clock().now().to_msg()
        moving.transform.translation.z, moving.transform.rotation.w = 0.5, 1.0
        publisher.publish(messages.TFMessage(transforms=[moving]))

    watcher.node.create_timer(0.05, say)
    watcher.until(lambda: len(poses) > 3, node)
    assert poses[-1].header.frame_id == 'panda_link0'
    assert poses[-1].pose.position.z == 0.5
    # Without stamps nothing is silent: whoever reads the poses refuses them by their stamp.
    stamped, said = False, len(poses)
    watcher.until(lambda: sum(not p.header.stamp.sec for p in poses[said:]) > 3, node)
    watcher.until(lambda: "'panda_link0' and 'tool0' has the stamp 0" in node.text, node)
    assert node.end() == 0
