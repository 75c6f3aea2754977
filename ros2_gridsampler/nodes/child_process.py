# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node's module, parameters and remappings -> a process that is always ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..stop_request import end_with_parent

# On two cores Mesa's and OpenMP's own threads would only fight each other.
_THREADS = {'LP_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}


class ChildProcess:
    """`python -m ros2_gridsampler.nodes.MODULE`; use it as a context.

    Args:
        module: In the package, like 'nodes.policy_node' or 'benchmarks.naive_reference_node'.
        parameters: ROS parameters.
        remappings: Topic of the node -> topic in the graph.
        log: File for all that it says.
        patience: Time between asking it to end and killing it [s].
        environment: Environment variables of the process; by default those of this one, with one
            thread for each library.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, Any],
        remappings: Mapping[str, str],
        *,
        log: Path,
        patience: float = 15.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._environment = (
            {**_THREADS, **os.environ} if environment is None else dict(environment)
        )
        self._log = log
        self._patience = patience
        self._arguments = [sys.executable, '-m', f'ros2_gridsampler.{module}', '--ros-args']
        for name, value in parameters.items():
            # JSON is YAML, in which rcl reads parameters.
            self._arguments += ['-p', f'{name}:={json.dumps(value)}']
        for inside, outside in remappings.items():
            self._arguments += ['-r', f'{inside}:={outside}']
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> 'ChildProcess':
        with self._log.open('wb') as stream:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # Ctrl-C in the terminal is for the parent, which ends its children in order.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        # A script that runs a command in the background lets it, and its children, ignore SIGINT.
        self._process.terminate()
        deadline = time.monotonic() + self._patience
        # Polling, because a signal must not cut the wait short.
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for the signal that ended the process; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def peak_memory(self) -> int:
        """Largest resident size so far, while it runs [bytes]."""
        if self._process is None or not self.running:
            raise ChildProcessError(f'{self._module} does not run; its memory is not known.')
        status = Path(f'/proc/{self._process.pid}/status').read_text()
        return 1024 * int(status.partition('VmHWM:')[2].split()[0])

    def send(self, name: str) -> None:
        """Sends a signal, like 'SIGTERM'."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.Signals[name])

    def check(self) -> None:
        """Returns while the process runs.

        Raises:
            ChildProcessError: It has ended; the text holds its last words.
        """
        if self._process is not None and self._process.poll() is not None:
            raise ChildProcessError(
                f'{self._module} ended with {self._process.returncode}. {self.last_words()}'
            )

    def last_words(self, lines: int = 12) -> str:
        """Returns the end of its log."""
        said = self._log.read_text(errors='replace').splitlines()[-lines:]
        quoted = ''.join(f'\n  {line}' for line in said)
        return f'The end of {self._log}:{quoted or " it is empty."}'
