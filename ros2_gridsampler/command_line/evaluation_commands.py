# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler evaluate`: how good a policy is, by recordings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .arguments import Bags, usual_arm
from .outputs import check_folder

if TYPE_CHECKING:
    from ..evaluating.evaluation_task import EvaluationTask, Preparation


def evaluate(
    bags: Bags,
    policy: str,
    out: Path,
    arm: str = '',
    encoder: Path | None = None,
    compare: str = '',
    compare_encoder: Path | None = None,
    backend: str = 'eager',
    topics: Path | None = None,
    camera: tuple[str, ...] = (),
    action_topic: str = '',
    gripper_topic: str = '',
    instruction: str = '',
    latency_ms: float = 50.0,
    injected_ms: tuple[float, ...] = (60.0, 120.0, 250.0),
    command_rate: float = 50.0,
    time: Literal['recorded', 'header', 'log'] = 'recorded',
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

    Exit status: 0 good; 1 nothing could be read, or a bag failed or is not whole; 2 the gate does
    not hold.

    Args:
        bags: Bags of any kind (rosbag2 mcap or sqlite3, ROS 1), or folders of bags.
        policy: Checkpoint folder, or the name of one that comes with the package.
        out: Folder of the results.
        arm: YAML with the arm's limits, or a name in calibration/; guessed where only one fits.
        encoder: Encoder folder to use instead of the checkpoint's own.
        compare: Another checkpoint, judged on the same frames; shows the drift between both.
        compare_encoder: Encoder for the other; without --compare, the same checkpoint with it.
        backend: Engine; eager gives the same report on every machine of a kind.
        topics: YAML that maps topics: cameras {name: topic}, joint_states, pose, instruction,
            fixed_instruction, action, gripper, gripper_joints. What is obvious is guessed.
        camera: A camera's topic, like wrist=/wrist/image_raw; may be given for each.
        action_topic: Recorded action (JointTrajectory, Float64MultiArray, TwistStamped), or a
            JointState topic to compare with where the arm went.
        gripper_topic: Recorded gripper opening of twist actions (Float64MultiArray).
        instruction: The sentence of a bag that carries none.
        latency_ms: Assumed from a frame's arrival to its chunk.
        injected_ms: What if it took so long.
        command_rate: Of the command loop [Hz].
        time: Whose time is believed: recorded (header stamps against log times, as live), header
            (the recorder had another clock) or log (the drivers do not stamp).
        intervals: JSON with the critical intervals of each bag, see docs/evaluation.md.
        gate: YAML with thresholds; the exit status says whether they hold.
        jobs: Processes, or the address of a Dask scheduler (tcp://...).
        allow_partial: Do not fail because a bag is not whole.
        film: Film of the cameras with the sampled points.
        bag: Bag with the predictions beside the recorded topics.
        real_time: Play each bag over DDS, with /clock, to a live policy node of its own, and judge
            what it answers; measured.json then has its times. Logs are in OUT/live.
    """
    from ..acting.chunk_schedule import ScheduleConfig
    from ..bags.bag_reader import find_bags
    from ..evaluating.command_replay import CommandConfig
    from ..evaluating.contestants import PolicyChoice
    from ..evaluating.critical_error import read_intervals
    from ..evaluating.evaluation_jobs import check_jobs, evaluate_bags
    from ..evaluating.evaluation_report import check_gate, read_gate
    from ..evaluating.evaluation_task import EvaluationTask
    from ..evaluating.policy_scores import EvaluationConfig
    from ..evaluating.topic_map import TopicChoice, load_topic_choice, with_cameras
    from ..files import find

    check_folder(out)
    check_jobs(jobs)
    thresholds = read_gate(gate) if gate else {}
    choice = load_topic_choice(topics) if topics else TopicChoice()
    choice = with_cameras(choice, camera)
    choice = replace(
        choice,
        action=action_topic or choice.action,
        gripper=gripper_topic or choice.gripper,
        fixed_instruction=instruction or choice.fixed_instruction,
    )
    folder = find('models', policy)
    other = None
    if compare or compare_encoder:
        other_folder = find('models', compare) if compare else folder
        other = PolicyChoice(other_folder, compare_encoder, backend)
    task = EvaluationTask(
        PolicyChoice(folder, encoder, backend),
        other,
        find('calibration', arm or usual_arm(folder), '.yaml'),
        choice,
        EvaluationConfig(
            latency=latency_ms / 1e3,
            injected=tuple(each / 1e3 for each in injected_ms),
            commands=CommandConfig(command_rate, ScheduleConfig()),
            time=time,
        ),
        intervals,
        film,
        bag,
        real_time,
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
    for text in (*report['findings'], *filter(None, [report.get('compare', {}).get('verdict')])):
        print(text)
    print(f'The page: {(out / "report.html").resolve().as_uri()}')
    broken = check_gate(report, thresholds)
    for text in broken:
        print(f'gate: {text}', file=sys.stderr)
    if broken:
        sys.exit(2)
    if failed or not (report['complete'] or allow_partial):
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
