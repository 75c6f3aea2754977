# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""JointStates, whole or in parts -> each joint's position with the capture time of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from .sample_stream import SampleStream

Part = tuple[int, ...]
# Sets of joints that come together; a robot has a few, and nonsense must not fill the memory.
_MOST_PARTS, _MOST_NAMES = 16, 1000


@dataclass(frozen=True)
class JointNames:
    """What a robot calls the joints of a policy, in states and in commands alike.

    The joint `a` of the policy is the robot's `prefix + names.get('a', 'a')`.

    Attributes:
        names: Joint of the policy -> joint of the robot; those that are not here are called alike.
        prefix: Before every joint of the robot, like 'left_'.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ''

    def __post_init__(self) -> None:
        """Refuses two joints of one name."""
        robot = list(self.names.values())
        twice = sorted({name for name in robot if robot.count(name) > 1})
        if twice or '' in robot:
            raise ValueError(
                f'joint_names is {dict(self.names)}: a joint of the robot is one of the policy, '
                f'and {twice or "an empty name"} is not.'
            )

    def of_robot(self, policy: Sequence[str]) -> tuple[str, ...]:
        """Returns what the robot calls joints of the policy.

        Raises:
            ValueError: Two of them would be one joint of the robot.
        """
        found = tuple(self.prefix + self.names.get(name, name) for name in policy)
        if len(set(found)) != len(found):
            raise ValueError(
                f'By joint_names {dict(self.names)} the joints {list(policy)} are {list(found)}: '
                'two of the policy are one of the robot.'
            )
        return found


def parse_joint_names(pairs: Sequence[str], prefix: str) -> JointNames:
    """Reads pairs written like 'elbow=elbow_joint'.

    Raises:
        ValueError: One is written otherwise, or a joint is there twice.
    """
    split = [pair.partition('=') for pair in pairs]
    wrong = [
        pair for pair, (name, _, robot) in zip(pairs, split, strict=True) if not name or not robot
    ]
    names = {name.strip(): robot.strip() for name, _, robot in split}
    if wrong or len(names) != len(pairs):
        raise ValueError(
            f'joint_names is {list(pairs)}; write each joint of the policy once, like '
            'elbow=elbow_joint.'
        )
    return JointNames(names, prefix)


def read_part(
    names: Sequence[str], positions: Sequence[float], wanted: Sequence[str]
) -> tuple[Int[np.ndarray, ' part'], Float[np.ndarray, ' part']]:
    """Reads those of the wanted joints that a JointState holds.

    A driver may publish arm and gripper, or left and right, in messages of their own; what one of
    them does not hold is no fault of it, nor is what it says of other joints: wheels have
    velocities and no positions.

    Args:
        names: The names of the message.
        positions: The positions of the message [rad], [m].
        wanted: Joints to look for.

    Returns:
        Which of `wanted` are there, and their positions; both empty where none is.

    Raises:
        ValueError: Not one position per name, a joint is there twice, or not finite; where one of
            the wanted joints is there.
    """
    index = {name: i for i, name in enumerate(names)}
    there = [i for i, name in enumerate(wanted) if name in index]
    if len(names) and not there:
        return np.zeros(0, np.int64), np.zeros(0)
    if len(names) != len(positions):
        raise ValueError(
            f'JointState has {len(names)} names but {len(positions)} positions; '
            'the driver must publish one position per name.'
        )
    if len(index) != len(names) and any(list(names).count(wanted[i]) > 1 for i in there):
        raise ValueError(f'JointState names a joint twice: {list(names)}.')
    values = np.array([positions[index[wanted[i]]] for i in there], np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        bad = wanted[there[int(np.argmin(finite))]]
        raise ValueError(f'JointState gives a position that is not finite for joint {bad!r}.')
    return np.array(there, np.int64), values


class NewestJoints:
    """The newest position of each joint, and when it was captured.

    Args:
        names: The joints, in the order of the arrays.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.positions: Float[np.ndarray, ' joints'] = np.full(len(self.names), np.nan)
        """Positions [rad], [m]; NaN before a joint came. Replaced, never changed."""
        self.times: Float[np.ndarray, ' joints'] = np.full(len(self.names), -np.inf)
        """Capture times [s]; minus infinity before a joint came. Replaced, never changed."""

    @property
    def missing(self) -> list[str]:
        """Joints that have never come."""
        return [n for n, time in zip(self.names, self.times, strict=True) if time == -np.inf]

    def add(self, names: Sequence[str], positions: Sequence[float], time: float) -> bool:
        """Takes what a JointState, captured at `time` [s], says of these joints.

        Returns:
            Whether every joint has come by now.

        Raises:
            ValueError: See `read_part`; nothing was taken.
        """
        there, values = read_part(names, positions, self.names)
        if there.size:
            newest, times = self.positions.copy(), self.times.copy()
            newest[there], times[there] = values, time
            self.positions, self.times = newest, times
        return not self.missing


class JointStream:
    """The recent positions of joints by capture time, whether they come together or in parts.

    Joints that come in one message share a stamp; a position between two messages is that of the
    one before. Nothing is filled in: before every joint has come there is no position at all.

    Args:
        names: The joints, in the order of the arrays.
        depth: See `SampleStream`.
        reach: See `SampleStream` [s].
        span: See `SampleStream` [s].
    """

    name = 'joint states'

    def __init__(self, names: Sequence[str], depth: int, reach: float, span: float) -> None:
        self._names = tuple(names)
        self._limits = (depth, reach, span)
        self._parts: dict[Part, SampleStream[Float[np.ndarray, ' part']]] = {}
        self._heard: set[str] = set()
        self.restarts = 0
        """How often stamps went back, farther than by `reach`."""

    def add(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        """Stores what a JointState, captured at `time` [s], says of these joints [rad], [m].

        Raises:
            ValueError: See `read_part`; nothing was stored.
        """
        there, values = read_part(names, positions, self._names)
        if len(self._heard) < _MOST_NAMES:
            self._heard.update(names)
        if not there.size:
            return
        key = tuple(there.tolist())
        new = key not in self._parts
        if new:
            if len(self._parts) == _MOST_PARTS:
                del self._parts[min(self._parts, key=lambda k: self._parts[k].samples[-1][0])]
            self._parts[key] = SampleStream(self.name, *self._limits, lambda v: v.tobytes())
        anew = self._parts[key].add(time, values)
        if not (anew or new):
            return
        # What other parts said before the clock was set back would be the newest for ever, also
        # where the joints come in other parts since.
        reach = self._limits[1]
        ahead = [k for k, part in self._parts.items() if part.samples[-1][0] > time + reach]
        for part in ahead:
            del self._parts[part]
        self.restarts += bool(anew or ahead)

    @property
    def repeated(self) -> int:
        """Samples whose stamp was there before."""
        return sum(part.repeated for part in self._parts.values())

    @property
    def missing(self) -> list[str]:
        """Joints that have not come."""
        there = {i for part in self._parts for i in part}
        return [name for i, name in enumerate(self._names) if i not in there]

    @property
    def newest(self) -> float | None:
        """Capture time of the joint that is the oldest now [s]; None before each has come."""
        found = self.positions(np.inf)
        return None if found is None else float(found[0].min())

    def late(self, limit: float) -> str:
        """The name of the stream, with the joints whose newest position is before `limit` [s].

        Without them where that is so of all. Where a joint has never come, with those that have.
        """
        found = self.positions(np.inf)
        if found is None:
            there = f' of {self.missing} (there are {sorted(self._heard)})' if self._heard else ''
            return self.name + there
        late = [n for n, time in zip(self._names, found[0], strict=True) if time < limit]
        return self.name if len(late) in (0, len(self._names)) else f'{self.name} of {late}'

    def positions(
        self, time: float
    ) -> tuple[Float[np.ndarray, ' joints'], Float[np.ndarray, ' joints']] | None:
        """Capture times and positions, the newest of each joint at or before `time` [s].

        None where a joint has none.
        """
        pairs = [(key, part.at(time)) for key, part in self._parts.items()]
        return self._compose([(key, pair) for key, pair in pairs if pair is not None], True)

    def earliest(
        self,
    ) -> tuple[Float[np.ndarray, ' joints'], Float[np.ndarray, ' joints']] | None:
        """Capture times and positions, the oldest that is known of each joint."""
        return self._compose([(k, part.samples[0]) for k, part in self._parts.items()], False)

    def at(self, time: float) -> tuple[float, Float[np.ndarray, ' joints']] | None:
        """Positions as of `time` [s], and the capture time of the oldest of them."""
        found = self.positions(time)
        return None if found is None else (float(found[0].min()), found[1])

    def _compose(
        self, pairs: Sequence[tuple[Part, tuple[float, Float[np.ndarray, ' part']]]], newest: bool
    ) -> tuple[Float[np.ndarray, ' joints'], Float[np.ndarray, ' joints']] | None:
        size = len(self._names)
        if len(pairs) == 1 and len(pairs[0][0]) == size:
            time, values = pairs[0][1]
            return np.full(size, time), values
        times, positions = np.full(size, np.nan), np.full(size, np.nan)
        for key, (time, values) in sorted(pairs, key=lambda pair: pair[1][0], reverse=not newest):
            times[list(key)], positions[list(key)] = time, values
        return None if np.isnan(times).any() else (times, positions)
