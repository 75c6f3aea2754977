# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands -> an arm that follows them with a lag, and pictures in which its motion is seen."""

from collections import deque

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class KinematicArm:
    """Joints that follow position commands, or a hand that follows twists or poses.

    There is no mass and no contact.

    Args:
        joints: Positions of the joints at the start [rad].
        position: Position of the hand at the start [m].
        lag: Time constant of the joints [s].
        delay: Time from a command until anything moves [s].
        command_timeout: Time for which a twist is followed [s].

    Attributes:
        joints: Where they are [rad].
        position: The position of the hand [m].
        orientation: The orientation of the hand, a unit quaternion x y z w.
        lag: Time constant of joints, and of a hand that follows poses [s]; infinite for an arm
            that does not move.
    """

    def __init__(
        self,
        joints: Float[np.ndarray, ' joints'],
        position: Float[np.ndarray, '3'],
        *,
        lag: float = 0.03,
        delay: float = 0.0,
        command_timeout: float = 0.25,
    ) -> None:
        self.joints: Numbers = joints.copy()
        self.position: Numbers = position.copy()
        self.orientation: Numbers = np.array([0.0, 0.0, 0.0, 1.0])
        self._goal: Numbers = joints.copy()
        self._pose: Numbers | None = None
        self._twist = np.zeros(6)
        self._twist_time = -np.inf
        self.lag = lag
        self._delay = delay
        self._timeout = command_timeout
        self._orders: deque[tuple[float, str, Numbers]] = deque()

    def command(self, kind: str, values: Float[np.ndarray, ' numbers'], time: float) -> None:
        """Takes a command at `time` [s].

        Args:
            kind: 'joints' [rad], 'twist' [m/s], [rad/s] or 'pose' [m] and a quaternion x y z w.
            values: What is commanded, of that kind.
            time: When it comes [s].
        """
        self._orders.append((time + self._delay, kind, values))

    def move(self, joints: Float[np.ndarray, ' joints']) -> None:
        """Moves the arm as by hand; it stays there until the next command."""
        self.joints = self._goal = joints.copy()

    def move_hand(self, position: Float[np.ndarray, '3']) -> None:
        """Moves the hand as by hand; it stays there until the next command."""
        self.position, self._pose = position.copy(), None
        self._twist_time = -np.inf

    def step(self, time: float, period: float) -> None:
        """Goes on by `period` [s] until `time` [s]."""
        while self._orders and self._orders[0][0] <= time:
            due, kind, values = self._orders.popleft()
            if kind == 'joints':
                self._goal = values
            elif kind == 'pose':
                self._pose = values
            else:
                self._twist, self._twist_time = values, due
        left = np.exp(-period / self.lag)
        self.joints = self._goal + (self.joints - self._goal) * left
        if self._pose is not None:
            self.position = self._pose[:3] + (self.position - self._pose[:3]) * left
            # The nearer one of q and -q, and on the straight way: for small angles the arc.
            sign = 1.0 if self.orientation @ self._pose[3:] >= 0 else -1.0
            turned = sign * self._pose[3:] + (self.orientation - sign * self._pose[3:]) * left
            self.orientation = turned / np.linalg.norm(turned)
        if time - self._twist_time <= self._timeout:
            self.position = self.position + self._twist[:3] * period

    def picture(self, width: int, height: int) -> UInt8[np.ndarray, 'height width 3']:
        """Returns a dark room with a bright square for each joint and one for the hand."""
        rgb = np.full((height, width, 3), 40, np.uint8)
        places = np.concatenate([np.tanh(self.joints / 3), np.tanh(self.position)])
        side = max(height // (len(places) + 1), 2)
        for row, place in enumerate(places):
            column = int((place + 1) / 2 * (width - side))
            colour = (80 + 20 * row % 170, 250 - 20 * row % 170, 120)
            rgb[row * side : (row + 1) * side, column : column + side] = colour
        # Positions finer than a pixel, as brightness.
        fine = np.abs(places * 1e3) % 1 * 255
        rgb[-1, : len(places)] = fine[:, None].astype(np.uint8)
        return rgb
