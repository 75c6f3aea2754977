# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM -> an exception, only where everything can be ended in order."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def raise_on_signals() -> Iterator[Callable[[], None]]:
    """Note the signals inside the context.

    Yields:
        Raises InterruptedError when called after a signal came.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    def check() -> None:
        if came:
            raise InterruptedError(f'Stopped by {signal.Signals(came[0]).name}.')

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield check
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
