# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation -> report.html: one file, readable on a phone, the verdict first."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from .evaluation_outcome import Evaluation
from .evaluation_report import BLIND, COMPARE
from .metric import Metric, Report, Row
from .metrics import METRICS
from .svg_plot import COLOURS, histogram, lines, timeline

PAGE = 'report.html'
# Marks of commands are joined where they are this close [s].
_JOIN = 0.1
# So many entries of an action are shown at once, the rest where a reader asks for them.
_SHOWN = 6
# Policy, recording, the policy that it is compared with.
_COLOURS = (COLOURS[0], COLOURS[1], COLOURS[3])
_LABELS = {'policy': 'policy', 'hold_action': 'hold action', 'hold_state': 'hold state'}


def write_page(
    path: Path,
    report: Report,
    evaluation: Evaluation,
    film: str,
    metrics: Sequence[type[Metric]] = METRICS,
) -> None:
    """Writes the page of one bag; it loads nothing from the network.

    Args:
        path: The HTML file.
        report: Complete.
        evaluation: For the plots.
        film: Data URI of an mp4; empty for none.
        metrics: Whose rows are shown.
    """
    names = [score.contestant.name for score in evaluation.scores]
    main = names[0]
    page = template('report_page.html').render(
        report=report,
        names=names,
        film=film,
        horizon=_horizon(report, evaluation),
        curves=_curves(report, evaluation),
        shown=_SHOWN,
        timeline=_timeline(evaluation),
        latency=histogram(
            [1e3 * seconds for seconds in evaluation.scores[0].inference],
            label='frames by time of inference, on this machine [ms]',
        ),
        measured=evaluation.measured[main],
        scores=_scores(report, names, metrics),
    )
    path.write_text(page, 'utf-8')


def write_index(
    path: Path,
    report: Report,
    bags: Sequence[Report],
    failed: Mapping[str, str],
    metrics: Sequence[type[Metric]] = METRICS,
) -> None:
    """Writes the page of many bags, with a link to each one's own.

    Args:
        path: The HTML file.
        report: Merged, with a verdict; empty where all have failed.
        bags: The report of each bag, with the `folder` of its page.
        failed: Bag -> reason.
        metrics: Whose columns are shown.
    """
    rows = [_columns(bag, metrics) for bag in bags]
    # A bag without a gripper has no such row; the order is that of the metrics.
    columns = {row.column: row.meaning for found in rows for row in found.values()}
    orders: list[list[float]] = [
        [float(bag['frames']) for bag in bags],
        *([found[c].key if c in found else np.inf for found in rows] for c in columns),
        [float(len(bag['problems'])) for bag in bags],
    ]
    names = [str(bag['bag']) for bag in bags]
    ranks = np.array(
        [np.argsort(np.argsort(np.array(names), kind='stable')), *map(_ranks, orders)], int
    ).T
    page = template('report_index.html').render(
        report=report,
        bags=[
            (bag, [found.get(column) for column in columns], rank.tolist())
            for bag, found, rank in zip(bags, rows, ranks, strict=True)
        ],
        columns=columns,
        failed=failed,
    )
    path.write_text(page, 'utf-8')


def _columns(report: Report, metrics: Sequence[type[Metric]]) -> dict[str, Row]:
    rows = (row for metric in metrics for row in metric.rows(report))
    return {row.column: row for row in rows if row.column}


def _ranks(values: Sequence[float]) -> np.ndarray:
    return np.argsort(np.argsort(values, kind='stable'), kind='stable')


def _scores(
    report: Report, names: Sequence[str], metrics: Sequence[type[Metric]]
) -> tuple[list[str], list[tuple[str, list[Any]]]]:
    """Headings and rows of the table of all scores, every policy beside the baselines."""
    policies = {names[0]: report}
    for name, key in ((names[-1], COMPARE), ('without pictures', BLIND)):
        if key in report:
            policies[name] = report[key]
    table = []
    for metric in metrics:
        others = [{row.name: row.policy for row in metric.rows(r)} for r in policies.values()]
        for row in metric.rows(report):
            cells = [each.get(row.name) for each in others]
            table.append((row.name, [*cells, row.hold_action, row.hold_state]))
    return [*policies, 'hold action', 'hold state'], table


@cache
def template(name: str) -> jinja2.Template:
    """Returns a page of this folder, to be filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['short'] = _short
    return environment.get_template(name)


def _short(value: Any) -> str:
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def _horizon(report: Mapping[str, Any], evaluation: Evaluation) -> Markup:
    period = evaluation.scores[0].contestant.config.period
    errors = {
        _LABELS[key]: values
        for key, values in sorted(report['mean_absolute_error'].items(), reverse=True)
    }
    if 'compare' in report:
        other = evaluation.scores[1].contestant.name
        errors[other] = report['compare']['mean_absolute_error']['policy']
    if BLIND in report:
        errors['without pictures'] = report[BLIND]['mean_absolute_error']['policy']
    series = {
        name: (np.array([period * step for step in range(len(values))]), np.array(values, float))
        for name, values in errors.items()
    }
    return lines(series, label='ahead of the frame [s]', from_zero=True)


def _curves(report: Mapping[str, Any], evaluation: Evaluation) -> list[tuple[str, Markup]]:
    """A small plot per entry of an action, recorded and as each policy would command it.

    Those in which the policy is most wrong, in units of the arm, come first.
    """
    rows = evaluation.curves
    if not len(rows):
        return []
    names = evaluation.scores[0].contestant.config.action_space.names
    times = rows[:, 0] - evaluation.begin
    policies = [score.contestant.name for score in evaluation.scores]
    parts = ['recorded', *(policies if len(policies) > 1 else ['commanded'])]
    size = len(names)
    order = [1, 0, 2]  # the policy in the policy's colour
    plots = []
    errors = report['mean_absolute_error_by_action']['policy']
    wrong = np.array([errors[name] for name in names]) / evaluation.scale
    for index in np.argsort(-wrong, kind='stable'):
        series = {
            parts[part]: (times, rows[:, 1 + part * size + index]) for part in order[: len(parts)]
        }
        unit = f' [{evaluation.units[index]}]' if evaluation.units[index] else ''
        plot = lines(series, size=(280, 150), label='time [s]', colours=_COLOURS)
        plots.append((f'{names[index]}{unit}', plot))
    return plots


def _timeline(evaluation: Evaluation) -> Markup:
    rows: dict[str, list[tuple[float, float]]] = {}
    begin = evaluation.begin
    for fault in evaluation.faults:
        spans = rows.setdefault(f'{fault.kind}: {fault.topic}', [])
        spans.append((fault.begin - begin, fault.end - begin))
    main = evaluation.scores[0].main
    rows['filter intervenes'] = _spans(np.array(main.intervention_times) - begin)
    rows['the live node holds'] = _spans(np.array(main.held_times) - begin)
    return timeline(rows, evaluation.end - begin)


def _spans(times: np.ndarray) -> list[tuple[float, float]]:
    if not len(times):
        return []
    breaks = np.nonzero(np.diff(times) > _JOIN)[0]
    starts, ends = np.append(0, breaks + 1), np.append(breaks, len(times) - 1)
    return [(float(times[a]), float(times[b])) for a, b in zip(starts, ends, strict=True)]
