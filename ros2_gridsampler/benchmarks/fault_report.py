# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands seen during a fault -> hold, recovery, excess, and whether that was safe."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ..evaluating.hardware import describe_hardware
from .command_judge import SeenCommand
from .fault_table import Expected
from .limit_excess import Excess
from .limit_stress import Stress

# A hold is a rest that lasts at least so long, and to the end of the fault [s].
_REST = 0.3
_LAST_WORDS = 3


@dataclass(frozen=True)
class FaultResult:
    """What a node did in one fault.

    Attributes:
        name: Name of the fault, or of two joined by ' + '.
        expected: What a safe node does.
        max_limit_excess: The worst excess over a limit of the arm, as a share of it; must be 0.
        limit: Which limit that was; empty for none.
        commands: How many came during the fault.
        seconds_to_hold: Time from the fault to the command after which nothing moved any more;
            None where the arm went on, or where commands just stopped coming.
        seconds_to_recover: Time from the end of the fault to motion; None where there was none.
        commands_after_hold: Commands that moved the arm after a hold, during the fault.
        exit_code: Exit code of the process, where the fault ended it.
        safe: Whether all of that is right.
    """

    name: str
    expected: str
    max_limit_excess: float
    limit: str
    commands: int
    seconds_to_hold: float | None
    seconds_to_recover: float | None
    commands_after_hold: int
    exit_code: int | None
    safe: bool

    @classmethod
    def of(
        cls,
        name: str,
        expected: Sequence[Expected],
        commands: Sequence[SeenCommand],
        begin: float,
        end: float,
        recovered: float | None,
        worst: Excess,
        exit_code: int | None,
    ) -> 'FaultResult':
        """Judges what was seen from `begin` to `end`, steady time [s]."""
        moving = [command.time for command in commands if command.moves]
        last = moving[-1] if moving else begin
        resting = [command.time for command in commands if command.time > last]
        gone = exit_code is not None
        # A process that ends has only to say that the arm stands, once; one that is deactivated
        # says it several times and no more.
        long = bool(resting) and resting[-1] - resting[0] >= _REST
        ended = len(resting) >= _LAST_WORDS and end - resting[-1] >= _REST
        rests = long or ended or (gone and bool(resting))
        hold = max(resting[0] - begin, 0.0) if rests else None
        after = _moves_after_a_rest(commands)
        right = {
            'hold': hold is not None,
            'go on': bool(moving) and end - last < 1.0,
            'either': bool(commands),
            'silence': True,
        }
        # Of two faults the more serious one decides, and that may be either.
        alike = len({*expected}) == 1
        answered = right[expected[0]] if alike else bool(commands)
        if gone and 'silence' not in expected:
            answered = answered and exit_code == 0
        safe = answered and worst.share <= 0 and recovered is not None
        return cls(
            name=name,
            expected=' + '.join(expected),
            max_limit_excess=worst.share,
            limit=worst.limit,
            commands=len(commands),
            seconds_to_hold=None if hold is None else round(hold, 3),
            seconds_to_recover=None if recovered is None else round(recovered, 3),
            commands_after_hold=after if {*expected} == {'hold'} else 0,
            exit_code=exit_code,
            safe=safe,
        )

    def row(self) -> str:
        """Returns the cells of a row of the table."""
        excess = (
            '0' if self.max_limit_excess <= 0 else f'{self.max_limit_excess:.3g}x {self.limit}'
        )
        hold, recover = (shown(t, 2) for t in (self.seconds_to_hold, self.seconds_to_recover))
        verdict = 'yes' if self.safe else '**no**'
        return (
            f'| {self.name} | {self.expected} | {excess} | {hold} | {recover} '
            f'| {self.commands_after_hold} | {verdict} |'
        )


@dataclass(frozen=True)
class CampaignReport:
    """All faults against one node."""

    node: str
    kind: str
    rate: float
    results: tuple[FaultResult, ...]

    @property
    def safe(self) -> bool:
        """Whether every fault was answered safely."""
        return all(result.safe for result in self.results)

    def table(self) -> str:
        """Returns the report as a table in Markdown."""
        head = (
            '| fault | a safe node | excess over limits | to hold [s] | to recover [s] '
            '| moves after hold | safe |\n|---|---|---|---|---|---|---|'
        )
        return '\n'.join([head, *(result.row() for result in self.results)])


def to_json(reports: Sequence[CampaignReport], random_steps: Mapping[str, Stress]) -> str:
    """Machine-readable; the faults of the first report stand at the top as well.

    Args:
        reports: In the order of the tables.
        random_steps: 'joints' and 'twists' -> what came out of that safety filter alone.
    """
    return json.dumps(
        {
            'faults': [asdict(result) for result in reports[0].results] if reports else [],
            'campaigns': [{**asdict(report), 'safe': report.safe} for report in reports],
            'random_steps': {name: asdict(stress) for name, stress in random_steps.items()},
            'hardware': dict(describe_hardware()),
        },
        indent=1,
    )


def shown(value: float | None, digits: int) -> str:
    """Returns a number as a cell of a table; a dash where there is none."""
    return '-' if value is None else f'{value:.{digits}f}'


def _moves_after_a_rest(commands: Sequence[SeenCommand]) -> int:
    """Commands that move, after the arm had been at rest for a while."""
    rest_since: float | None = None
    rested, count = False, 0
    for command in commands:
        if command.moves:
            count += rested
            rest_since = None
        else:
            rest_since = command.time if rest_since is None else rest_since
            rested |= command.time - rest_since >= _REST
    return count
