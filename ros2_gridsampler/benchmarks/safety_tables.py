# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Results of the fault campaign and of the timing benchmark -> the tables of a page."""

import json
from collections.abc import Sequence
from typing import Any

import cattrs

from .fault_report import CampaignReport
from .limit_stress import Stress
from .timing_benchmark import TimingReport

_NAMES = {'policy': 'Policy node', 'naive': 'Naive node', 'running': 'Running node'}


def fault_tables(files: Sequence[str]) -> str:
    """Markdown of what `to_json` of fault_report wrote, file after file.

    Raises:
        ValueError: A file is something else.
    """
    parts = []
    for text in files:
        content = _read(text, 'gridsampler faults')
        reports = _structure(content, 'campaigns', list[CampaignReport])
        stresses = _structure(content, 'random_steps', dict[str, Stress])
        parts += [_machine(content)]
        for report in reports:
            safe = sum(result.safe for result in report.results)
            parts += [
                f'{_NAMES[report.node]}, {report.kind}, {report.rate:g} Hz: {safe} of '
                f'{len(report.results)} safe.',
                report.table(),
            ]
        parts += [f'Safety filter of {name} alone: {s}.' for name, s in stresses.items()]
    return '\n\n'.join(parts)


def timing_table(text: str) -> str:
    """Markdown of what `TimingReport.to_json` wrote.

    Raises:
        ValueError: It is something else.
    """
    content = _read(text, 'gridsampler benchmark timing')
    try:
        return str(cattrs.structure(content, TimingReport))
    except (cattrs.BaseValidationError, KeyError) as error:
        raise ValueError(f'These are no timings: {cattrs.transform_error(error)}') from error


def replace_block(page: str, name: str, block: str) -> str:
    """The page with another text between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: These two lines are not there once each, in that order.
    """
    begin, end = f'<!-- {name} -->', f'<!-- /{name} -->'
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(
            f'The page needs the lines {begin!r} and {end!r} once each, in that order; the '
            'tables are put between them.'
        )
    before, rest = page.split(begin)
    return f'{before}{begin}\n{block}\n{end}{rest.split(end)[1]}'


def _machine(content: dict[str, Any]) -> str:
    hardware = _structure(content, 'hardware', dict[str, str])
    return 'Measured on ' + ', '.join(f'{key}: {value}' for key, value in hardware.items()) + '.'


def _read(text: str, command: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'Not a JSON file of `{command}`: {error}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'Not a file of `{command}`: it holds no object.')
    return content


def _structure(content: dict[str, Any], key: str, kind: Any) -> Any:
    try:
        return cattrs.structure(content[key], kind)
    except (cattrs.BaseValidationError, KeyError) as error:
        raise ValueError(
            f'These are no results of `gridsampler faults`: {cattrs.transform_error(error)}'
        ) from error
