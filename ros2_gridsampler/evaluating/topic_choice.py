# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A file or flags -> what the user says of a bag's topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..files import read_yaml


@dataclass(frozen=True)
class TopicChoice:
    """What the user says of the topics; what is empty is guessed where that is obvious.

    Attributes:
        cameras: Camera name -> topic.
        joint_states: JointState.
        pose: PoseStamped of the end effector.
        instruction: String.
        fixed_instruction: The sentence of a bag that carries none.
        action: Topic of the recorded action: JointTrajectory, Float64MultiArray or TwistStamped;
            a JointState takes the positions that the arm reached.
        gripper: Float64MultiArray with the gripper opening [m], for twists.
        gripper_joints: Joints that add up to the gripper's opening, for twists.
    """

    cameras: Mapping[str, str] | None = None
    joint_states: str = ''
    pose: str = ''
    instruction: str = ''
    fixed_instruction: str = ''
    action: str = ''
    gripper: str = ''
    gripper_joints: tuple[str, ...] = ()


def load_topic_choice(path: Path) -> TopicChoice:
    """Read the choice from YAML with the attributes of `TopicChoice` as keys.

    Raises:
        ValueError: Unknown keys, or values of another kind.
    """
    content = read_yaml(path) or {}
    known = [field.name for field in fields(TopicChoice)]
    if not isinstance(content, dict) or set(content) - set(known):
        raise ValueError(f'{path} must have keys among {known}, got {content!r}.')
    for key, value in content.items():
        kind = {'cameras': dict, 'gripper_joints': list}.get(key, str)
        if not isinstance(value, kind):
            raise ValueError(f'{path}: {key} must be a {kind.__name__}, got {value!r}.')
    content['gripper_joints'] = tuple(content.get('gripper_joints', ()))
    return TopicChoice(**content)


def with_cameras(choice: TopicChoice, pairs: Sequence[str]) -> TopicChoice:
    """Add cameras written like 'wrist=/wrist/image_raw'."""
    cameras = dict(choice.cameras or {})
    for pair in pairs:
        name, _, topic = pair.partition('=')
        if not topic.startswith('/'):
            raise ValueError(f'A camera is written like wrist=/wrist/image_raw, got {pair!r}.')
        cameras[name] = topic
    return replace(choice, cameras=cameras)
