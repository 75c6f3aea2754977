# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Published policies -> their step times on every engine, as numbers, a table and a plot."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..engines import Name
from ..policy.policy import Policy
from ..policy.signature import Precision
from .step_times import StepTime, measure


@dataclass(frozen=True)
class TimesReport:
    """All that was measured in one run.

    Attributes:
        precision: Precision of all engines.
        rounds: Number of rounds that count.
        policies: Policy -> its times.
        refused: Policy, backend and variant -> why there is no time.
    """

    precision: Precision
    rounds: int
    policies: dict[str, list[StepTime]]
    refused: dict[str, str]


def measure_policies(
    policies: Mapping[str, Policy],
    *,
    backends: Sequence[Name],
    early: Sequence[int],
    threads: Sequence[int],
    precision: Precision,
    rounds: int,
    progress: Callable[[str], None],
) -> TimesReport:
    """Measures one policy after the other; see `step_times.measure`."""
    measured: dict[str, list[StepTime]] = {}
    refused: dict[str, str] = {}
    for name, policy in policies.items():
        measured[name] = []
        for count in threads:
            times, reasons = measure(
                policy,
                backends=backends,
                early=early,
                threads=count,
                precision=precision,
                rounds=rounds,
                progress=progress,
            )
            measured[name] += times
            refused |= {f'{name}: {key}': reason for key, reason in reasons.items()}
    return TimesReport(precision, rounds, measured, refused)


def write_report(report: TimesReport, out: Path) -> str:
    """Writes times.json, times.md and times.png.

    Returns:
        The table.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / 'times.json').write_text(json.dumps(asdict(report), indent=1))
    table = as_table(report)
    (out / 'times.md').write_text(table + '\n')
    _plot(report, out / 'times.png')
    return table


def as_table(report: TimesReport) -> str:
    """Markdown; ratios are of CPU time, with quartiles over rounds, or means over policies."""
    lines = [
        '| backend | visual tokens | threads | p50 / p99 [ms] | CPU [ms] | x dense | x eager |',
        '|---|---|---|---|---|---|---|',
    ]
    for rows in _by_variant(report).values():
        first = rows[0]
        several = len(rows) > 1

        def ratio(values: list[tuple[float, float, float] | None], mean: bool = several) -> str:
            known = [value for value in values if value is not None]
            if not known:
                return ''
            middle = statistics.fmean(value[1] for value in known)
            low, high = min(value[0] for value in known), max(value[2] for value in known)
            return f'{middle:.2f}{" (mean)" if mean else ""} [{low:.2f}, {high:.2f}]'

        p50, p99 = (1e3 * statistics.fmean(row.wall[i] for row in rows) for i in (0, 1))
        lines.append(
            f'| {first.backend} | {first.variant} | {first.threads} | {p50:.1f} / {p99:.1f} | '
            f'{1e3 * statistics.fmean(row.cpu for row in rows):.1f} | '
            f'{ratio([row.speedup for row in rows])} | {ratio([row.over_eager for row in rows])} |'
        )
    lines += [f'\nNot measured: {key}: {reason}' for key, reason in report.refused.items()]
    return '\n'.join(lines)


def _by_variant(report: TimesReport) -> dict[tuple[str, str, int], list[StepTime]]:
    """The same row of all policies."""
    rows: dict[tuple[str, str, int], list[StepTime]] = {}
    for times in report.policies.values():
        for row in times:
            rows.setdefault((row.backend, row.variant, row.threads), []).append(row)
    return rows


def _plot(report: TimesReport, path: Path) -> None:
    """Speed over the dense policy, one bar per variant, one colour per backend; one thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fewest = min(row.threads for rows in report.policies.values() for row in rows)
    rows = {key: rows for key, rows in _by_variant(report).items() if key[2] == fewest}
    backends = list(dict.fromkeys(key[0] for key in rows))
    variants = list(dict.fromkeys(key[1] for key in rows))
    figure = Figure(figsize=(8, 0.5 * len(variants) + 1.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.8 / len(backends)
    for number, backend in enumerate(backends):
        for place, variant in enumerate(variants):
            found = rows.get((backend, variant, fewest))
            if not found:
                continue
            middle = statistics.fmean(row.speedup[1] for row in found)
            low = min(row.speedup[0] for row in found)
            high = max(row.speedup[2] for row in found)
            axes.barh(
                place + number * height,
                middle,
                height,
                xerr=[[max(middle - low, 0.0)], [max(high - middle, 0.0)]],
                color=f'C{number}',
                label=backend if not place else None,
            )
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(variants))], variants)
    axes.invert_yaxis()
    axes.set_xlabel(f'times faster than dense on the same engine ({fewest} thread, CPU time)')
    axes.axvline(1, color='grey', linewidth=0.8)
    axes.legend()
    figure.savefig(path, dpi=120)
