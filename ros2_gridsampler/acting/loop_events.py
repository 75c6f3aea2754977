# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What other threads tell the command loop; it takes them from its inbox, in order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..seeing.stream_health import Fault
from .action_chunk import ActionChunk


@dataclass(frozen=True, eq=False)
class Measured:
    """Where the arm is.

    Attributes:
        values: Joint positions in the order of the actions [rad], [m]; for a twist x y z of the
            end effector in the base frame and the gripper's opening [m].
        time: Capture time, of the oldest of them [s].
        pose: x y z [m] and a unit quaternion of the end effector, where somebody measures it.
        times: Capture time of each of `values`, which may come from several topics at rates of
            their own [s]; None where all are of `time`.
    """

    values: Float[np.ndarray, ' numbers']
    time: float
    pose: Float[np.ndarray, '7'] | None = None
    times: Float[np.ndarray, ' numbers'] | None = None


@dataclass(frozen=True, eq=False)
class Predicted:
    """A chunk, the sentence that it answers, and what its sender wants to recognise it by."""

    chunk: ActionChunk
    instruction: str
    made: Any = None


@dataclass(frozen=True)
class FaultSeen:
    """A fault of a stream, in words; it cannot end before `lasting` from now [s]."""

    fault: Fault
    stream: str
    text: str
    lasting: float = 0.0


@dataclass(frozen=True)
class Told:
    """The sentence to obey; what was predicted for another one moves the arm no more."""

    instruction: str


@dataclass(frozen=True)
class StopAsked:
    """A person wants the arm to stand until `ResumeAsked`."""


@dataclass(frozen=True)
class ResumeAsked:
    """A person says that the arm may go on, and that it is where it is measured."""


Event = Measured | Predicted | FaultSeen | Told | StopAsked | ResumeAsked


@dataclass(frozen=True)
class Instant:
    """When a step is made, and for when [s].

    Attributes:
        clock: The clock that stamps the streams.
        steady: A clock that nobody sets.
        due: When the command is sent, on the clock that stamps the streams.
    """

    clock: float
    steady: float
    due: float
