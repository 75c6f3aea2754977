# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint -> the one arm in calibration/ that it can be for."""

from contextlib import suppress
from pathlib import Path


def usual_arm(folder: Path) -> str:
    """Name of the arm whose limits fit a checkpoint.

    Raises:
        ValueError: None fits, or several.
    """
    from ..acting.arm_limits import load_arm
    from ..files import find, names
    from ..policy.manifest import load_manifest

    space = load_manifest(folder).policy.action_space
    if space.frame.startswith('panda'):
        return 'panda'
    fitting = []
    for name in names('calibration', '.yaml'):
        with suppress(ValueError):  # a workspace may keep other calibrations there
            joints = load_arm(find('calibration', name, '.yaml')).joints.names
            fitting += [name] * (set(space.names) <= set(joints))
    if space.kind == 'joint_position' and len(fitting) == 1:
        print(f'guessed arm: {fitting[0]}')
        return fitting[0]
    raise ValueError(
        f'Which arm? The checkpoint commands {space.kind} of {len(space.names)} entries; name its '
        'limits with --arm, a YAML file or a name in calibration/.'
    )
