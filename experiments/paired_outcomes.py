# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Files with what became of evaluation states -> how two policies differ on the same ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ros2_gridsampler.command_line.arguments import Files, Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.evaluating.success_rate import paired_difference, wilson_interval
from ros2_gridsampler.files import structure
from ros2_gridsampler.simulation.job_configs import PLACEMENTS

from . import run

Pair = tuple[bool, bool]
UNCHANGED = {'rendering': 'simplified', 'perturbation': 'none', 'first': 0}
"""How `python -m experiments.comparison` measures; files that do not say it are its older ones."""
SAME = ('suite', 'placements', *UNCHANGED)
"""What two files must agree in, where both say it: else equal numbers are other states."""


@dataclass(frozen=True)
class PairedSuccess:
    """What became of the states that both policies tried.

    Attributes:
        pairs: Whether the first and the second policy solved each.
    """

    pairs: Sequence[Pair]

    @property
    def difference(self) -> tuple[float, float, float]:
        """Rate of the first less that of the second, and its 95% interval."""
        return paired_difference(self.pairs)

    def to_json(self) -> dict[str, Any]:
        """Counts, rates with their intervals, and the difference."""
        episodes = len(self.pairs)
        solved = [sum(pair[side] for pair in self.pairs) for side in (0, 1)]
        difference, low, high = self.difference
        return {
            'episodes': episodes,
            'successes': solved,
            'intervals': [wilson_interval(successes, episodes) for successes in solved],
            'only_first': sum(one and not other for one, other in self.pairs),
            'only_second': sum(other and not one for one, other in self.pairs),
            'difference': difference,
            'difference_interval': [low, high],
        }

    def __str__(self) -> str:
        known = self.to_json()
        lines = []
        for which, solved, interval in zip(
            ('first', 'second'), known['successes'], known['intervals'], strict=True
        ):
            low, high = (100 * bound for bound in interval)
            rate = 100 * solved / len(self.pairs)
            lines.append(
                f'{which:7s} {solved} of {len(self.pairs)} = {rate:.0f}% ({low:.0f} to {high:.0f})'
            )
        difference, low, high = (100 * part for part in self.difference)
        lines.append(
            f'first less second {difference:+.1f} ({low:+.1f} to {high:+.1f}), 95%, paired; '
            f'only the first solved {known["only_first"]}, only the second {known["only_second"]}'
        )
        return '\n'.join(lines)


def compare_outcomes(first: Sequence[Path], second: Sequence[Path]) -> PairedSuccess:
    """Pair what two policies did, file by file.

    Args:
        first: Files of the first policy, as `success --json` and `comparison` write them.
        second: As many of the second.

    Raises:
        ValueError: There are not as many files on either side, one stands twice, one is none of
            these, or two that are paired are of other states or have none in common.
    """
    if not first or len(first) != len(second):
        raise ValueError(
            f'{len(first)} files of the first policy and {len(second)} of the second: every file '
            'needs the one that it is paired with.'
        )
    for files in (first, second):
        if len({file.resolve() for file in files}) < len(files):
            raise ValueError(
                'A file stands twice on one side: states that are counted twice would make the '
                'interval narrower than it is. Compare each of the others with it by itself.'
            )
    pairs: list[Pair] = []
    for ours, theirs in zip(first, second, strict=True):
        one, other = _read(ours), _read(theirs)
        for what in SAME:
            if one.get(what, other.get(what)) != other.get(what, one.get(what)):
                raise ValueError(
                    f'{ours} has the {what} {one[what]!r}, {theirs} {other[what]!r}: these are '
                    'not the same states.'
                )
        common = common_states(one['outcomes'], other['outcomes'])
        if not common:
            raise ValueError(f'{ours} and {theirs} have no state of any task in common.')
        pairs += common
    return PairedSuccess(pairs)


def common_states(
    first: Mapping[str, Sequence[bool]], second: Mapping[str, Sequence[bool]]
) -> list[Pair]:
    """What became of the states that both have tried: the first ones of every task of both."""
    return [
        pair
        for task in first
        if task in second
        for pair in zip(first[task], second[task], strict=False)
    ]


def _read(path: Path) -> dict[str, Any]:
    """Outcomes, and what is known of the states."""
    try:
        content = dict(json.loads(path.read_text('utf-8')))
        outcomes = structure(content.get('outcomes'), dict[str, tuple[bool, ...]])
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f'{path} has no outcomes: {error}; name a file that "gridsampler success --json" or '
            '"python -m experiments.comparison" wrote.'
        ) from error
    # `comparison` names the file after the placements.
    named = [('placements', kind) for kind in PLACEMENTS if kind in path.stem]
    said = {what: content[what] for what in SAME if what in content}
    return UNCHANGED | dict(named) | said | {'outcomes': outcomes}


def main(files: Files, against: tuple[Path, ...], json: Json = None) -> None:
    """Say how two policies differ on the same evaluation states, with paired 95% intervals.

    Several files are counted together, each paired with the one at its place after --against:
    other placements, or other training seeds.

    Args:
        files: The files of the first policy, as `gridsampler success --json` and `comparison`
            write them; those of the published controls are in models/controls.
        against: As many files of the second policy.
        json: File for the result, or - for standard output.
    """
    with json_output(json) as write:
        result = compare_outcomes(files, against)
        print(result)
        write(result.to_json())


if __name__ == '__main__':
    from experiments.paired_outcomes import main as command

    run(command)
