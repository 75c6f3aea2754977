# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the numbers of somebody else's policy mean: joints, units, cameras, period."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from ..acting.action_chunk import ActionSpace
from ..bounds import checked
from ..files import read_yaml, structure
from ..seeing.observation import Observation, check_named_once


@dataclass(frozen=True)
class Units:
    """Numbers of the dataset -> physical units: scale * number + offset.

    Attributes:
        scale: For instance pi/180 for joints in degrees.
        offset: In the physical unit.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuses what cannot be turned back."""
        numbers = np.array([self.scale, self.offset])
        if len(self.scale) != len(self.offset) or not np.isfinite(numbers).all():
            raise ValueError('Units need a finite scale and offset for every number.')
        if (numbers[0] == 0).any():
            raise ValueError('A scale of 0 makes every number the same; correct the units.')

    @classmethod
    def same(cls, count: int, scale: float = 1.0) -> 'Units':
        """Returns the same scale for `count` numbers."""
        return cls((scale,) * count, (0.0,) * count)

    def physical(self, numbers: Float[np.ndarray, '*n']) -> Float[np.ndarray, '*n']:
        """Returns numbers of the dataset in rad, m, s."""
        return numbers * np.array(self.scale) + np.array(self.offset)

    def of_dataset(self, physical: Float[np.ndarray, '*n']) -> Float[np.ndarray, '*n']:
        """Returns numbers in rad, m, s in the units of the dataset."""
        return (physical - np.array(self.offset)) / np.array(self.scale)


@dataclass(frozen=True)
@checked
class Robot:
    """What a lerobot checkpoint does not say.

    Attributes:
        cameras: Camera name -> feature of the policy, like 'observation.images.front'; the
            first camera sets the pace.
        resolution: Width and height that the cameras publish [px].
        joints: Names of the joints in the policy's state, in its order.
        uses_pose: Whether the state begins with the end effector's position and rotation
            vector (axis times angle) in the base frame.
        state: Units of the state's numbers.
        action_space: What the actions command.
        action: Units of the actions' numbers.
        period: Time between two actions, 1 / fps of the dataset [s].
        language_model: Folder with config, processor and tokenizer of the policy's language
            model: absolute, beside the YAML file, or in the checkpoint's folder; empty for the
            name in config.json, which must then be in the local cache.
        absent_cameras: Features of the policy that no camera of this robot provides, for
            policies that were fine-tuned without them.
    """

    cameras: dict[str, str]
    resolution: tuple[int, int] = field(metadata={'unit': 'px', 'minimum': 1, 'maximum': 16384})
    joints: tuple[str, ...]
    uses_pose: bool
    state: Units
    action_space: ActionSpace
    action: Units
    period: float = field(metadata={'unit': 's', 'above': 0, 'maximum': 10})
    language_model: str = ''
    absent_cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a description that contradicts itself."""
        check_named_once(self.joints)
        numbers = len(self.joints) + 6 * self.uses_pose
        if len(self.state.scale) != numbers:
            raise ValueError(
                f'The state has {numbers} numbers, but units for {len(self.state.scale)}.'
            )
        if len(self.action.scale) != len(self.action_space.names):
            raise ValueError(
                f'An action has {len(self.action_space.names)} numbers, but units for '
                f'{len(self.action.scale)}.'
            )
        if not self.cameras or len(set(self.cameras.values())) != len(self.cameras):
            raise ValueError(f'Every camera needs a feature of its own, got {self.cameras}.')
        if both := sorted(set(self.absent_cameras) & set(self.cameras.values())):
            raise ValueError(f'{both} are cameras and absent_cameras; name each once.')


@dataclass(frozen=True)
class PictureCells:
    """What `sampled_points` has to know of a tower: points are told in whole pixels."""

    patch: int = 1


class _Described(Protocol):
    """What every description of a robot says."""

    @property
    def cameras(self) -> dict[str, str]: ...

    @property
    def joints(self) -> tuple[str, ...]: ...

    @property
    def action_space(self) -> ActionSpace: ...

    @property
    def period(self) -> float: ...


class ConfigOfRobot:
    """What a node has to know of a policy and its robot's description says."""

    robot: _Described

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.robot.cameras)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints it reads, in order."""
        return self.robot.joints

    @property
    def action_space(self) -> ActionSpace:
        return self.robot.action_space

    @property
    def period(self) -> float:
        return self.robot.period

    @property
    def encoder(self) -> PictureCells:
        return PictureCells()


def state_vector(observation: Observation) -> Float[np.ndarray, ' numbers']:
    """Returns the arm's state as the datasets of lerobot and openpi hold it, in rad and m.

    Joints; before them, where the pose is used, position and rotation vector, whose angle is at
    most pi.
    """
    if observation.pose is None:
        return observation.joints
    x, y, z, w = observation.pose[3:]
    axis = np.array([x, y, z]) * (1 if w >= 0 else -1)
    sine = float(np.linalg.norm(axis))
    angle = 2 * math.atan2(sine, abs(w))
    rotation = axis * (angle / sine if sine > 1e-9 else 2.0)
    return np.concatenate([observation.pose[:3], rotation, observation.joints])


def pose_of(numbers: Float[np.ndarray, '6']) -> Float[np.ndarray, '7']:
    """Returns position and quaternion x y z w of a position and a rotation vector."""
    angle = float(np.linalg.norm(numbers[3:]))
    # sin(angle / 2) / angle, which is 1/2 at 0.
    axis = numbers[3:] * 0.5 * np.sinc(angle / (2 * np.pi))
    return np.array([*numbers[:3], *axis, np.cos(angle / 2)])


def load_robot(path: Path) -> Robot:
    """Returns the robot that a YAML file describes.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    content = read_yaml(path)
    try:
        robot = structure(content, Robot)
    except ValueError as error:
        raise ValueError(f'{path} does not describe a robot: {error}.') from error
    beside = path.absolute().parent / robot.language_model
    if robot.language_model and beside.is_dir():
        return replace(robot, language_model=str(beside))
    return robot
