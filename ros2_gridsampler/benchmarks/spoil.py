# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the streams of the fault bench at one moment."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Spoil:
    """What is wrong with the streams now; all of it can be together."""

    silent: set[str] = field(default_factory=set)
    """Streams that say nothing, of 'front', 'wrist', 'joints'."""
    delay: dict[str, float] = field(default_factory=dict)
    """Camera -> how late its pictures come [s]."""
    skew_rate: float = 0.0
    """How much older the wrist's pictures get, per second."""
    frozen: set[str] = field(default_factory=set)
    black: set[str] = field(default_factory=set)
    small: set[str] = field(default_factory=set)
    cut: bool = False
    """The compressed picture is cut in the middle."""
    nan_joints: bool = False
    zero_joints: bool = False
    """Every joint says 0, as drivers do that have lost their arm."""
    pose_jump: float = 0.0
    """How far to the side the end effector is said to be [m]."""
    reversed_joints: bool = False
    missing_joint: bool = False
    clock_offset: float = 0.0
    """Shift of all stamps [s]."""
    every_step: list[Callable[[], None]] = field(default_factory=list)
    """Called every 20 ms."""
