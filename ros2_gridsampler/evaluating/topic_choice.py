# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A file or flags -> what the user says of a bag's topics; light, so that `--help` is quick."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import tyro

from ..files import read_yaml


@dataclass(frozen=True)
class TopicChoice:
    """What the user says of the topics; what is empty is guessed where that is obvious.

    The flags of `gridsampler evaluate` are made from it, and `--topics FILE` has its attributes
    as keys.

    Attributes:
        cameras: Camera name -> topic.
        joint_states: Topic of the joint states (JointState).
        pose: Topic of the end effector's pose (PoseStamped).
        instruction: Topic of the instruction (String).
        fixed_instruction: The sentence of a bag that carries none.
        action: Topic of the recorded action (JointTrajectory, Float64MultiArray, TwistStamped),
            or of a JointState, to compare with where the arm went.
        gripper: Topic of the recorded gripper opening of twist actions (Float64MultiArray) [m].
        gripper_joints: Joints that add up to the gripper's opening, for twists.
        joint_names: Joint of the policy -> what the recorded robot calls it; the same joint where
            it is not here.
        joint_prefix: What stands before the name of every joint of the robot, like 'left_'.
    """

    cameras: Annotated[Mapping[str, str] | None, tyro.conf.Suppress] = None
    joint_states: Annotated[str, tyro.conf.arg(name='joint-states-topic')] = ''
    pose: Annotated[str, tyro.conf.arg(name='pose-topic')] = ''
    instruction: Annotated[str, tyro.conf.arg(name='instruction-topic')] = ''
    fixed_instruction: Annotated[str, tyro.conf.arg(name='instruction')] = ''
    action: Annotated[str, tyro.conf.arg(name='action-topic')] = ''
    gripper: Annotated[str, tyro.conf.arg(name='gripper-topic')] = ''
    gripper_joints: tuple[str, ...] = ()
    joint_names: Mapping[str, str] | None = None
    joint_prefix: str = ''

    def over(self, other: 'TopicChoice') -> 'TopicChoice':
        """Returns this choice, and what it leaves open from another one."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(other, **{name: value for name, value in said.items() if value})


def load_topic_choice(path: Path) -> TopicChoice:
    """Reads the choice from YAML with the attributes of `TopicChoice` as keys.

    Raises:
        ValueError: Unknown keys, or values of another kind.
    """
    content = read_yaml(path) or {}
    known = [field.name for field in fields(TopicChoice)]
    if not isinstance(content, dict) or set(content) - set(known):
        raise ValueError(f'{path} must have keys among {known}, got {content!r}.')
    for key, value in content.items():
        kind = {'cameras': dict, 'joint_names': dict, 'gripper_joints': list}.get(key, str)
        if not isinstance(value, kind):
            raise ValueError(f'{path}: {key} must be a {kind.__name__}, got {value!r}.')
        parts = [*value, *(value.values() if kind is dict else ())] if kind is not str else []
        if wrong := [part for part in parts if not isinstance(part, str)]:
            raise ValueError(f'{path}: {key} must hold texts, got {wrong[0]!r}.')
    content['gripper_joints'] = tuple(content.get('gripper_joints', ()))
    return TopicChoice(**content)


def with_cameras(choice: TopicChoice, pairs: Sequence[str]) -> TopicChoice:
    """Adds cameras written like 'wrist=/wrist/image_raw'."""
    cameras = dict(choice.cameras or {})
    for pair in pairs:
        name, _, topic = pair.partition('=')
        if not topic.startswith('/'):
            raise ValueError(f'A camera is written like wrist=/wrist/image_raw, got {pair!r}.')
        cameras[name] = topic
    return replace(choice, cameras=cameras)
