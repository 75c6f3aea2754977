# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""YAML of a robot -> how a policy on another machine is told what it sees, and is understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from ..acting.action_chunk import ActionChunk, ActionSpace
from ..acting.action_prefix import Prefix
from ..bounds import checked, setting
from ..files import read_yaml, structure
from ..policy.manifest import golden_picture
from ..seeing.calibration import ImagePreparation
from ..seeing.depth_image import DepthRange
from ..seeing.observation import Observation, ObservationConfig, check_depth
from .array_messages import as_numbers
from .robot import ConfigOfRobot, Units, pose_of, state_vector

Flip = Literal['horizontal', 'vertical', 'both']
_FLIPS: Mapping[Flip, tuple[slice, slice]] = {
    'horizontal': (slice(None), slice(None, None, -1)),
    'vertical': (slice(None, None, -1), slice(None)),
    'both': (slice(None, None, -1), slice(None, None, -1)),
}
STATE_KEY = 'observation/state'
VELOCITIES_KEY, COMMAND_KEY = 'observation/velocities', 'observation/command'
PREFIX_KEY = 'observation/prefix'
_MAX_STEPS = 2000
_MAX_SIDE = 2048


@dataclass(frozen=True)
@checked
class RemoteRobot:
    """What a policy server and a robot have to agree on; the defaults are openpi's.

    Attributes:
        cameras: Camera name -> its key in the observation, like 'observation/image'; the first
            camera sets the pace.
        resolution: Width and height that the cameras publish [px].
        joints: Names of the joints in the state, in its order.
        action_space: What the actions command.
        period: Time between two actions [s].
        uses_pose: Whether the state begins with the end effector's position and rotation vector
            (axis times angle) in the base frame.
        picture: Width and height of the pictures that are sent [px].
        padded: Whether pictures of another shape get black borders, as openpi's
            `resize_with_pad` does it, instead of being stretched.
        preparations: Cameras whose pictures are prepared otherwise; `picture` and `padded` do
            not count for them.
        flipped: Cameras whose pictures are mirrored before they are sent; 'both' turns them by
            180 degrees.
        state: Units of the state's numbers; rad and m where there are none.
        action: Units of the actions' numbers; those of the action space where there are none.
        state_keys: Key -> how many numbers of the state it has, in order; by default all are
            `observation/state`.
        velocities: Joints whose actions are velocities, after `action` [rad/s], [m/s]: they are
            added up from the joint's position in the observation.
        velocity_window: Over how long joint velocities are measured [s], which are sent as
            `observation/velocities`; 0 for none.
        uses_command: Whether the joint targets sent last are sent, as `observation/command`.
        uses_instruction: Whether a sentence is sent.
        continues: Whether the steps under way are sent, as `observation/prefix` in the units of
            the actions; for policies of this package that go on from them.
        ensemble_decay: How the chunks of a policy that is made for temporal ensembling weigh, as
            `ScheduleConfig.ensemble_decay`; by default it is made for none.
        depth: Cameras that publish distances -> what their pictures show of them.
        prompt_key: Key of the sentence.
        actions_key: Key of the actions in the answer.
        first_timeout: Longest wait at configure for one answer: a server may compile at first.
    """

    cameras: dict[str, str]
    resolution: tuple[int, int] = field(metadata={'unit': 'px', 'minimum': 1, 'maximum': 16384})
    joints: tuple[str, ...]
    action_space: ActionSpace
    period: float = field(metadata={'unit': 's', 'above': 0, 'maximum': 10})
    uses_pose: bool = False
    picture: tuple[int, int] = setting((224, 224), unit='px', minimum=1, maximum=_MAX_SIDE)
    padded: bool = True
    preparations: dict[str, ImagePreparation] = field(default_factory=dict)
    flipped: dict[str, Flip] = field(default_factory=dict)
    state: Units | None = None
    action: Units | None = None
    state_keys: dict[str, int] = field(default_factory=dict)
    velocities: tuple[str, ...] = ()
    velocity_window: float = setting(0.0, unit='s', minimum=0)
    uses_command: bool = False
    uses_instruction: bool = True
    continues: bool = False
    ensemble_decay: float | None = field(default=None, metadata={'unit': '1/s'})
    depth: dict[str, DepthRange] = field(default_factory=dict)
    prompt_key: str = 'prompt'
    actions_key: str = 'actions'
    first_timeout: float = setting(60.0, unit='s', minimum=0.1, maximum=600)

    def __post_init__(self) -> None:
        """Refuses a description that contradicts itself."""
        if not self.cameras or len(set(self.cameras.values())) != len(self.cameras):
            raise ValueError(f'Every camera needs a key of its own, got {self.cameras}.')
        keys = [*self.cameras.values(), *self.keys, self.prompt_key]
        keys += [VELOCITIES_KEY, COMMAND_KEY, PREFIX_KEY]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f'Two things have the key {twice}; what is sent needs keys apart.')
        check_depth(self.depth, tuple(self.cameras))
        for name, cameras in (('preparations', self.preparations), ('flipped', self.flipped)):
            if unknown := sorted(set(cameras) - set(self.cameras)):
                raise ValueError(
                    f'{name} names the cameras {unknown}; the cameras are {list(self.cameras)}.'
                )
        large = [c for c, p in self.preparations.items() if max(p.width, p.height) > _MAX_SIDE]
        if large:
            raise ValueError(f'Pictures of {large} have sides of more than {_MAX_SIDE} px.')
        if sum(self.state_keys.values()) != self.numbers and self.state_keys:
            raise ValueError(
                f'The state has {self.numbers} numbers, but state_keys share out '
                f'{sum(self.state_keys.values())}: {self.state_keys}.'
            )
        if any(count < 1 for count in self.state_keys.values()):
            raise ValueError(f'Every key of state_keys has numbers, got {self.state_keys}.')
        actions = len(self.action_space.names)
        for name, units, count in (
            ('state', self.state, self.numbers),
            ('action', self.action, actions),
        ):
            if units is not None and len(units.scale) != count:
                raise ValueError(f'{name} has {count} numbers, but units for {len(units.scale)}.')
        if strange := [
            joint
            for joint in self.velocities
            if joint not in self.joints or joint not in self.action_space.names
        ]:
            raise ValueError(
                f'velocities names {strange}; only a joint that is both read and commanded can '
                'have velocities added to its position.'
            )
        if self.velocities and self.continues:
            raise ValueError('Steps under way are positions; velocities cannot continue them.')
        if self.velocities and not self.action_space.means.of_joints:
            raise ValueError('velocities are of joints; a twist is a velocity by itself.')

    @property
    def numbers(self) -> int:
        """How many numbers the state has."""
        return len(self.joints) + 6 * self.uses_pose

    @property
    def keys(self) -> dict[str, int]:
        """Key -> how many numbers of the state it has, in order."""
        return self.state_keys or {STATE_KEY: self.numbers} if self.numbers else {}

    def preparation(self, camera: str) -> ImagePreparation:
        """Returns how the pictures of a camera are prepared, before any border."""
        if camera in self.preparations:
            return self.preparations[camera]
        width, height = self.picture
        if self.padded:
            ratio = max(self.resolution[0] / width, self.resolution[1] / height)
            width = max(int(self.resolution[0] / ratio), 1)
            height = max(int(self.resolution[1] / ratio), 1)
        return ImagePreparation(width, height)

    def message(self, observation: Observation, prefix: Prefix | None = None) -> dict[str, Any]:
        """Returns an observation, and steps under way, as its server expects them.

        Raises:
            ValueError: There are steps, and the server cannot be told.
        """
        content: dict[str, Any] = {
            key: self._shown(camera, observation.images[camera])
            for camera, key in self.cameras.items()
        }
        state = state_vector(observation)
        state = state if self.state is None else self.state.of_dataset(state)
        begin = 0
        for key, count in self.keys.items():
            content[key] = state[begin : begin + count]
            begin += count
        if self.velocity_window:
            content[VELOCITIES_KEY] = observation.velocities
        if self.uses_command:
            content[COMMAND_KEY] = observation.command
        if self.uses_instruction:
            content[self.prompt_key] = observation.instruction
        if prefix is not None and len(prefix):
            if not self.continues:
                raise ValueError('This server is not told the steps under way; give no prefix.')
            content[PREFIX_KEY] = prefix if self.action is None else self.action.of_dataset(prefix)
        return content

    def prefix(self, content: Mapping[str, Any]) -> Prefix | None:
        """Returns the steps under way that `message` was told; None where there are none.

        Raises:
            ValueError: They are none for this robot.
        """
        if not self.continues or PREFIX_KEY not in content:
            return None
        steps = as_numbers(content[PREFIX_KEY], PREFIX_KEY)
        return _numbers(content, PREFIX_KEY, (*steps.shape[:1], len(self.action_space.names)))

    def observation(self, content: Mapping[str, Any]) -> Observation:
        """Returns what `message` was made from, but for its time, which is 0.

        Only for a robot whose pictures are sent as they are prepared and whose numbers have
        no units of their own, as the server of this package describes it.

        Raises:
            ValueError: The message lacks something, or has it in another shape or kind.
        """
        images = {camera: self._picture(content, camera) for camera in self.cameras}
        read = [_numbers(content, key, (count,)) for key, count in self.keys.items()]
        state = np.concatenate([*read, np.empty(0)])
        joints = len(self.joints)
        sentence = content.get(self.prompt_key, '') if self.uses_instruction else ''
        if not isinstance(sentence, str) or bool(sentence) != self.uses_instruction:
            raise ValueError(f'{self.prompt_key!r} has to be a sentence, got {sentence!r:.60}.')
        return Observation(
            images,
            state[6 * self.uses_pose :],
            pose_of(state[:6]) if self.uses_pose else None,
            sentence,
            0.0,
            _numbers(content, VELOCITIES_KEY, (joints,)) if self.velocity_window else None,
            _numbers(content, COMMAND_KEY, (joints,)) if self.uses_command else None,
        )

    def chunk(self, answer: Mapping[str, Any], seen: Observation) -> ActionChunk:
        """Returns the actions of an answer in physical units, in the time of what was seen.

        Raises:
            ValueError: There are none, or none that this robot may follow.
        """
        if self.actions_key not in answer:
            raise ValueError(
                f'The answer has no {self.actions_key!r}, but {sorted(answer)!r:.100}; name the '
                'key of its actions as actions_key.'
            )
        actions = as_numbers(answer[self.actions_key], self.actions_key)
        names = self.action_space.names
        if actions.ndim != 2 or actions.shape[1] != len(names) or not len(actions):
            raise ValueError(
                f'{self.actions_key!r} has the shape {actions.shape}; expected steps of '
                f'{len(names)} numbers, for {list(names)}.'
            )
        if len(actions) > _MAX_STEPS:
            raise ValueError(f'A chunk of {len(actions)} steps came; at most {_MAX_STEPS} may.')
        targets = actions if self.action is None else self.action.physical(actions)
        for joint in self.velocities:
            at, velocity = seen.joints[self.joints.index(joint)], names.index(joint)
            gone = np.cumsum(targets[:, velocity]) - targets[:, velocity]
            targets[:, velocity] = at + self.period * gone
        return ActionChunk(seen.time, self.period, targets)

    def example(self) -> Observation:
        """Returns a made-up observation of this robot, the same on every machine."""
        images = {}
        for index, camera in enumerate(self.cameras):
            prepared = self.preparation(camera)
            images[camera] = golden_picture(prepared.width, prepared.height, index)
        joints = np.zeros(len(self.joints))
        return Observation(
            images,
            joints,
            np.array([0.4, 0, 0.3, 1.0, 0, 0, 0]) if self.uses_pose else None,
            'golden observation' if self.uses_instruction else '',
            0.0,
            joints if self.velocity_window else None,
            joints if self.uses_command else None,
        )

    def _shown(
        self, camera: str, rgb: UInt8[np.ndarray, 'height width 3']
    ) -> UInt8[np.ndarray, 'out_height out_width 3']:
        if camera not in self.preparations:
            width, height = self.picture
            left, top = (width - rgb.shape[1]) // 2, (height - rgb.shape[0]) // 2
            if left or top or rgb.shape[:2] != (height, width):
                whole = np.zeros((height, width, 3), np.uint8)
                whole[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb
                rgb = whole
        return rgb[_FLIPS[self.flipped[camera]]] if camera in self.flipped else rgb

    def _picture(
        self, content: Mapping[str, Any], camera: str
    ) -> UInt8[np.ndarray, 'height width 3']:
        key, prepared = self.cameras[camera], self.preparation(camera)
        picture, expected = content.get(key), (prepared.height, prepared.width, 3)
        shape, kind = getattr(picture, 'shape', None), getattr(picture, 'dtype', None)
        if not isinstance(picture, np.ndarray) or shape != expected or kind != np.uint8:
            came = f'{kind} {shape}' if shape is not None else f'{picture!r:.60}'
            raise ValueError(f'{key!r} has to be a picture, uint8 {expected}, got {came}.')
        return picture


@dataclass(frozen=True)
@checked
class RemoteConfig(ConfigOfRobot):
    """What a node has to know of a policy on another machine; the names are `PolicyConfig`'s.

    Attributes:
        robot: Joints, units, cameras, keys.
        steps: Targets per chunk, as they came at configure.
    """

    robot: RemoteRobot
    steps: int = field(metadata={'minimum': 1})

    @property
    def duration(self) -> float:
        """Time from the first target of a chunk to its last [s]."""
        return (self.steps - 1) * self.robot.period

    @property
    def ensemble_decay(self) -> float | None:
        """`ScheduleConfig.ensemble_decay` of a policy made for temporal ensembling, or None."""
        return self.robot.ensemble_decay

    @property
    def continues(self) -> bool:
        return self.robot.continues

    @property
    def tokens(self) -> int:
        """Visual tokens kept per camera; 0, because nobody says."""
        return 0

    @property
    def dense_tokens(self) -> int:
        """Tokens per camera before sampling; 0, because nobody says."""
        return 0

    @property
    def observation(self) -> ObservationConfig:
        robot = self.robot
        return ObservationConfig(
            {camera: robot.preparation(camera) for camera in robot.cameras},
            robot.resolution,
            robot.joints,
            robot.uses_pose,
            robot.velocity_window,
            robot.uses_command,
            robot.uses_instruction,
            robot.depth,
        )


def load_remote_robot(path: Path) -> RemoteRobot:
    """Returns the robot that a YAML file describes.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    content = read_yaml(path)
    try:
        return structure(content, RemoteRobot)
    except ValueError as error:
        raise ValueError(
            f'{path} does not describe the robot of a remote policy: {error}.'
        ) from error


def _numbers(
    content: Mapping[str, Any], key: str, shape: tuple[int, ...]
) -> Float[np.ndarray, '...']:
    if key not in content:
        raise ValueError(f'The observation has no {key!r}, but {sorted(content)!r:.200}.')
    numbers: NDArray[np.float64] = as_numbers(content[key], key)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        came = f'shape {numbers.shape}' if numbers.shape != shape else f'{numbers}'
        raise ValueError(f'{key!r} has to be {shape} finite numbers, got {came}.')
    return numbers
