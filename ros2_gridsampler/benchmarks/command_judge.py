# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of commands, as they come -> what the arm follows, and what exceeds its limits."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..acting.arm_limits import ArmLimits
from ..acting.command_message import read_joint_trajectory, read_pose, read_twist
from ..simulation.kinematic_arm import KinematicArm
from .campaign_config import CommandKind
from .exercise import FRAME, JOINTS
from .limit_excess import Excess, HardwareExcess, JointExcess, TwistExcess

Numbers = NDArray[np.float64]
# A pause of this length is a new beginning for a controller [s].
_NEW_BEGINNING = 0.5
# A pause of so many periods is no jitter.
_PAUSE = 8


@dataclass(frozen=True)
class SeenCommand:
    """A command as it came: steady time [s], and whether it moves anything."""

    time: float
    moves: bool


class CommandJudge:
    """Reads the commands of one node as a controller does.

    Args:
        kind: Kind of the commands, see `CampaignConfig`.
        limits: That no command may exceed.
        period: Between two commands [s].
        lag: Lag of the arm [s].

    Raises:
        ValueError: The arm has no limits for a twist.
    """

    def __init__(self, kind: CommandKind, limits: ArmLimits, period: float, lag: float) -> None:
        self.commands: list[SeenCommand] = []
        self.sent: list[float] = []
        """When each command left the node, by the system's clock [s]."""
        self.refused = 0
        """Commands that no controller could read."""
        self._kind, self._period = kind, period
        self._by_joints = kind in ('joints', 'positions')
        self._excess: JointExcess | TwistExcess
        self._hardware: HardwareExcess | None = None
        if self._by_joints:
            joints = limits.joints.select(JOINTS)
            self._excess = JointExcess(joints, period)
            self._hardware = HardwareExcess(kind, joints.max_velocity, period, lag)
        elif limits.end_effector is None or limits.gripper is None:
            raise ValueError(f'{limits.name} has no limits for a twist; use kind joints.')
        else:
            self._excess = TwistExcess(limits.end_effector, limits.gripper, period)
            if kind == 'pose':
                fastest = np.array([limits.end_effector.max_speed])
                self._hardware = HardwareExcess(kind, fastest, period, lag)
        self._others: set[bytes] = set()
        self._last: Numbers | None = None
        self._last_time, self._number = float('-inf'), 0

    @property
    def worst(self) -> Excess:
        """The worst since `begin`, of the commands and of what controllers make of them."""
        parts = (self._excess, self._hardware)
        return max((part.worst for part in parts if part), key=lambda excess: excess.share)

    def begin(self) -> None:
        """Forgets what was counted and counts anew."""
        self.commands.clear()
        self.sent.clear()
        self.refused = 0
        for part in (self._excess, self._hardware):
            if part is not None:
                part.worst = Excess(0.0, '')

    def activate(self, arm: KinematicArm) -> None:
        """A controller begins to execute the commands, with the arm where it is."""
        if self._hardware is not None:
            self._hardware.activate(arm.joints if self._by_joints else arm.position)

    def disregard(self, values: Numbers) -> None:
        """A command with these values is somebody else's."""
        self._others.add(values.tobytes())

    def take(
        self, message: Any, info: Any, arm: KinematicArm, watched: bool = True
    ) -> tuple[Numbers, float] | None:
        """Reads and judges a command.

        Args:
            message: A command.
            info: With `source_timestamp` and `publication_sequence_number`, from rclpy.
            arm: Where it is, for a controller that begins anew.
            watched: Whether a controller may begin now: not while nobody says where the arm is.

        Returns:
            What the arm has to follow, and within which time [s]; None where there is nothing to
            follow.
        """
        now = time.monotonic()
        try:
            values, duration = self._read(message)
        except ValueError:
            self.refused += 1
            return None
        if values.tobytes() in self._others:
            return None
        sent = info['source_timestamp'] * 1e-9
        number = info['publication_sequence_number'] or self._number + 1
        gap = sent - self._last_time
        lost = number - self._number - 1
        if _PAUSE * self._period < gap <= _NEW_BEGINNING:
            # Nothing was sent: as with what was lost, only the mean velocity is known.
            lost = max(lost, round(gap / self._period) - 1)
        if gap > _NEW_BEGINNING or lost < 0:
            lost = 0
            before, self._last = self._last, arm.joints if self._by_joints else None
            if isinstance(self._excess, JointExcess):
                # From rest, at the last command or anew; the hardware is judged by the way from
                # the arm.
                near = before is not None and self._excess.is_one_step(before, values)
                self._excess.begin(before if before is not None and near else values)
            else:
                self._excess.begin()
            if self._kind != 'joints':
                self.activate(arm)
        if self._hardware is not None and watched and np.isfinite(values).all():
            place = arm.joints if self._by_joints else arm.position
            self._hardware.add(values[: len(place)], duration, place, sent, lost > 0)
        self._last_time, self._number = sent, number
        self._judge(values, lost)
        reference = 0.0 if self._kind == 'twist' or self._last is None else self._last
        moves = bool(np.abs(values - reference).max() > 1e-6)
        self._last = values
        self.commands.append(SeenCommand(now, moves))
        self.sent.append(sent)
        return values, duration

    def _read(self, message: Any) -> tuple[Numbers, float]:
        """The numbers of a command, and the time in which they are to be reached [s].

        Raises:
            ValueError: No controller could read it.
        """
        if self._kind == 'joints':
            due = message.points[-1].time_from_start if message.points else None
            duration = 0.0 if due is None else due.sec + due.nanosec * 1e-9
            return read_joint_trajectory(message, JOINTS)[-1], max(duration, 1e-3)
        if self._kind == 'twist':
            return read_twist(message, FRAME), 0.0
        if self._kind == 'pose':
            return read_pose(message), 0.0
        values = np.array(message.data, np.float64)
        if values.shape != (len(JOINTS),):
            raise ValueError(f'Expected {len(JOINTS)} positions, got {values.shape}.')
        return values, 0.0

    def _judge(self, values: Numbers, lost: int) -> None:
        if self._kind != 'pose':
            self._excess.add(values, lost)
        elif self._last is not None:
            turn = Rotation.from_quat(values[3:]) * Rotation.from_quat(self._last[3:]).inv()
            way = np.concatenate([values[:3] - self._last[:3], turn.as_rotvec()])
            self._excess.add(way / (self._period * (lost + 1)), lost)
            if lost and isinstance(self._excess, TwistExcess):
                self._excess.forget()
