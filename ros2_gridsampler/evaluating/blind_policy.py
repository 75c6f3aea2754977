# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and the mean of a recording's pictures -> the same policy, which sees nothing."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ..acting.action_prefix import Prefix
from ..bags.bag_files import DamagedBag
from ..bags.bag_reader import read_messages
from ..bags.observation_replay import ObservationReplay, StreamTopics
from ..engines import Backend
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from ..seeing.observation_buffer import ObservationBuffer
from .evaluation_config import EvaluationConfig


class BlindPolicy:
    """Answers an observation whose pictures are replaced by the same ones every time.

    Joints, pose and instruction stay: what is lost is what the policy owes to its eyes.

    Args:
        engine: The policy.
        pictures: Camera -> what it is shown instead.
    """

    def __init__(
        self, engine: Backend, pictures: Mapping[str, UInt8[np.ndarray, 'height width 3']]
    ) -> None:
        self._engine = engine
        self._pictures = dict(pictures)

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Returns what the policy says to the mean pictures."""
        seen = tuple(replace(each, images=self._pictures) for each in observation.earlier)
        blind = replace(observation, images=self._pictures, earlier=seen)
        if prefix is None:
            return self._engine.predict(blind)
        return self._engine.predict(blind, prefix)


def mean_pictures(
    bag: Path, topics: StreamTopics, buffer: ObservationBuffer, config: EvaluationConfig
) -> dict[str, UInt8[np.ndarray, 'height width 3']]:
    """Reads a bag once and returns, for each camera, the mean of what the policy is shown.

    Args:
        bag: A bag of any kind.
        topics: Which topic is which stream.
        buffer: An empty one, of the policy's streams.
        config: Whose time is believed.
    """
    replay = ObservationReplay(topics, buffer, config.time)
    replay.learn_cameras(bag)
    sums: dict[str, np.ndarray] = {}
    count = 0
    # What is lost of the bag is told by the evaluation itself.
    with contextlib.suppress(DamagedBag):
        for recorded in read_messages(bag, topics.names):
            observation = replay.take(recorded)
            if observation is None:
                continue
            count += 1
            for camera, picture in observation.images.items():
                sums[camera] = sums.get(camera, 0) + picture.astype(np.float64)
    return {camera: np.rint(total / count).astype(np.uint8) for camera, total in sums.items()}
