# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a process writes to a terminal or a pipe -> the same, but nobody waits for its reader."""

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence

# So much is kept for a reader that is late; what comes then is lost [bytes].
_KEPT = 1 << 20
# So long the reader may take at the end [s].
_LAST_WORDS = 1.0


@contextlib.contextmanager
def patient_output(unheard: Sequence[signal.Signals]) -> Iterator[None]:
    """Put another process between this one and whoever reads its output and errors.

    rclpy writes a line of its log with Python's lock held. Where nobody reads, as after Ctrl-S in
    a terminal, the line would wait, with it every thread, and the arm would go on by its last
    command. Written to a pipe that never waits, it is lost instead. The other process outlives
    this one, so that the last words of a crash are read too. Begin before anybody has written.

    Args:
        unheard: Signals that are not for the other process, which ends when nobody writes.
    """
    if os.isatty(2):
        # Whoever writes would not know any more that it is a terminal.
        os.environ.setdefault('RCUTILS_COLORIZED_OUTPUT', '1')
    given = []
    for number in (1, 2):
        # Closed, or a file, which has no reader.
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.fstat(number).st_mode):
                given.append((number, *_come_between(number, unheard)))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for number, before, _ in given:
            os.dup2(before, number)
            os.close(before)
        for _, _, between in given:
            with contextlib.suppress(subprocess.TimeoutExpired):
                between.wait(_LAST_WORDS)


def _come_between(
    number: int, unheard: Sequence[signal.Signals]
) -> tuple[int, subprocess.Popen[bytes]]:
    """Where a descriptor led before, and the process that writes there now."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _KEPT)
    os.set_blocking(writing, False)

    def hear_nothing() -> None:
        for each in unheard:
            signal.signal(each, signal.SIG_IGN)

    between = subprocess.Popen(
        ['cat'],  # noqa: S607 - of the user's system
        stdin=reading,
        stdout=number,
        stderr=subprocess.DEVNULL,
        # A terminal sends them to every process of a group, systemd to all of a service.
        start_new_session=True,
        preexec_fn=hear_nothing,
    )
    before = os.dup(number)
    os.dup2(writing, number)
    os.close(writing)
    os.close(reading)
    return before, between
