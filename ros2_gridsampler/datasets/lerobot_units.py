# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Units of a LeRobot dataset, and the calibration of its arm -> radians and metres."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..acting.arm_limits import load_arm
from ..files import find

Unit = Literal['same', 'deg', 'percent']
"""'same': taken as it is; 'deg': degrees; 'percent': lerobot's -100 to 100, grippers 0 to 100."""
# No joint of an arm turns farther.
_MOST_TURNS = 2
# Steps of a turn of lerobot's servos, as lerobot counts them.
_STEPS = 4095


@dataclass(frozen=True)
class _Range:
    """What -100 and 100, or 0 and 100, stand for [rad] or [m]."""

    low: float
    high: float


def physical_scale(
    unit: Unit, names: Sequence[str], calibration: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and offset of each entry: physical = scale * number + offset.

    A gripper, told by its name, runs from 0 to 100 where the others run from -100 to 100.

    Args:
        unit: The unit of the dataset.
        names: The names of the entries; '.pos' at their end does not count.
        calibration: For 'percent': lerobot's JSON file of the arm, whose middle of the range is
            0 rad (of a gripper, its lower end); or a YAML file with the arm's limits, or its
            name in calibration/, whose limits are the ends of the range. Given with 'deg', the
            gripper alone is taken by it.

    Raises:
        ValueError: The calibration is missing, lacks an entry, or is none.
    """
    scale, offset = np.ones(len(names)), np.zeros(len(names))
    if unit == 'same':
        if calibration:
            raise ValueError('A calibration is of no use without --unit percent or --unit deg.')
        return scale, offset
    if unit == 'percent' and not calibration:
        raise ValueError(
            'Percent of a range need the range: --calibration with the JSON file of the arm that '
            'lerobot wrote, or with an arm of calibration/.'
        )
    ranges = _read_ranges(calibration) if calibration else {}
    for entry, name in enumerate(names):
        grips = 'gripper' in name.lower()
        if unit == 'deg' and not (grips and ranges):
            scale[entry] = np.pi / 180
            continue
        joint = name.removesuffix('.pos')
        if joint not in ranges:
            raise ValueError(
                f'{calibration} has no {joint!r}; it has {sorted(ranges)}. Name the entries with '
                '--names.'
            )
        low, high = ranges[joint].low, ranges[joint].high
        scale[entry] = (high - low) / (100 if grips else 200)
        offset[entry] = low if grips else (low + high) / 2
    return scale, offset


def refuse_doubtful_units(feature: str, names: Sequence[str], rows: NDArray[Any]) -> None:
    """Refuses entries that nobody would take for radians or metres, where no unit was named.

    Args:
        feature: What the entries are of, for people.
        names: The names of the entries.
        rows: Their numbers, as in the dataset.

    Raises:
        ValueError: One of them goes farther than `_MOST_TURNS` turns.
    """
    largest = np.abs(rows).max(0)
    entry = int(np.argmax(largest))
    if largest[entry] > 2 * np.pi * _MOST_TURNS:
        raise ValueError(
            f'{feature} goes up to {largest[entry]:.4g} ({names[entry]}), which as radians would '
            f'be {largest[entry] / (2 * np.pi):.1f} turns: give --unit deg or --unit percent, or '
            '--unit same if these are radians, metres or other numbers nevertheless.'
        )


def _read_ranges(calibration: str) -> dict[str, _Range]:
    path = Path(calibration)
    if path.suffix != '.json':
        joints = load_arm(find('calibration', calibration, '.yaml')).joints
        return {
            name: _Range(float(low), float(high))
            for name, low, high in zip(
                joints.names, joints.min_position, joints.max_position, strict=True
            )
        }
    try:
        content = json.loads(path.read_text('utf-8'))
        return {str(name): _motor_range(name, motor) for name, motor in content.items()}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f'{path} cannot be read: {error}.') from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is no calibration of lerobot, which gives range_min, range_max and '
            f'drive_mode of each motor: {error!r}.'
        ) from error


def _motor_range(name: Any, motor: Mapping[str, Any]) -> _Range:
    travel = 2 * np.pi / _STEPS * (int(motor['range_max']) - int(motor['range_min']))
    if 'gripper' in str(name).lower():
        low, high = 0.0, float(travel)
    else:
        low, high = -float(travel) / 2, float(travel) / 2
    # A motor that is built in the other way round counts the other way round.
    return _Range(high, low) if motor['drive_mode'] else _Range(low, high)
