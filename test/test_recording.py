# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is recorded through ROS and what is recorded in process are the same observations."""

import time

import numpy as np
import pytest
from test_bag_reader import CONFIG, SIZE, state

from ros2_gridsampler.bags.bag_writer import BagWriter, build, serialise
from ros2_gridsampler.bags.observation_replay import StreamTopics, read_observations
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget
from ros2_gridsampler.simulation.arm_messages import image_topic, state_messages

STEPS = 8
PERIOD = 0.05


def read(bag, compressed):
    """The observations of a bag."""
    cameras = {c: image_topic(c, compressed=compressed) for c in ('agentview', 'wrist')}
    topics = StreamTopics(cameras, pose='/end_effector_pose')
    # A busy machine may take longer than usual to hand over the streams of one moment.
    budget = StreamBudget(max_age=10.0, settle_time=5.0)
    return list(read_observations(bag, topics, ObservationBuffer(CONFIG, budget)))


@pytest.mark.parametrize('compressed', [True, False])
def test_a_bag_recorded_through_ros_gives_the_observations_of_one_recorded_in_process(
    watcher, tmp_path, compressed
):
    from ros2_gridsampler.nodes.topics import EVERY, LATCHED

    sentence = build('std_msgs/msg/String', data='put the bowl on the plate')
    begin = time.time()
    with BagWriter(tmp_path / 'in_process') as writer:
        writer.write('/instruction', sentence, begin, latched=True)
        for step in range(STEPS):
            stamp = begin + PERIOD * step
            for topic, message in state_messages(state(step), stamp, compressed=compressed):
                writer.write(topic, message, stamp)

    with BagWriter(tmp_path / 'through_ros') as writer:
        publishers, received = {}, []

        def connect(topic, message, qos):
            kind = getattr(
                __import__(f'{message.__msgtype__.split("/")[0]}.msg', fromlist=['msg']),
                message.__msgtype__.split('/')[2],
            )

            def store(data, topic=topic, message_type=message.__msgtype__):
                received.append(topic)
                writer.write_serialised(topic, message_type, bytes(data), time.time())

            watcher.node.create_subscription(kind, topic, store, qos, raw=True)
            publishers[topic] = watcher.node.create_publisher(kind, topic, qos)

        connect('/instruction', sentence, LATCHED)
        for topic, message in state_messages(state(0), begin, compressed=compressed):
            connect(topic, message, EVERY)
        for publisher in publishers.values():
            assert wait(watcher, lambda p=publisher: p.get_subscription_count() > 0)
        publishers['/instruction'].publish(serialise(sentence))
        assert wait(watcher, lambda: len(received) == 1)
        for step in range(STEPS):
            stamp = begin + PERIOD * step
            count = len(received) + len(publishers) - 1
            for topic, message in state_messages(state(step), stamp, compressed=compressed):
                publishers[topic].publish(serialise(message))
            assert wait(watcher, lambda c=count: len(received) == c)
            time.sleep(max(0.0, stamp + PERIOD - time.time()))

    direct, through = (
        read(tmp_path / 'in_process', compressed),
        read(tmp_path / 'through_ros', compressed),
    )
    assert len(direct) == len(through) == STEPS
    for one, other in zip(direct, through, strict=True):
        assert one.time == other.time
        assert one.instruction == other.instruction
        np.testing.assert_array_equal(one.joints, other.joints)
        np.testing.assert_array_equal(one.pose, other.pose)
        for camera in one.images:
            assert one.images[camera].shape == (SIZE[1], SIZE[0], 3)
            np.testing.assert_array_equal(one.images[camera], other.images[camera])


def wait(watcher, condition, seconds=10.0):
    """Spin until `condition`; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        watcher.executor.spin_once(timeout_sec=0.02)
    return condition()
