# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of a bag and what a policy reads -> which topic is which stream, said once."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..acting.action_kinds import ActionKind
from ..bags.bag_reader import IMAGE_TYPES
from ..bags.observation_replay import StreamTopics
from ..datasets.episodes import ActionTopics
from ..seeing.joint_states import JointNames
from ..vla.deployed_policy import DeployedConfig
from .topic_choice import TopicChoice

JOINT_STATE = 'sensor_msgs/msg/JointState'
NUMBERS = 'std_msgs/msg/Float64MultiArray'
_POSE = 'geometry_msgs/msg/PoseStamped'
_TWIST = 'geometry_msgs/msg/TwistStamped'
_STRING = 'std_msgs/msg/String'
_INSTEAD = {
    'instruction': ' Give the sentence with --instruction.',
    'action': ' Where the arm went may serve instead: --action-topic /joint_states.',
}


@dataclass(frozen=True)
class TopicMap:
    """Which topic is which stream.

    Attributes:
        streams: What the policy reads.
        labels: The recorded actions.
        label_type: Message type of the recorded action.
        measured_joints: JointState with where the arm is.
        measured_pose: PoseStamped with where the hand is; empty for joint actions.
        gripper_joints: Joints that add up to the gripper's opening.
        guessed: What was guessed, a line each.
        action_named: Whether the user named the topic of the action.
    """

    streams: StreamTopics
    labels: ActionTopics
    label_type: str
    measured_joints: str
    measured_pose: str
    gripper_joints: tuple[str, ...]
    guessed: tuple[str, ...]
    action_named: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All topics in use, each once."""
        topics = (
            *self.streams.names,
            self.labels.action,
            self.labels.gripper,
            self.measured_joints,
            self.measured_pose,
        )
        return tuple(dict.fromkeys(topic for topic in topics if topic))

    @property
    def by_stream(self) -> dict[str, str]:
        """What a reader calls each stream -> its topic; empty where there is none."""
        cameras = {f'camera {name}': topic for name, topic in self.streams.cameras.items()}
        return {
            **cameras,
            'joint states': self.measured_joints,
            'pose': self.measured_pose,
            'action': self.labels.action,
            'gripper': self.labels.gripper,
        }


def map_topics(
    recorded: Mapping[str, str],
    config: DeployedConfig,
    choice: TopicChoice,
    depth: Collection[str] = (),
) -> TopicMap:
    """Complete what the user chose by what is obvious.

    Args:
        recorded: Topic -> type, as in the bag.
        config: What the policy reads and commands.
        choice: What the user says.
        depth: Picture topics that hold distances, not colours.

    Raises:
        ValueError: A stream has no topic or several could be it; names the candidates.
    """
    guess, streams_read = _Guess(recorded, depth), config.observation
    colours = [name for name in config.cameras if name not in streams_read.depth]
    chosen = dict(choice.cameras or {})
    far = {name: chosen.pop(name, '') for name in streams_read.depth}
    cameras = guess.cameras(colours, chosen)
    cameras |= {
        name: guess.camera(name, topic, len(far), depth=True) for name, topic in far.items()
    }
    means = config.action_space.means
    hand = not means.of_joints
    joints = choice.joint_states
    if streams_read.joints or not joints:
        joints = guess.one('joint_states', JOINT_STATE, joints, ('/joint_states',))
    pose = ''
    if streams_read.uses_pose or hand:
        pose = guess.one('pose', _POSE, choice.pose, ('/end_effector_pose',))
    instruction = ''
    if streams_read.uses_instruction and not choice.fixed_instruction:
        instruction = guess.one('instruction', _STRING, choice.instruction, ('/instruction',))
    action = guess.action(means, choice.action)
    gripper = guess.gripper(choice.gripper) if hand else ''
    streams = StreamTopics(
        {name: cameras[name] for name in config.cameras},
        joints if streams_read.joints else '',
        pose if streams_read.uses_pose else '',
        instruction,
        choice.fixed_instruction,
        JointNames(choice.joint_names or {}, choice.joint_prefix),
    )
    return TopicMap(
        streams,
        ActionTopics(action, gripper),
        recorded[action],
        joints,
        pose,
        choice.gripper_joints or (('panda_finger_joint1', 'panda_finger_joint2') if hand else ()),
        tuple(guess.lines),
        bool(choice.action),
    )


def map_cameras(
    recorded: Mapping[str, str], names: Sequence[str], chosen: Mapping[str, str]
) -> dict[str, str]:
    """The topics of cameras alone, see `map_topics`."""
    return _Guess(recorded).cameras(names, chosen)


def describe(choice: TopicChoice, topics: TopicMap) -> dict[str, Any]:
    """The mapping as JSON, with what was guessed."""
    return {
        'cameras': dict(topics.streams.cameras),
        'joint_states': topics.measured_joints,
        'pose': topics.measured_pose,
        'instruction': topics.streams.instruction or repr(choice.fixed_instruction),
        'action': topics.labels.action,
        'gripper': topics.labels.gripper,
        'guessed': list(topics.guessed),
    }


class _Guess:
    """The topics of a bag, and what was guessed from them."""

    def __init__(self, recorded: Mapping[str, str], depth: Collection[str] = ()) -> None:
        self._recorded = recorded
        self._depth = depth
        self.lines: list[str] = []

    def one(self, stream: str, kind: str, chosen: str, usual: Sequence[str]) -> str:
        there = sorted(t for t, k in self._recorded.items() if k == kind)
        if chosen:
            return self._chosen(stream, chosen, (kind,))
        named = [topic for topic in usual if topic in there]
        return self._obvious(stream, kind, named or there, there)

    def cameras(self, names: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise ValueError(f'Cameras {unknown} are none of the policy: {list(names)}.')
        return {name: self.camera(name, chosen.get(name, ''), len(names)) for name in names}

    def camera(self, name: str, chosen: str, cameras: int, *, depth: bool = False) -> str:
        stream = f'depth camera {name}' if depth else f'camera {name}'
        if chosen in self._depth and not depth:
            raise ValueError(
                f'The topic of {stream} is {chosen}, which holds depth images; name the topic of '
                'the colour camera.'
            )
        if chosen:
            return self._chosen(stream, chosen, IMAGE_TYPES)
        there = sorted(
            topic
            for topic, kind in self._recorded.items()
            if kind in IMAGE_TYPES and (topic in self._depth or 'depth' in topic.lower()) is depth
        )
        named = [topic for topic in there if name in topic.split('/')]
        return self._obvious(
            stream, 'Image or CompressedImage', named or (there if cameras == 1 else []), there
        )

    def action(self, means: ActionKind, chosen: str) -> str:
        kinds = means.messages
        if chosen:
            # Where the arm went may serve for where it was told to go.
            reached = (JOINT_STATE,) if means.of_joints and not means.velocities else ()
            self._chosen('action', chosen, (*kinds, *reached))
            self._refuse_other_numbers(chosen, means)
            return chosen
        there = [
            sorted(t for t, k in self._recorded.items() if k == kind and 'gripper' not in t)
            for kind in kinds
        ]
        usable = [[t for t in found if not self._others(t, means)] for found in there]
        topics = next((found for found in usable if found), [])
        for topic in (t for found in there for t in found if not topics):
            self._refuse_other_numbers(topic, means)
        return self._obvious('action', ' or '.join(kinds), _of_expert(topics), topics)

    def _others(self, topic: str, means: ActionKind) -> str:
        """What plain numbers are by the name of their topic, where the policy commands others."""
        if self._recorded[topic] != NUMBERS:
            return ''
        words = re.split(r'[^a-z]+', topic.lower())
        named = next((_OTHER_NUMBERS[word] for word in words if word in _OTHER_NUMBERS), '')
        return '' if means.velocities and named == 'velocities' else named

    def _refuse_other_numbers(self, topic: str, means: ActionKind) -> None:
        if other := self._others(topic, means):
            raise ValueError(
                f'The topic of action is {topic}, which by its name carries {other}; the policy '
                f'commands {"velocities" if means.velocities else "positions"}.'
                f'{_INSTEAD["action"]}'
            )

    def gripper(self, chosen: str) -> str:
        if chosen:
            return self._chosen('gripper', chosen, (NUMBERS,))
        there = sorted(t for t, k in self._recorded.items() if k == NUMBERS and 'gripper' in t)
        return self._obvious('gripper', NUMBERS, _of_expert(there), there)

    def _chosen(self, stream: str, topic: str, kinds: Sequence[str]) -> str:
        kind = self._recorded.get(topic)
        if kind not in kinds:
            raise ValueError(
                f'The topic of {stream} is {topic}, which is '
                f'{"not in the bag" if kind is None else f"of type {kind}"}; expected '
                f'{" or ".join(kinds)}. The bag has {self._listing()}.'
            )
        return topic

    def _obvious(
        self, stream: str, kind: str, candidates: Sequence[str], there: Sequence[str]
    ) -> str:
        if len(candidates) == 1:
            self.lines.append(f'{stream}: {candidates[0]}')
            return candidates[0]
        if candidates or there:
            raise ValueError(
                f'Which topic is {stream}? The bag has {list(candidates or there)}; say it with '
                '--topics FILE or a flag.'
            )
        instead = _INSTEAD.get(stream, '')
        raise ValueError(
            f'The bag has no topic of type {kind} for {stream}; it has {self._listing()}.{instead}'
        )

    def _listing(self) -> str:
        return ', '.join(f'{t} ({k.split("/")[-1]})' for t, k in sorted(self._recorded.items()))


_OTHER_NUMBERS = {
    'velocity': 'velocities',
    'velocities': 'velocities',
    'vel': 'velocities',
    'speed': 'velocities',
    'effort': 'efforts',
    'torque': 'torques',
}


def _of_expert(topics: Sequence[str]) -> Sequence[str]:
    """What a demonstrator wanted, where it was recorded beside what the arm was sent."""
    if len(topics) < 2:
        return topics
    return [topic for topic in topics if 'expert' in topic.split('/')] or topics
