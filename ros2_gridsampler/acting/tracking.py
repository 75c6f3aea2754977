# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Where the arm was commanded to be and where it is -> whether it follows, was moved, stands."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from .controller import Controller
from .led_pose import LedPose, pose_difference
from .loop_config import LoopConfig
from .loop_events import Measured

# No encoder is so fine that an arm which stands does not seem to move by this [rad], [m].
_NOISE = 0.002
# A joint is commanded a little farther ahead than what tells that something is in its way.
_BEYOND = 1.1
# An arm in motion is so many times as far from where it was commanded as one that hangs may be.
_MOVING = 2.0
_TEXTS = (
    'A joint is {:.3f} rad (or m) behind its command, and not where it was {:.2f} s ago either.',
    'The arm is {:.3f} m behind the commanded pose, and not at that of {:.2f} s ago either.',
    'The hand is turned {:.3f} rad away from the commanded pose, and from that of {:.2f} s ago.',
)

Numbers = NDArray[np.float64]


class TrackingWatch:
    """Tells an arm that is kept from following from one that was moved while it held.

    Each joint, and position and angle of a commanded pose, has its gap between command and arm. An
    arm follows where it is about where it was commanded a moment ago: the lead that it is allowed
    is the way commanded in that time, which is speed x (delay + margin).

    Args:
        controller: Knows the joints that it commands.
        led: The pose that is commanded; None where none is.
        config: Bounds, and whether the arm is asked at all: a recorded one never follows.
    """

    def __init__(self, controller: Controller, led: LedPose | None, config: LoopConfig) -> None:
        self._controller = controller
        self._led = led
        self._joints = controller.gaps.size
        self._error = config.max_tracking_error
        self._lag = config.schedule.actuation_delay + config.max_lag + config.period
        rates = np.array([part.max_rate for part in controller.parts])
        # A twist and its pose have position, gripper and orientation; joints have no pose.
        fastest = [*rates, 0.0, 0.0] if self._joints else [rates[0], rates[2]]
        self._leads = _MOVING * self._error + self._lag * np.array(fastest)
        self._checks = config.check_following
        if not self._checks:
            self._leads, self._error = np.full(self._leads.shape, np.inf), np.inf
        self._rest = RestWatch(max(self._error / 5, _NOISE), config.rest_time)
        # Commands older than the oldest measurement that counts explain nothing.
        most = math.ceil((self._lag + config.streams.max_age) * config.command_rate) + 2
        self._history: deque[tuple[float, Numbers, Numbers | None]] = deque(maxlen=most)
        self.begin()

    def begin(self) -> None:
        """Forgets everything."""
        self._rest.begin()
        self._history.clear()
        self._gaps = np.zeros(self._leads.shape)
        # How far the arm is from where it was commanded in the last moment.
        self._behind = np.zeros(self._leads.shape)
        self._blocked = False
        # Which were kept from following on their way from `_place` to `_wanted`, and still may be.
        self._trial = np.zeros(self._leads.shape, bool)
        self._place = self._wanted = self._here = (np.zeros(self._joints), np.zeros(0))
        # Which stood at their command since commands began anew in this hold; how far off the
        # others were then.
        self._stood = np.ones(self._leads.shape, bool)
        self._hung = np.zeros(self._leads.shape)
        self._measured = -np.inf

    def measure(self, state: Measured) -> None:
        """The arm was measured."""
        hand = np.zeros(0) if state.pose is None else state.pose
        if hand.size and self._here[1].size and hand[3:] @ self._here[1][3:] < 0:
            # The same rotation.
            hand = np.array([*hand[:3], *-hand[3:]])
        away = self._led.gap(hand) if hand.size and self._led else (0.0, 0.0)
        self._gaps = np.array([*self._controller.gaps, *away])
        self._here = (state.values[: self._joints], hand)
        self._behind = np.minimum(self._gaps, self._distance_from_history(state.time))
        free = self._here[0][self._controller.watched]
        self._rest.measure(np.concatenate([free, hand]), state.time)
        self._measured = state.time
        if self._trial.any():
            self._trial &= ~self._got_on
        if self.stands:
            self._stood |= self._gaps <= self._error

    def command(self, holds_still: bool, time: float, follows: bool) -> None:
        """A command was sent at `time` [s].

        Args:
            holds_still: Whether it holds an arm that stands.
            time: The time of the clock that stamps the streams [s].
            follows: Whether it is none of a hold.
        """
        self._rest.command(holds_still, time)
        joints = self._controller.commanded
        pose = None if self._led is None else self._led.pose
        self._history.append((time, np.zeros(0) if joints is None else joints, pose))
        if follows:
            self._stood[:] = True

    def restless(self) -> None:
        """Stamps from before say nothing any more, for instance because the clock jumped."""
        self._rest.begin()
        self._history.clear()

    def restart(self) -> None:
        """Commands are about to begin anew where the arm is."""
        away = self._gaps > self._error
        self._stood &= ~away
        self._hung[away] = self._gaps[away]
        if self._blocked:
            joints = self._controller.commanded
            pose = None if self._led is None else self._led.pose
            self._trial |= away
            self._place = self._here
            self._wanted = (
                self._here[0] if joints is None else joints,
                self._here[1] if pose is None else pose,
            )
        self._rest.begin()
        self._history.clear()

    def kept_from_following(self, held: bool) -> str:
        """What says that something is in the way; empty where the arm follows.

        Args:
            held: Whether the last command was a hold. An arm that gets away from it then is
                moved by somebody, and one that was kept from following before still may be.
        """
        # What was kept from following has to move first before it may be led as far again.
        bounds = np.where(self._trial, self._error, _MOVING * self._error)
        behind = np.where(self._trial, self._gaps, self._behind)
        self._blocked = bool((behind > bounds).any()) and (self._blocked or not held)
        if not self._blocked:
            return ''
        worst = int(np.argmax(behind / bounds))
        return _TEXTS[max(worst - self._joints + 1, 0)].format(self._gaps[worst], self._lag)

    @property
    def follows(self) -> bool:
        """Whether the arm is about where it was commanded a moment ago."""
        return bool((self._behind <= self._error).all())

    @property
    def lead(self) -> Numbers:
        """How far ahead of where it is each joint may be commanded [rad], [m]."""
        bounds = np.where(self._trial, np.minimum(self._leads, self._error), self._leads)
        return np.asarray(_BEYOND * bounds[: self._joints])

    @property
    def displaced(self) -> bool:
        """Whether a holding arm is away from its command and nothing is in its way."""
        return (not self._blocked and self._away) or self._opened

    @property
    def elsewhere(self) -> bool:
        """Whether the arm is away from its command, for whatever reason, or moves there."""
        return self._away or self._opened

    @property
    def astray(self) -> bool:
        """Whether a holding arm stands away from its command: it would jump when it can."""
        return self.stands and self.elsewhere

    @property
    def stands(self) -> bool:
        """Whether the arm was commanded to stand, and has been measured to, for a while."""
        return self._rest.stands(self._measured)

    @property
    def _opened(self) -> bool:
        return self._checks and self._controller.opened

    @property
    def _away(self) -> bool:
        """Whether the arm is elsewhere than commanded, and has to be met there.

        One that hangs by its own weight, and does so again from where commands began anew, is
        left there as long as it is not far away: it would sink and sink. And one that was kept
        from following may lean as far on what is in its way as tells whether that still is there.
        """
        hangs = ~self._stood & (np.abs(self._gaps - self._hung) <= self._error / 2)
        far = np.where(hangs | self._trial, _MOVING * self._error, self._error)
        return bool((self._gaps > far).any())

    @property
    def _got_on(self) -> NDArray[np.bool_]:
        """Which have come nearer to what they wanted, or have left altogether.

        Springing back from what it leaned on is neither.
        """
        nearer = _distances(self._place, self._wanted) - _distances(self._here, self._wanted)
        return (nearer > self._error / 2) | (_distances(self._here, self._place) > self._leads)

    def _distance_from_history(self, time: float) -> Numbers:
        """How far the arm, as of `time` [s], is from what was commanded since `_lag` before.

        Joints have to be between the lowest and the highest of these commands, a hand near one of
        the poses.
        """
        history, since = self._history, time - self._lag
        while len(history) > 1 and history[1][0] <= since:
            history.popleft()
        joints, hand = self._here
        behind = np.full(self._leads.shape, np.inf)
        commands = [values for _, values, _ in history if values.size]
        if commands:
            low, high = np.min(commands, axis=0), np.max(commands, axis=0)
            behind[: self._joints] = np.maximum(np.maximum(low - joints, joints - high), 0.0)
        poses = [pose_difference(pose, hand) for _, _, pose in history if pose is not None]
        if poses and hand.size:
            behind[self._joints :] = np.min(poses, axis=0)
        return behind


def _distances(one: tuple[Numbers, Numbers], other: tuple[Numbers, Numbers]) -> Numbers:
    """Returns the distance of each joint, and of position and orientation where both are known."""
    known = one[1].size and other[1].size
    return np.array(
        [*np.abs(one[0] - other[0]), *(pose_difference(one[1], other[1]) if known else (0.0, 0.0))]
    )


class RestWatch:
    """An arm stands when it was commanded to, and has been measured to, for a while.

    Args:
        near: Within this the measured arm has not moved [rad], [m].
        rest_time: The while [s].
    """

    def __init__(self, near: float, rest_time: float) -> None:
        self._near = near
        self._rest_time = rest_time
        self.begin()

    def begin(self) -> None:
        """Forgets everything."""
        self._commanded_since: float | None = None
        self._measured_at: tuple[NDArray[np.float64], float] | None = None

    def command(self, at_rest: bool, time: float) -> None:
        """A command was sent at `time` [s]; `at_rest` where it holds an arm that stands.

        A clock set back begins anew.
        """
        if not at_rest:
            self._commanded_since = None
        elif self._commanded_since is None or time < self._commanded_since:
            self._commanded_since = time

    def measure(self, state: NDArray[np.float64], time: float) -> None:
        """The arm was measured at `time` [s]; new numbers, and a clock set back, begin anew."""
        before = self._measured_at
        anew = before is None or before[0].shape != state.shape or time < before[1]
        if before is None or anew or np.abs(state - before[0]).max(initial=0.0) > self._near:
            self._measured_at = (state, time)

    def stands(self, time: float) -> bool:
        """Whether it stands, by what was measured at `time` [s] or before."""
        if self._commanded_since is None or self._measured_at is None:
            return False
        since = max(self._commanded_since, self._measured_at[1])
        return time - since > self._rest_time
