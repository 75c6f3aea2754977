# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation on its way -> a bag of the recorded topics, the predicted chunks and the points.

It opens in Foxglove and RViz: nothing but standard messages, at the times of the recording.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..acting.action_chunk import ActionChunk
from ..bags.bag_storage import RecordedMessage
from ..bags.bag_writer import TYPES, BagWriter, build, build_header
from ..policy.prediction import Prediction
from ..seeing.camera_message import encode_jpeg
from ..seeing.observation import Observation
from .overlay import draw
from .policy_scores import Contestant

# Everything that is added begins like this, so that it is never taken for a recording.
PREFIX = '/evaluation'


class PredictionBag:
    """Listens to an evaluation and writes it down.

    Args:
        writer: Open.
        contestants: The policies, in the order of their predictions.
    """

    def __init__(self, writer: BagWriter, contestants: Sequence[Contestant]) -> None:
        self._writer = writer
        self._contestants = contestants

    def message(self, recorded: RecordedMessage) -> None:
        """See `evaluation.Listener`; types that ROS 2 Jazzy lacks are not copied."""
        if recorded.type in TYPES.fielddefs:
            latched = recorded.type == 'std_msgs/msg/String'
            self._writer.write_serialised(
                recorded.topic, recorded.type, recorded.serialised, recorded.time, latched=latched
            )

    def prediction(
        self, now: float, observation: Observation, predictions: Sequence[Prediction]
    ) -> None:
        """See `evaluation.Listener`."""
        for number, (contestant, prediction) in enumerate(
            zip(self._contestants, predictions, strict=True)
        ):
            name = PREFIX if number == 0 else f'{PREFIX}/compared'
            space = contestant.config.action_space
            chunk = chunk_message(prediction.chunk, space.names, space.frame)
            self._writer.write(f'{name}/action_chunk', chunk, now)
            picture = build(
                'sensor_msgs/msg/CompressedImage',
                header=build_header(observation.time, ''),
                format='rgb8; jpeg compressed bgr8',
                data=np.frombuffer(
                    encode_jpeg(draw(observation, prediction, contestant), quality=85), np.uint8
                ),
            )
            self._writer.write(f'{name}/sampled_points/compressed', picture, now)


def chunk_message(chunk: ActionChunk, names: Sequence[str], frame: str) -> Any:
    """A chunk as the live node publishes it: a JointTrajectory stamped with capture time."""
    points = []
    for step, target in enumerate(chunk.targets):
        seconds, nanoseconds = divmod(round(step * chunk.period * 1e9), 10**9)
        points.append(
            build(
                'trajectory_msgs/msg/JointTrajectoryPoint',
                positions=np.asarray(target, np.float64),
                velocities=np.empty(0),
                accelerations=np.empty(0),
                effort=np.empty(0),
                time_from_start=build(
                    'builtin_interfaces/msg/Duration', sec=seconds, nanosec=nanoseconds
                ),
            )
        )
    return build(
        'trajectory_msgs/msg/JointTrajectory',
        header=build_header(chunk.start_time, frame),
        joint_names=list(names),
        points=points,
    )
