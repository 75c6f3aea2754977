# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An observation -> a restless chunk with jumps in it, for checks that need an arm in motion."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk, ActionSpace
from ..acting.action_prefix import Prefix
from ..engines import Backend
from ..files import find
from ..policy.checkpoint import save_checkpoint
from ..policy.manifest import load_manifest
from ..policy.policy import Policy
from ..policy.policy_config import EncoderConfig, PolicyConfig, Statistics, TrunkConfig
from ..policy.prediction import Prediction
from ..seeing.calibration import ImagePreparation
from ..seeing.observation import Observation

JOINTS = tuple(f'panda_joint{i}' for i in range(1, 8))
FINGERS = ('panda_finger_joint1', 'panda_finger_joint2')
REST: NDArray[np.float64] = np.array([0.0, -0.3, 0.0, -1.8, 0.0, 1.6, 0.8])
HAND: NDArray[np.float64] = np.array([0.5, 0.0, 0.4])
FRAME = 'panda_link0'
RESOLUTION = (96, 72)
CAMERAS = ('front', 'wrist')


def save_exercise_policy(
    kind: str, folder: Path, resolution: tuple[int, int] = RESOLUTION
) -> None:
    """A small policy with random weights as a checkpoint; its inference is real, its aim is not.

    Args:
        kind: 'joints' and 'positions' are commands of joints, 'twist' and 'pose' of the hand.
        folder: Where to; it is made.
        resolution: Width and height of the pictures [px].
    """
    torch.manual_seed(0)
    base = load_manifest(find('models', 'libero_spatial')).policy
    by_joints = kind in ('joints', 'positions')
    joints = JOINTS if by_joints else FINGERS
    space = ActionSpace('joint_position', JOINTS) if by_joints else base.action_space
    numbers = len(joints) + 9 * (not by_joints)
    config = dataclasses.replace(
        base,
        cameras=CAMERAS,
        resolution=resolution,
        preparation=ImagePreparation(64, 64),
        joints=joints,
        uses_pose=not by_joints,
        action_space=space,
        steps=20,
        period=0.05,
        landmarks=0,
        tokens=4,
        sample_after=2,
        proprioception_statistics=Statistics((0.0,) * numbers, (1.0,) * numbers),
        action_statistics=Statistics((0.0,) * len(space.names), (0.1,) * len(space.names)),
        encoder=EncoderConfig(64, 64, patch=16, width=32, depth=2, heads=2, stem=(8,)),
        trunk=TrunkConfig(width=32, depth=1, heads=2),
    )
    save_checkpoint(Policy(config).eval(), folder, training={}, results={})


class Exercise:
    """Predicts by a policy, which costs what it costs, then swings the arm instead.

    The swing is a function of the time alone, so chunks agree with each other; its jumps are
    more than any arm can follow. `fault` is obeyed at the next prediction: 'slow SECONDS',
    'fail', 'nan' or ''.

    Args:
        backend: The policy.
        config: Configuration of the policy.
    """

    def __init__(self, backend: Backend, config: PolicyConfig) -> None:
        self._backend = backend
        self._config = config
        self.fault = ''

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk.

        Raises:
            ValueError: The fault is 'nan'.
            RuntimeError: The fault is 'fail'.
        """
        name, _, number = self.fault.partition(' ')
        if name == 'slow':
            time.sleep(float(number))
        if name == 'fail':
            raise RuntimeError('The engine failed, as it was asked to.')
        prediction = self._backend.predict(observation, prefix)
        start, period = observation.time, self._config.period
        times = start + period * np.arange(self._config.steps)
        by_joints = self._config.action_space.kind == 'joint_position'
        targets = swing_joints(times) if by_joints else swing_twist(times, observation)
        if name == 'nan':
            targets[1] = np.nan
        return dataclasses.replace(prediction, chunk=ActionChunk(start, period, targets))


def swing_joints(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """All joints around `REST`, each second with a jump of 0.3 rad [rad]."""
    phase = 2 * np.pi * 0.4 * times[:, None] + np.arange(7)
    jump = 0.3 * (np.floor(times[:, None]) % 2)
    return np.asarray(REST + 0.25 * np.sin(phase) + jump)


def swing_twist(times: NDArray[np.float64], observation: Observation) -> NDArray[np.float64]:
    """Returns twists to and fro around `HAND` with jumps of 0.3 m/s; the gripper half open."""
    if observation.pose is None:
        raise ValueError('A twist is relative to the hand; the policy has to use its pose.')
    phase = 2 * np.pi * 0.4 * times[:, None] + np.arange(6)
    twists = 0.15 * np.sin(phase) + 0.15 * np.sign(np.sin(3 * phase))
    twists[:, :3] += 0.5 * (HAND - observation.pose[:3])
    return np.concatenate([twists, np.full((len(times), 1), 0.04)], 1)
