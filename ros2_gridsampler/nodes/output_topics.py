# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What every way to command an arm has: topics, and what is commanded now."""

from collections.abc import Mapping, Sequence
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

    Attributes:
        leads: Whether poses are sent, to which the twists lead.
    """

    leads = False
    joints: Mapping[str, Sequence[str]] = {}
    """Topic in the graph -> the joints that are commanded by it, in order; none of the hand's."""

    def __init__(self, node: Any, topics: dict[str, Any]) -> None:
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
        """The publishers, one for each topic."""
        return self._publishers

    @property
    def topics(self) -> list[str]:
        """Names of the topics in the graph."""
        return [str(publisher.topic_name) for publisher in self._publishers]

    @property
    def unheard(self) -> list[str]:
        """Topics that nobody subscribes with a QoS that fits."""
        return [str(p.topic_name) for p in self._publishers if not p.get_subscription_count()]

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        """Sends a command to the arm.

        Args:
            values: Admissible, in the order of the action space.
            pose: Where the twists in `values` have led; None where that is not asked for.
            time: Now [s].
            reach_time: How long the way from the measured arm takes at the limits [s].
        """
        raise NotImplementedError

    def wait_until_received(self) -> None:
        """Returns when reliable subscribers have the last command, or after half a second."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(Duration(seconds=0.5))

    def destroy(self) -> None:
        """Takes the topics back."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)


def numbers_message(values: Numbers) -> Any:
    """Returns positions or openings as a Float64MultiArray."""
    message = Float64MultiArray()
    fill_float64_multi_array(message, values)
    return message
