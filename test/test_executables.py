# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What `ros2 run` starts finds the environment that has what a node needs, or says what to do."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
START = """
import sys
# As the executable that colcon writes: the Python of the system, with the package and no more.
sys.path.insert(0, {root!r})
sys.argv = ['policy_node', '--ros-args', '-p', 'policy:=x']
from ros2_gridsampler.nodes.executables import policy_node
raise SystemExit(policy_node())
"""


@pytest.fixture
def run(tmp_path):
    """Starts the policy node by a Python that has nothing installed."""

    def start(environment):
        env = {k: v for k, v in os.environ.items() if k not in ('VIRTUAL_ENV', 'PYTHONPATH')}
        env['_ROS_WHEELS_BOOTSTRAP_COMPLETE'] = '1'
        if environment is not None:
            env['VIRTUAL_ENV'] = str(environment)
        return subprocess.run(
            [sys.executable, '-S', '-c', START.format(root=str(ROOT))],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return start


def test_a_node_becomes_one_of_the_active_environment(run, tmp_path):
    (tmp_path / 'bin').mkdir()
    python = tmp_path / 'bin' / 'python'
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\nexit 7\n')
    python.chmod(0o755)
    done = run(tmp_path)
    assert done.returncode == 7, done.stderr
    path, *arguments = done.stdout.split()
    assert path == str(ROOT)
    assert arguments == [
        '-m',
        'ros2_gridsampler.nodes.policy_node',
        '--ros-args',
        '-p',
        'policy:=x',
    ]


@pytest.mark.parametrize('environment', [None, '/nowhere'])
def test_what_is_missing_is_said_where_no_environment_has_it(run, environment):
    done = run(environment)
    assert done.returncode == 1
    assert 'policy_node needs ' in done.stderr
    assert 'Activate the environment that has it before ros2 run' in done.stderr
    assert 'Traceback' not in done.stderr


def test_the_node_of_the_environment_runs(run, ros_domain):
    done = run(sys.prefix)
    assert done.returncode == 1
    assert 'Cannot configure: Set the parameters policy' in done.stderr
    assert '-p policy:=libero_spatial -p arm:=panda' in done.stderr
    assert '`gridsampler demo`' in done.stderr


def test_every_executable_of_the_package_is_there():
    nodes = next(
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / 'setup.py').read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'NODES'
    )
    from ros2_gridsampler.nodes import executables

    assert all(callable(getattr(executables, node)) for node in nodes)
    assert all((ROOT / 'ros2_gridsampler/nodes' / f'{node}.py').exists() for node in nodes)
