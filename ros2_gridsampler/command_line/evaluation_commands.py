# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler evaluate`: how good a policy is, by recordings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..evaluating.evaluation_config import EvaluationConfig
from ..evaluating.topic_choice import TopicChoice, load_topic_choice, with_cameras
from .arguments import Bags, usual_arm
from .outputs import check_folder

if TYPE_CHECKING:
    from ..evaluating.evaluation_task import EvaluationTask, Preparation


def evaluate(
    bags: Bags,
    policy: str,
    out: Path,
    config: Annotated[EvaluationConfig, tyro.conf.arg(name='')],
    topic: Annotated[TopicChoice, tyro.conf.arg(name='')],
    arm: str = '',
    encoder: Path | None = None,
    compare: str = '',
    compare_encoder: Path | None = None,
    backend: str = 'eager',
    topics: Path | None = None,
    camera: tuple[str, ...] = (),
    intervals: Path | None = None,
    gate: Path | None = None,
    jobs: str = '1',
    allow_partial: bool = False,
    film: bool = True,
    bag: bool = True,
    real_time: bool = False,
) -> None:
    """Replay recordings through a policy, and judge it.

    The recordings pass the stages that run live.

    Writes report.html, report.json (the same bytes every time, see docs/evaluation.md),
    measured.json (what depends on this machine) and a bag with the predictions. A call with
    the same OUT goes on where the last one stopped.

    Exit status: 0 good; 1 nothing could be read, a bag failed, is not whole or in doubt, or there
    is no verdict; 2 the gate does not hold.

    Args:
        bags: Bags of any kind (rosbag2 mcap or sqlite3, ROS 1), or folders of bags.
        policy: Checkpoint folder, or the name of one that comes with the package.
        out: Folder of the results.
        config: How to judge.
        topic: Which topic is which stream; what is obvious is guessed.
        arm: YAML with the arm's limits, or a name in calibration/; guessed where only one fits.
        encoder: Encoder folder to use instead of the checkpoint's own.
        compare: Another checkpoint, judged on the same frames; shows the drift between both.
        compare_encoder: Encoder for the other; without --compare, the same checkpoint with it.
        backend: Engine; eager gives the same report on every machine of a kind.
        topics: YAML that maps topics: cameras {name: topic}, joint_states, pose, instruction,
            fixed_instruction, action, gripper, gripper_joints. Flags go before it.
        camera: A camera's topic, like wrist=/wrist/image_raw; may be given for each.
        intervals: JSON with the critical intervals of each bag, see docs/evaluation.md.
        gate: YAML with thresholds; the exit status says whether they hold.
        jobs: Processes, or the address of a Dask scheduler (tcp://...).
        allow_partial: Do not fail because a bag is not whole, in doubt, or gives no verdict.
        film: Film of the cameras with the sampled points.
        bag: Bag with the predictions beside the recorded topics.
        real_time: Play each bag over DDS, with /clock, to a live policy node of its own, and judge
            what it answers; measured.json then has its times. Logs are in OUT/live.
    """
    from ..bags.bag_reader import find_bags
    from ..evaluating.contestants import PolicyChoice
    from ..evaluating.critical_error import read_intervals
    from ..evaluating.evaluation_jobs import check_jobs, evaluate_bags
    from ..evaluating.evaluation_report import BLIND, COMPARE, check_gate, read_gate
    from ..evaluating.evaluation_task import EvaluationTask
    from ..files import find

    check_folder(out)
    check_jobs(jobs)
    thresholds = read_gate(gate) if gate else {}
    chosen = topic.over(load_topic_choice(topics) if topics else TopicChoice())
    folder = find('models', policy)
    other = None
    if compare or compare_encoder:
        other_folder = find('models', compare) if compare else folder
        other = PolicyChoice(other_folder, compare_encoder, backend)
    task = EvaluationTask(
        policy=PolicyChoice(folder, encoder, backend),
        compare=other,
        arm=find('calibration', arm or usual_arm(folder), '.yaml'),
        topics=with_cameras(chosen, camera),
        config=config,
        intervals=intervals,
        film=film,
        bag=bag,
        real_time=real_time,
    )
    found = find_bags(bags)
    if intervals is not None:
        read_intervals(intervals)
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
    print(f'The page: {(out / "report.html").resolve().as_uri()}')
    broken = check_gate(report, thresholds)
    for text in broken:
        print(f'gate: {text}', file=sys.stderr)
    if broken:
        sys.exit(2)
    whole = report['complete'] and report['judged'] and not report.get('left_out')
    if failed or not (whole or allow_partial):
        sys.exit(1)


@contextmanager
def _live(task: 'EvaluationTask', logs: Path) -> 'Iterator[Preparation | None]':
    """A live node for each bag, in a ROS domain of their own, where the task asks for it."""
    if not task.real_time:
        yield None
        return
    from ..nodes.live_replay import LiveReplay
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    with StopRequest() as stop, private_domain():
        yield LiveReplay(task, logs, stop.check)
