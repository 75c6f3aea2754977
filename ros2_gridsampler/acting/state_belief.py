# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Measured states, as they come -> which of them an arm can have reached, and a sentence if not.

A driver that loses its arm says zeros, a second publisher says something else, an encoder wraps,
an estimate of a pose jumps. None of that is a place where commands may begin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .arm_limits import EndEffectorLimits, GripperLimits, JointLimits
from .led_pose import rotation_angle

Numbers = NDArray[np.float64]

# A measured arm may be this many times as fast as it may be commanded: hands push, arms overshoot.
_MARGIN = 2.0
# Encoders, estimates and stamps are noisy: a part may step by this much besides [rad], [m].
_NOISE = 0.03
# A jaw that slides goes a few centimetres in all; of its range it may step by this share besides.
_JAW_NOISE = 0.1
# A gap between two measurements lets an arm move no farther than a gap of this length [s].
_LONGEST_GAP = 0.25
# So many of its ranges may a part be outside of its limits at first: limits may be narrower than
# the arm, but degrees and millimetres are farther out.
_SPARE = 1.0


@dataclass(frozen=True)
class StatePart:
    """Numbers of a measured state that move together.

    Attributes:
        name: What a person calls it.
        numbers: Where they are in the state.
        max_rate: Fastest commanded change of their norm, per second.
        ramp: How long speeding up to that rate and braking from it take besides, at the most [s].
        unit: The unit of the numbers.
        rotates: Whether they are a unit quaternion x y z w, whose change is an angle.
        lowest: Below this no first state is believed [unit]; of all numbers, or of each.
        highest: Likewise above.
        tells: Whether 0 is what a driver says of them that does not know it; a jaw may be shut.
        noise: How far they may step beyond what the rate allows [unit].
        longest_gap: A longer time between two measurements lets them go no farther [s].
    """

    name: str
    numbers: slice
    max_rate: float
    ramp: float
    unit: str
    lowest: tuple[float, ...] = (-np.inf,)
    highest: tuple[float, ...] = (np.inf,)
    tells: bool = False
    rotates: bool = False
    noise: float = _NOISE
    longest_gap: float = _LONGEST_GAP

    def way(self, one: Numbers, other: Numbers) -> float:
        """Returns how far apart two states are in this part [unit]."""
        before, after = one[self.numbers], other[self.numbers]
        if not self.rotates:
            return float(np.linalg.norm(after - before))
        return rotation_angle(before, after)


def joint_parts(limits: JointLimits) -> tuple[StatePart, ...]:
    """Returns one part per joint, in the order of `limits`."""
    slides = np.array(limits.grips) & (np.array(limits.units) == 'm')
    ranges = limits.max_position - limits.min_position
    noises = np.where(slides, np.minimum(_JAW_NOISE * ranges, _NOISE), _NOISE)
    gaps = np.where(slides, _jaw_gap(ranges, limits.max_velocity), _LONGEST_GAP)
    lowest, highest = limits.position_range(_SPARE)
    return tuple(
        StatePart(
            f'joint {name!r}',
            slice(row, row + 1),
            *_rate_and_ramp(*bounds),
            unit,
            lowest=(float(lowest[row]),),
            highest=(float(highest[row]),),
            tells=not limits.grips[row],
            noise=float(noises[row]),
            longest_gap=float(gaps[row]),
        )
        for row, (name, unit, *bounds) in enumerate(
            zip(
                limits.names,
                limits.units,
                limits.max_velocity,
                limits.max_acceleration,
                limits.max_jerk,
                strict=True,
            )
        )
    )


def hand_parts(hand: EndEffectorLimits, gripper: GripperLimits) -> tuple[StatePart, ...]:
    """Returns the parts of x y z [m], the gripper's opening [m] and a quaternion x y z w."""
    move = _rate_and_ramp(hand.max_speed, hand.max_acceleration, hand.max_jerk)
    turn = _rate_and_ramp(
        hand.max_rotation_rate, hand.max_rotation_acceleration, hand.max_rotation_jerk
    )
    jaw = min(_JAW_NOISE * gripper.max_opening, _NOISE)
    gap = float(_jaw_gap(gripper.max_opening, gripper.max_speed))
    spare = _SPARE * (hand.workspace_max - hand.workspace_min)
    box = (hand.workspace_min - spare, hand.workspace_max + spare)
    lowest, highest = (tuple(corner.tolist()) for corner in box)
    return (
        StatePart('the end effector', slice(0, 3), *move, 'm', lowest, highest, tells=True),
        StatePart(
            'the gripper', slice(3, 4), gripper.max_speed, 0.0, 'm', noise=jaw, longest_gap=gap
        ),
        StatePart('the orientation', slice(4, 8), *turn, 'rad', rotates=True),
    )


def _jaw_gap(way: float | Numbers, speed: float | Numbers) -> Numbers:
    """Returns after how long a silence a jaw may be anywhere on its way [s]."""
    return np.maximum(np.asarray(way) / np.asarray(speed) / _MARGIN, _LONGEST_GAP)


def travel_time(parts: Sequence[StatePart], ways: Sequence[float], from_rest: bool) -> float:
    """Returns how long the longest of some ways takes at the limits [s].

    Args:
        parts: What moves.
        ways: How far each of them has to go [unit].
        from_rest: Whether speeding up and braking count too.
    """
    return max(
        (
            way / part.max_rate + part.ramp * from_rest
            for part, way in zip(parts, ways, strict=True)
            if way > 0
        ),
        default=0.0,
    )


def _rate_and_ramp(velocity: float, acceleration: float, jerk: float) -> tuple[float, float]:
    return float(velocity), float(velocity / acceleration + acceleration / jerk)


class StateBelief:
    """Accepts a measured state where the arm can have got there since the one before.

    Once a state is not believed, none is until the arm was measured near its last believed or
    commanded place for `patience`, in continuous motion, or until `trust` says so. A first state
    needs `trust` as well where a driver says exactly 0 of all its joints, or of the hand, as many
    do before they are connected, and where it is far outside of the limits.

    Args:
        parts: The parts of the state, joints first.
        near: What counts as near [rad], [m].
        patience: How long an arm has to be seen there until it is believed again [s].
        accepts_zeros: Whether a first state of zeros needs nobody's word.
    """

    def __init__(
        self,
        parts: tuple[StatePart, ...],
        near: float,
        patience: float,
        accepts_zeros: bool = False,
    ) -> None:
        self._parts = parts
        self._rates = np.array([part.max_rate for part in parts])
        self._noises = np.array([part.noise for part in parts])
        self._gaps = np.array([part.longest_gap for part in parts])
        self._near = near
        self._patience = patience
        self._accepts_zeros = accepts_zeros
        self._trusts = False
        self.begin()

    def begin(self) -> None:
        """Forgets everything; the next state is where the arm is."""
        self.believed: Numbers | None = None
        """The last state that was believed; None before the first."""
        self._seen: tuple[Numbers, Numbers] | None = None
        self._excess = np.zeros(len(self._parts))
        self._since: float | None = None
        self.wrong = ''
        """What is wrong with the newest state; empty where it is believed."""

    @property
    def doubt(self) -> str:
        """Why the newest state is not believed, and what to do; empty where it is."""
        if not self.wrong:
            return ''
        if self.believed is None:
            return (
                f'{self.wrong} Look at the driver; if the arm does stand there, call ~/resume '
                '(accept_zero_state for a simulated one that begins at 0).'
            )
        return (
            f'{self.wrong} It is believed again after {self._patience:g} s of continuous motion '
            'near where it was; or look where the arm is and call ~/resume.'
        )

    def trust(self) -> None:
        """Makes the next state the place where the arm is: a person says so."""
        self.begin()
        self._trusts = True

    def believe(
        self,
        state: Float[np.ndarray, ' numbers'],
        times: Float[np.ndarray, ' numbers'],
        commanded: Float[np.ndarray, ' numbers'] | None = None,
    ) -> bool:
        """Judges one measured state.

        Each part is judged by its own time: a hand that is measured 100 times a second has moved
        on while its gripper, measured 5 times a second, is still what it was.

        Args:
            state: The numbers of all parts.
            times: Capture time of each number [s]; the same ones again change nothing.
            commanded: The same numbers as they were commanded last, NaN where they were not; None
                where none was.

        Returns:
            Whether the arm may be there; `wrong` and `doubt` say why not.
        """
        captured = np.array([times[part.numbers].min() for part in self._parts])
        seen, self._seen = self._seen, (state, captured)
        if self.believed is None or seen is None:
            return self._begin_at(state, times)
        if np.array_equal(captured, seen[1]) and np.array_equal(state, seen[0]):
            return not self.wrong
        ways, time = self._ways(seen[0], state), float(captured.min())
        gap = np.clip(captured - seen[1], 0.0, self._gaps)
        # What was too fast is paid back by slower motion: stamps jitter, but no arm drifts away.
        excess = np.maximum(self._excess + ways - _MARGIN * self._rates * gap, 0.0)
        if not self.wrong:
            if (excess <= self._noises).all():
                self._excess, self.believed = excess, state
                return True
            worst = int(np.argmax(excess / self._noises))
            took = float(captured[worst] - seen[1][worst])
            self.wrong = self._too_fast(self._parts[worst], seen[0], state, took)
            return False
        continuous = bool((ways <= _MARGIN * self._rates * gap + self._noises).all())
        if not continuous or not self._is_near(state, commanded):
            self._since = None
        elif self._since is None or time < self._since:
            self._since = time
        elif time - self._since >= self._patience:
            self.believed, self._excess = state, np.zeros(len(self._parts))
            self._since, self.wrong = None, ''
            return True
        return False

    def _begin_at(self, state: Numbers, times: Numbers) -> bool:
        self.wrong = '' if self._trusts else self._unlikely(state, times)
        self.believed = None if self.wrong else state
        self._trusts = False
        return not self.wrong

    def _unlikely(self, state: Numbers, times: Numbers) -> str:
        """Why a first state needs a person's word; empty where it does not."""
        every = range(len(state))
        for part in self._parts:
            values = state[part.numbers]
            if (values < part.lowest).any() or (values > part.highest).any():
                unit = {'m': 'metres', 'rad': 'radians'}.get(part.unit, 'shares of its range')
                return (
                    f'The measured state is not believed: {part.name} is at {_text(values)} '
                    f'{part.unit}, far outside of its limits. Does the driver publish {unit}, and '
                    'is this its arm?'
                )
        telling = [i for part in self._parts if part.tells for i in every[part.numbers]]
        # What one message says has one stamp: of several drivers, one may not know its arm.
        groups = [[i for i in telling if times[i] == time] for time in {*times[telling].tolist()}]
        zeros = [g for g in (every, telling, *groups) if len(g) > 1 and not state[g].any()]
        if not zeros or self._accepts_zeros:
            return ''
        named = [part.name for part in self._parts if {*every[part.numbers]} & {*zeros[0]}]
        return (
            f'Measured at exactly 0: {", ".join(named)}, as drivers say that have lost their arm '
            'or do not know it yet.'
        )

    def _is_near(self, state: Numbers, commanded: Numbers | None) -> bool:
        """Whether the arm is about where it was believed, where it was sent, or between."""
        assert self.believed is not None  # noqa: S101 - the caller looked
        place = self.believed
        other = place if commanded is None else np.where(np.isnan(commanded), place, commanded)
        for part in self._parts:
            to_place, to_other = part.way(place, state), part.way(other, state)
            # What is near is less for a jaw, whose whole way may be shorter than that.
            near = self._near * min(part.noise / _NOISE, 1.0)
            if to_place + to_other > part.way(place, other) + 2 * near:
                return False
        return True

    def _ways(self, one: Numbers, other: Numbers) -> Numbers:
        return np.array([part.way(one, other) for part in self._parts])

    @staticmethod
    def _too_fast(part: StatePart, seen: Numbers, state: Numbers, gap: float) -> str:
        before, after = (_text(values[part.numbers]) for values in (seen, state))
        way = part.way(seen, state)
        speed = way / gap if gap > 0 else np.inf
        wraps = abs(way - 2 * np.pi) < 0.1 and part.unit == 'rad'
        hint = ' (an encoder that wraps by 2 pi?)' if wraps and not part.rotates else ''
        return (
            f'The measured state is not believed: {part.name} went from {before} to {after} '
            f'{part.unit} in {gap:.3f} s, which is {speed:.3g} {part.unit}/s where the arm may do '
            f'{part.max_rate:.3g}{hint}.'
        )


def _text(values: Numbers) -> str:
    return ', '.join(f'{value:.3f}' for value in values)
