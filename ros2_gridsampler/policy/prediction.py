# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> the arrays that a policy computes with; its results -> ActionChunk."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..acting.action_chunk import ActionChunk
from ..acting.action_prefix import Prefix, padded
from ..seeing.observation import Observation
from .instruction import read_instruction, words_spec
from .policy_config import PolicyConfig
from .signature import Arrays, ArraySpec, Precision, ResultSpec, Signature

# 16 bits move the features, and with them the points; the arithmetic of coordinates is exact.
# fp32: engines add in another order; 1.1e-4 is the most of a published policy (libero_goal, ONNX
# Runtime), a kernel that was wrong was off by more than 1e-3.
ACTION_TOLERANCE: Mapping[Precision, float] = {
    'fp32': 2e-4,
    'fp16': 2e-2,
    'bf16': 5e-2,
    'int8': 1e-1,
}
POINT_TOLERANCE: Mapping[Precision, float] = {'fp32': 0.01, 'fp16': 0.05, 'bf16': 0.2, 'int8': 0.4}


@dataclass(frozen=True)
class Prediction:
    """What the policy wants and where it looked.

    Attributes:
        chunk: Targets in physical units.
        points: Camera name -> sampled points (x, y) in [0, 1].
    """

    chunk: ActionChunk
    points: dict[str, Float[np.ndarray, 'tokens 2']]


class PolicyInterface:
    """Observations -> the named arguments of a policy's network, its named results -> chunks.

    The network is `Policy.forward` with one argument more: `point_shift` is added to every
    sampled point before the map is read there. It is zero but when an engine is tried out.

    Args:
        config: The settings of the policy.

    Attributes:
        config: The settings of the policy.
        signature: The signature of the network, batch of one.
    """

    def __init__(self, config: PolicyConfig) -> None:
        self.config = config
        encoder, actions = config.encoder, len(config.action_space.names)
        pictures = (1, len(config.cameras), encoder.image_height, encoder.image_width, 3)
        inputs = {
            'images': ArraySpec(pictures, 'uint8'),
            'proprioception': ArraySpec((1, config.observation.numbers), 'float32'),
            'words': words_spec(config.instruction),
            'point_shift': ArraySpec((1, config.tokens, 2), 'float32'),
        }
        if config.continues:
            inputs |= {
                'prefix': ArraySpec((1, config.steps, actions), 'float32'),
                'given': ArraySpec((1, config.steps), 'float32'),
            }
        rows, columns = encoder.grid
        # A map of one column has no distance between cells.
        cell = np.array([1 / (count - 1) if count > 1 else np.inf for count in (columns, rows)])
        scale = np.array(config.action_statistics.scale)
        outputs = {
            'actions': ResultSpec(scale, 'scales', ACTION_TOLERANCE),
            'points': ResultSpec(cell, 'cells', POINT_TOLERANCE),
        }
        self.signature = Signature(inputs, outputs)

    def arrays(self, observation: Observation, prefix: Prefix | None = None) -> Arrays:
        """Returns the policy's view of an observation and of steps that are already decided.

        Raises:
            ValueError: The policy was not trained for a prefix, or it does not fit.
        """
        shift = np.zeros((1, self.config.tokens, 2), np.float32)
        told = prefix_arrays(self.config, prefix)
        arrays = (*as_arrays(self.config, observation), shift, *told)
        return dict(zip(self.signature.inputs, arrays, strict=True))

    def prediction(self, observation: Observation, results: Arrays) -> Prediction:
        """Returns the results of the network with their meaning.

        Raises:
            ValueError: They are numbers that no arm may follow.
        """
        return as_prediction(self.config, observation, results['actions'], results['points'])


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
