# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""URDF -> joints in their order, with limits, and where a link is for given joint positions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

_MOVABLE = ('revolute', 'continuous', 'prismatic')


@dataclass(frozen=True, eq=False)
class UrdfJoint:
    """One joint of a URDF, and the links between which it sits.

    Attributes:
        name: Name of the joint.
        kind: 'revolute', 'continuous', 'prismatic' or 'fixed'.
        parent: Name of the link that holds the joint.
        child: Name of the link that the joint moves.
        origin: Pose of the child in the parent at position 0, 4x4, metres.
        axis: Unit vector in the frame of the joint.
        min_position: Lower limit [rad] or [m]; -inf for a continuous joint.
        max_position: Upper limit [rad] or [m]; inf for a continuous joint.
        max_velocity: Largest velocity [rad/s] or [m/s]; NaN where the file has none.
    """

    name: str
    kind: str
    parent: str
    child: str
    origin: Float[np.ndarray, '4 4']
    axis: Float[np.ndarray, '3']
    min_position: float
    max_position: float
    max_velocity: float

    def at(self, position: float) -> Float[np.ndarray, '4 4']:
        """Returns the pose of the child in the parent at a position, 4x4, metres."""
        motion = np.eye(4)
        if self.kind == 'prismatic':
            motion[:3, 3] = self.axis * position
        elif self.kind != 'fixed':
            motion[:3, :3] = Rotation.from_rotvec(self.axis * position).as_matrix()
        return self.origin @ motion


@dataclass(frozen=True)
class Urdf:
    """The tree of joints of a robot.

    Attributes:
        name: Name of the robot.
        joints: Name -> joint, in the order of the file.
    """

    name: str
    joints: Mapping[str, UrdfJoint]

    @property
    def movable(self) -> tuple[str, ...]:
        """Names of the joints that move, from the root on; the file may have any order."""
        below: dict[str, list[UrdfJoint]] = {}
        for joint in self.joints.values():
            below.setdefault(joint.parent, []).append(joint)
        children = {joint.child for joint in self.joints.values()}
        waiting = [j for j in reversed(list(self.joints.values())) if j.parent not in children]
        names = []
        while waiting:
            joint = waiting.pop()
            names += [] if joint.kind == 'fixed' else [joint.name]
            waiting += reversed(below.get(joint.child, []))
        return tuple(names)

    def chain(self, base: str, tip: str) -> tuple[UrdfJoint, ...]:
        """Returns the joints from one link down to another.

        Raises:
            ValueError: There is no such way.
        """
        above = {joint.child: joint for joint in self.joints.values()}
        links = {*above, *(joint.parent for joint in self.joints.values())}
        chain: list[UrdfJoint] = []
        link = tip
        while link != base:
            if link not in above:
                raise ValueError(
                    f'The URDF of {self.name!r} has no chain from {base!r} to {tip!r}; its links '
                    f'are {sorted(links)}.'
                )
            chain.append(above[link])
            link = above[link].parent
        return tuple(reversed(chain))

    def pose(
        self, positions: Mapping[str, float], base: str, tip: str
    ) -> Float[np.ndarray, '4 4']:
        """Returns where `tip` is in `base`; a joint without a position stays at 0 [rad], [m]."""
        pose = np.eye(4)
        for joint in self.chain(base, tip):
            pose = pose @ joint.at(positions.get(joint.name, 0.0))
        return pose


def load_urdf(path: Path) -> Urdf:
    """Reads a URDF file.

    Raises:
        ValueError: Names the file, the joint and what is wrong.
    """
    try:
        # The user's own robot; expat bounds the growth of entities.
        robot = ElementTree.fromstring(path.read_text('utf-8'))  # noqa: S314
        if robot.tag != 'robot':
            raise ValueError(f'the root is <{robot.tag}>, expected <robot>.')
        if any('xacro' in element.tag for element in robot.iter()):
            raise ValueError('this is a xacro file; run `xacro FILE > arm.urdf` first.')
        joints = [_joint(element) for element in robot.findall('joint')]
        if not any(joint.kind in _MOVABLE for joint in joints):
            raise ValueError('no joint moves; is this the URDF of the arm?')
        _refuse_no_tree(joints)
        return Urdf(robot.get('name', ''), {joint.name: joint for joint in joints})
    except (ValueError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise ValueError(f'{path}: {error}') from error


def _joint(element: ElementTree.Element) -> UrdfJoint:
    name, kind = element.get('name', ''), element.get('type', '')
    if kind not in (*_MOVABLE, 'fixed'):
        raise ValueError(f'joint {name!r} has the type {kind!r}; known are {_MOVABLE} and fixed.')
    links = [element.find(side) for side in ('parent', 'child')]
    parent, child = ('' if link is None else link.get('link', '') for link in links)
    origin, axis, limit = (element.find(part) for part in ('origin', 'axis', 'limit'))
    frame = np.eye(4)
    if origin is not None:
        # Roll about x, then pitch about y, then yaw about z, all fixed axes.
        angles = _numbers(origin.get('rpy', '0 0 0'), name)
        frame[:3, :3] = Rotation.from_euler('xyz', angles).as_matrix()
        frame[:3, 3] = _numbers(origin.get('xyz', '0 0 0'), name)
    direction = _numbers('1 0 0' if axis is None else axis.get('xyz', '1 0 0'), name)
    low, high, velocity = -np.inf, np.inf, np.nan
    if kind in ('revolute', 'prismatic'):
        if limit is None:
            raise ValueError(f'joint {name!r} is {kind} and needs <limit lower upper velocity>.')
        low, high = (_number(limit.get(key, '0'), name) for key in ('lower', 'upper'))
        if low > high:
            raise ValueError(f'joint {name!r} has the limits {low:g} to {high:g}; swap them.')
    if limit is not None and limit.get('velocity') is not None:
        velocity = _number(limit.get('velocity', ''), name)
    length = float(np.linalg.norm(direction))
    if kind != 'fixed' and not length > 0:
        raise ValueError(f'joint {name!r} has an axis of length 0.')
    direction = direction / length if length > 0 else direction
    return UrdfJoint(
        name=name,
        kind=kind,
        parent=parent,
        child=child,
        origin=frame,
        axis=direction,
        min_position=low,
        max_position=high,
        max_velocity=velocity,
    )


def _refuse_no_tree(joints: list[UrdfJoint]) -> None:
    """Refuses links on several joints, names that are used twice, and rings."""
    above = {joint.child: joint for joint in joints}
    if len(above) < len(joints) or len({joint.name for joint in joints}) < len(joints):
        raise ValueError('two joints have the same name or the same child link.')
    for joint in joints:
        link, steps = joint.child, 0
        while link in above and steps <= len(joints):
            link, steps = above[link].parent, steps + 1
        if steps > len(joints):
            raise ValueError(f'joint {joint.name!r} is part of a ring of links.')


def _number(text: str, joint: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'joint {joint!r}: {text!r} must be a finite number.')
    return number


def _numbers(text: str, joint: str) -> Float[np.ndarray, '3']:
    numbers = np.array([_number(each, joint) for each in text.split()], np.float64)
    if numbers.shape != (3,):
        raise ValueError(f'joint {joint!r}: {text!r} must be three finite numbers.')
    return numbers
