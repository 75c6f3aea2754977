# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A command -> some joints to a controller of their own, the others as they are sent alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..acting.action_chunk import ActionSpace
from .gripper_message import GripperMessage
from .output_topics import CommandOutput, Numbers


class SeparateJointsOutput(CommandOutput):
    """Some joints on `~/gripper_command` [rad], [m], the others by another output.

    ros2_control's controllers own joints, and refuse those of another one.

    Args:
        node: Owns the publishers.
        others: Is told to send the joints that stay; makes its output.
        space: Action space of all joints.
        separate: Names of the joints on `~/gripper_command`, in the order of that message.
        gripper: How that is written.

    Raises:
        ValueError: They are not commanded, or nobody else is.
    """

    def __init__(
        self,
        node: Any,
        others: Callable[[ActionSpace], CommandOutput],
        space: ActionSpace,
        separate: Sequence[str],
        gripper: GripperMessage,
    ) -> None:
        rest = tuple(name for name in space.names if name not in separate)
        unknown = [name for name in separate if name not in space.names]
        if unknown or not rest or len(set(separate)) != len(separate):
            raise ValueError(
                f'separate_joints is {list(separate)}; name each once, and some but not all of '
                f'the joints that the checkpoint commands: {list(space.names)}.'
            )
        self._separate = [space.names.index(name) for name in separate]
        self._rest = [space.names.index(name) for name in rest]
        self._gripper = gripper
        super().__init__(node, {'~/gripper_command': gripper.kind})
        try:
            self._others = others(replace(space, names=rest))
        except Exception:
            self.destroy()
            raise
        apart = self.topics[0]
        self._publishers = [*self._others.publishers, *self._publishers]
        self.joints = {**self._others.joints, apart: separate}

    def publish(
        self, values: Numbers, pose: Numbers | None, time: float, reach_time: float
    ) -> None:
        """Sends a command; see `CommandOutput.publish`."""
        self._others.publish(values[self._rest], pose, time, reach_time)
        self._publishers[-1].publish(self._gripper.make(values[self._separate], time))
