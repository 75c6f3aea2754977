# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Where the arm was commanded to be and where it is -> whether it follows, was moved, stands."""

import numpy as np
from numpy.typing import NDArray

from ..controller import Controller
from .command_outputs import CommandOutput
from .input_topics import Measured
from .policy_parameters import PolicyParameters
from .rest_watch import RestWatch

# No encoder is so fine that an arm which stands does not seem to move by this [rad], [m].
_NOISE = 0.002


class TrackingWatch:
    """Tells an arm that is kept from following from one that was moved while it held.

    Args:
        controller: Knows the joints that it commands.
        output: Knows the pose that it commands.
        parameters: Bounds.
    """

    def __init__(
        self, controller: Controller, output: CommandOutput, parameters: PolicyParameters
    ) -> None:
        """Nothing is known yet."""
        self._controller = controller
        self._output = output
        self._bounds = {
            'A joint is {:.3f} rad (or m) behind its command.': parameters.max_joint_lead,
            'The arm is {:.3f} m behind the commanded pose.': parameters.max_lead,
            'The hand is turned {:.3f} rad away from the commanded pose.': (
                parameters.max_lead_angle
            ),
        }
        self._error = parameters.max_tracking_error
        self._rest = RestWatch(max(self._error / 10, _NOISE), parameters.rest_time)
        self.begin()

    def begin(self) -> None:
        """Forget everything."""
        self._rest.begin()
        self._gaps = [0.0] * len(self._bounds)
        self._blocked = False
        self._measured = -np.inf

    def measure(self, state: Measured, pose: Measured | None) -> None:
        """The arm was measured; `pose` of the end effector where somebody measures it."""
        position, angle = (0.0, 0.0) if pose is None else self._output.gap(pose.values)
        self._gaps = [self._controller.gap, position, angle]
        everything: list[NDArray[np.float64]] = [state.values]
        if pose is not None:
            everything.append(pose.values)
        self._rest.measure(np.concatenate(everything), state.time)
        self._measured = state.time

    def command(self, holds_still: bool, time: float) -> None:
        """A command was sent at `time` [s]; `holds_still` where it holds an arm that stands."""
        self._rest.command(holds_still, time)

    def kept_from_following(self, held: bool) -> str:
        """What says that something is in the way; empty where the arm follows.

        Args:
            held: Whether the last command was a hold. An arm that gets away from it then is
                moved by somebody, and one that was kept from following before still may be.
        """
        behind = [
            text.format(gap)
            for gap, (text, bound) in zip(self._gaps, self._bounds.items(), strict=True)
            if gap > bound
        ]
        self._blocked = bool(behind) and (self._blocked or not held)
        return ' '.join(behind) if self._blocked else ''

    @property
    def displaced(self) -> bool:
        """Whether a holding arm is away from its command and nothing is in its way."""
        return not self._blocked and max(self._gaps) > self._error

    @property
    def stands(self) -> bool:
        """Whether the arm was commanded to stand, and has been measured to, for a while."""
        return self._rest.stands(self._measured)
