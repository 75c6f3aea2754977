# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a simulated arm shows at one instant; needs no simulator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERIOD = 0.05
"""Control period of LIBERO's controller [s]."""
JOINT_NAMES = (
    *(f'panda_joint{number}' for number in range(1, 8)),
    'panda_finger_joint1',
    'panda_finger_joint2',
)
BASE_FRAME = 'panda_link0'
OPEN = 0.08
"""Opening of the Panda's gripper when it is open [m]: the sum of both fingers."""


@dataclass(frozen=True)
class ArmState:
    """What the simulated arm shows at one instant.

    Attributes:
        images: Camera name -> RGB [height, width, 3], upright.
        joint_names: The names of the joints of the arm, then of the fingers.
        joint_positions: [rad], fingers [m].
        joint_velocities: [rad/s], fingers [m/s].
        pose: End effector in the base frame: x y z [m], quaternion x y z w.
        time: Simulated [s].
        fingers: How many of the joints are fingers, which add up to the gripper's opening.
        base_frame: Name of the frame in which poses and twists are.
    """

    images: dict[str, NDArray[np.uint8]]
    joint_names: tuple[str, ...]
    joint_positions: NDArray[np.float64]
    joint_velocities: NDArray[np.float64]
    pose: NDArray[np.float64]
    time: float
    fingers: int = 2
    base_frame: str = BASE_FRAME

    @property
    def gripper_opening(self) -> float:
        """Sum of the fingers [m]."""
        return float(sum(self.joint_positions[len(self.joint_positions) - self.fingers :]))
