# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Targets predicted from one observation -> the target due at any time inside them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..seeing.joint_states import JointNames
from .action_kinds import KINDS, TWIST_NAMES, ActionKind

__all__ = ['TWIST_NAMES', 'ActionChunk', 'ActionSpace', 'OutsideChunk']


@dataclass(frozen=True)
class ActionSpace:
    """What the numbers of an action mean.

    Attributes:
        kind: A name in `KINDS`: 'joint_position' [rad] ([m] for prismatic joints) or
            'end_effector_twist' [m/s], [rad/s] followed by the gripper's opening [m].
        names: One per entry of an action: joint names, or `TWIST_NAMES`.
        frame: Frame of a twist (REP-103 axes); empty for joints.
    """

    kind: str
    names: tuple[str, ...]
    frame: str = ''

    def __post_init__(self) -> None:
        """Refuses a space whose entries have no meaning."""
        if self.kind not in KINDS:
            raise ValueError(
                f'Action kind {self.kind!r} is not known; use {" or ".join(map(repr, KINDS))}.'
            )
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f'Action names must be unique and not empty, got {self.names}.')
        self.means.check(self.names, self.frame)

    @property
    def means(self) -> ActionKind:
        """What is particular to its kind."""
        return KINDS[self.kind]

    def called(self, joints: JointNames) -> 'ActionSpace':
        """Returns the same space with the names that a robot gives to its joints."""
        return replace(self, names=joints.of_robot(self.names)) if self.means.of_joints else self


class OutsideChunk(ValueError):
    """The chunk says nothing about the time that was asked for."""


@dataclass(frozen=True)
class ActionChunk:
    """A prediction: target k is due at `start_time + k * period`.

    Attributes:
        start_time: Capture time of the oldest stream of the observation [s].
        period: Time between two targets [s].
        targets: Physical units, in the order of `ActionSpace.names`.
    """

    start_time: float
    period: float
    targets: Float[np.ndarray, 'steps actions']

    def __post_init__(self) -> None:
        """Refuses what no arm may follow."""
        if self.targets.ndim != 2 or not self.targets.size:
            raise ValueError(f'A chunk is [steps, actions], got shape {self.targets.shape}.')
        if not np.isfinite(self.targets).all():
            step, action = np.argwhere(~np.isfinite(self.targets))[0]
            raise ValueError(
                f'The policy predicted {self.targets[step, action]} for action {action} at step '
                f'{step}; the chunk is refused, because no arm can follow it.'
            )
        if not (np.isfinite(self.start_time) and self.period > 0):
            raise ValueError(
                f'A chunk needs a finite start and a positive period, '
                f'got {self.start_time} s and {self.period} s.'
            )

    @property
    def end_time(self) -> float:
        """Time when the last target is due [s]."""
        return self.start_time + (len(self.targets) - 1) * self.period

    def at(self, time: float) -> NDArray[np.float64]:
        """The target due at `time` [s], linear between two targets.

        Raises:
            OutsideChunk: `time` is before the first or after the last target.
        """
        step = (time - self.start_time) / self.period
        # Half a microsecond: stamps near 1.8e9 s are only this exact in float64.
        slack = 5e-7 / self.period
        if not -slack <= step <= len(self.targets) - 1 + slack:
            raise OutsideChunk(
                f'{time:.3f} s is outside the chunk, which reaches from '
                f'{self.start_time:.3f} s to {self.end_time:.3f} s.'
            )
        step = min(max(step, 0.0), len(self.targets) - 1.0)
        low = min(int(step), len(self.targets) - 1)
        high = min(low + 1, len(self.targets) - 1)
        fraction = step - low
        blended = (1 - fraction) * self.targets[low] + fraction * self.targets[high]
        return np.asarray(blended, np.float64)
