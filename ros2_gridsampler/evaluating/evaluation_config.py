# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""How recordings are judged, and what of it is critical."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..bounds import checked
from ..seeing.stream_health import StreamBudget, TimeSource
from .command_replay import CommandConfig


@dataclass(frozen=True)
@checked
class CriticalConfig:
    """What is critical, and how chunks are compared there.

    Attributes:
        before: An interval begins so long before the gripper moves [s].
        after: An interval ends so long after the gripper moves [s].
        movement: Share of its range by which the gripper must move within `window`.
        window: See `movement` [s].
        ensemble: Successive predictions that are averaged; 1 for none.
        interpolation: Points per target on which chunks are warped.
    """

    before: float = field(default=1.0, metadata={'unit': 's', 'minimum': 0})
    after: float = field(default=0.5, metadata={'unit': 's', 'minimum': 0})
    movement: float = field(default=0.1, metadata={'above': 0, 'maximum': 1})
    window: float = field(default=0.2, metadata={'unit': 's', 'above': 0})
    ensemble: int = field(default=4, metadata={'minimum': 1})
    interpolation: int = field(default=5, metadata={'minimum': 1})


@dataclass(frozen=True)
@checked
class EvaluationConfig:
    """How recordings are judged; the flags of `gridsampler evaluate` are made from it.

    Attributes:
        latency_ms: Assumed from a frame's arrival to its chunk. A figure of the reader's, so that
            a report does not depend on the machine that made it.
        injected_ms: What if it took so long.
        time: Whose time is believed: recorded (header stamps against log times, as live), header
            (the recorder had another clock) or log (the drivers do not stamp).
        least_share: Share of the pictures on which a verdict has to rest; on fewer there is none.
        without_pictures: Judge the policy once more with its pictures replaced by their mean over
            the recording, which says how much it owes to them.
        commands: The command loop.
        streams: How old and how far apart streams may be.
        critical: What frames are critical.
    """

    latency_ms: float = field(default=50.0, metadata={'unit': 'ms', 'minimum': 0})
    injected_ms: tuple[float, ...] = field(
        default=(60.0, 120.0, 250.0), metadata={'unit': 'ms', 'minimum': 0}
    )
    time: TimeSource = 'recorded'
    least_share: float = field(default=0.5, metadata={'minimum': 0, 'maximum': 1})
    without_pictures: bool = False
    commands: Annotated[CommandConfig, tyro.conf.arg(name='')] = field(
        default_factory=CommandConfig
    )
    streams: StreamBudget = field(default_factory=StreamBudget)
    critical: CriticalConfig = field(default_factory=CriticalConfig)

    @property
    def latency(self) -> float:
        """The assumed one [s]."""
        return self.latency_ms / 1e3

    @property
    def injected(self) -> tuple[float, ...]:
        """The others [s]."""
        return tuple(each / 1e3 for each in self.injected_ms)
