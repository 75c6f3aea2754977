# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy, another encoder, bags -> how far an arm would go elsewhere, before it is asked to."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from ..bags.observation_replay import StreamTopics, read_observations
from ..device import torch_device
from ..encoders.action_drift import Answer, Drift
from ..encoders.compatibility import PolicyNeeds, see_through
from ..policy.checkpoint import load_checkpoint
from ..policy.policy import Policy
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import StreamBudget


def compare_encoder(
    policy_folder: Path,
    encoder: str,
    bags: Sequence[Path],
    topics: StreamTopics,
    count: int,
    device: str = 'auto',
) -> Drift:
    """What a shadow run would find on recorded observations, all computed by PyTorch.

    Args:
        policy_folder: The folder of a checkpoint.
        encoder: Name or folder of the other encoder.
        bags: Recordings; observations are spread over all of them.
        topics: The topics of the bags.
        count: Observations per bag.
        device: Where both compute, see `torch_device`.

    Raises:
        ValueError: There is no such device, the encoder does not fit, or a bag has no
            observation.
    """
    if count < 1:
        raise ValueError(f'At least one observation per bag is compared, got {count}.')
    place = torch_device(device)
    policy, manifest = load_checkpoint(policy_folder)
    other = see_through(policy, PolicyNeeds.of(manifest, policy_folder.name), encoder).to(place)
    policy.to(place)
    answers = []
    for bag in bags:
        for observation in _spread(policy, bag, topics, count):
            old, old_duration = _predict(policy, observation)
            new, new_duration = _predict(other, observation)
            origin = observation.origin if policy.config.relative else 0.0
            targets = old.chunk.targets - origin, new.chunk.targets - origin
            answers.append(Answer(*targets, old_duration, new_duration))
    config = policy.config
    return Drift.between(answers, config.action_space.names, config.action_statistics)


def _spread(policy: Policy, bag: Path, topics: StreamTopics, count: int) -> list[Observation]:
    """Returns that many observations spread over a bag, or all of fewer."""
    buffer = ObservationBuffer(policy.config.observation, StreamBudget(), topics.joint_names)
    total = sum(1 for _ in read_observations(bag, topics, buffer))
    every = max(total // count, 1)
    buffer = ObservationBuffer(policy.config.observation, StreamBudget(), topics.joint_names)
    found = read_observations(bag, topics, buffer)
    return list(itertools.islice(found, every // 2, every // 2 + every * count, every))


def _predict(policy: Policy, observation: Observation) -> tuple[Prediction, float]:
    begin = time.perf_counter()
    prediction = policy.predict(observation)
    return prediction, time.perf_counter() - begin
