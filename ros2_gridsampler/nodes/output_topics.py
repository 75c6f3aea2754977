# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What every way to command an arm has: topics, and what is commanded now."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from std_msgs.msg import Float64MultiArray

from ..acting.command_message import fill_float64_multi_array
from .topics import NEWEST_RELIABLE

Numbers = NDArray[np.float64]


class CommandOutput:
    """One way to command an arm.

    Args:
        node: Owns the publishers.
        topics: Topic -> message class.
    """

    def __init__(self, node: Any, topics: dict[str, Any]) -> None:
        """Advertise the topics."""
        self._node = node
        self._publishers: list[Any] = []
        try:
            for topic, kind in topics.items():
                publisher = node.create_publisher(kind, topic, NEWEST_RELIABLE)
                self._publishers.append(publisher)
        except Exception:
            self.destroy()
            raise

    @property
    def publishers(self) -> list[Any]:
        """One per topic."""
        return self._publishers

    @property
    def topics(self) -> list[str]:
        """Names in the graph."""
        return [str(publisher.topic_name) for publisher in self._publishers]

    @property
    def unheard(self) -> list[str]:
        """Those that nobody subscribes with a QoS that fits."""
        return [str(p.topic_name) for p in self._publishers if not p.get_subscription_count()]

    def start(self, pose: Numbers | None) -> None:
        """Commanding begins with the end effector at `pose`; None where nobody measures it."""

    def start_again(self, pose: Numbers | None, near: float) -> None:
        """Commanding begins anew; what is within `near` [m], [rad] of its command goes on."""
        self.start(pose)

    def state(self, measured: Numbers) -> Numbers:
        """What the next command builds on, given where the arm is; see `Controller.measure`."""
        return measured

    @property
    def pose(self) -> Numbers | None:
        """The commanded pose of the end effector; None where none is."""
        return None

    def gap(self, pose: Numbers) -> tuple[float, float]:
        """How far the end effector is from the commanded pose [m], [rad]; 0 where none is."""
        return 0.0, 0.0

    @property
    def places(self) -> bool:
        """Whether a command says where to be, so that it moves an arm that is elsewhere."""
        return True

    def publish(self, values: Numbers, time: float, reach_time: float = 0.0) -> None:
        """Sends a command.

        Args:
            values: Admissible, in the order of the action space.
            time: Now [s].
            reach_time: How long the arm needs at the least to get there [s].
        """
        raise NotImplementedError

    def wait_until_received(self) -> None:
        """Return when reliable subscribers have the last command, or after half a second."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(Duration(seconds=0.5))

    def destroy(self) -> None:
        """Take the topics back."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)


def numbers_message(values: Numbers) -> Any:
    """Positions or openings as a Float64MultiArray."""
    message = Float64MultiArray()
    fill_float64_multi_array(message, values)
    return message
