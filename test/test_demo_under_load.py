# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A busy machine shows the demo slowly, and the same: minutes, so only where it is asked for."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
pytest.importorskip('robosuite', reason='the simulation is not installed; pip install .[sim]')

LOAD = int(os.environ.get('GRIDSAMPLER_LOAD', '0'))
EPISODES = ('1', '2', '3')
BUSY = 'while True: pass'

pytestmark = pytest.mark.skipif(
    LOAD == 0, reason='minutes of a busy machine: set GRIDSAMPLER_LOAD to its number of processes'
)


@contextlib.contextmanager
def busy(processes):
    """So many processes that compute all the time, each with as much right to a core as a node."""
    children = [
        subprocess.Popen([sys.executable, '-c', BUSY], start_new_session=True)
        for _ in range(processes)
    ]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def demonstrate(out):
    """Whether each episode was solved; how fast it went is printed."""
    arguments = ['demo', '--tasks', *EPISODES, '--out', str(out)]
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line', *arguments]
    begin = time.monotonic()
    subprocess.run(command, check=True)
    result = json.loads((out / 'result.json').read_text())
    print(  # noqa: T201 - the figures of a soak
        f'{result["success"]["solved"]} of {len(EPISODES)} solved in '
        f'{time.monotonic() - begin:.0f} s, {result["real_time_factor"]["mean"]} of real time'
    )
    return [each['success'] for each in result['episodes']]


def test_a_busy_machine_shows_the_demo_slowly_and_solves_the_same(tmp_path):
    solved = demonstrate(tmp_path / 'quiet')
    with busy(LOAD):
        solved_busy = demonstrate(tmp_path / 'busy')
    assert solved_busy == solved
    assert any(solved)
