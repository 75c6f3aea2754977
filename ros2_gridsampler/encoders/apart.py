# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Work that would hold up whoever commands an arm -> a process of its own, and its answer.

Python runs one thread at a time. One that is deep in a library, in the garbage collector, or
that gives way to other programs while it is the one, keeps the commands waiting.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# It gives way to everything that moves the arm.
_NICENESS = 10
_POLL = 0.02
_REFUSED = 3


def run_apart(
    module: str, arguments: Sequence[str], wait: Callable[[], None] = lambda: time.sleep(_POLL)
) -> str:
    """Returns what the `main` of a module answers, which has to call `answer`.

    Args:
        module: Name of a module of this package.
        arguments: Arguments of its command line.
        wait: Returns after a short while; where it raises, the process is ended.

    Raises:
        ValueError: It refused, or ended otherwise than by an answer; the text says why.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        with subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, '-m', module, *arguments],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=wrong,
        ) as process:
            try:
                while process.poll() is None:
                    wait()
            finally:
                process.kill()
        said.seek(0)
        wrong.seek(0)
        if process.returncode == _REFUSED:
            raise ValueError(said.read().decode(errors='replace'))
        if process.returncode:
            words = wrong.read().decode(errors='replace').strip()
            raise ValueError(f'{module} ended with {process.returncode}. {words}'.strip())
        return said.read().decode()


def answer(work: Callable[[], str]) -> None:
    """Serves as the `main` of a module for `run_apart`; ends with the process that asked.

    Args:
        work: Gives the answer; what it raises as ValueError or OSError is a refusal.
    """
    os.nice(_NICENESS)
    # Where memory runs out, this process ends and not the one that moves an arm.
    with contextlib.suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('1000')
    threading.Thread(target=_end_with_parent, name='end with parent', daemon=True).start()
    try:
        text, code = work(), 0
    except (ValueError, OSError) as error:
        text, code = str(error), _REFUSED
    sys.stdout.write(text)
    sys.exit(code)


def _end_with_parent() -> None:
    """Waits for the end of a pipe, which comes with the end of the process that holds it."""
    sys.stdin.read()
    os._exit(1)
