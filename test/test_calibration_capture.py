# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Live capture records the views that count, and what it records calibrates like any bag."""

import threading

import numpy as np
import pytest
from board_scene import BOARD, centred, draw_board

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.calibrating.board_pictures import find_boards


def test_a_still_board_in_new_places_is_recorded_with_the_poses(ros_domain, tmp_path):
    pytest.importorskip('rclpy')
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    from ros2_gridsampler.bags.bag_writer import BagWriter
    from ros2_gridsampler.nodes.calibration_capture_node import CalibrationCaptureNode
    from ros2_gridsampler.nodes.topics import NEWEST, ros_time

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    camera = rclpy.create_node('camera', context=context)
    pictures = camera.create_publisher(Image, '/camera/image_raw', NEWEST)
    poses = camera.create_publisher(PoseStamped, '/pose', 10)
    places = [centred((0.3, 0.2, 0), (x, 0.0, 0.5)) for x in (-0.06, 0.0, 0.06)]
    frames = [np.full((480, 640, 3), 128, np.uint8), *map(draw_board, places)]
    executor = SingleThreadedExecutor(context=context)
    done = threading.Event()
    try:
        with BagWriter(tmp_path / 'bag') as writer:
            node = CalibrationCaptureNode(
                writer, BOARD, '/camera/image_raw', 3, '/pose', context=context
            )
            executor.add_node(node)

            def show():
                time, index = 100.0, 0
                while not done.wait(0.05):
                    time += 0.1
                    # Each place for a while, again and again: frames may be lost.
                    index += 1
                    rgb = frames[index // 6 % len(frames)]
                    message = Image(height=480, width=640, encoding='rgb8', step=1920)
                    message.data = rgb.tobytes()
                    message.header.stamp = ros_time(time)
                    stamped = PoseStamped()
                    stamped.header.stamp = message.header.stamp
                    stamped.pose.orientation.w = 1.0
                    poses.publish(stamped)
                    pictures.publish(message)

            thread = threading.Thread(target=show)
            thread.start()
            for _ in range(3000):
                executor.spin_once(timeout_sec=0.02)
                if node.finished:
                    break
            assert node.finished
            done.set()
            thread.join()
            node.destroy_node()
    finally:
        done.set()
        camera.destroy_node()
        executor.shutdown()
        rclpy.shutdown(context=context)
    found, _ = find_boards(tmp_path / 'bag', BOARD)
    assert len([view for view in found if view is not None]) == 3
    assert any(m.topic == '/pose' for m in read_messages(tmp_path / 'bag'))
