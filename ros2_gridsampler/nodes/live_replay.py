# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag and a policy -> what the live node answers when the bag is played to it over DDS."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from ..acting.command_message import read_joint_trajectory
from ..bags.bag_files import DamagedBag
from ..bags.bag_reader import read_messages
from ..evaluating.evaluation_config import EvaluationTask
from ..evaluating.live_answers import LiveAnswers, microseconds
from ..evaluating.policy_scores import Contestant
from ..evaluating.topic_map import TopicMap
from ..seeing.camera_message import decode_image, stamp_seconds
from ..seeing.depth_image import decode_depth, is_depth
from .child_process import ChildProcess
from .node_setup import own_node
from .policy_reports import TIMING_COLUMNS
from .topics import LATCHED, REPORTS

_NODE, _SENTENCE = '/policy_node', '/evaluation/instruction'
# For the policy node to become active, for one answer, and for the first of all [s].
_START, _ANSWER, _FIRST = 300.0, 20.0, 90.0


class LiveReplay:
    """Plays bags at the speed at which they were recorded to a policy node of its own.

    `/clock` runs with the bag, and the next picture waits for the answer to the one before: so
    the node sees what an evaluation in one process sees, however busy the machine is.

    Args:
        task: Policy, engine and arm.
        logs: Folder for what the nodes say.
        check: Called all the time; may raise to end it.

    Raises:
        ValueError: The task asks for what a node cannot do.
    """

    def __init__(self, task: EvaluationTask, logs: Path, check: Callable[[], None]) -> None:
        if len(task.choices) > 1 or task.encoder is not None:
            raise ValueError(
                'One policy with its own encoder can be played to the live node; leave '
                '--real-time, or --compare, --encoder and --compare-encoder.'
            )
        if task.config.without_pictures:
            raise ValueError(
                'The live node cannot be kept from looking; leave --real-time, or '
                '--without-pictures.'
            )
        if task.config.time != 'recorded':
            raise ValueError(
                'The live node believes header stamps and /clock; with --real-time leave --time '
                "at 'recorded'."
            )
        self._task = task
        self._logs = logs
        self._check = check

    def __call__(
        self, bag: Path, topics: TopicMap, contestants: tuple[Contestant, ...]
    ) -> tuple[Contestant, ...]:
        """The contestant, answering as the live node does on this bag.

        Raises:
            ValueError: The node does not start, or gives no answer; the text has its last words.
        """
        (contestant,) = contestants
        try:
            answers = self._play(bag, topics, contestant)
        except (ChildProcessError, TimeoutError) as error:
            raise ValueError(f'The live node could not be asked: {error}') from error
        return (dataclasses.replace(contestant, backend=answers),)

    def _play(self, bag: Path, topics: TopicMap, contestant: Contestant) -> LiveAnswers:
        refuse_other_sizes(bag, topics, contestant.config.observation.resolution)
        names = contestant.config.action_space.names
        self._logs.mkdir(parents=True, exist_ok=True)
        made = own_node(lambda context: rclpy.create_node('evaluation', context=context))
        with made as (node, executor), ExitStack() as stack:
            chunks: dict[int, Any] = {}
            stages: dict[str, list[float]] = {name: [] for name in TIMING_COLUMNS[1:]}
            states: list[str] = []

            def take_chunk(message: Any) -> None:
                key = microseconds(stamp_seconds(message.header.stamp))
                chunks[key] = read_joint_trajectory(message, names)

            def take_timing(message: Any) -> None:
                for name, value in zip(TIMING_COLUMNS[1:], message.data[1:], strict=True):
                    stages[name].append(value)

            def take_state(message: Any) -> None:
                states.extend(v.value for v in message.status[0].values if v.key == 'state')

            for kind, topic, take, qos in (
                (JointTrajectory, f'{_NODE}/action_chunk', take_chunk, REPORTS),
                (Float64MultiArray, f'{_NODE}/timing', take_timing, REPORTS),
                (DiagnosticArray, '/diagnostics', take_state, REPORTS),
            ):
                node.create_subscription(kind, topic, take, qos)
            sentence = topics.streams.fixed_instruction
            if sentence:
                node.create_publisher(String, _SENTENCE, LATCHED).publish(String(data=sentence))

            policy = stack.enter_context(self._policy_node(topics))

            def until(condition: Callable[[], bool], patience: float, *running: Any) -> None:
                deadline = time.monotonic() + patience
                while not condition():
                    self._check()
                    for process in running:
                        process.check()
                    if time.monotonic() > deadline:
                        raise TimeoutError(f'nothing came for {patience:.0f} s. {words()}')
                    executor.spin_once(timeout_sec=0.05)

            def words() -> str:
                return str(policy.last_words())

            # It becomes active with the first pictures.
            until(lambda: not {'inactive', 'active'}.isdisjoint(states), _START, policy)
            player = stack.enter_context(self._player(bag, topics))
            begin = time.monotonic()
            # A bag that is damaged ends the player with an error, after what is whole.
            while player.running:
                self._check()
                policy.check()
                executor.spin_once(timeout_sec=0.05)
                if not chunks and time.monotonic() > begin + _FIRST:
                    raise TimeoutError(f'no chunk came for {_FIRST:.0f} s. {words()}')
            last = time.monotonic()
            until(lambda: time.monotonic() - last > 1.0, _ANSWER, policy)
            if not chunks:
                raise ValueError(f'{player.last_words()} {words()}')
        return LiveAnswers(contestant.backend, chunks, stages)

    def _policy_node(self, topics: TopicMap) -> ChildProcess:
        streams, choice = topics.streams, self._task.choices[0]
        parameters: dict[str, Any] = {
            'policy': str(choice.folder.resolve()),
            'arm': str(Path(self._task.arm).resolve()),
            'backend': choice.backend,
            'device': choice.device,
            'camera_topics': list(streams.cameras.values()),
            'joint_states_topic': topics.measured_joints,
            'use_sim_time': True,
            'reliable_streams': True,
            # Where the cameras were is what it is, and the recorded arm obeys nobody.
            'cameras.check_mounts': False,
            'check_following': False,
            # However long a recording says nothing.
            'ladder.deactivate_after': 1e6,
            'command_rate': float(self._task.config.commands.rate),
        }
        if topics.measured_pose:
            parameters['pose_topic'] = topics.measured_pose
        if topics.gripper_joints:
            parameters['gripper_joints'] = list(topics.gripper_joints)
        if names := streams.joint_names.names:
            parameters['joint_names'] = [f'{policy}={robot}' for policy, robot in names.items()]
        parameters['joint_prefix'] = streams.joint_names.prefix
        instruction = _SENTENCE if streams.fixed_instruction else streams.instruction
        return self._child('policy_node', parameters, {'~/instruction': instruction})

    def _player(self, bag: Path, topics: TopicMap) -> ChildProcess:
        streams = topics.streams
        used = (*streams.names, topics.measured_joints, topics.measured_pose)
        parameters = {
            'bag': str(bag.resolve()),
            'topics': list(dict.fromkeys(topic for topic in used if topic)),
            'pace_topic': next(iter(streams.cameras.values())),
            'lockstep': True,
            'chunk_timeout': _ANSWER,
        }
        return self._child('replay_node', parameters, {})

    def _child(
        self, module: str, parameters: dict[str, Any], remappings: dict[str, str]
    ) -> ChildProcess:
        return ChildProcess(
            f'nodes.{module}',
            parameters,
            remappings,
            log=self._logs / f'{module}.log',
        )


def refuse_other_sizes(bag: Path, topics: TopicMap, size: tuple[int, int]) -> None:
    """Refuses a recording whose pictures the node would refuse, one after the other.

    Raises:
        ValueError: A camera was recorded at another size than `size`, width and height [px].
    """
    unseen = {topic: name for name, topic in topics.streams.cameras.items()}
    # What is lost of a damaged bag is told by whoever reads all of it.
    with suppress(DamagedBag):
        for recorded in read_messages(bag, tuple(unseen)):
            if recorded.topic not in unseen:
                continue
            try:
                decode = decode_depth if is_depth(recorded.message) else decode_image
                height, width = decode(recorded.message).shape[:2]
            except ValueError:  # this one is damaged, which says nothing of the others
                continue
            name = unseen.pop(recorded.topic)
            if (width, height) != size:
                raise ValueError(
                    f'Camera {name!r} was recorded at {width}x{height}, and the live node takes '
                    f'{size[0]}x{size[1]} only; leave --real-time, which scales the pictures.'
                )
            if not unseen:
                return
