# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Opening of a gripper, or positions of joints apart -> the message that its controller takes."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray

from ..acting.arm_limits import GripperLimits
from ..acting.command_message import fill_float64_multi_array
from .policy_parameters import GripperKind
from .topics import ros_time


class GripperMessage:
    """How `~/gripper_command` is written.

    Args:
        kind: Kind of the message.
        joints: Joints whose positions are sent, by the robot's names.
        max_effort: Largest effort of a GripperCommand [N]; 0 leaves it to the controller.
        limits: Gripper whose opening is sent, as its joint is there; None where positions are.

    Attributes:
        kind: Message class.

    Raises:
        ValueError: The message holds one number and there are more joints, or its package is not
            installed.
    """

    def __init__(
        self,
        kind: GripperKind = 'float64_multi_array',
        joints: Sequence[str] = ('gripper',),
        max_effort: float = 0.0,
        limits: GripperLimits | None = None,
    ) -> None:
        if kind in ('float64', 'gripper_command') and len(joints) > 1:
            raise ValueError(
                f'gripper_command_type is {kind}, one number, but the joints apart are '
                f'{list(joints)}; name one of them, or send joint_state or float64_multi_array.'
            )
        self._name = kind
        self._joints = list(joints)
        self._max_effort = max_effort
        self._limits = limits
        self.kind: Any = {
            'float64_multi_array': Float64MultiArray,
            'float64': Float64,
            'joint_state': JointState,
        }.get(kind)
        if self.kind is None:
            self.kind = _control_message('GripperCommand')

    def make(self, values: NDArray[np.float64], time: float) -> Any:
        """Returns the message for an opening [m] or positions [rad], [m]; `time` is now [s]."""
        message = self.kind()
        if self._limits is not None:
            values = self._limits.joint(values)
        if self._name == 'float64_multi_array':
            fill_float64_multi_array(message, values)
        elif self._name == 'float64':
            message.data = float(values[0])
        elif self._name == 'joint_state':
            message.header.stamp = ros_time(time)
            message.name, message.position = self._joints, [float(value) for value in values]
        else:
            message.position, message.max_effort = float(values[0]), self._max_effort
        return message


def _control_message(name: str) -> Any:
    """A class of control_msgs, which comes with a ROS installation only."""
    try:
        return getattr(importlib.import_module('control_msgs.msg'), name)
    except ImportError as error:
        raise ValueError(
            'gripper_command_type is gripper_command, which needs control_msgs: install it with '
            'your ROS 2 distribution, or send float64, float64_multi_array or joint_state.'
        ) from error
