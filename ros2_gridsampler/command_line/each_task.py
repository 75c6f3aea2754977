# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A command and its tasks -> a process for each task, as many at a time as there are cores."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..stop_request import StopRequest, end_with_parent


def each_task(command: str, arguments: dict[str, Any], tasks: Sequence[int], logs: Path) -> None:
    """Runs a command for each task by itself, as many at a time as there are cores.

    Args:
        command: Such as 'record'.
        arguments: Name of a flag -> its value; one that has '{task}' in it is a task's own.
        tasks: Numbers of the tasks.
        logs: Folder of what the processes say.

    Raises:
        InterruptedError: SIGINT or SIGTERM came; the processes have ended.
        ChildProcessError: One failed; its last words are in the text.
    """
    logs.mkdir(parents=True, exist_ok=True)
    environment = {'OMP_NUM_THREADS': '1', 'LP_NUM_THREADS': '1', **os.environ}
    cores, waiting = len(os.sched_getaffinity(0)), list(tasks)
    running: dict[int, subprocess.Popen[bytes]] = {}
    with (
        StopRequest('; the same command goes on') as stop,
        tqdm(total=len(tasks), desc=command, unit='task') as bar,
        contextlib.ExitStack() as ends,
    ):
        while waiting or running:
            stop.check()
            while waiting and len(running) < cores:
                task = waiting.pop(0)
                words = [sys.executable, '-m', 'ros2_gridsampler.command_line', command]
                for name, value in {**arguments, 'tasks': task}.items():
                    words += [f'--{name}', str(value).replace('{task}', f'{task:02d}')]
                log = ends.enter_context((logs / f'{task:02d}.log').open('wb'))
                # Ctrl-C in the terminal is for this process, which ends the others.
                running[task] = subprocess.Popen(  # noqa: S603 - our own command
                    words,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                    preexec_fn=end_with_parent,
                )
                ends.callback(_end, running[task])
            for task, process in list(running.items()):
                if (code := process.poll()) is None:
                    continue
                del running[task]
                if code:
                    said = (logs / f'{task:02d}.log').read_text(errors='replace')
                    raise ChildProcessError(
                        f'{command} of task {task} ended with {code}:\n'
                        + '\n'.join(said.strip().splitlines()[-5:])
                    )
                bar.update()
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Lets a process end in order, if it still runs."""
    if process.poll() is None:
        # A script that runs a command in the background lets it ignore SIGINT.
        process.terminate()
    process.wait()
