# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Kind of stream -> its quality of service; seconds -> its stamp."""

from typing import Any

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Said once, heard by whoever comes later."""
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""To receive pictures and commands: a queue of ten pictures is 0.3 s old."""
NEWEST_RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""To send commands; never latched, or an arm would obey what was said before it came up."""
EVERY = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
"""To receive joints and poses: each sample helps to match the capture times."""
STATE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""To send anything else; whoever receives best effort is served too."""
REPORTS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
"""To send what others count or record: none may be lost when they are busy for a second."""


def ros_time(time: float) -> Any:
    """Returns a time in seconds as builtin_interfaces/Time."""
    nanoseconds = round(time * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
