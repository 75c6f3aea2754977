# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""How far the gripper was told to be open, by operator and policy -> who was early or late."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import ArmLimits

Numbers = NDArray[np.float64]
# An operator whose gripper moves less has not used it (share of its range).
_LEAST_RANGE = 0.15
# A crossing counts once the signal is so far past the middle (share of the operator's range).
_HYSTERESIS = 0.15
# An event of the policy belongs to one of the operator within this time [s].
_SAME_EVENT = 1.5


class GripperScale:
    """Which entries of an action are the gripper, as shares of their range.

    A gripper is the last entry of a twist, or every joint whose unit is a fraction or whose name
    says so.
    """

    def __init__(self, space: ActionSpace, limits: ArmLimits) -> None:
        self._low = self._range = np.empty(0)
        if space.kind == 'end_effector_twist':
            self.indices = np.array([len(space.names) - 1])
            opening = 1.0 if limits.gripper is None else limits.gripper.max_opening
            self._low, self._range = np.zeros(1), np.array([opening])
            return
        joints = limits.joints.select(space.names)
        self.indices = np.array(
            [
                i
                for i, name in enumerate(space.names)
                if joints.units[i] == 'fraction'
                or any(word in name.lower() for word in ('finger', 'gripper'))
            ],
            int,
        )
        self._low = joints.min_position[self.indices]
        self._range = joints.max_position[self.indices] - self._low

    def __bool__(self) -> bool:
        """Whether there is a gripper at all."""
        return bool(len(self.indices))

    def share(self, action: Numbers) -> Numbers:
        """0 to 1 for each entry of the gripper."""
        return np.asarray((action[self.indices] - self._low) / self._range)


class GripperEvents:
    """Compares openings and closings of operator and policy; each `add` is one frame."""

    def __init__(self) -> None:
        self._times, self._operator, self._policy = array('d'), array('d'), array('d')

    def add(self, time: float, operator: Numbers, policy: Numbers) -> None:
        """What both command for the gripper at `time` [s], as shares of its range."""
        self._times.append(time)
        self._operator.append(float(operator.mean()))
        self._policy.append(float(policy.mean()))

    def summary(self) -> dict[str, Any] | None:
        """Events, how many the policy met and by how much it missed; None without a gripper."""
        if not self._times:
            return None
        times, operator, policy = (
            np.array(values) for values in (self._times, self._operator, self._policy)
        )
        low, high = np.percentile(operator, (2, 98))
        none: dict[str, Any] = {
            'recorded': 0, 'predicted': 0, 'met': 0, 'lateness_s': None
        }  # fmt: skip
        if high - low < _LEAST_RANGE:
            return none
        levels = ((low + high) / 2, _HYSTERESIS * (high - low))
        recorded = _crossings(times, operator, *levels)
        predicted = _crossings(times, policy, *levels)
        lateness = []
        free = list(predicted)
        for time, opens in recorded:
            near = [e for e in free if e[1] == opens and abs(e[0] - time) <= _SAME_EVENT]
            if near:
                best = min(near, key=lambda event: abs(event[0] - time))
                free.remove(best)
                lateness.append(best[0] - time)
        return {
            'recorded': len(recorded),
            'predicted': len(predicted),
            'met': len(lateness),
            'lateness_s': {
                'median': float(np.median(lateness)),
                'largest': float(np.max(np.abs(lateness))),
            }
            if lateness
            else None,
        }


def _crossings(
    times: Numbers, signal: Numbers, middle: float, margin: float
) -> list[tuple[float, bool]]:
    """When the signal has gone to the other side of the middle, and whether upwards."""
    side = np.where(signal > middle + margin, 1, np.where(signal < middle - margin, -1, 0))
    clear = np.nonzero(side)[0]
    changes = clear[1:][np.diff(side[clear]) != 0]
    return [(float(times[i]), bool(side[i] > 0)) for i in changes]
