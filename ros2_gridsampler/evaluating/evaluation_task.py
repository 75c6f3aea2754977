# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A task and a bag -> the folder with everything about that bag."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from tqdm import tqdm

from ..acting.action_chunk import ActionChunk
from ..acting.arm_limits import load_arm
from ..bags.bag_files import bag_stamps, find_files
from ..bags.bag_reader import IMAGE_TYPES, PREDICTIONS, read_messages, read_topics
from ..bags.bag_storage import RecordedMessage
from ..bags.bag_writer import TYPES, BagWriter, build, build_header
from ..datasets.frames import depth_topics
from ..files import hash_file, write_whole
from ..policy.prediction import Prediction
from ..seeing.camera_message import encode_jpeg
from ..seeing.observation import Observation
from ..vla.deployed_policy import DeployedConfig
from .contestants import load_contestants
from .critical_error import read_intervals
from .evaluation import evaluate_bag
from .evaluation_config import EvaluationTask
from .evaluation_outcome import Evaluation, Listener
from .evaluation_report import REPORT, SCHEMA, conclude, dump
from .live_answers import LiveAnswers
from .overlay import OverlayFilm, draw
from .policy_scores import Contestant
from .report_page import PAGE, write_page
from .topic_choice import TopicChoice
from .topic_map import TopicMap, describe, map_topics

# Everything that is added begins like this, so that it is never taken for a recording.
PREFIX = '/evaluation'


class PredictionBag:
    """Listens to an evaluation and writes it down.

    Args:
        writer: Open.
        contestants: The policies, in the order of their predictions.
    """

    def __init__(self, writer: BagWriter, contestants: Sequence[Contestant]) -> None:
        self._writer = writer
        self._contestants = contestants

    def message(self, recorded: RecordedMessage) -> None:
        """See `evaluation.Listener`; types that ROS 2 Jazzy lacks are not copied."""
        if recorded.type in TYPES.fielddefs:
            latched = recorded.type == 'std_msgs/msg/String'
            self._writer.write_serialised(
                recorded.topic, recorded.type, recorded.serialised, recorded.time, latched=latched
            )

    def prediction(
        self, now: float, observation: Observation, predictions: Sequence[Prediction]
    ) -> None:
        for number, (contestant, prediction) in enumerate(
            zip(self._contestants, predictions, strict=True)
        ):
            name = PREFIX if number == 0 else f'{PREFIX}/compared'
            space = contestant.config.action_space
            chunk = chunk_message(prediction.chunk, space.names, space.frame)
            self._writer.write(f'{name}/action_chunk', chunk, now)
            picture = build(
                'sensor_msgs/msg/CompressedImage',
                header=build_header(observation.time, ''),
                format='rgb8; jpeg compressed bgr8',
                data=np.frombuffer(
                    encode_jpeg(draw(observation, prediction, contestant), quality=85), np.uint8
                ),
            )
            self._writer.write(f'{name}/sampled_points/compressed', picture, now)


def chunk_message(chunk: ActionChunk, names: Sequence[str], frame: str) -> Any:
    """A chunk as the live node publishes it: a JointTrajectory stamped with capture time."""
    points = []
    for step, target in enumerate(chunk.targets):
        seconds, nanoseconds = divmod(round(step * chunk.period * 1e9), 10**9)
        points.append(
            build(
                'trajectory_msgs/msg/JointTrajectoryPoint',
                positions=np.asarray(target, np.float64),
                velocities=np.empty(0),
                accelerations=np.empty(0),
                effort=np.empty(0),
                time_from_start=build(
                    'builtin_interfaces/msg/Duration', sec=seconds, nanosec=nanoseconds
                ),
            )
        )
    return build(
        'trajectory_msgs/msg/JointTrajectory',
        header=build_header(chunk.start_time, frame),
        joint_names=list(names),
        points=points,
    )


MEASURED, FILM, DONE = 'measured.json', 'film.mp4', 'done.json'


Preparation = Callable[[Path, TopicMap, tuple[Contestant, ...]], tuple[Contestant, ...]]
"""Called with each bag before it is evaluated: the contestants that answer this bag."""


def evaluate_to_folder(
    bag: Path,
    task: EvaluationTask,
    out: Path,
    *,
    contestants: tuple[Contestant, ...] | None = None,
    prepare: Preparation | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Evaluates one bag, or finds that it has been done, and writes its folder.

    Args:
        bag: A bag of any kind.
        task: What to do, settled.
        out: Folder of this bag's results; created where needed.
        contestants: Policies that are loaded already.
        prepare: See `Preparation`.
        progress: Whether to show a bar.

    Returns:
        The report.

    Raises:
        ValueError: The bag gives no observation, or policy, arm and topics do not fit.
    """
    done, key = out / DONE, _key(bag, task)
    if done.exists() and (out / REPORT).exists():
        known = (out / REPORT).read_bytes()
        # The folder may since have got the report of several bags.
        if done.read_text() == _receipt(key, known):
            return dict(json.loads(known))
    out.mkdir(parents=True, exist_ok=True)
    # If the bag cannot be read now, nothing older must stand for it.
    for old in (DONE, REPORT, MEASURED, PAGE, FILM):
        (out / old).unlink(missing_ok=True)
    shutil.rmtree(out / PREDICTIONS, ignore_errors=True)
    if contestants is None:
        contestants = load_contestants(task.choices)
    for contestant in contestants:
        task.config.commands.schedule.check_policy(contestant.config.ensemble_decay)
    limits = load_arm(Path(task.arm))
    recorded = read_topics(bag)
    if not recorded:
        # A bag that is broken says so by itself.
        count = sum(1 for _ in read_messages(bag))
        raise ValueError(f'{bag} is empty: it holds {count} messages of no topic.')
    topics = _map(bag, recorded, contestants[0].config, task.topic)
    intervals = None
    if task.intervals is not None:
        marked = read_intervals(task.intervals)
        if bag.stem not in marked:
            raise ValueError(f'{task.intervals} has no episode {bag.stem!r}; add it.')
        intervals = marked[bag.stem]
    if prepare is not None:
        contestants = prepare(bag, topics, contestants)
    begin = time.perf_counter()
    with ExitStack() as stack:
        listeners: list[Listener] = []
        film = OverlayFilm(out / FILM, contestants)
        if task.film:
            stack.callback(film.close)
            listeners.append(film)
        if task.bag:
            writer = stack.enter_context(BagWriter(out / PREDICTIONS))
            listeners.append(PredictionBag(writer, contestants))
        evaluation = evaluate_bag(
            bag,
            contestants,
            topics,
            limits,
            task.config,
            clock=time.perf_counter,
            intervals=intervals,
            listeners=listeners,
            progress=stack.enter_context(_Bar(bag, progress)).show,
        )
    report = _complete(bag, evaluation, contestants, limits.name, describe(task.topic, topics))
    text = dump(report)
    write_whole(out / REPORT, text)
    live = [c.backend.summary() for c in contestants if isinstance(c.backend, LiveAnswers)]
    measured = {
        'wall_s': time.perf_counter() - begin,
        'policies': evaluation.measured,
        **({'live': live[0]} if live else {}),
    }
    (out / MEASURED).write_text(json.dumps(measured, indent=1), 'utf-8')
    write_page(out / PAGE, report, evaluation, film.embedded())
    write_whole(done, _receipt(key, text.encode()))
    return report


def _receipt(key: str, report: bytes) -> str:
    """What was asked, and what the answer was."""
    return json.dumps({'key': key, 'report': hashlib.sha256(report).hexdigest()})


def _map(
    bag: Path, recorded: Mapping[str, str], config: DeployedConfig, choice: TopicChoice
) -> TopicMap:
    pictures = [topic for topic, kind in recorded.items() if kind in IMAGE_TYPES]
    depth = depth_topics(bag, pictures) if len(pictures) > 1 or config.observation.depth else set()
    try:
        return map_topics(recorded, config, choice, depth)
    except ValueError as error:
        missing = find_files(bag).missing
        if not missing:
            raise
        # What the bag seems to lack may be in there.
        raise ValueError(f'{error} Files of the bag are missing: {", ".join(missing)}.') from error


def _complete(
    bag: Path,
    evaluation: Evaluation,
    contestants: tuple[Contestant, ...],
    arm: str,
    topics: Mapping[str, Any],
) -> dict[str, Any]:
    report = {
        'schema': SCHEMA,
        'verdict': '',
        'findings': [],
        'bag': bag.stem,
        'policy': contestants[0].identity,
        'arm': arm,
        'topics': topics,
        **evaluation.report,
    }
    if len(contestants) > 1:
        report['compare'] = {'policy': contestants[1].identity, **report['compare']}
    return conclude(report)


def _key(bag: Path, task: EvaluationTask) -> str:
    """Changes with everything that could change the result."""
    files = [
        path
        for choice in task.choices
        for folder in (choice.folder, choice.encoder)
        if folder is not None
        for name in ('manifest.json', 'robot.json')
        if (path := folder / name).is_file()
    ]
    files += [path for path in (Path(task.arm), task.intervals) if path is not None]
    content = [
        SCHEMA,
        str(bag.resolve()),
        bag_stamps(bag),
        list(map(hash_file, files)),
        cattrs.unstructure(task),
    ]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


class _Bar:
    """Progress through a bag, by its own time."""

    def __init__(self, bag: Path, shown: bool) -> None:
        length = find_files(bag).duration
        whole = None if length is None else int(length)
        self._bar = tqdm(desc=bag.stem, total=whole, unit='s', disable=not shown, mininterval=0.5)
        self._begin: float | None = None

    def __enter__(self) -> '_Bar':
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, moment: float) -> None:
        if self._begin is None:
            self._begin = moment
        self._bar.update(max(0, int(moment - self._begin) - self._bar.n))
