# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lock that nobody waits for without end: a thread that is stuck must not stop the others."""

import threading
from types import TracebackType


class PatientLock:
    """As `threading.RLock`, but `with` it raises where the lock does not become free in time.

    Args:
        patience: Longest wait [s].
    """

    def __init__(self, patience: float) -> None:
        """Free."""
        self._lock = threading.RLock()
        self._patience = patience

    def acquire(self, timeout: float) -> bool:
        """Whether it is held now; waits for that so long [s]."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Let go."""
        self._lock.release()

    def __enter__(self) -> None:
        """Hold it.

        Raises:
            TimeoutError: Another thread holds it all the while.
        """
        if not self.acquire(self._patience):
            raise TimeoutError(
                f'A command has not been finished for {self._patience:.1f} s: the thread that '
                'makes it is stuck. The process has to be started again.'
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go."""
        self.release()
