# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera and pose topics -> a bag with enough views of a calibration board."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from ..bags.bag_writer import BagWriter
from ..calibrating.board_pictures import is_new, is_still
from ..calibrating.calibration_board import Board, BoardView, advise
from ..seeing.camera_message import decode_image
from .node_setup import RunnableNode, run
from .topics import EVERY, NEWEST


class CalibrationCaptureNode(RunnableNode):
    """Waits for the board to be still and elsewhere than before; says what is missing.

    Args:
        writer: Takes the views, and every pose.
        board: That is looked for.
        topic: Topic of Image or CompressedImage.
        views: Number of views that are enough.
        pose_topic: PoseStamped to record too; may be empty.
    """

    def __init__(
        self,
        writer: BagWriter,
        board: Board,
        topic: str,
        views: int,
        pose_topic: str = '',
        **options: Any,
    ) -> None:
        super().__init__('calibration_capture_node', **options)
        self._writer, self._board, self._topic, self._wanted = writer, board, topic, views
        self._kind = CompressedImage if topic.endswith('/compressed') else Image
        self._views: list[BoardView] = []
        self._previous: tuple[BoardView, bytes] | None = None
        # Raw: what is written is what was sent.
        self.create_subscription(self._kind, topic, self._add_picture, NEWEST, raw=True)
        if pose_topic:
            self.create_subscription(PoseStamped, pose_topic, self._add_pose, EVERY, raw=True)
        self._pose_topic = pose_topic

    @property
    def finished(self) -> bool:
        """Whether there are enough views."""
        return len(self._views) >= self._wanted

    def _add_pose(self, data: bytes) -> None:
        self._write(self._pose_topic, PoseStamped, data)

    def _write(self, topic: str, kind: Any, data: bytes) -> None:
        name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
        self._writer.write_serialised(topic, name, data, self.now())

    def _add_picture(self, data: bytes) -> None:
        if self.finished:
            return
        try:
            rgb = decode_image(deserialize_message(data, self._kind))
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        view = self._board.find(gray, 'live')
        previous = self._previous
        self._previous = None if view is None else (view, data)
        if view is None or previous is None:
            self.get_logger().info('The board is not in view.', throttle_duration_sec=5.0)
            return
        last = self._views[-1] if self._views else None
        if not (is_still(view, previous[0]) and is_new(view, last)):
            return
        # The frame before goes with it: who reads the bag must see that the board was still.
        for each in (previous[1], data):
            self._write(self._topic, self._kind, each)
        self._views.append(view)
        missing = ' '.join(advise(self._views))
        self.get_logger().info(f'View {len(self._views)} of {self._wanted}. {missing}')


def capture(
    bag: Path,
    board: Board,
    topic: str,
    views: int,
    pose_topic: str = '',
) -> None:
    """Records until there are enough views; Ctrl-C ends it sooner and keeps what there is.

    Raises:
        FileExistsError: The bag is there already.
        ValueError: Recording failed; the log says why.
    """
    with BagWriter(bag) as writer:
        code = run(lambda: CalibrationCaptureNode(writer, board, topic, views, pose_topic), [])
        if code:
            raise ValueError(f'Recording from {topic} failed; see the log above.')
