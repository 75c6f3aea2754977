# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler evaluate`: how good a policy is, by recordings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..evaluating.evaluation_config import EvaluationTask
from ..files import find
from .arguments import Bags, usual_arm
from .outputs import check_folder, where_to_look

if TYPE_CHECKING:
    from ..evaluating.evaluation_task import Preparation


def evaluate(
    bags: Bags,
    out: Path,
    task: Annotated[EvaluationTask, tyro.conf.arg(name='')],
    gate: Path | None = None,
    jobs: str = '1',
    allow_partial: bool = False,
) -> None:
    """Replay recordings through a policy, and judge it.

    The recordings pass the stages that run live.

    Writes report.html, report.json (the same bytes every time, see docs/howto/evaluation.md),
    measured.json (what depends on this machine) and a bag with the predictions. A call with
    the same OUT goes on where the last one stopped.

    Exit status: 0 good; 1 nothing could be read, a bag failed, is not whole or in doubt, or there
    is no verdict; 2 the gate does not hold.

    Args:
        bags: Bags of any kind (rosbag2 mcap or sqlite3, ROS 1), or folders of bags.
        out: Folder of the results.
        task: What is judged, and how.
        gate: YAML with thresholds; the exit status says whether they hold.
        jobs: Processes, or the address of a Dask scheduler (tcp://...).
        allow_partial: Do not fail because a bag is not whole, in doubt, or gives no verdict.
    """
    from ..bags.bag_reader import find_bags
    from ..evaluating.critical_error import read_intervals
    from ..evaluating.evaluation_jobs import check_jobs, evaluate_bags
    from ..evaluating.evaluation_report import BLIND, COMPARE, check_gate, read_gate

    check_folder(out)
    check_jobs(jobs)
    thresholds = read_gate(gate) if gate else {}
    task = task.settled('' if task.arm else usual_arm(find('models', task.policy)))
    found = find_bags(bags)
    if task.intervals is not None:
        read_intervals(task.intervals)
    with _live(task, out / 'live') as prepare:
        report, failed = evaluate_bags(found, task, out, jobs, prepare)
    for name, reason in failed.items():
        print(f'{name} failed: {reason}', file=sys.stderr)
    if not report:
        sys.exit(1)
    for line in report.get('topics', {}).get('guessed', ()):
        print(f'guessed {line}')
    for problem in report['problems']:
        print(f'- {problem}')
    print(report['verdict'])
    compared = [report[key]['verdict'] for key in (COMPARE, BLIND) if key in report]
    for text in (*report['findings'], *compared):
        print(text)
    print(f'The page: {where_to_look(out / "report.html")}')
    broken = check_gate(report, thresholds)
    for text in broken:
        print(f'gate: {text}', file=sys.stderr)
    if broken:
        sys.exit(2)
    whole = report['complete'] and report['judged'] and not report.get('left_out')
    if failed or not (whole or allow_partial):
        sys.exit(1)


@contextmanager
def _live(task: EvaluationTask, logs: Path) -> 'Iterator[Preparation | None]':
    """A live node for each bag, in a ROS domain of their own, where the task asks for it."""
    if not task.real_time:
        yield None
        return
    from ..nodes.live_replay import LiveReplay
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    with StopRequest() as stop, private_domain():
        yield LiveReplay(task, logs, stop.check)
