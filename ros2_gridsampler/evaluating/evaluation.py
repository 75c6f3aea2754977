# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording and policies -> how good their predictions are, by the stages that run live."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.arm_limits import ArmLimits, GripperLimits
from ..acting.command_message import read_pose
from ..acting.loop_events import Event, FaultSeen, Told
from ..bags.bag_contents import clock_steps
from ..bags.bag_files import DamagedBag
from ..bags.bag_health import BagHealth
from ..bags.bag_reader import read_messages
from ..bags.bag_storage import RecordedMessage
from ..bags.camera_health import shows_nothing
from ..bags.observation_replay import ObservationReplay
from ..bags.stretches import Stretches
from ..seeing.joint_states import NewestJoints
from ..seeing.observation import Observation, check_contrast
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.stream_health import Fault
from .action_scale import UnitWatch, action_scale, action_units
from .blind_policy import BlindPolicy, mean_pictures
from .contestants import refuse_other_streams
from .critical_error import Intervals
from .evaluation_config import EvaluationConfig
from .evaluation_outcome import Evaluation, Listener
from .evaluation_report import BLIND, COMPARE
from .frame_comparison import Frame, FrameComparison
from .gripper_events import GripperScale
from .live_answers import Unanswered
from .metric import Metric
from .metrics import METRICS
from .policy_scores import Contestant, PolicyDrift, PolicyScores
from .recorded_actions import RecordedActions
from .topic_map import TopicMap

Numbers = NDArray[np.float64]


class MeasuredState:
    """The newest state of the recorded arm.

    Args:
        space: What an action means.
        topics: Where the state is.
        gripper: The gripper of the arm, where it has one.
    """

    def __init__(
        self, space: ActionSpace, topics: TopicMap, gripper: GripperLimits | None
    ) -> None:
        self._topics = topics
        self._gripper = gripper
        self._means = space.means
        self._hand = not space.means.of_joints
        names = topics.gripper_joints if self._hand else space.names
        self._newest = NewestJoints(topics.streams.joint_names.of_robot(names))
        self._joints: Numbers | None = None
        self._position: Numbers | None = None
        self._times = [-np.inf, -np.inf if self._hand else np.inf]

    def take(self, recorded: RecordedMessage, time: float) -> tuple[Numbers, float] | None:
        """State and capture time, if this message completes or renews it.

        What cannot be read is left out here: the observation's own reading says why.
        """
        message = recorded.message
        if recorded.topic == self._topics.measured_joints:
            try:
                if not self._newest.add(message.name, message.position, time):
                    return None
            except ValueError:
                return None
            positions = self._newest.positions
            if self._hand and self._gripper is not None:
                try:
                    positions = np.array([self._gripper.opening(positions)])
                except ValueError:
                    return None
            self._joints, self._times[0] = positions, float(self._newest.times.min())
        elif self._hand and recorded.topic == self._topics.measured_pose:
            try:
                self._position = read_pose(message)[:3]
            except ValueError:
                return None
            self._times[1] = time
        else:
            return None
        state = self.state()
        # Of the part that was measured the longest ago, as the live node counts.
        return None if state is None else (state, min(self._times))

    def state(self) -> Numbers | None:
        """See `Measured`; None before all of it has come."""
        if not self._hand:
            return self._joints
        if self._joints is None or self._position is None:
            return None
        return np.array([*self._position, *self._joints])

    def as_action(self) -> Numbers | None:
        """The action that keeps the arm where it is."""
        return None if self._joints is None else self._means.standing(self._joints)


class Curve:
    """Keeps every n-th sample, where n doubles whenever there are too many.

    Args:
        most: Samples to keep at most.
    """

    def __init__(self, most: int = 400) -> None:
        self._most = most
        self._every = 1
        self._count = 0
        self._rows: list[np.ndarray] = []

    def add(self, row: Float[np.ndarray, ' numbers']) -> None:
        """Appends one sample."""
        if self._count % self._every == 0:
            self._rows.append(row)
            if len(self._rows) > self._most:
                self._rows = self._rows[::2]
                self._every *= 2
        self._count += 1

    def rows(self) -> Float[np.ndarray, 'samples numbers']:
        """What was kept."""
        return np.array(self._rows) if self._rows else np.empty((0, 0))


def evaluate_bag(
    bag: Path,
    contestants: Sequence[Contestant],
    topics: TopicMap,
    limits: ArmLimits,
    config: EvaluationConfig,
    *,
    clock: Callable[[], float],
    intervals: Intervals | None = None,
    listeners: Sequence[Listener] = (),
    metrics: Sequence[type[Metric]] = METRICS,
    progress: Callable[[float], None] = lambda time: None,
) -> Evaluation:
    """Reads a bag once, front to back, in bounded memory; twice to judge without pictures.

    Args:
        bag: A bag of any kind.
        contestants: The policy, and the one to compare with; they must read and command the same.
        topics: Which topic is which stream.
        limits: The limits of the arm.
        config: How to judge.
        clock: Steady time [s], for `Evaluation.measured` only.
        intervals: Critical ones, in seconds from the first message; by default the moments
            around the gripper's movements.
        listeners: See `Listener`.
        metrics: What is computed.
        progress: Called with the time of every message [s].

    Raises:
        ValueError: The policies differ in what they read, no observation came of the bag, or
            none could be compared with the action topic that was named.
    """
    blind = _blind(bag, contestants[0], topics, config)
    run = _Run(contestants, blind, topics, limits, config, clock, intervals, listeners, metrics)
    losses = ''
    try:
        run.begin(bag)
        for recorded in read_messages(bag, topics.names):
            run.take(recorded)
            progress(recorded.time)
    except DamagedBag as error:
        losses = str(error)
    return run.finish(bag, losses)


def _blind(
    bag: Path, contestant: Contestant, topics: TopicMap, config: EvaluationConfig
) -> tuple[Contestant, ...]:
    """The policy without its pictures, where it is asked for."""
    if not config.without_pictures:
        return ()
    buffer = ObservationBuffer(contestant.config.observation, config.streams, any_scale=True)
    pictures = mean_pictures(bag, topics.streams, buffer, config)
    return (replace(contestant, backend=BlindPolicy(contestant.backend, pictures)),)


class _Run:
    """The state of an evaluation on its way through a bag."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        blind: Sequence[Contestant],
        topics: TopicMap,
        limits: ArmLimits,
        config: EvaluationConfig,
        clock: Callable[[], float],
        intervals: Intervals | None,
        listeners: Sequence[Listener],
        metrics: Sequence[type[Metric]],
    ) -> None:
        first = contestants[0].config
        for other in contestants[1:]:
            refuse_other_streams(contestants[0], other)
        self._config = config
        self._topics = topics
        self._listeners = listeners
        self._scores, self._blind = (
            tuple(PolicyScores(c, limits, config, clock, metrics) for c in group)
            for group in (contestants, blind)
        )
        self._all = (*self._scores, *self._blind)
        self._scaled: dict[str, tuple[int, int]] = {}
        self._new_buffer = partial(
            ObservationBuffer,
            first.observation,
            config.streams,
            topics.streams.joint_names,
            any_scale=True,
        )
        self._buffer = self._new_buffer()
        self._replay = ObservationReplay(topics.streams, self._buffer, config.time)
        self._health = BagHealth(topics.by_stream, tuple(topics.streams.cameras.values()))
        steps = max(c.config.steps for c in contestants)
        space = first.action_space
        self._new_actions = partial(RecordedActions, space, topics, steps, first.period)
        self._actions = self._new_actions()
        self._comparison = FrameComparison(
            self._all,
            self._actions,
            GripperScale(space, limits),
            config.critical,
            intervals,
            steps * first.period,
        )
        self._given = intervals is not None
        self._new_state = partial(MeasuredState, space, topics, limits.gripper)
        self._state = self._new_state()
        self._scale = action_scale(space, limits)
        self._units = action_units(space, limits)
        self._watches = {
            what: UnitWatch(f'Recorded {what}', space, limits) for what in ('actions', 'states')
        }
        self._curves = Curve()
        shortest = min(c.config.steps for c in contestants)
        self._drift = PolicyDrift(space.names, self._scale, shortest)
        self._frames = self._dark = self._unanswered = 0
        self._labels = self._plans = 0
        self._topic_of = {f'camera {c!r}': t for c, t in topics.streams.cameras.items()}
        self._bad_labels = ''
        self._begin = self._end = np.nan
        self._told = ''

    def begin(self, bag: Path) -> None:
        """Before the first message: learn where the bag's clock was set, and its cameras."""
        self._bag = bag
        self._stretches = Stretches(clock_steps(bag))
        self._replay.learn_cameras(bag)

    def _cut(self) -> None:
        """Judges what comes from here on apart from what came before."""
        self._scaled |= self._buffer.scaled
        self._buffer = self._new_buffer()
        self._replay.restart(self._buffer)
        self._replay.learn_cameras(self._bag)
        self._plans += self._actions.plans
        self._actions = self._new_actions()
        self._comparison.cut(self._actions, self._begin)
        self._state = self._new_state()
        for score in self._all:
            score.cut()

    def take(self, recorded: RecordedMessage) -> None:
        """One message, in the order of the bag."""
        recorded, begins = self._stretches.take(recorded)
        if begins:
            self._cut()
        arrival, capture = self._replay.times(recorded)
        if np.isfinite(arrival):  # by header stamps, there is no time before the first one
            self._begin = arrival if np.isnan(self._begin) else self._begin
            self._end = arrival
        self._health.add(recorded)
        for listener in self._listeners:
            listener.message(recorded)
        for score in self._all:
            score.advance(arrival)
        if (measured := self._state.take(recorded, capture)) is not None:
            if self._scores[0].contestant.config.action_space.means.of_joints:
                self._watches['states'].add(measured[0])
            for score in self._all:
                score.measure(*measured)
        self._take_label(recorded, arrival, capture)
        if recorded.topic in self._topics.streams.names:
            observation = self._replay.take(recorded)
            self._tell_loops()
            if self._replay.stuck:
                self._health.stuck(self._topic_of[self._replay.stuck])
            if observation is not None:
                self._predict(observation, arrival)
        self._comparison.until(arrival, self._begin)

    def finish(self, bag: Path, losses: str) -> Evaluation:
        """After the last message."""
        if not self._frames:
            reason = self._replay.refusals or self._replay.reason
            words = ' '.join([reason, *self._health.obstacles(), losses])
            raise ValueError(f'{bag} gave no observation: {words}'.rstrip())
        self._comparison.until(np.inf, self._begin)
        refused = self._refused_actions()
        summaries = [score.summary() for score in self._all]
        if not summaries[0]['frames_compared'] and self._topics.action_named:
            raise ValueError(
                f'{bag}: {self._topics.labels.action} was named as the recorded action and cannot '
                f'be used: {refused or "no frame could be compared with it"}'
            )
        seen = self._frames - self._dark
        pictures = self._health.pictures + self._health.missing
        enough = seen >= self._config.least_share * pictures
        doubts = [watch.problem for watch in self._watches.values() if watch.problem]
        doubts += self._health.doubts()
        if plans := self._plans + self._actions.plans:
            doubts.append(
                f'{plans} messages on {self._topics.labels.action} are plans of several points, '
                'of which the first alone is compared; record what the arm is told from moment '
                'to moment, or compare with where it went: --action-topic /joint_states.'
            )
        doubted = bool(losses or self._stretches.problems or doubts or self._replay.refused)
        report = {
            'frames': self._frames,
            'frames_without_action': self._comparison.unlabelled,
            'frames_dark': self._dark,
            'pictures': self._health.pictures,
            'pictures_missing': self._health.missing,
            'least_share': self._config.least_share,
            'look_at': self._health.look_at(),
            'withheld': '' if enough else self._replay.refusals or self._replay.reason,
            'actions_refused': refused,
            'duration_s': round(self._end - self._begin, 6),
            **summaries[0],
            'critical_intervals': 'given' if self._given else 'gripper',
            'latency_ms': {
                'assumed': self._config.latency_ms,
                'injected': list(self._config.injected_ms),
            },
            **self._health.summary(),
            # How much time a clock leaves out, or what was not recorded then, nobody knows.
            'complete': not (doubted or (refused and self._labels)),
            'problems': [*doubts, *self._problems(refused, losses)],
        }
        if len(self._scores) > 1:
            report[COMPARE] = {**summaries[1], 'drift': self._drift.summary()}
        if self._blind:
            report[BLIND] = summaries[-1]
        measured = {score.contestant.name: score.measured_summary() for score in self._scores}
        return Evaluation(
            self._scores,
            report,
            measured,
            self._scale,
            self._units,
            self._curves.rows(),
            tuple(self._health.faults()),
            self._begin,
            self._end,
        )

    def _refused_actions(self) -> str:
        """Why the recorded actions cannot be used; empty where they can."""
        topic = self._topics.labels.action
        if not self._labels:
            return f'no message was recorded on {topic}.'
        return self._bad_labels and f'{topic}: {self._bad_labels}'

    def _problems(self, refused: str, losses: str) -> list[str]:
        """What a person should know before believing anything else, a sentence each."""
        problems = [*self._stretches.problems, *self._health.problems()]
        if self._replay.refused:
            problems.append(f'Not used: {self._replay.refusals}')
        if refused and self._labels:
            problems.append(f'Recorded actions that cannot be used: {refused}')
        width, height = self._scores[0].contestant.config.observation.resolution
        problems += [
            f'Camera {camera!r} was recorded at {size[0]}x{size[1]} and scaled; the live node '
            f'takes {width}x{height} only.'
            for camera, size in {**self._scaled, **self._buffer.scaled}.items()
        ]
        if self._unanswered:
            problems.append(
                f'The live node did not answer {self._unanswered} frames; see its log.'
            )
        return [*problems, losses] if losses else problems

    def _take_label(self, recorded: RecordedMessage, arrival: float, capture: float) -> None:
        self._labels += recorded.topic == self._topics.labels.action
        try:
            if not self._actions.take(recorded, arrival, capture):
                return
        except ValueError as error:
            self._bad_labels = self._bad_labels or str(error)
            return
        newest = self._actions.newest()
        if newest is None:
            return
        time, action = newest
        self._watches['actions'].add(action)
        self._comparison.label(time, action)
        if recorded.topic != self._topics.labels.action:
            return
        if self._buffer.uses_command:
            self._buffer.add_command(action, time)
        for score in self._all:
            score.command(time, action)
        commands = [score.main.command for score in self._scores]
        unknown = np.full(len(action), np.nan)
        shown = [unknown if command is None else command for command in commands]
        self._curves.add(np.concatenate([[time], action, *shown]))

    def _tell_loops(self) -> None:
        """What a message changes beside the observations, as the live node's threads say it."""
        events: list[Event] = [
            FaultSeen(wrong.fault, wrong.stream, wrong.text) for wrong in self._replay.wrong
        ]
        if self._buffer.instruction != self._told:
            self._told = self._buffer.instruction
            events.append(Told(self._told))
        for event in events:
            for score in self._all:
                score.tell(event)

    def _predict(self, observation: Observation, now: float) -> None:
        dark = ''
        try:
            check_contrast(observation, self._config.streams.min_contrast)
        except ValueError as error:
            dark = str(error)
            for score in self._all:
                score.tell(FaultSeen(Fault.BAD_PICTURE, 'picture', dark))
        try:
            predictions = [score.predict(observation, now, seen=not dark) for score in self._all]
        except Unanswered:
            self._unanswered += 1
            return
        self._frames += 1
        self._dark += any(bool(shows_nothing(picture)) for picture in observation.images.values())
        chunks = tuple(prediction.chunk for prediction in predictions)
        shown = len(self._scores)
        if shown > 1:
            self._drift.add(*chunks[:shown])
        self._comparison.add(Frame(observation.time, self._state.as_action(), chunks))
        for listener in self._listeners:
            listener.prediction(now, observation, predictions[:shown])
