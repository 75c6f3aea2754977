# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the policy saw at one moment, what that is made of, and why it cannot be had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from ..bounds import checked, setting
from .calibration import ImagePreparation
from .depth_image import DepthRange
from .stream_health import Fault


@dataclass(frozen=True)
class Observation:
    """What the policy saw.

    Attributes:
        images: Camera name -> RGB picture at the policy's resolution.
        joints: Positions in the order of the manifest [rad], [m] for prismatic joints.
        pose: End effector in the base frame, x y z [m] and quaternion x y z w; None where the
            policy does not use it.
        instruction: The sentence to obey.
        time: Capture time of the oldest stream [s].
        velocities: Mean velocity of each joint over the last moments [rad/s], [m/s]; None where
            the policy does not use it.
        command: Joint targets that were sent last before the first camera's picture was taken,
            in the order of the joints; None where the policy does not use them.
        earlier: What was seen before, the newest first, for a policy that reads several
            observations at once; without velocities and command.
    """

    images: Mapping[str, UInt8[np.ndarray, 'height width 3']]
    joints: Float[np.ndarray, ' joints']
    pose: Float[np.ndarray, '7'] | None
    instruction: str
    time: float
    velocities: Float[np.ndarray, ' joints'] | None = None
    command: Float[np.ndarray, ' joints'] | None = None
    earlier: tuple['Observation', ...] = ()

    @property
    def origin(self) -> Float[np.ndarray, ' joints']:
        """What relative joint targets are offsets from; `ObservationConfig.origin` says where."""
        return self.joints if self.command is None else self.command


def check_depth(depth: Mapping[str, DepthRange], cameras: Sequence[str]) -> None:
    """Refuses ranges of cameras that are not among `cameras`."""
    if unknown := sorted(set(depth) - set(cameras)):
        raise ValueError(f'depth names the cameras {unknown}; the cameras are {list(cameras)}.')


@dataclass(frozen=True)
@checked
class ObservationConfig:
    """The streams that make an observation.

    Attributes:
        cameras: Name -> how its pictures are prepared; the first one sets the pace.
        resolution: Width and height that the cameras must publish [px].
        joints: Names, in the order that the policy expects.
        uses_pose: Whether the end-effector pose belongs to it.
        velocity_window: Over how long joint velocities are measured [s]; 0 for none. From
            positions: drivers filter what they report as velocity in their own ways.
        uses_command: Whether the joint targets sent last belong to it.
        uses_instruction: Whether it waits for a sentence.
        depth: Cameras that publish distances -> what their pictures show of them.
        earlier: How many observations before it the policy reads with it.
        earlier_period: Time between two of them [s].
    """

    cameras: Mapping[str, ImagePreparation]
    resolution: tuple[int, int] = field(metadata={'unit': 'px', 'minimum': 1})
    joints: tuple[str, ...]
    uses_pose: bool
    velocity_window: float = setting(0.0, unit='s', minimum=0)
    uses_command: bool = False
    uses_instruction: bool = True
    depth: Mapping[str, DepthRange] = field(default_factory=dict)
    earlier: int = setting(0, minimum=0)
    earlier_period: float = setting(0.0, unit='s', minimum=0)

    def __post_init__(self) -> None:
        """Refuses what contradicts itself, such as a history without a period."""
        check_named_once(self.joints)
        check_depth(self.depth, tuple(self.cameras))
        if self.earlier and not self.earlier_period > 0:
            raise ValueError(
                f'{self.earlier} earlier observations need a time between them, got 0 s.'
            )

    @property
    def history(self) -> float:
        """Time from the oldest observation that the policy reads to the newest [s]."""
        return self.earlier * self.earlier_period

    @property
    def numbers(self) -> int:
        """How many numbers the proprioception has."""
        parts = 1 + (self.velocity_window > 0) + self.uses_command
        return 9 * self.uses_pose + parts * len(self.joints)

    @property
    def origin(self) -> int:
        """Where in the proprioception stands what relative joint targets are offsets from.

        The targets sent last if they are read, else the measured positions.
        """
        if self.uses_command:
            return self.numbers - len(self.joints)
        return 9 * self.uses_pose

    @property
    def rectified(self) -> tuple[str, ...]:
        """Cameras whose CameraInfo must be known."""
        return tuple(name for name, how in self.cameras.items() if how.rectify)


class NotObservable(ValueError):
    """There is no admissible observation now; the text names the stream and the reason.

    Attributes:
        fault: What is wrong; None where a stream is only waited for.
        stream: With which stream.
    """

    def __init__(self, text: str, fault: Fault | None, stream: str) -> None:
        super().__init__(text)
        self.fault = fault
        self.stream = stream


def check_contrast(observation: Observation, least: float) -> None:
    """Refuses pictures that show nothing: a lens cap, a wrong exposure, a dead sensor.

    Args:
        observation: Decoded.
        least: Standard deviation of the pixels [0 to 255].

    Raises:
        ValueError: Names the camera.
    """
    for name, rgb in observation.images.items():
        check_picture_contrast(name, rgb, least)


def check_picture_contrast(
    camera: str, rgb: UInt8[np.ndarray, 'height width 3'], least: float
) -> None:
    """Refuses a picture that shows nothing; see `check_contrast`.

    Raises:
        ValueError: Names the camera.
    """
    contrast = float(rgb.std())
    if contrast < least:
        raise ValueError(
            f'Camera {camera!r} shows nothing: its pixels differ by {contrast:.2f} of 255, at '
            f'least {least:.2f} is expected. Look after lens, light and exposure.'
        )


def check_named_once(joints: Sequence[str]) -> None:
    """Refuses joints of which one is there twice.

    Raises:
        ValueError: Names them.
    """
    if twice := sorted({name for name in joints if list(joints).count(name) > 1}):
        raise ValueError(f'The joints {twice} are named twice; each is read once.')
