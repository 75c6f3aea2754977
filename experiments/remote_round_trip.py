# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy costs more when it is asked over loopback, with `gridsampler serve` beside it."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps

import numpy as np

from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.check_command import open_policy
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.engines import Backend
from ros2_gridsampler.seeing.observation import Observation

from . import run


@contextmanager
def serving(policy: str) -> Iterator[str]:
    """Yields the address of a server that ends afterwards.

    Raises:
        ChildProcessError: It ended before it served.
    """
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line', 'serve', policy]
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, '--port', '0'], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            found = map(re.compile(r'.* served at (ws://\S+) ').match, process.stdout or ())
            if (served := next(filter(None, found), None)) is None:
                raise ChildProcessError(f'The server of {policy} ended with {process.wait()}.')
            yield served[1]
        finally:
            process.terminate()


def times(backend: Backend, example: Observation, calls: int, other: Backend) -> np.ndarray:
    """Returns the durations of calls of two backends in turn, [calls, 2] in ms."""
    taken = []
    for _ in range(calls):
        begin = time.perf_counter()
        backend.predict(example)
        between = time.perf_counter()
        other.predict(example)
        taken.append((between - begin, time.perf_counter() - between))
    return 1e3 * np.array(taken)


def main(policy: str = 'libero_spatial', calls: int = 300, json: Json = None) -> None:
    """Time a policy here and over loopback, in turns.

    Args:
        policy: Folder, or the name of one under models/.
        calls: Predictions of each.
        json: File for all durations [ms], or - for standard output.
    """
    with json_output(json) as write:
        here = open_policy(policy, 'automatic', 1)
        with serving(policy) as address:
            there = open_policy(address, 'automatic', 1)
            times(here.backend, here.example, 20, there.backend)
            taken = times(here.backend, here.example, calls, there.backend)
            far, near = (each.backend.predict(here.example).chunk for each in (there, here))
            if there.elsewhere is not None:
                there.elsewhere.close()
        print(f'{policy}, {calls} calls of each in turn:')
        for name, column in (('here', taken[:, 0]), ('over loopback', taken[:, 1])):
            print(
                '{}: p50 {:.2f} ms, p99 {:.2f} ms'.format(name, *np.percentile(column, (50, 99)))
            )
        low, median, high = np.percentile(taken[:, 1] / taken[:, 0], (25, 50, 75))
        print(f'ratio within a turn: {median:.2f} (quartiles {low:.2f} and {high:.2f})')
        more, most = np.percentile(taken[:, 1] - taken[:, 0], (50, 99))
        print(f'more by: p50 {more:.2f} ms, p99 {most:.2f} ms')
        print(f'The chunks differ by at most {np.abs(far.targets - near.targets).max():.1g}.')
        write(dumps({'here': taken[:, 0].tolist(), 'over loopback': taken[:, 1].tolist()}))


if __name__ == '__main__':
    from experiments.remote_round_trip import main as command

    run(command)
