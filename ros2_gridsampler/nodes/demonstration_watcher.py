# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of the policy node and the simulated arm -> what a third process sees of them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Float64MultiArray, String

from ..evaluating.demonstration_record import CameraTraffic, EpisodeSeen
from ..evaluating.film import Picture
from ..seeing.camera_message import stamp_seconds
from ..simulation import arm_messages
from .topics import LATCHED

_ALL = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE)
# The first picture of an episode is captured right after its announcement, which travels.
_GRACE = 0.1


@dataclass
class _CameraCount:
    """Frames of a camera; a frame is published when its CameraInfo comes.

    `start` and `end` are (published, received) at two instants between two frames.
    """

    published: int = 0
    start: tuple[int, int] | None = None
    end: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class _Begin:
    """When an episode was announced [s], and as what."""

    index: int
    time: float
    instruction: str = field(repr=False)


class DemonstrationWatcher(Node):
    """Listens and counts; changes nothing.

    Args:
        cameras: Names.
        options: Those of rclpy's Node.
    """

    def __init__(self, cameras: Sequence[str], **options: Any) -> None:
        super().__init__('demonstration', **options)
        self._cameras = {name: _CameraCount() for name in cameras}
        self._begins: list[_Begin] = []
        self._pictures: list[Picture] = []
        self._command_times: list[float] = []
        self._last_picture = time.monotonic()
        # Since when a picture has had no answer.
        self._waiting_since: float | None = None
        self._frame_times: list[float] = []
        self.results: list[dict[str, Any]] = []
        """Episodes that are over, as the simulated arm announces them."""
        self.done = False
        self.refusal = ''
        """Why the policy node does not work."""
        self.stages: dict[str, list[float]] = {}
        """Stage -> its durations, one per executed chunk [s]."""
        self.settled = False
        """All frames are counted: there was a report since the last one."""
        self.create_subscription(String, '/simulated_arm/episode', self._hear_episode, LATCHED)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._hear_diagnostics, _ALL)
        self.create_subscription(
            CompressedImage, '/policy_node/sampled_points', self._see_points, _ALL
        )
        self.create_subscription(Float64MultiArray, '/policy_node/timing', self._hear_timing, _ALL)
        self.create_subscription(
            TwistStamped, arm_messages.TWIST_COMMAND, self._hear_command, _ALL
        )
        for name in cameras:
            self._count_camera(name)

    @property
    def current(self) -> int:
        """Number of the newest episode; -1 before the first."""
        return self._begins[-1].index if self._begins else -1

    @property
    def instruction(self) -> str:
        """Instruction of the current episode; empty before the first."""
        return self._begins[-1].instruction if self._begins else ''

    @property
    def commands(self) -> int:
        """Number of commands that came."""
        return len(self._command_times)

    @property
    def silence(self) -> tuple[float, float]:
        """How long no picture has come, and how long pictures have had no answer [s]."""
        no_picture = time.monotonic() - self._last_picture
        # While a scene is built there is no picture, however long that takes, and nothing to
        # answer.
        waiting = self._waiting_since
        return no_picture, 0.0 if waiting is None else self._last_picture - waiting

    def pictures(self, begin: float, end: float = float('inf')) -> list[Picture]:
        """What the policy saw between two moments [s] by this node's clock."""
        return [picture for picture in self._pictures if begin <= picture.time < end]

    def traffic(self) -> dict[str, CameraTraffic]:
        """Frames of each camera between the first and the last report that can be compared."""
        traffic = {}
        for name, count in self._cameras.items():
            begin = count.start or (0, 0)
            traffic[name] = CameraTraffic(count.end[0] - begin[0], count.end[1] - begin[1])
        return traffic

    def episodes(self) -> list[EpisodeSeen]:
        """Those that are over, with what was seen meanwhile."""
        ends = [begin.time for begin in self._begins[1:]] + [float('inf')]
        spans = {b.index: (b.time, end) for b, end in zip(self._begins, ends, strict=True)}
        return [self._episode(result, *spans[result['index']]) for result in self.results]

    def _episode(self, announced: dict[str, Any], begin: float, until: float) -> EpisodeSeen:
        frames = [stamp for stamp in self._frame_times if begin <= stamp < until]
        # Afterwards the next scene is built, and the arm holds.
        end = max(frames, default=begin) + 0.01
        result = announced['result']
        return EpisodeSeen(
            task=announced['task'],
            instruction=announced['instruction'],
            placement=announced['placement'],
            success=result['success'],
            steps=result['steps'],
            held=result['held'],
            real_time_factor=result['real_time_factor'],
            pictures=[p for p in self._pictures if begin <= p.time <= end],
            command_times=[stamp for stamp in self._command_times if begin <= stamp <= end],
        )

    def _count_camera(self, name: str) -> None:
        count = self._cameras[name]

        def see(message: Any) -> None:
            count.published += 1
            self._last_picture = time.monotonic()
            if self._waiting_since is None:
                self._waiting_since = self._last_picture
            self.settled = False
            if count is next(iter(self._cameras.values())):
                self._frame_times.append(stamp_seconds(message.header.stamp))

        self.create_subscription(CameraInfo, f'/{name}/camera_info', see, _ALL)

    def _hear_episode(self, message: Any) -> None:
        content = json.loads(message.data)
        self.results = content['results']
        self.done = content['done']
        if not self.done and content['index'] not in [begin.index for begin in self._begins]:
            now = self.get_clock().now().nanoseconds * 1e-9 - _GRACE
            self._begins.append(_Begin(content['index'], now, content['instruction']))

    def _hear_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name != '/policy_node':
                continue
            failed = status.level == DiagnosticStatus.ERROR
            self.refusal = status.message if failed else ''
            values = {pair.key: pair.value for pair in status.values}
            self._compare(
                {name: int(values.get(f'frames received: {name}', 0)) for name in self._cameras}
            )

    def _compare(self, received: dict[str, int]) -> None:
        """Takes both counts when no frame is under way, or the one would be ahead."""
        since = time.monotonic() - self._last_picture
        between = 0.01 < since < 0.03
        quiet = since > 0.5
        if not (between or quiet):
            return
        for name, count in self._cameras.items():
            both = (count.published, received[name])
            if count.start is None and min(both):
                count.start = both
            count.end = both
        self.settled = quiet

    def _see_points(self, message: Any) -> None:
        self._pictures.append(Picture(stamp_seconds(message.header.stamp), bytes(message.data)))

    def _hear_timing(self, message: Any) -> None:
        columns = message.layout.dim[0].label.split(',')
        for name, value in zip(columns, message.data, strict=True):
            self.stages.setdefault(name, []).append(float(value))

    def _hear_command(self, message: Any) -> None:
        self._waiting_since = None
        self._command_times.append(stamp_seconds(message.header.stamp))
