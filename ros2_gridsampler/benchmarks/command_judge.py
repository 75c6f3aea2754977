# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of commands, as they come -> what the arm follows, and what exceeds its limits."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acting.arm_limits import ArmLimits
from ..acting.command_message import read_joint_trajectory, read_twist
from .exercise import FRAME, JOINTS
from .limit_excess import Excess, JointExcess, TwistExcess

Numbers = NDArray[np.float64]
# A pause of this length is a new beginning for a controller [s].
_NEW_BEGINNING = 0.5


@dataclass(frozen=True)
class SeenCommand:
    """A command as it came: steady time [s], and whether it moves anything."""

    time: float
    moves: bool


class CommandJudge:
    """Reads the commands of one node as a controller does.

    Args:
        kind: 'joints' (JointTrajectory) or 'twist' (TwistStamped).
        limits: That no command may exceed.
        period: Between two commands [s].

    Raises:
        ValueError: The arm has no limits for a twist.
    """

    def __init__(self, kind: str, limits: ArmLimits, period: float) -> None:
        self.commands: list[SeenCommand] = []
        self.sent: list[float] = []
        """When each command left the node, by the system's clock [s]."""
        self.refused = 0
        """Commands that no controller could read."""
        self._by_joints = kind == 'joints'
        self._excess: JointExcess | TwistExcess
        if self._by_joints:
            self._excess = JointExcess(limits.joints.select(JOINTS), period)
        elif limits.end_effector is None or limits.gripper is None:
            raise ValueError(f'{limits.name} has no limits for a twist; use kind joints.')
        else:
            self._excess = TwistExcess(limits.end_effector, limits.gripper, period)
        self._others: set[bytes] = set()
        self._last: Numbers | None = None
        self._last_time, self._number = float('-inf'), 0

    @property
    def worst(self) -> Excess:
        """The worst since `begin`."""
        return self._excess.worst

    def begin(self) -> None:
        """Forgets what was counted and counts anew."""
        self.commands.clear()
        self.sent.clear()
        self.refused = 0
        self._excess.worst = Excess(0.0, '')

    def disregard(self, values: Numbers) -> None:
        """A command with these values is somebody else's."""
        self._others.add(values.tobytes())

    def take(self, message: Any, info: Any, joints: Numbers) -> Numbers | None:
        """Read and judge a command.

        Args:
            message: A command.
            info: With `source_timestamp` and `publication_sequence_number`, from rclpy.
            joints: Where the arm is, for a controller that begins anew [rad].

        Returns:
            What the arm has to follow; None where there is nothing to follow.
        """
        now = time.monotonic()
        try:
            if self._by_joints:
                values = read_joint_trajectory(message, JOINTS)[-1]
            else:
                values = read_twist(message, FRAME)
        except ValueError:
            self.refused += 1
            return None
        if values.tobytes() in self._others:
            return None
        sent = info['source_timestamp'] * 1e-9
        number = info['publication_sequence_number'] or self._number + 1
        lost = number - self._number - 1
        if sent - self._last_time > _NEW_BEGINNING or lost < 0:
            lost = 0
            if isinstance(self._excess, JointExcess):
                self._excess.begin(joints)
                self._last = joints
            else:
                self._excess.begin()
        self._last_time, self._number = sent, number
        self._excess.add(values, lost)
        reference = self._last if self._by_joints and self._last is not None else 0.0
        moves = bool(np.abs(values - reference).max() > 1e-6)
        self._last = values
        self.commands.append(SeenCommand(now, moves))
        self.sent.append(sent)
        return values
