# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands and where the arm is -> what the field's controllers make the hardware do with them.

They say what ros2_control's joint_trajectory_controller and forward_command_controller (4.42.1)
and MoveIt Servo do with the messages that are sent here: one point with positions alone, or one
twist or pose. test/test_controller_models.py names the line of their source behind each
statement, and compares the first with a real one where there is one.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class TrajectoryController:
    """A joint_trajectory_controller with a position command interface, fed by one-point messages.

    Each message replaces the one before. It begins at the measured joints, or, with
    `interpolate_from_desired_state`, at what was commanded last; and goes on in a straight line.

    Args:
        period: Between two updates [s].
        from_desired: The controller's parameter `interpolate_from_desired_state`.
        last_command_as_state: Its `set_last_command_interface_value_as_state_on_activation`.

    Attributes:
        command: What the hardware was told last, also by others; None before anybody told it.
        active: Whether it commands.
    """

    def __init__(
        self, period: float, *, from_desired: bool = False, last_command_as_state: bool = True
    ) -> None:
        self._period = period
        self._from_desired = from_desired
        self._last_command_as_state = last_command_as_state
        self.command: Numbers | None = None
        self.active = False
        self._time = 0.0

    def activate(self, measured: Float[np.ndarray, ' joints']) -> None:
        """Holds where the arm is, or what the hardware was told last."""
        before = self.command if self._last_command_as_state else None
        self._desired = measured if before is None else before
        self._desired_time: float | None = None
        self.active = True
        self._hold(self._desired)

    def deactivate(self) -> None:
        """Leaves the hardware with its last command; messages are not even kept."""
        self.active = False

    def cancel(self, measured: Float[np.ndarray, ' joints']) -> None:
        """Holds where the arm is measured, as when a goal is cancelled."""
        self._hold(measured)

    def take(self, positions: Float[np.ndarray, ' joints'], time_from_start: float) -> None:
        """A message with one point has come [rad], [s]; it counts from the next update on."""
        if self.active:
            self._goal, self._duration = positions, time_from_start
            self._begun: tuple[float, Numbers, float] | None = None

    def update(self, measured: Float[np.ndarray, ' joints']) -> Numbers | None:
        """Returns what the hardware is told [rad]; None where nobody told it anything yet."""
        self._time += self._period
        if not self.active:
            return self.command
        if self._begun is None:
            time, place = self._time, measured
            if self._from_desired:
                time = time if self._desired_time is None else self._desired_time
                place = self._desired
            self._begun = time, place, self._time + self._duration
        since, place, end = self._begun
        # The setpoint is the one for the next update.
        ahead = self._time + self._period
        share = 1.0 if ahead >= end else (ahead - since) / (end - since)
        self._desired, self._desired_time = place + share * (self._goal - place), self._time
        self.command = self._desired
        return self.command

    def _hold(self, positions: Numbers) -> None:
        self._goal, self._duration, self._begun = positions, 0.0, None


class ForwardController:
    """A forward_command_controller of positions: it writes what comes, at once.

    Attributes:
        command: What the hardware was told last, also by others; None before anybody told it.
        active: Whether it commands.
    """

    def __init__(self) -> None:
        self.command: Numbers | None = None
        self.active = False
        self._newest: Numbers | None = None

    def activate(self, measured: Float[np.ndarray, ' joints']) -> None:
        """Waits for the next message: what came before is forgotten."""
        self.active, self._newest = True, None

    def deactivate(self) -> None:
        """Leaves the hardware with its last command."""
        self.active, self._newest = False, None

    def take(self, positions: Float[np.ndarray, ' joints'], time_from_start: float = 0.0) -> None:
        """A message has come; one that is not finite is dropped."""
        if np.isfinite(positions).all():
            self._newest = positions

    def update(self, measured: Float[np.ndarray, ' joints']) -> Numbers | None:
        """Returns what the hardware is told [rad]; None where nobody told it anything yet."""
        if self.active and self._newest is not None:
            self.command = self._newest
        return self.command


class Servo:
    """The hand behind MoveIt Servo, without its inverse kinematics, smoothing and collisions.

    Args:
        period: Its `publish_period` [s].
        max_speed: Its `scale.linear` [m/s].
        max_rate: Its `scale.rotational` [rad/s].
        timeout: Its `incoming_command_timeout` [s].
    """

    def __init__(
        self,
        period: float = 0.01,
        max_speed: float = 0.4,
        max_rate: float = 0.8,
        timeout: float = 0.1,
    ) -> None:
        self._period = period
        self._most = (max_speed, max_rate)
        self._timeout = timeout

    def twist(
        self, twist: Float[np.ndarray, '6'], stamp: float, now: float
    ) -> Float[np.ndarray, '6']:
        """Returns the velocity at which the hand is moved [m/s], [rad/s].

        Args:
            twist: Twist of the newest message, in speed units.
            stamp: Stamp of its header [s].
            now: [s].
        """
        if now - stamp >= self._timeout:
            return np.zeros(6)
        return self._scaled(twist)

    def pose(
        self, away: Float[np.ndarray, '6'], stamp: float, now: float
    ) -> Float[np.ndarray, '6']:
        """Returns the velocity at which the hand is moved towards a pose [m/s], [rad/s].

        Args:
            away: Way [m] and rotation vector [rad] from the hand to the pose.
            stamp: Stamp of the message's header [s].
            now: [s].
        """
        if now - stamp >= self._timeout:
            return np.zeros(6)
        return self._scaled(away / self._period)

    def _scaled(self, velocity: Numbers) -> Numbers:
        parts = []
        for part, most in zip(np.split(velocity, 2), self._most, strict=True):
            size = float(np.linalg.norm(part))
            parts.append(part if most <= 0 or size <= most else part * (most / size))
        return np.concatenate(parts)
