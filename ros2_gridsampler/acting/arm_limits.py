# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""YAML of an arm -> its limits: joints, end effector, gripper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

# 'fraction': 0 to 1 of the range, as dexterous hands report it.
_UNITS = ('rad', 'm', 'fraction')
# As a share of the range: calibrations end a little before or behind it, and pads give way.
_OPENING_SPARE = 0.05


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Limits of some joints, one entry per joint, in [rad], [m] or fractions, and seconds.

    `grips` is of joints that hold things: what they hold keeps them from where they are commanded.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    grips: tuple[bool, ...]
    min_position: Float[np.ndarray, ' joints']
    max_position: Float[np.ndarray, ' joints']
    max_velocity: Float[np.ndarray, ' joints']
    max_acceleration: Float[np.ndarray, ' joints']
    max_jerk: Float[np.ndarray, ' joints']

    def select(self, names: Sequence[str]) -> 'JointLimits':
        """The limits of `names`, in that order.

        Raises:
            ValueError: There is no limit for one of them.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ValueError(
                f'There are no limits for the joints {missing}, only for {list(self.names)}; '
                "add them to the arm's calibration file."
            )
        rows = [self.names.index(name) for name in names]
        return JointLimits(
            tuple(names),
            tuple(self.units[row] for row in rows),
            tuple(self.grips[row] for row in rows),
            *(getattr(self, key)[rows] for key in _keys(JointLimits, skip=3)),
        )

    def position_range(
        self, excess: float
    ) -> tuple[Float[np.ndarray, ' joints'], Float[np.ndarray, ' joints']]:
        """Lowest and highest position, `excess` spans farther out on both sides."""
        span = excess * (self.max_position - self.min_position)
        return self.min_position - span, self.max_position + span


@dataclass(frozen=True, eq=False)
class EndEffectorLimits:
    """Limits of the end effector in the base frame.

    Attributes:
        workspace_min: Lower corner of the box that it stays in, x y z [m].
        workspace_max: Upper corner [m].
        max_speed: The largest norm of the linear velocity [m/s].
        max_acceleration: [m/s^2].
        max_jerk: [m/s^3].
        max_rotation_rate: The largest norm of the angular velocity [rad/s].
        max_rotation_acceleration: [rad/s^2].
        max_rotation_jerk: [rad/s^3].
    """

    workspace_min: Float[np.ndarray, '3']
    workspace_max: Float[np.ndarray, '3']
    max_speed: float
    max_acceleration: float
    max_jerk: float
    max_rotation_rate: float
    max_rotation_acceleration: float
    max_rotation_jerk: float


@dataclass(frozen=True)
class GripperLimits:
    """Limits of a parallel gripper, and what its joints say of its opening.

    Attributes:
        max_opening: 0 is closed [m].
        max_speed: The largest speed of its change [m/s].
        scale: Opening per unit of the sum of the joint positions [m per rad, or per m].
        offset: Opening where that sum is 0 [m].
    """

    max_opening: float
    max_speed: float
    scale: float = 1.0
    offset: float = 0.0

    def joint(self, opening: Float[np.ndarray, ' openings']) -> Float[np.ndarray, ' openings']:
        """Returns what the positions of its joints add up to at openings [m]."""
        return (opening - self.offset) / self.scale

    def opening(self, joints: Float[np.ndarray, ' joints']) -> float:
        """Returns the opening [m] that the positions of its joints make.

        Raises:
            ValueError: It is farther outside the limits than a measurement may be.
        """
        total = float(joints.sum())
        opening = self.scale * total + self.offset
        spare = _OPENING_SPARE * self.max_opening
        if not -spare <= opening <= self.max_opening + spare:
            raise ValueError(
                f'The gripper joints add up to {total:.4f}, which is an opening of {opening:.4f} '
                f"m, expected 0 to {self.max_opening} m; check gripper_joints, and in the arm's "
                f'file under gripper max_opening, scale ({self.scale}) and offset '
                f'({self.offset}).'
            )
        return opening


@dataclass(frozen=True, eq=False)
class ArmLimits:
    """All limits of an arm; a part that it does not have is None, and says so in its file."""

    name: str
    base_frame: str
    source: str
    joints: JointLimits
    end_effector: EndEffectorLimits | None
    gripper: GripperLimits | None


def load_arm(path: Path | str) -> ArmLimits:
    """Returns the limits of an arm from its file; every limit must be there.

    A file with `extends: NAME` has only what it adds to NAME.yaml beside it, or has otherwise:
    joints one by one, the other keys whole.

    Raises:
        ValueError: Names the file, the key and what to write instead.
    """
    try:
        arm = _mapping(_read_tree(Path(path)), 'the file', _keys(ArmLimits))
        for key in ('name', 'base_frame', 'source'):
            if not isinstance(arm[key], str) or not arm[key].strip():
                raise ValueError(f'{key} must be a text, got {arm[key]!r}.')
        joints, end_effector, gripper = arm['joints'], arm['end_effector'], arm['gripper']
        return ArmLimits(
            arm['name'],
            arm['base_frame'],
            arm['source'],
            _joints(joints),
            None if end_effector is None else _end_effector(end_effector),
            None if gripper is None else _gripper(gripper),
        )
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: {error}') from error


def _read_tree(path: Path, above: Sequence[Path] = ()) -> Any:
    if path in above:
        raise ValueError(f'extends goes round: {[file.stem for file in (*above, path)]}.')
    # A SafeLoader all the same.
    tree = yaml.load(path.read_text('utf-8'), _UniqueKeys)  # noqa: S506
    if not isinstance(tree, dict) or 'extends' not in tree:
        return tree
    name = tree.pop('extends')
    extended = path.with_name(f'{name}.yaml')
    if not extended.is_file():
        raise ValueError(
            f'extends is {name!r}, but there is no {extended}; name a file beside it.'
        )
    base = _read_tree(extended, (*above, path))
    if not isinstance(base, dict):
        raise ValueError(f'extends is {name!r}, but {extended} has no keys.')
    joints, own = base.get('joints'), tree.get('joints')
    merged = {**base, **tree}
    if isinstance(joints, dict) and isinstance(own, dict):
        merged['joints'] = {**joints, **own}
    return merged


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys silently; a limit must not vanish like that."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f'{twice} written twice (line {node.start_mark.line + 1}).')
        return super().construct_mapping(node, deep)


def _keys(limits: type, skip: int = 0) -> list[str]:
    return [field.name for field in fields(limits)][skip:]


def _mapping(value: Any, where: str, keys: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{where} must have the keys {list(keys)}, got {value!r}.')
    missing = [key for key in keys if key not in value]
    unknown = [key for key in value if key not in keys]
    if missing or unknown:
        raise ValueError(
            f'{where} lacks {missing} and has unknown {unknown}; it needs exactly {list(keys)}.'
        )
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        hint = ' (YAML reads 1e3 as text: write 1000.0)' if isinstance(value, str) else ''
        raise ValueError(f'{where} must be a finite number without a unit, got {value!r}{hint}.')
    return float(value)


def _positives(value: Mapping[str, Any], where: str, keys: Sequence[str]) -> list[float]:
    numbers = [_number(value[key], f'{where}: {key}') for key in keys]
    for key, number in zip(keys, numbers, strict=True):
        if number <= 0:
            raise ValueError(f'{where}: {key} must be greater than 0, got {number}.')
    return numbers


def _joints(value: Any) -> JointLimits:
    if not isinstance(value, dict) or not value:
        raise ValueError(f'joints must name at least one joint, got {value!r}.')
    keys = _keys(JointLimits, skip=3)
    rows = []
    for name, joint in value.items():
        where = f'joint {name!r}'
        optional = ['grips'] if isinstance(joint, dict) and 'grips' in joint else []
        limits = _mapping(joint, where, ['unit', *optional, *keys])
        if not isinstance(limits.get('grips', False), bool):
            raise ValueError(f'{where}: grips must be true or false, got {limits["grips"]!r}.')
        if limits['unit'] not in _UNITS:
            raise ValueError(
                f'{where}: unit must be one of {list(_UNITS)} (per second for the velocity, and '
                f'so on), got {limits["unit"]!r}; convert the numbers.'
            )
        low, high = (_number(limits[key], f'{where}: {key}') for key in keys[:2])
        if low >= high:
            raise ValueError(f'{where}: min_position {low} must be below max_position {high}.')
        rows.append([low, high, *_positives(limits, where, keys[2:])])
    units = tuple(str(joint['unit']) for joint in value.values())
    grips = tuple(bool(joint.get('grips', False)) for joint in value.values())
    return JointLimits(tuple(map(str, value)), units, grips, *np.array(rows, np.float64).T.copy())


def _end_effector(value: Any) -> EndEffectorLimits:
    keys = _keys(EndEffectorLimits, skip=2)
    limits = _mapping(value, 'end_effector', ['workspace', *keys])
    workspace = _mapping(limits['workspace'], 'end_effector: workspace', ['min', 'max'])
    for key, corner in workspace.items():
        where = f'end_effector: workspace: {key}'
        if not isinstance(corner, list) or len(corner) != 3:
            raise ValueError(f'{where} must be [x, y, z] in metres, got {corner!r}.')
        for number in corner:
            _number(number, where)
    low, high = np.array([workspace['min'], workspace['max']], np.float64)
    if (low >= high).any():
        raise ValueError(
            f'end_effector: workspace: min {low.tolist()} must be below max {high.tolist()}.'
        )
    return EndEffectorLimits(low, high, *_positives(limits, 'end_effector', keys))


def _gripper(value: Any) -> GripperLimits:
    keys, optional = ['max_opening', 'max_speed'], ['scale', 'offset']
    given = [key for key in optional if isinstance(value, dict) and key in value]
    limits = _mapping(value, 'gripper', [*keys, *given])
    joints = {key: _number(limits[key], f'gripper: {key}') for key in given}
    if joints.get('scale') == 0:
        raise ValueError('gripper: scale must not be 0: the joints would say nothing.')
    return GripperLimits(*_positives(limits, 'gripper', keys), **joints)
