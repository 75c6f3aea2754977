# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm can do -> the unit in which errors of its joints, speeds and gripper add up."""

import numpy as np
from jaxtyping import Float

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import ArmLimits


def action_scale(space: ActionSpace, limits: ArmLimits) -> Float[np.ndarray, ' actions']:
    """One unit of each entry of an action.

    A joint's is the way that it goes at its top speed in a second, so an error is the time that
    it takes to correct; a speed's is the top speed; the gripper's is its whole opening. It depends
    on the arm alone: not on a checkpoint's statistics, nor on a bag, so that scores compare.

    Raises:
        ValueError: The arm has no limits for this action space.
    """
    return space.means.scale(space.names, limits)


def action_units(space: ActionSpace, limits: ArmLimits) -> tuple[str, ...]:
    """In which unit each entry of an action is, for people; empty for a share of a range."""
    return space.means.units(space.names, limits)
