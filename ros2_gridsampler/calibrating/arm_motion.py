# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm was told and what it did -> delay, sign and order of its joints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Searched for delays; beyond a second nobody controls an arm by commands.
_MAX_DELAY = 1.0
_STEP = 0.005
# A joint that moved by less says nothing [rad], [m] or fraction.
_MIN_RANGE = 0.02
# Correlation of velocities: below, a joint does not follow any command.
_FOLLOWS = 0.5
_CLEARLY = 0.15
# Commands whose times vary by more of their period cannot be told from missing ones.
_UNEVEN = 0.15


@dataclass(frozen=True, eq=False)
class ArmMotion:
    """What an arm was commanded and what it did, over one recording.

    Attributes:
        names: Names of the joints, for commands and states alike.
        command_times: Times at which commands came [s].
        commands: Commanded positions, [rad], [m] or fractions.
        state_times: Capture times [s].
        states: Measured positions, in the unit of the commands.
    """

    names: tuple[str, ...]
    command_times: Float[np.ndarray, ' commands']
    commands: Float[np.ndarray, 'commands joints']
    state_times: Float[np.ndarray, ' states']
    states: Float[np.ndarray, 'states joints']


@dataclass(frozen=True)
class JointResponse:
    """How one joint follows the commands.

    Attributes:
        joint: Name of the joint.
        follows: The command that it follows best, '' where it follows none or did not move.
        gain: Its motion over that of its own command; 1 is right, negative is turned round.
        delay: Time from its own command to its motion [s].
        correlation: Correlation of its velocity with that of its command, shifted by the delay.
    """

    joint: str
    follows: str
    gain: float
    delay: float
    correlation: float


def measure_responses(motion: ArmMotion) -> list[JointResponse]:
    """Fits every joint's state to every command, at the delay that fits best.

    Raises:
        ValueError: Too short, or nothing moved.
    """
    begin = max(motion.command_times[0], motion.state_times[0])
    end = min(motion.command_times[-1], motion.state_times[-1]) - _MAX_DELAY
    if end - begin < 2 * _MAX_DELAY:
        raise ValueError(
            f'Commands and states overlap for {max(end - begin + _MAX_DELAY, 0):.1f} s; record at '
            f'least {3 * _MAX_DELAY:.0f} s in which every joint moves.'
        )
    times = np.arange(begin, end, _STEP)
    moving = [i for i in range(len(motion.names)) if np.ptp(motion.commands[:, i]) > _MIN_RANGE]
    if not moving:
        raise ValueError('No command changed by more than 0.02; record a motion of every joint.')
    commands = {i: _sample(motion.command_times, motion.commands[:, i], times) for i in moving}
    responses = []
    for i, name in enumerate(motion.names):
        state = motion.states[:, i]
        if np.ptp(state) <= _MIN_RANGE:
            responses.append(JointResponse(name, '', 0.0, np.nan, 0.0))
            continue
        fits = {
            j: _fit(times, command, motion.state_times, state) for j, command in commands.items()
        }
        best = max(fits, key=lambda j: abs(fits[j][2]))
        own = fits.get(i, (np.nan, np.nan, 0.0))
        if i in fits and abs(fits[best][2]) < abs(own[2]) + _CLEARLY:
            best = i
        follows = motion.names[best] if abs(fits[best][2]) > _FOLLOWS else ''
        responses.append(JointResponse(name, follows, own[1], own[0], own[2]))
    return responses


def summarise_delay(responses: Sequence[JointResponse]) -> tuple[float, float]:
    """Returns the median delay of the joints that follow, and the quartiles' distance [s].

    Raises:
        ValueError: No joint follows its command.
    """
    delays = [r.delay for r in responses if r.follows == r.joint and r.gain > 0]
    if not delays:
        raise ValueError(
            'No joint follows its own command, so no delay can be told; see the findings above, '
            'and check that commands and states are of the same arm and clock.'
        )
    low, median, high = np.percentile(delays, [25, 50, 75])
    return float(median), float(high - low)


def explain_responses(responses: Sequence[JointResponse]) -> list[str]:
    """Returns what is wrong with order, signs and units, one sentence per joint."""
    problems = []
    for response in responses:
        name, gain = response.joint, response.gain
        if response.follows not in ('', name):
            problems.append(
                f'Joint {name!r} follows the command for {response.follows!r}: the order of the '
                'joints is wrong in the command or in the driver.'
            )
        elif response.follows and gain < 0:
            problems.append(f'Joint {name!r} moves against its command (gain {gain:.2f}).')
        elif response.follows and not 0.5 < gain < 2:
            degrees = ' (degrees and radians?)' if 40 < max(gain, 1 / gain) < 80 else ''
            problems.append(f'Joint {name!r} moves {gain:.3g} times its command{degrees}.')
    return problems


def largest_rates(motion: ArmMotion) -> Mapping[str, Float[np.ndarray, '3']]:
    """Returns each joint's largest commanded velocity, acceleration and jerk, over both sides.

    A controller commands at even times, and a recorder adds its own delay to each; divided by
    uneven times, jerks would be hundreds of times too large. So the times are made even.

    Raises:
        ValueError: They are so uneven that nobody can tell which commands are missing.
    """
    gaps = np.diff(motion.command_times)
    period = float(np.median(gaps))
    uneven = float(np.std(gaps[gaps < 1.5 * period])) / period
    if not uneven <= _UNEVEN:
        raise ValueError(
            f'The recorded commands come every {1e3 * period:.1f} ms, give or take '
            f'{100 * uneven:.0f}%; at most {100 * _UNEVEN:.0f}% tell accelerations and jerks. '
            'Record trajectories with stamps, on a machine that does nothing else, or give '
            '--limits.'
        )
    steps = np.maximum(np.round(gaps / period), 1)
    times = gaps.sum() / steps.sum() * np.concatenate([[0.0], np.cumsum(steps)])
    found = motion.commands
    rates = []
    for _ in range(3):
        found = np.diff(found, axis=0) / np.diff(times)[:, None]
        times = (times[1:] + times[:-1]) / 2
        rates.append(np.abs(found).max(axis=0))
    return dict(zip(motion.names, np.array(rates).T, strict=True))


def _sample(
    times: Float[np.ndarray, ' samples'],
    values: Float[np.ndarray, ' samples'],
    at: Float[np.ndarray, ' times'],
) -> Float[np.ndarray, ' times']:
    return np.interp(at, times, values)


def _fit(
    times: Float[np.ndarray, ' times'],
    command: Float[np.ndarray, ' times'],
    state_times: Float[np.ndarray, ' states'],
    state: Float[np.ndarray, ' states'],
) -> tuple[float, float, float]:
    """Returns the best delay [s], and gain and correlation of the velocities at it."""
    # Over 50 ms: differences of neighbours would be the noise of the encoders.
    window = round(0.05 / _STEP)
    told = command[window:] - command[:-window]
    delays = np.arange(0, _MAX_DELAY, _STEP)
    scores = []
    for delay in delays:
        seen = _sample(state_times, state, times + delay)
        did = seen[window:] - seen[:-window]
        scores.append(_correlation(told, did))
    index = int(np.argmax(np.abs(scores)))
    delay = float(delays[index] + _STEP * _peak(np.abs(scores), index))
    seen = _sample(state_times, state, times + delay)
    centred = command - command.mean()
    gain = float(centred @ (seen - seen.mean()) / max(centred @ centred, 1e-12))
    return delay, gain, float(scores[index])


def _peak(scores: Float[np.ndarray, ' delays'], index: int) -> float:
    """Returns where the parabola through the best three peaks, in steps from `index`."""
    if not 0 < index < len(scores) - 1:
        return 0.0
    left, top, right = scores[index - 1 : index + 2]
    bend = left - 2 * top + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0


def _correlation(a: Float[np.ndarray, ' times'], b: Float[np.ndarray, ' times']) -> float:
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale > 0 else 0.0
