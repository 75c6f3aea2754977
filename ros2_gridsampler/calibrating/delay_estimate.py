# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What was commanded and what was measured -> how much later the arm does it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..bounds import checked, setting


@dataclass(frozen=True)
@checked
class DelayConfig:
    """Which joint to step, and how; the flags of `gridsampler calibrate delay`.

    Attributes:
        joint: Name of the joint; only this one moves, by the amplitude and back.
        arm: YAML file with the limits of the arm, or the name of one in calibration/.
        amplitude: Height of the step [rad], [m].
        repetitions: Number of steps.
        joint_states: Topic of the joint states.
        command: JointTrajectory topic of the controller.
        accept_zero_state: Whether a first state in which the joints are exactly 0 is believed:
            for simulated arms that begin there.
    """

    joint: str
    arm: str = 'panda'
    amplitude: float = 0.05
    repetitions: int = setting(6, minimum=2)
    joint_states: str = '/joint_states'
    command: str = '/joint_trajectory_controller/joint_trajectory'
    accept_zero_state: bool = False

    def __post_init__(self) -> None:
        if self.amplitude == 0:
            raise ValueError('amplitude is 0, which moves nothing; give another one.')


@dataclass(frozen=True)
class Delay:
    """How late and how closely an arm follows its commands.

    Attributes:
        seconds: The shift at which measured and commanded motion fit best [s].
        residual: What is left then, root mean square [rad], [m].
        motion: How far the command went to and fro [rad], [m].
    """

    seconds: float
    residual: float
    motion: float

    def __str__(self) -> str:
        return (
            f'actuation_delay: {self.seconds:.4f}  # [s]; the arm follows {self.motion:.3f} '
            f'rad or m to within {self.residual:.4f} at that shift'
        )


def estimate_delay(
    command_times: Float[np.ndarray, ' commands'],
    commanded: Float[np.ndarray, ' commands'],
    measured_times: Float[np.ndarray, ' samples'],
    measured: Float[np.ndarray, ' samples'],
    longest: float = 1.0,
    resolution: float = 0.001,
) -> Delay:
    """Shifts the command until it fits the measurement best; a constant offset does not count.

    A first-order lag counts as about its time constant, which is what a schedule has to know.

    Args:
        command_times: When each was sent [s].
        commanded: Positions of one joint [rad], [m].
        measured_times: Capture times, same clock [s].
        measured: Positions of that joint.
        longest: Longest delay that is looked for [s].
        resolution: Step between the delays that are tried [s].

    Raises:
        ValueError: The joint was not moved, too little was measured, or the arm does not follow.
    """
    if len(measured) < 10 or len(commanded) < 10:
        raise ValueError(
            f'Only {len(commanded)} commands and {len(measured)} measured positions; is the '
            'controller running, and joint_states published?'
        )
    motion = float(np.ptp(commanded))
    if motion <= 0:
        raise ValueError('The command did not move the joint; choose a larger amplitude.')
    inside = measured_times >= command_times[0] + longest
    inside &= measured_times <= command_times[-1]
    shifts = np.arange(0.0, longest, resolution)
    if inside.sum() < 10:
        raise ValueError('The measurement is too short for that delay; repeat more often.')
    errors = []
    for shift in shifts:
        expected = np.interp(measured_times[inside] - shift, command_times, commanded)
        errors.append(float(np.std(measured[inside] - expected)))
    best = int(np.argmin(errors))
    if errors[best] > 0.25 * motion:
        raise ValueError(
            f'The arm does not follow: at the best shift it is {errors[best]:.4f} off a motion '
            f'of {motion:.4f}. Check the command topic, the controller and the joint.'
        )
    return Delay(float(shifts[best]), errors[best], motion)
