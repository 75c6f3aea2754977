# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> the arrays that a policy computes with; its results -> ActionChunk."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..acting.action_chunk import ActionChunk
from ..acting.action_prefix import Prefix, padded
from ..seeing.observation import Observation
from .instruction import read_instruction
from .policy_config import PolicyConfig


@dataclass(frozen=True)
class Prediction:
    """What the policy wants and where it looked.

    Attributes:
        chunk: Targets in physical units.
        points: Camera name -> sampled points (x, y) in [0, 1].
    """

    chunk: ActionChunk
    points: dict[str, Float[np.ndarray, 'tokens 2']]


def as_arrays(
    config: PolicyConfig, observation: Observation
) -> tuple[
    UInt8[np.ndarray, '1 cameras height width 3'],
    Float[np.ndarray, '1 numbers'],
    Int[np.ndarray, '1 words pieces'] | Float[np.ndarray, '1 numbers'],
]:
    """Returns the arguments of `Policy.forward` for a batch of one."""
    images = np.stack([observation.images[name] for name in config.cameras])
    body = proprioception(observation).astype(np.float32)
    words = read_instruction(config.instruction, observation.instruction)
    return images[None], body[None], words[None]


def prefix_arrays(
    config: PolicyConfig, prefix: Prefix | None
) -> tuple[Float[np.ndarray, '1 steps ...'], ...]:
    """Returns what `Policy.forward` takes after that; nothing for a policy that takes no prefix.

    Raises:
        ValueError: The policy was not trained for a prefix, or it does not fit.
    """
    if config.continues:
        return padded(prefix, config.steps, len(config.action_space.names))
    if prefix is not None and len(prefix):
        raise ValueError(
            'This policy was not trained to go on from steps under way (its head is '
            f"{config.head!r}); train one with head 'continuing' or 'flow', or give no prefix."
        )
    return ()


def as_prediction(
    config: PolicyConfig,
    observation: Observation,
    actions: Float[np.ndarray, '1 steps actions'],
    points: Float[np.ndarray, '1 cameras tokens 2'],
) -> Prediction:
    """Returns the results of `Policy.forward`, batch of one, with their meaning."""
    chunk = ActionChunk(observation.time, config.period, actions[0].astype(np.float64))
    return Prediction(chunk, dict(zip(config.cameras, points[0], strict=True)))


def proprioception(observation: Observation) -> Float[np.ndarray, ' numbers']:
    """Returns what the arm feels, without jumps.

    A quaternion and its negative are one rotation, so the pose enters as position [m] and the
    first two columns of its rotation matrix (arXiv:1812.07035), followed by the joints, their
    velocities and what they were told last.
    """
    pose = observation.pose
    of_joints = (observation.joints, observation.velocities, observation.command)
    joints = np.concatenate([numbers for numbers in of_joints if numbers is not None])
    if pose is None:
        return joints
    x, y, z, w = pose[3:]
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    second = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    return np.concatenate([pose[:3], first, second, joints])
