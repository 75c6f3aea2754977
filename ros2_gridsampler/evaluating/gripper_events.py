# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Openings and closings of each gripper -> which of them the policy foresaw, and how exactly."""

import re
from array import array
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import ArmLimits
from .metric import (
    BASELINES,
    POLICY,
    ComparedFrame,
    Metric,
    Report,
    Row,
    Setting,
)

Numbers = NDArray[np.float64]
Sides = NDArray[np.int64]
# An operator whose gripper moves less has not used it (share of its range).
_LEAST_RANGE = 0.15
# A crossing counts once the signal is so far past the middle (share of the operator's range).
_HYSTERESIS = 0.15
# An event of the policy belongs to one of the operator within this time [s].
_SAME_EVENT = 1.5
# What is said again after so long is another movement [s].
_PAUSE = 0.3
# Later than this is seen in a film [s].
_LATE = 0.25


class GripperScale:
    """Which entries of an action are grippers, as shares of their range.

    A gripper is the last entry of a twist, or every joint whose unit is a fraction or whose name
    says so. The fingers of one hand are one gripper: entries that name the same side, or that
    differ in a number only.

    Attributes:
        indices: The entries of an action.
        grippers: Name -> which of `indices` belong to it.
    """

    def __init__(self, space: ActionSpace, limits: ArmLimits) -> None:
        self.grippers: dict[str, NDArray[np.int64]] = {}
        if not space.means.of_joints:
            self.indices = np.array([len(space.names) - 1])
            opening = 1.0 if limits.gripper is None else limits.gripper.max_opening
            self._low, self._range = np.zeros(1), np.array([opening])
            self.grippers = {space.names[-1]: np.array([0])}
            return
        joints = limits.joints.select(space.names)
        found = [
            i
            for i, name in enumerate(space.names)
            if joints.units[i] == 'fraction'
            or any(word in name.lower() for word in ('finger', 'gripper'))
        ]
        self.indices = np.array(found, int)
        self._low = joints.min_position[self.indices]
        self._range = joints.max_position[self.indices] - self._low
        members: dict[str, list[int]] = {}
        for place, index in enumerate(found):
            members.setdefault(_hand(space.names[index]), []).append(place)
        self.grippers = {name: np.array(places) for name, places in members.items()}

    def __bool__(self) -> bool:
        """Whether there is a gripper at all."""
        return bool(len(self.indices))

    def share(self, action: Numbers) -> Numbers:
        """0 to 1 for each entry of the grippers; actions may be rows of a chunk."""
        return np.asarray((action[..., self.indices] - self._low) / self._range)

    def openings(self, action: Numbers) -> Numbers:
        """0 to 1 for each gripper, the mean over its fingers."""
        shares = self.share(action)
        return np.stack([shares[..., each].mean(-1) for each in self.grippers.values()], -1)


def _hand(name: str) -> str:
    side = re.search('left|right', name.lower())
    return side[0] if side else re.sub(r'[\d_]+$', '', name)


class GripperEvents(Metric):
    """Counts the openings and closings that the policy foresaw, beside two baselines.

    In a recording the operator moves the gripper whatever the policy says, so whoever repeats
    what was done one step before "closes" one step later. What counts is therefore said before:
    while the action of one step before is still on the old side, the chunk has to go to the new
    one. A baseline can do that only where the arm itself was ahead of the operator.
    """

    keys: ClassVar = {
        'gripper_events': 'Openings and closings recorded, predicted and met (same direction '
        'within 1.5 s), and their lateness [s]; `hold_action` and `hold_state` have the same of '
        'the baselines, `by_gripper` of each gripper.'
    }
    compares = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._scale = GripperScale(setting.space, setting.limits)
        self._times, self._operator, self._previous = array('d'), array('d'), array('d')
        # Half precision: an hour of chunks has to fit into memory.
        self._said = {name: bytearray() for name in (POLICY, *BASELINES)}
        self._cuts: list[int] = []

    def cut(self) -> None:
        """Begins a stretch whose movements are counted apart."""
        self._cuts.append(len(self._times))

    def add(self, frame: ComparedFrame) -> None:
        """Keeps what all say of the grippers, as shares of their range."""
        if not self._scale or not frame.valid[0]:
            return
        self._times.append(frame.chunk.start_time)
        self._operator.extend(self._scale.openings(frame.targets[0]))
        self._previous.extend(self._scale.openings(frame.previous))
        for name, chunk in frame.contenders.items():
            # A baseline says one thing of all steps.
            rows = chunk.targets if name == POLICY else chunk.targets[:1]
            self._said[name] += self._scale.openings(rows).astype(np.float16).tobytes()

    def summary(self) -> dict[str, Any]:
        """Returns events, foreseen ones and how late these were; None without a gripper."""
        if not self._times:
            return {'gripper_events': None}
        names = list(self._scale.grippers)
        frames, count = len(self._times), len(names)
        times = np.array(self._times)
        operator, previous = (
            np.array(values).reshape(frames, count) for values in (self._operator, self._previous)
        )
        said = {
            name: np.frombuffer(bytes(data), np.float16).reshape(frames, -1, count).astype(float)
            for name, data in self._said.items()
        }
        rows = {
            name: {
                gripper: self._foreseen(times, operator[:, i], previous[:, i], chunks[:, :, i])
                for i, gripper in enumerate(names)
            }
            for name, chunks in said.items()
        }
        total = {name: _counts(list(each.values())) for name, each in rows.items()}
        return {
            'gripper_events': {
                **total[POLICY],
                **{name: total[name] for name in BASELINES},
                'by_gripper': {gripper: _counts([row]) for gripper, row in rows[POLICY].items()},
            }
        }

    def _foreseen(
        self, times: Numbers, operator: Numbers, previous: Numbers, chunks: Numbers
    ) -> tuple[int, int, list[float]]:
        """Events of one gripper: how many were recorded and predicted, how late each met one is.

        Args:
            times: Times of the frames [s].
            operator: The operator's opening at each frame.
            previous: His opening one step before.
            chunks: What is said of each frame's future; one column where that is constant.
        """
        low, high = np.percentile(operator, (2, 98))
        if high - low < _LEAST_RANGE:
            return 0, 0, []
        levels = ((low + high) / 2, _HYSTERESIS * (high - low))
        sides = [_sides(each, *levels) for each in (operator, previous, chunks)]
        recorded: list[tuple[float, bool]] = []
        predicted: list[tuple[float, bool]] = []
        lateness: list[float] = []
        for part in np.split(np.arange(len(times)), self._cuts):
            if not len(part):
                continue
            did, before, said = (side[part] for side in sides)
            events = _crossings(times[part], did)
            wanted = _forecasts(times[part], before, said, self.setting.period)
            recorded += events
            predicted += wanted
            lateness += _lateness(events, wanted)
        return len(recorded), len(predicted), lateness

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        """Returns the events met, predicted and how late they were."""
        events = report['gripper_events']
        if not events:
            return []
        sides = {POLICY: events, **{name: events[name] for name in BASELINES}}
        rows = [
            Row.of(
                'gripper movements foreseen of recorded',
                {name: f'{side["met"]} of {side["recorded"]}' for name, side in sides.items()},
                column='gripper',
                meaning='openings and closings that were said before the operator made them',
                order=float(events['recorded'] - events['met']),
            ),
            Row.of(
                'gripper movements that the operator does not make',
                {name: side['predicted'] - side['met'] for name, side in sides.items()},
            ),
        ]
        if events['lateness_s']:
            late = events['lateness_s']
            text = f'{late["median"]:.2f} ({late["largest"]:.2f})'
            rows.append(Row('lateness, median (largest) [s]', text))
        return rows

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns what is missed, made up or late, and where a baseline does as well."""
        events = report['gripper_events']
        if not events or not events['recorded']:
            return []
        found = []
        recorded, met = events['recorded'], events['met']
        extra = events['predicted'] - met
        if met < recorded:
            found.append(f'It misses {recorded - met} of {recorded} movements of the gripper.')
        if extra:
            found.append(f'It moves the gripper {extra} times when the operator does not.')
        late = events['lateness_s']['median'] if events['lateness_s'] else 0.0
        if abs(late) > _LATE:
            found.append(
                f'It moves the gripper {abs(late):.2f} s too {"late" if late > 0 else "early"} in '
                'the median.'
            )
        as_good = [words for name, words in BASELINES.items() if events[name]['met'] >= met]
        if as_good:
            found.append(
                f'{" and ".join(as_good).capitalize()} foresees as many movements of the gripper '
                f'as the policy ({met} of {recorded}).'
            )
        return found


def _lateness(
    recorded: Sequence[tuple[float, bool]], predicted: Sequence[tuple[float, bool]]
) -> list[float]:
    """How late each recorded event that was met was predicted [s]."""
    lateness = []
    free = list(predicted)
    for time, opens in recorded:
        near = [e for e in free if e[1] == opens and abs(e[0] - time) <= _SAME_EVENT]
        if near:
            best = min(near, key=lambda event: abs(event[0] - time))
            free.remove(best)
            lateness.append(best[0] - time)
    return lateness


def _sides(signal: Numbers, middle: float, margin: float) -> Sides:
    """1 above the middle, -1 below it, 0 where that is not clear."""
    return np.where(signal > middle + margin, 1, np.where(signal < middle - margin, -1, 0))


def _crossings(times: Numbers, sides: Sides) -> list[tuple[float, bool]]:
    """When the signal has gone to the other side, and whether upwards."""
    clear = np.nonzero(sides)[0]
    changes = clear[1:][np.diff(sides[clear]) != 0]
    return [(float(times[i]), bool(sides[i] > 0)) for i in changes]


def _forecasts(
    times: Numbers, before: Sides, chunks: Sides, period: float
) -> list[tuple[float, bool]]:
    """When the policy would have moved the gripper, and whether upwards.

    Frames in a row whose chunks go to the other side than the action of one step before make one
    movement, at the moment at which the first target is there; where the operator was first, at
    the one that the last such frame says. After a movement of the operator a policy first has to
    agree with it: until then it is late, and wants nothing new.

    Args:
        times: Times of the frames [s].
        before: Side of the action of one step before each frame.
        chunks: Sides of the steps of each frame's chunk.
        period: Time between two steps [s].
    """
    movements: list[tuple[float, bool]] = []
    running: tuple[float, int] | None = None
    there = agreed = 0
    decided = False
    last_seen = -np.inf
    for time, side, chunk in zip(times, before, chunks, strict=True):
        if side and side != there:
            if running is not None:
                movements.append((running[0], running[1] > 0))
            there, running, decided = int(side), None, False
            agreed = 0
        clear = np.nonzero(chunk)[0]
        if not there or not len(clear):
            continue
        if chunk[clear[0]] == there:
            agreed = there
        away = clear[chunk[clear] != there]
        if not len(away) or agreed != there:
            if running is not None and time - last_seen > _PAUSE:
                movements.append((running[0], running[1] > 0))
                running, decided = None, False
            continue
        last_seen = float(time)
        if decided:
            continue
        running = (float(time) + int(away[0]) * period, -there)
        decided = bool(away[0] == 0)
    # What lies beyond the recording may still have come.
    if running is not None and running[0] <= times[-1]:
        movements.append((running[0], running[1] > 0))
    return movements


def _counts(rows: Sequence[tuple[int, int, list[float]]]) -> dict[str, Any]:
    lateness = [late for _, _, each in rows for late in each]
    return {
        'recorded': sum(row[0] for row in rows),
        'predicted': sum(row[1] for row in rows),
        'met': len(lateness),
        'lateness_s': {
            'median': float(np.median(lateness)),
            'largest': float(np.max(np.abs(lateness))),
        }
        if lateness
        else None,
    }
