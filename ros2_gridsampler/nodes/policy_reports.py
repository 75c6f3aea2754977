# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Predictions, times and problems -> the topics by which people and tools watch the policy."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..acting.command_message import fill_joint_trajectory
from ..acting.latency import STAGES, ChunkTimes
from ..policy.sampled_points import draw_points
from ..seeing.camera_message import encode_jpeg
from ..seeing.opencv import has_opencv
from ..vla.deployed_policy import DeployedConfig
from .inference_thread import TimedPrediction
from .topics import LATCHED, REPORTS, ros_time

_PICTURE_PERIOD = 0.1
TIMING_COLUMNS = ('captured', *STAGES)


class PolicyReports:
    """The topics that the policy node publishes beside the commands.

    `prediction` may be called from another thread than the rest.
    """

    def __init__(self, node: Any, steady: Callable[[], float]) -> None:
        self._node = node
        self._steady = steady
        self._drawn = float('-inf')
        self._chunk = node.create_publisher(JointTrajectory, '~/action_chunk', REPORTS)
        self._points = node.create_publisher(CompressedImage, '~/sampled_points', REPORTS)
        self._timing = node.create_publisher(Float64MultiArray, '~/timing', REPORTS)
        self._policy = node.create_publisher(String, '~/policy', LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', REPORTS)

    def policy(self, content: Mapping[str, Any]) -> None:
        """Publishes which policy is loaded."""
        self._policy.publish(String(data=json.dumps(content)))

    def prediction(self, timed: TimedPrediction, config: DeployedConfig) -> None:
        """Publishes a prediction."""
        if self._chunk.get_subscription_count():
            self._publish_chunk(timed, config)
        due = self._steady() - self._drawn >= _PICTURE_PERIOD
        if due and self._points.get_subscription_count() and has_opencv():
            self._drawn = self._steady()
            picture = draw_points(
                timed.observation.images, timed.prediction.points, patch=config.encoder.patch
            )
            message = CompressedImage(format='rgb8; jpeg compressed bgr8')
            message.header.stamp = ros_time(timed.observation.time)
            message.data = encode_jpeg(picture)
            self._points.publish(message)

    def timing(self, times: ChunkTimes) -> None:
        """One executed chunk: capture time, then the stages [s]."""
        message = Float64MultiArray(data=[times.captured, *times.durations()])
        count = len(message.data)
        # One dimension whose label names the columns.
        message.layout.dim = [
            MultiArrayDimension(label=','.join(TIMING_COLUMNS), size=count, stride=count)
        ]
        self._timing.publish(message)

    def diagnostics(
        self,
        time: float,
        name: str,
        hardware: str,
        status: tuple[bytes, str],
        values: Mapping[str, Any],
        parts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """The state of the node, once a second.

        Args:
            time: Time by the node's clock [s].
            name: Name of the node.
            hardware: Name of the arm.
            status: Level of DiagnosticStatus, and a sentence.
            values: Anything that prints.
            parts: More of it, each with the status 'NAME: PART'.
        """
        level, sentence = status
        message = DiagnosticArray()
        message.header.stamp = ros_time(time)
        message.status = [
            DiagnosticStatus(
                level=level,
                name=part_name,
                message=sentence,
                hardware_id=hardware,
                values=[KeyValue(key=key, value=str(value)) for key, value in content.items()],
            )
            for part_name, content in (
                (name, values),
                *((f'{name}: {part}', content) for part, content in parts.items()),
            )
        ]
        self._diagnostics.publish(message)

    def _publish_chunk(self, timed: TimedPrediction, config: DeployedConfig) -> None:
        chunk = timed.prediction.chunk
        message = JointTrajectory()
        message.header.frame_id = config.action_space.frame
        times = chunk.period * np.arange(len(chunk.targets))
        fill_joint_trajectory(
            message,
            JointTrajectoryPoint,
            config.action_space.names,
            chunk.targets,
            times,
            chunk.start_time,
        )
        self._chunk.publish(message)
