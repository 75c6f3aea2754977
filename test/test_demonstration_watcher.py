# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A demo is stuck when pictures have no answer, not when a scene takes long to build."""

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo

from ros2_gridsampler.nodes import demonstration_watcher


def test_nobody_has_to_answer_while_a_scene_is_built(ros_domain, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(demonstration_watcher, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        watcher = demonstration_watcher.DemonstrationWatcher(['front'], context=context)
        hear = {each.msg_type: each.callback for each in watcher.subscriptions}

        def after(seconds, message):
            now[0] += seconds
            hear[type(message)](message)

        after(1.0, CameraInfo())
        after(0.1, TwistStamped())
        after(90.0, CameraInfo())
        assert watcher.silence == (0.0, 0.0)
        after(0.1, CameraInfo())
        after(5.0, CameraInfo())
        assert watcher.silence == pytest.approx((0.0, 5.1))
        after(0.1, TwistStamped())
        assert watcher.silence == pytest.approx((0.1, 0.0))
        watcher.destroy_node()
    finally:
        rclpy.shutdown(context=context)
