# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A process for each task: what it is told, and that none outlives whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ros2_gridsampler.command_line.each_task import each_task

PROGRAM = """#!/bin/sh
echo "$@" > "{folder}/told_$$"
case "$*" in
*of_01*)
    until set -- "{folder}"/told_*; [ $# -eq 2 ]; do sleep 0.05; done
    echo 'The table is gone.' >&2
    exit 3;;
*of_00* | *WAITS*)
    exec sleep 600;;
esac
"""
PARENT = """
import sys
from pathlib import Path
from ros2_gridsampler.command_line.each_task import each_task
sys.executable = sys.argv[1]
each_task('record', {'out': 'WAITS'}, [0, 1], Path(sys.argv[2]))
"""


@pytest.fixture
def program(tmp_path):
    """Stands for this package's commands."""
    path = tmp_path / 'program'
    path.write_text(PROGRAM.format(folder=tmp_path))
    path.chmod(0o755)
    return path


def told(folder):
    return sorted(path.read_text().strip() for path in folder.glob('told_*'))


def until(condition):
    """A check takes as long as the machine is busy; only what never happens fails."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_task_is_told_its_number_and_a_path_of_its_own(program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'executable', str(program))
    each_task(
        'success', {'json': 'task_{task}.json', 'episodes': 4}, [3, 0, 11], tmp_path / 'logs'
    )
    assert told(tmp_path) == [
        f'-m ros2_gridsampler.command_line success --json task_{task:02d}.json --episodes 4 '
        f'--tasks {task}'
        for task in (0, 3, 11)
    ]


def test_a_task_that_fails_is_named_with_its_last_words_and_the_others_end(
    program, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, 'executable', str(program))
    # Both at a time: the first of them waits until it is ended.
    monkeypatch.setattr(os, 'sched_getaffinity', lambda who: {0, 1})
    with pytest.raises(ChildProcessError, match=r'task 1 ended with 3:\nThe table is gone'):
        each_task('record', {'out': 'of_{task}'}, [0, 1], tmp_path / 'logs')
    children = [int(path.name.partition('_')[2]) for path in tmp_path.glob('told_*')]
    assert len(children) == 2
    assert not any(_runs(child) for child in children)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_tasks_end_with_whoever_started_them_even_where_it_was_killed(program, tmp_path, number):
    arguments = [sys.executable, '-c', PARENT, str(program), str(tmp_path / 'logs')]
    parent = subprocess.Popen(arguments, cwd=Path(__file__).parents[1], stderr=subprocess.PIPE)
    until(lambda: len(told(tmp_path)) == min(2, len(os.sched_getaffinity(0))))
    children = [int(path.name.partition('_')[2]) for path in tmp_path.glob('told_*')]
    assert all(Path(f'/proc/{child}').exists() for child in children)
    parent.send_signal(number)
    said = parent.communicate()[1].decode()
    assert ('Stopped by SIGINT; the same command goes on' in said) == (number == signal.SIGINT)
    until(lambda: not any(_runs(child) for child in children))


def _runs(process):
    try:
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    # Nobody may wait for an orphan here; it has ended all the same.
    return state != 'Z'
