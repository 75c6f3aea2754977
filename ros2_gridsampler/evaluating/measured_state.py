# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded joint states and poses -> where the arm is, as the safety filter wants to know it."""

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import GripperLimits
from ..acting.command_message import read_pose
from ..bags.bag_storage import RecordedMessage
from .topic_map import TopicMap

Numbers = NDArray[np.float64]


class MeasuredState:
    """The newest state of the recorded arm.

    Args:
        space: What an action means.
        topics: Where the state is.
        gripper: Of the arm, where it has one.
    """

    def __init__(
        self, space: ActionSpace, topics: TopicMap, gripper: GripperLimits | None
    ) -> None:
        self._topics = topics
        self._gripper = gripper
        self._twist = space.kind == 'end_effector_twist'
        self._names = topics.gripper_joints if self._twist else space.names
        self._joints: Numbers | None = None
        self._position: Numbers | None = None

    def take(self, recorded: RecordedMessage, time: float) -> tuple[Numbers, float] | None:
        """State and capture time, if this message completes or renews it.

        What cannot be read is left out here: the observation's own reading says why.
        """
        message = recorded.message
        if recorded.topic == self._topics.measured_joints:
            index = {name: i for i, name in enumerate(message.name)}
            count = len(message.position)
            if any(index.get(name, count) >= count for name in self._names):
                return None
            positions = np.array([message.position[index[n]] for n in self._names], np.float64)
            if not np.isfinite(positions).all():
                return None
            if self._twist and self._gripper is not None:
                try:
                    positions = np.array([self._gripper.opening(positions)])
                except ValueError:
                    return None
            self._joints = positions
        elif self._twist and recorded.topic == self._topics.measured_pose:
            try:
                self._position = read_pose(message)[:3]
            except ValueError:
                return None
        else:
            return None
        state = self.state()
        return None if state is None else (state, time)

    def state(self) -> Numbers | None:
        """See `Controller.measure`; None before all of it has come."""
        if not self._twist:
            return self._joints
        if self._joints is None or self._position is None:
            return None
        return np.array([*self._position, *self._joints])

    def as_action(self) -> Numbers | None:
        """The action that keeps the arm where it is."""
        if self._joints is None or not self._twist:
            return self._joints
        return np.array([*np.zeros(6), *self._joints])
