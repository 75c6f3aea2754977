# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What `ros2 run` starts -> the node, in the environment that has what the node needs.

colcon writes the Python that ran it into an executable, which often is the system's: an
environment that was made or activated later is then not asked.
"""

import importlib
import os
import sys
from pathlib import Path

_PACKAGE = __name__.rpartition('.')[0]


def policy_node() -> int:
    """Runs the policy node."""
    return _run('policy_node')


def simulated_arm_node() -> int:
    """Runs the simulated arm."""
    return _run('simulated_arm_node')


def replay_node() -> int:
    """Runs the player of recordings."""
    return _run('replay_node')


def encoder_server_node() -> int:
    """Runs the encoder server."""
    return _run('encoder_server_node')


def pose_from_tf_node() -> int:
    """Runs the node that publishes where the hand is by TF."""
    return _run('pose_from_tf_node')


def _run(node: str) -> int:
    module = f'{_PACKAGE}.{node}'
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if str(error.name).startswith(_PACKAGE.partition('.')[0]):
            raise
        _run_in_environment(module)
        sys.stderr.write(
            f'{node} needs {error.name}, which {sys.executable} has not. Activate the environment '
            'that has it before ros2 run, or install it: see docs/howto/robot.md.\n'
        )
        return 1
    return int(main())


def _run_in_environment(module: str) -> None:
    """Becomes the same node in the active environment; returns where there is no other one."""
    folder = os.environ.get('VIRTUAL_ENV', '')
    python = Path(folder) / 'bin' / 'python'
    if not folder or not python.exists() or Path(folder).resolve() == Path(sys.prefix).resolve():
        return
    # The workspace's package, which the environment need not have.
    here = str(Path(__file__).parents[2])
    paths = [here, *filter(None, os.environ.get('PYTHONPATH', '').split(os.pathsep))]
    os.environ['PYTHONPATH'] = os.pathsep.join(dict.fromkeys(paths))
    os.execv(python, [str(python), '-m', module, *sys.argv[1:]])  # noqa: S606 - no shell is wanted
