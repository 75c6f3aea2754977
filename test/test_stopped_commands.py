# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C or SIGTERM in the middle of a command: it ends in order, and the same command goes on."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cattrs
import pytest
import yaml
from arm_recordings import ARM, arm_policy, write_arm
from camera_bags import write_bag
from test_training import CONFIG as TRAINING
from test_training import bags as training_bags  # noqa: F401 - a fixture

from ros2_gridsampler.bags.bag_reader import find_bags
from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.manifest import MANIFEST

STEPS = 40
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture
def commands(tmp_path, training_bags):  # noqa: F811
    """Command -> its arguments, what it shows while it works, and what it leaves when done."""

    def recipe(name, config):
        text = yaml.safe_dump(json.loads(json.dumps(cattrs.unstructure(config))))
        (tmp_path / name).write_text(text)
        return name

    def train():
        name = recipe('train.yaml', dataclasses.replace(TRAINING, steps=STEPS, save_every=1000))
        return ['train', name, training_bags[0].parent, '--out', 'out'], 'training:', MANIFEST

    def evaluate():
        write_arm(tmp_path / 'bag', 120)
        save_checkpoint(arm_policy(), tmp_path / 'policy', training={}, results={})
        arguments = ['evaluate', 'bag', '--policy', 'policy', '--arm', ARM, '--out', 'out']
        return arguments, 'bag:', 'report.json'

    def record():
        return ['record', '--out', 'out', '--episodes', '1'], 'libero_spatial 0:', ''

    return {f.__name__: f for f in (train, evaluate, record)}


@pytest.mark.parametrize(
    ('name', 'number'),
    [
        ('train', signal.SIGTERM),
        ('evaluate', signal.SIGINT),
        ('record', signal.SIGTERM),
    ],
)
def test_a_command_that_is_stopped_ends_in_order_and_goes_on(commands, tmp_path, name, number):
    # Not imported here: OpenGL and PyTorch in one process may crash each other.
    if name == 'record' and importlib.util.find_spec('libero') is None:
        pytest.skip('LIBERO is not installed; pip install .[sim]')
    arguments, sign, result = commands[name]()
    out, words = tmp_path / 'out', tmp_path / 'words'
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line', *map(str, arguments)]
    there = {
        'cwd': tmp_path,
        'env': {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
        'stdout': subprocess.DEVNULL,
    }
    # What a shell starts in the background ignores it, and all that is started from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with words.open('w') as said:
        process = subprocess.Popen(command, stderr=said, start_new_session=True, **there)
    try:
        while sign not in words.read_text():
            assert process.poll() is None, words.read_text()
            time.sleep(0.01)
        # As a terminal does it: to the command and to all that it has started.
        os.killpg(process.pid, number)
        code = process.wait(timeout=100)
    finally:
        process.kill()
    # A run that has saved its state says so, whatever asked it to.
    saves = name in ('train', 'record')
    assert code == (130 if saves else CODES[number]), words.read_text()
    assert 'Traceback' not in words.read_text()
    assert 'gridsampler: stopped.' in words.read_text() or 'the same command goes on' in (
        words.read_text()
    )
    assert not [path for path in out.rglob('*') if '.partial' in path.name]
    assert not list(out.rglob(MANIFEST)) + list(out.rglob('*.mcap'))
    assert not result or not (out / result).exists()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **there)
    if name == 'record':
        assert len(find_bags([out])) == 1
    else:
        assert (out / result).exists()
    if name == 'train':
        lines = (out / 'log.jsonl').read_text().splitlines()
        steps = [json.loads(line)['step'] for line in lines]
        assert steps == sorted(steps)
        assert steps[-1] == STEPS


def test_a_bag_whose_writer_was_killed_is_no_bag(tmp_path):
    writer = BagWriter(tmp_path / 'cut').__enter__()
    write_bag(tmp_path / 'whole', 0)
    assert list((tmp_path / 'cut.partial').glob('*.mcap')), 'what is being written lies there'
    assert find_bags([tmp_path]) == [tmp_path / 'whole']
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not (tmp_path / 'cut.partial').exists()
