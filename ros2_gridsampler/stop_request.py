# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM -> a flag, looked at only where everything can be ended in order."""

import ctypes
import signal
import types
from typing import Any

_PR_SET_PDEATHSIG = 1


class StopRequest:
    """Notes the signals inside its context; what follows it ends by them as any program does.

    Raised in the middle of a library, an exception may be lost, or leave half an object.

    Args:
        advice: Ends the sentence of `check`.

    Attributes:
        requested: Whether one came.
    """

    def __init__(self, advice: str = '') -> None:
        self.requested = False
        self._advice = advice
        self._name = ''
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'StopRequest':
        """Listen."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """Gives the signals back to their former handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            InterruptedError: A signal came.
        """
        if self.requested:
            raise InterruptedError(f'Stopped by {self._name}{self._advice}.')

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.requested = True
        self._name = signal.Signals(number).name


def end_with_parent() -> None:
    """Asks for SIGTERM when the parent ends: one that was killed cannot end its children.

    Runs between fork and exec, as `preexec_fn` of a process.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
