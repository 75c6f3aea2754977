# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Speed, acceleration and limits -> how far a stop goes, and what is allowed before it."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# An interval is cut into eight parts eight times: for few joints a call costs more than numbers.
_ROUNDS = 8
_SHARES: Numbers = np.arange(1, 8) / 8


def largest_rate(room: Numbers, max_change: Numbers, period: float) -> Numbers:
    """The largest rate for one period after which it can still fall to zero within `room`.

    For a distance to a wall it is a velocity, for a distance to the largest velocity it is an
    acceleration. rate * period + rate^2 / (2 max_change) = room: the second term is what is
    covered while the rate falls by `max_change` [1/s], and bounds it for any later periods.
    """
    step = max_change * period
    root = np.sqrt(np.maximum(step**2 + 2 * max_change * room, 0))
    return np.asarray(2 * max_change * room / (root + step))


def stopping_distance(
    velocity: Numbers, acceleration: Numbers, max_acceleration: Numbers, max_jerk: Numbers
) -> Numbers:
    """How far a jerk-limited stop goes in the positive direction; never negative.

    The stop brakes harder and harder by `max_jerk` up to `max_acceleration`, holds that, and lets
    go so that velocity and acceleration become zero together. The distance is the one in
    continuous time. Stepping through the stop (velocity += acceleration * period, position +=
    velocity * period) goes no farther, whatever the periods are, which is why a filter that
    keeps this distance free at every step never runs out of it, though timers jitter.

    Args:
        velocity: [rad/s] or [m/s], elementwise like all others.
        acceleration: [rad/s^2] or [m/s^2].
        max_acceleration: Likewise, positive.
        max_jerk: [rad/s^3] or [m/s^3], positive.

    Returns:
        [rad] or [m].
    """
    braking = np.minimum(-acceleration, max_acceleration)
    # The stop is part of a longer one that starts without acceleration, at this velocity.
    top = np.maximum(velocity + braking**2 / (2 * max_jerk), 0)
    triangle = top * np.sqrt(top / max_jerk)
    trapezoid = top / 2 * (top / max_acceleration + max_acceleration / max_jerk)
    whole = np.where(top * max_jerk <= max_acceleration**2, triangle, trapezoid)
    distance = whole - braking * (velocity / max_jerk + braking**2 / (3 * max_jerk**2))
    # Braking so hard already that the velocity turns around: letting go is what takes longest.
    forward = np.maximum(velocity, 0)
    letting_go = forward * np.sqrt(2 * forward / max_jerk) / 3
    turns = (braking >= 0) & (braking**2 >= 2 * max_jerk * velocity)
    distance = np.where(turns, letting_go, distance)
    return np.maximum(np.where(top > 0, distance, 0), 0)


def largest_acceleration(
    room: Numbers,
    velocity: Numbers,
    between: tuple[Numbers, Numbers],
    max_acceleration: Numbers,
    max_jerk: Numbers,
    period: float,
) -> Numbers:
    """The largest acceleration for one period after which a stop is possible within `room`.

    Args:
        room: What is left in the positive direction [rad] or [m].
        velocity: Now.
        between: Lower and upper bound of the answer.
        max_acceleration: The largest acceleration of the stop.
        max_jerk: The largest jerk of the stop.
        period: [s].

    Returns:
        The lower bound where even that is too much.
    """
    low, high = between
    if np.isposinf(room).all():
        return high
    given = room, velocity, max_acceleration, max_jerk
    # What is needed grows with the acceleration, so trying finds where it exceeds the room.
    low = np.where(_fits(high, *given, period), high, low)
    tight = np.flatnonzero(low < high)
    if len(tight):
        given = room[tight], velocity[tight], max_acceleration[tight], max_jerk[tight]
        lowest, highest = low[tight], high[tight]
        below, above = lowest, highest
        columns = np.arange(len(tight))
        for _ in range(_ROUNDS):
            tried = below + _SHARES[:, None] * (above - below)
            # So many of them fit, one after the other.
            count = np.logical_and.accumulate(_fits(tried, *given, period)).sum(0)
            steps = np.concatenate([below[None], tried, above[None]])
            below, above = steps[count, columns], steps[count + 1, columns]
        # Standing still is something that trying would only come near to.
        stand = np.clip(-given[1] / period, lowest, highest)
        low[tight] = np.where(_fits(stand, *given, period), np.maximum(below, stand), below)
    return low


def _fits(
    acceleration: Numbers,
    room: Numbers,
    velocity: Numbers,
    max_acceleration: Numbers,
    max_jerk: Numbers,
    period: float,
) -> NDArray[np.bool_]:
    next_velocity = velocity + acceleration * period
    needed = stopping_distance(next_velocity, acceleration, max_acceleration, max_jerk)
    return np.asarray(next_velocity * period + needed <= room)


def admits(
    wanted: Numbers,
    slack: Numbers,
    room: tuple[Numbers, Numbers],
    velocity: Numbers,
    acceleration: Numbers,
    limits: tuple[Numbers, Numbers, Numbers],
    period: float,
) -> NDArray[np.bool_]:
    """Whether an acceleration is one of the `admissible_accelerations`, without a search for them.

    Args:
        wanted: The acceleration.
        slack: How far it may be beyond them.
        room: As for `admissible_accelerations`, like all that follow.
        velocity: See there.
        acceleration: See there.
        limits: See there.
        period: See there.
    """
    low, high = _bounds_without_walls(velocity, acceleration, limits, period)
    _, max_acceleration, max_jerk = limits
    fits = _fits(
        np.concatenate([wanted - slack, -wanted - slack]),
        np.concatenate([room[1], room[0]]),
        np.concatenate([velocity, -velocity]),
        np.tile(max_acceleration, 2),
        np.tile(max_jerk, 2),
        period,
    )
    ahead, behind = np.split(fits, 2)
    return np.asarray((low - slack <= wanted) & (wanted <= high + slack) & ahead & behind)


def _bounds_without_walls(
    velocity: Numbers,
    acceleration: Numbers,
    limits: tuple[Numbers, Numbers, Numbers],
    period: float,
) -> tuple[Numbers, Numbers]:
    max_velocity, max_acceleration, max_jerk = limits
    low = np.maximum(acceleration - max_jerk * period, -max_acceleration)
    high = np.minimum(acceleration + max_jerk * period, max_acceleration)
    # The acceleration must be gone before the velocity reaches its limit.
    low = np.maximum(low, -largest_rate(max_velocity + velocity, max_jerk, period))
    high = np.minimum(high, largest_rate(max_velocity - velocity, max_jerk, period))
    return low, high


def admissible_accelerations(
    room: tuple[Numbers, Numbers],
    velocity: Numbers,
    acceleration: Numbers,
    limits: tuple[Numbers, Numbers, Numbers],
    period: float,
) -> tuple[Numbers, Numbers]:
    """The accelerations for one period that keep all limits now and leave a stop possible.

    Args:
        room: Distance to the lowest and to the highest position.
        velocity: Now.
        acceleration: Now.
        limits: Largest velocity, acceleration and jerk.
        period: [s].

    Returns:
        The smallest and the largest one.
    """
    low, high = _bounds_without_walls(velocity, acceleration, limits, period)
    _, max_acceleration, max_jerk = limits
    # Both directions at once: with few joints a call costs more than numbers.
    largest = largest_acceleration(
        np.concatenate([room[1], room[0]]),
        np.concatenate([velocity, -velocity]),
        (np.concatenate([low, -high]), np.concatenate([high, -low])),
        np.tile(max_acceleration, 2),
        np.tile(max_jerk, 2),
        period,
    )
    return -largest[len(velocity) :], largest[: len(velocity)]
