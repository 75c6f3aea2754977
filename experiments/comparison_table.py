# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Measured rows -> a table with intervals and a plot of success against cost."""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from ros2_gridsampler.evaluating.success_rate import paired_difference, wilson_interval
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.flop_count import count_flops
from ros2_gridsampler.policy.manifest import MANIFEST, golden_observation
from ros2_gridsampler.policy.policy import Policy, as_tensors
from ros2_gridsampler.simulation.job_configs import PLACEMENTS

from .comparison import ComparisonConfig
from .paired_outcomes import UNCHANGED, Pair, common_states


@dataclass(frozen=True)
class Row:
    """What is known of one row.

    Attributes:
        name: The name of the row.
        tokens: Visual tokens per camera.
        flops: The arithmetic of a whole step: both cameras, encoder, trunk and head; a
            multiply-add counts twice.
        encoder_flops: The part of tower and reducer.
        latency_ratio: Median time of a step on one thread, over that of the reference.
        latency_spread: Quartiles of that ratio over rounds.
        outcomes: Placements -> task -> whether each of its first states was solved.
    """

    name: str
    tokens: int
    flops: int
    encoder_flops: int
    latency_ratio: float
    latency_spread: tuple[float, float]
    outcomes: dict[str, dict[str, list[bool]]]

    def solved(self, placements: str) -> list[bool]:
        """Whether each state was solved, task by task."""
        return [state for task in self.outcomes.get(placements, {}).values() for state in task]


def step_flops(policy: Policy) -> tuple[int, int]:
    """Floating-point operations of one step, and of its tower and reducer alone.

    Counted by PyTorch on the operations that really run (products of matrices, convolutions,
    attention), one observation, 2 per multiply-add.
    """
    policy = copy.deepcopy(policy).requires_grad_(False)
    inputs = as_tensors(policy.config, golden_observation(policy.config))
    context = 2 * policy.config.trunk.width if policy.config.conditioned else 0
    images = inputs[0].flatten(0, 1)
    task = torch.zeros(len(images), context) if context else None
    return count_flops(lambda: policy(*inputs)), count_flops(lambda: policy.see(images, task))


def read_rows(config: ComparisonConfig, out: Path, reference: str) -> list[Row]:
    """All rows in `out` that are trained and measured, in the order of the comparison.

    Raises:
        ValueError: The reference is not trained, or a row was measured with other weights.
    """
    checkpoints = {
        name: load_checkpoint(out / name)
        for name in config.rows
        if (out / name / MANIFEST).exists()
    }
    policies = {name: policy for name, (policy, _) in checkpoints.items()}
    if reference not in policies:
        raise ValueError(f'{out} has no trained row {reference!r}, to which others are compared.')
    ratios = latency_ratios(policies, reference)
    rows = []
    for name, policy in policies.items():
        outcomes: dict[str, dict[str, list[bool]]] = {}
        for placements in PLACEMENTS:
            file = out / name / f'{placements}.json'
            if file.exists():
                outcomes[placements] = _believed(file, checkpoints[name][1].weights_sha256)
        low, middle, high = np.percentile(ratios[name], (25, 50, 75))
        rows.append(
            Row(
                name,
                policy.config.tokens,
                *step_flops(policy),
                float(middle),
                (float(low), float(high)),
                outcomes,
            )
        )
    return rows


def _believed(file: Path, weights_sha256: str) -> dict[str, list[bool]]:
    """Outcomes of these weights in the scene as it is; what older files do not say is believed."""
    content = json.loads(file.read_text())
    wanted = {'weights_sha256': weights_sha256, 'encoder': '', **UNCHANGED}
    other = [key for key, value in wanted.items() if content.get(key, value) != value]
    if other:
        raise ValueError(
            f'{file} was measured with another {" and another ".join(other)} than the rows that '
            'are compared; move it away and measure again.'
        )
    return dict(content['outcomes'])


def latency_ratios(
    policies: Mapping[str, Policy], reference: str, rounds: int = 30
) -> dict[str, list[float]]:
    """Time of a step of each policy over that of the reference, in turn, in every round."""
    inputs = {
        name: as_tensors(policy.config, golden_observation(policy.config))
        for name, policy in policies.items()
    }
    ratios: dict[str, list[float]] = {name: [] for name in policies}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(rounds + 3):
            spent = {}
            for name, policy in policies.items():
                # CPU time: other work on the machine must not enter the ratio.
                start = time.process_time()
                with torch.inference_mode():
                    policy(*inputs[name])
                spent[name] = time.process_time() - start
            if number >= 3:
                for name in policies:
                    ratios[name].append(spent[name] / spent[reference])
    finally:
        torch.set_num_threads(threads)
    return ratios


def table(rows: Sequence[Row], reference: str) -> str:
    """Markdown: one line per row."""
    first = next(row for row in rows if row.name == reference)
    # Columns of placements that nobody measured would hold nothing.
    measured = [kind for kind in PLACEMENTS if any(row.solved(kind) for row in rows)]
    kinds = [[kind] for kind in measured] + [measured] * (len(measured) > 1)
    head = ['row', 'tokens']
    for kind in kinds:
        head += [*(kind if len(kind) == 1 else []), f'{" and ".join(kind)}, against {reference}']
    head += ['MFLOP', 'cut', 'of these vision', 'CPU time']
    lines = [head, ['---'] * len(head)]
    for row in rows:
        cells = [row.name, str(row.tokens)]
        for kind in kinds:
            if len(kind) == 1:
                solved = row.solved(kind[0])
                cells.append(rate(np.array(solved, bool)) if solved else 'not measured')
            pairs = [] if row is first else _pairs(row, first, kind)
            cells.append(
                '{:+.1f} ({:+.1f} to {:+.1f}), {} states'.format(
                    *(100 * part for part in paired_difference(pairs)), len(pairs)
                )
                if pairs
                else ''
            )
        cells += [
            f'{row.flops / 1e6:.0f}',
            f'{100 * (1 - row.flops / first.flops):.0f}%',
            f'{row.encoder_flops / 1e6:.0f}',
            '{:.2f} ({:.2f} to {:.2f})'.format(row.latency_ratio, *row.latency_spread),
        ]
        lines.append(cells)
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines) + '\n'


def _pairs(row: Row, reference: Row, placements: Sequence[str]) -> list[Pair]:
    """Of all these kinds together; none unless both rows know all of them."""
    known = [
        common_states(row.outcomes.get(kind, {}), reference.outcomes.get(kind, {}))
        for kind in placements
    ]
    return [pair for pairs in known for pair in pairs] if all(known) else []


def rate(solved: Bool[np.ndarray, ' states']) -> str:
    """Like '83/100 = 83% (74 to 89)', Wilson's 95% interval."""
    low, high = wilson_interval(int(solved.sum()), len(solved))
    share = f'{solved.sum()}/{len(solved)} = {100 * solved.mean():.0f}%'
    return f'{share} ({100 * low:.0f} to {100 * high:.0f})'


def write_comparison(config: ComparisonConfig, out: Path, reference: str = '') -> str:
    """Write `comparison.md`, `.json` and `.png` into `out`; returns the table.

    Args:
        config: The comparison.
        out: Folder of all rows.
        reference: Row that the others are compared with; if empty, the one named dense, or else
            the first.

    Raises:
        ValueError: The reference is not trained, or a row was measured with other weights.
    """
    if not reference:
        reference = 'dense' if 'dense' in config.rows else next(iter(config.rows))
    rows = read_rows(config, out, reference)
    text = table(rows, reference)
    (out / 'comparison.md').write_text(text)
    (out / 'comparison.json').write_text(json.dumps([asdict(row) for row in rows], indent=1))
    plot(rows, out / 'comparison.png')
    return text


def plot(rows: Sequence[Row], path: Path) -> None:
    """Success against the cost of a step."""
    from matplotlib.figure import Figure

    figure = Figure((7.5, 4.5), layout='constrained')
    axes = figure.subplots()
    styles = {'widened': ('o', 'tab:blue'), 'official': ('s', 'tab:gray')}
    for placements, (marker, colour) in styles.items():
        shown = [row for row in rows if row.outcomes.get(placements)]
        for row in shown:
            solved = row.solved(placements)
            mean = 100 * float(np.mean(solved))
            low, high = (100 * bound for bound in wilson_interval(sum(solved), len(solved)))
            bars = [[mean - low], [high - mean]]
            label = f'{placements} placements' if row is shown[0] else None
            axes.errorbar(
                row.flops / 1e6, mean, bars, fmt=marker, color=colour, capsize=2, label=label
            )
            if placements == 'widened':
                axes.annotate(
                    row.name.replace('_', ' '),
                    (row.flops / 1e6, mean),
                    textcoords='offset points',
                    xytext=(5, 4),
                    fontsize=7,
                )
    axes.set_xscale('log')
    axes.set_ylim(0, 102)
    axes.set_xlabel('MFLOP per step, whole policy, two cameras')
    axes.set_ylabel('success [%], 95% interval')
    axes.grid(alpha=0.3)
    axes.legend(loc='lower right')
    figure.savefig(path, dpi=150)
