# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policies whose success is known, and reports on bags -> which metric orders them like that."""

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from ros2_gridsampler.bags.bag_reader import find_bags
from ros2_gridsampler.command_line.arguments import Folder, usual_arm
from ros2_gridsampler.command_line.outputs import check_folder
from ros2_gridsampler.evaluating.evaluation_config import EvaluationTask
from ros2_gridsampler.evaluating.evaluation_jobs import check_jobs, evaluate_bags
from ros2_gridsampler.files import find

from . import run
from .measured_policies import MeasuredPolicy, held_out_bags, read_policies

Numbers = NDArray[np.float64]
DRAWS = 10_000
"""Of checkpoints, for the interval."""
MOST_EXACT = 8
"""Up to so many policies every order is tried for the p-value, beyond them random ones."""
_ORDERS = 100_000


@dataclass(frozen=True)
class Metric:
    """A figure of an evaluation.

    Attributes:
        name: In the table.
        path: Keys and indices in the report, see docs/reference/report.md.
        sign: 1 where more is better, -1 where less is.
    """

    name: str
    path: str
    sign: int = -1


METRICS = (
    Metric('CI-MSE', 'critical_interval_mse'),
    Metric('mean absolute error', 'mean_absolute_error_overall.policy'),
    Metric('mean squared error', 'mean_squared_error_overall'),
    Metric('mean absolute error, first step', 'mean_absolute_error.policy.0'),
    Metric('mean absolute error, last step', 'mean_absolute_error.policy.-1'),
    Metric('gripper movements met', 'gripper_events.met', 1),
    Metric('gripper movements predicted', 'gripper_events.predicted'),
    Metric('seam jump, median', 'seams.jump.p50'),
    Metric('seam jump, p99', 'seams.jump.p99'),
    Metric("jerk against the operator's", 'jerk.ratio'),
    Metric('commands changed by the filter', 'filter_interventions.commands'),
)
VALIDATION = Metric("loss on the training's validation", 'validation')


@dataclass(frozen=True)
class Ranking:
    """How well a metric orders the policies.

    Attributes:
        metric: Its name.
        values: One per policy.
        correlation: Spearman's, positive where a better value goes with more success; None where
            the metric says the same of all policies, or nothing of one.
        interval: 95%, of a bootstrap over policies.
        p: How often orders without any relation correlate as much, either way.
    """

    metric: str
    values: tuple[float | None, ...]
    correlation: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None


def rank_metrics(
    policies: Sequence[MeasuredPolicy], reports: Sequence[Mapping[str, Any]]
) -> list[Ranking]:
    """Rank all metrics, the best first; those that say nothing last.

    Args:
        policies: With their success.
        reports: The reports of the same bags, one per policy.
    """
    success = np.array([policy.success for policy in policies])
    rankings = [
        rank(metric, [value_at(report, metric.path) for report in reports], success)
        for metric in METRICS
    ]
    rankings.append(rank(VALIDATION, [policy.validation for policy in policies], success))
    return sorted(rankings, key=lambda r: -2.0 if r.correlation is None else r.correlation)[::-1]


def rank(metric: Metric, values: Sequence[float | None], success: Numbers) -> Ranking:
    """Correlate the ranks of a metric's values with those of success."""
    known = np.array([value for value in values if value is not None], float)
    if len(known) < len(values) or len(set(known)) < 2 or len(set(success)) < 2:
        return Ranking(metric.name, tuple(values))
    better = float(metric.sign) * known
    return Ranking(
        metric.name,
        tuple(values),
        float(stats.spearmanr(better, success).statistic),
        bootstrap_interval(better, success),
        permutation_p(better, success),
    )


def bootstrap_interval(first: Numbers, second: Numbers) -> tuple[float, float]:
    """95% interval of the rank correlation, policies drawn with replacement."""
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(first), size=(DRAWS, len(first)))
    ranks, others = (_centred(stats.rankdata(side[drawn], axis=1)) for side in (first, second))
    norms = np.sqrt((ranks**2).sum(1) * (others**2).sum(1))
    # Where the draw has no order, on one side or the other, nothing correlates.
    products = (ranks * others).sum(1)
    found = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def permutation_p(first: Numbers, second: Numbers) -> float:
    """Share of orders, the real one among them, that correlate at least as much; two-sided."""
    ranks, others = (_centred(stats.rankdata(side)[None])[0] for side in (first, second))
    count = len(ranks)
    if count <= MOST_EXACT:
        orders = np.array(list(itertools.permutations(range(count))))
    else:
        generator = np.random.default_rng(0)
        orders = generator.permuted(np.tile(np.arange(count), (_ORDERS, 1)), axis=1)
        orders[0] = np.arange(count)
    found = np.abs(ranks[orders] @ others)
    return float((found >= abs(ranks @ others) - 1e-9).mean())


def value_at(report: Mapping[str, Any], path: str) -> float | None:
    """A number in a report; None where nothing was measured."""
    value: Any = report
    for key in path.split('.'):
        if value is None:
            return None
        value = value[int(key)] if isinstance(value, list) else value[key]
    return None if value is None else float(value)


def table(rankings: Sequence[Ranking]) -> str:
    """Markdown: one line per metric."""
    lines = [
        '| metric | rank correlation with success | 95% interval | p |',
        '| --- | --- | --- | --- |',
    ]
    for ranking in rankings:
        cells = ['says nothing', '', '']
        if ranking.interval is not None:
            low, high = ranking.interval
            cells = [
                f'{ranking.correlation:+.2f}',
                f'{low:+.2f} to {high:+.2f}',
                f'{ranking.p:.3g}',
            ]
        lines.append(f'| {ranking.metric} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def write_ranking(
    policies: Sequence[MeasuredPolicy],
    rankings: Sequence[Ranking],
    bags: Sequence[Path],
    frames: int,
    out: Path,
) -> str:
    """Write `ranking.md`, `.json` and `.png` into `out`; returns the text."""
    rates = [100 * policy.success for policy in policies]
    episodes = sorted({policy.episodes for policy in policies})
    text = (
        f'{len(policies)} policies with {min(rates):.0f} to {max(rates):.0f}% success '
        f'({", ".join(policies[0].measured)}; {" or ".join(map(str, episodes))} episodes each), '
        f'{len(bags)} bags, {frames} frames\n\n{table(rankings)}'
    )
    content = {
        'policies': [asdict(policy) for policy in policies],
        'bags': [bag.name for bag in bags],
        'frames': frames,
        'metrics': [asdict(ranking) for ranking in rankings],
    }
    (out / 'ranking.md').write_text(text)
    (out / 'ranking.json').write_text(json.dumps(content, indent=1, default=str))
    plot(policies, rankings, out / 'ranking.png')
    return text


def plot(policies: Sequence[MeasuredPolicy], rankings: Sequence[Ranking], path: Path) -> None:
    """Success against each metric, a small plot per metric."""
    from matplotlib.figure import Figure

    shown = [ranking for ranking in rankings if ranking.correlation is not None]
    if not shown:
        return
    rows = -(-len(shown) // 4)
    figure = Figure((11, 2.6 * rows), layout='constrained')
    panels = figure.subplots(rows, 4, squeeze=False, sharey=True).ravel()
    success = [100 * policy.success for policy in policies]
    for axes, ranking in zip(panels, shown, strict=False):
        axes.plot(ranking.values, success, 'o', markersize=5, color='tab:blue')
        axes.set_title(f'{ranking.metric}: {ranking.correlation:+.2f}', fontsize=9)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=7)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes in panels[::4]:
        axes.set_ylabel('success [%]', fontsize=8)
    figure.savefig(path, dpi=130)


def _centred(
    ranks: Float[np.ndarray, 'draws policies'],
) -> Float[np.ndarray, 'draws policies']:
    return np.asarray(ranks - ranks.mean(1, keepdims=True))


def main(
    checkpoints: Folder,
    out: Path,
    bags: tuple[Path, ...] = (),
    demonstrations: tuple[Path, ...] = (),
    measured: tuple[str, ...] = (),
    arm: str = '',
    jobs: str = '1',
) -> None:
    """See which offline metric orders policies as their measured success does.

    Evaluates every checkpoint on the same bags; what is done already is not done again. Writes
    ranking.md, ranking.json and ranking.png.

    Args:
        checkpoints: Folder of checkpoints with their outcomes beside the manifest, as
            `experiments.comparison` leaves them, or each by `gridsampler success --json
            CHECKPOINT/official.json`.
        out: Folder of the ranking and of all evaluations.
        bags: Bags that none of them has seen, or folders of such bags.
        demonstrations: All bags on which they were trained; of these only those are taken that
            every training held out.
        measured: Names of the outcomes, like `official widened`; all if left out.
        arm: YAML with the arm's limits, or a name in calibration/; guessed where only one fits.
        jobs: See `evaluate`.
    """
    check_folder(out)
    check_jobs(jobs)
    if not checkpoints.is_dir():
        raise ValueError(f'{checkpoints} is no folder; name one that holds checkpoint folders.')
    policies, left_out = read_policies(checkpoints, measured)
    for name, reason in left_out.items():
        print(f'{name} is left out: {reason}.', file=sys.stderr)
    found = find_bags(bags) if bags else []
    if demonstrations:
        found += held_out_bags(find_bags(demonstrations), policies)
    if not found:
        raise ValueError('Name bags with --bags, or those of the training with --demonstrations.')
    limits = find('calibration', arm or usual_arm(policies[0].folder), '.yaml')
    reports = []
    for policy in policies:
        task = EvaluationTask(str(policy.folder), str(limits), film=False, bag=False)
        report, failed = evaluate_bags(found, task, out / policy.folder.name, jobs)
        if failed:
            raise ValueError(
                f'All policies need the same bags, but {policy.folder.name} failed on '
                f'{"; ".join(f"{name}: {reason}" for name, reason in failed.items())}'
            )
        reports.append(report)
    rankings = rank_metrics(policies, reports)
    print(write_ranking(policies, rankings, found, reports[0]['frames'], out))


if __name__ == '__main__':
    from experiments.metric_ranking import main as command

    run(command)
