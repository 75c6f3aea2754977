# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: how a node of this package starts and ends, and how words are read.

The ros2 command runs in the system's Python, which need not have this package or its dependencies;
so a launch file finds this file by its place, and not by an import.
"""

import os
import subprocess
import sys

from launch.actions import DeclareLaunchArgument, EmitEvent
from launch.events import Shutdown
from launch_ros.actions import Node

# The environment that was activated has the dependencies of the nodes.
PYTHON = (
    os.path.join(os.environ['VIRTUAL_ENV'], 'bin', 'python')
    if os.environ.get('VIRTUAL_ENV')
    else sys.executable
)
# Arguments of several launch files that the policy node reads: name -> what it is.
OF_POLICY = {
    'policy': 'Checkpoint folder, name of one under models/, or ws://HOST:PORT of a server',
    'arm': 'YAML with the limits of the arm, or the name of one in calibration/',
    'camera_topics': 'One topic per camera of the checkpoint, separated by commas',
    'encoder': "Encoder folder or name; empty for the checkpoint's own",
    'backend': 'Engine, like openvino; by default the first that is installed and agrees',
    'device': 'Where the engine computes: auto, cpu, cuda or cuda:1',
    'output': 'Kind of command, like twist; empty for what suits the policy',
}


def package_node(module, parameters, **more):
    """A node that ends the launch when it ends.

    Args:
        module: Its module in ros2_gridsampler.nodes.
        parameters: Its parameters, and files of them.
        more: Further arguments of launch_ros's Node.
    """
    # As a module: found alike in a colcon workspace and in a virtual environment.
    arguments = ['-m', f'ros2_gridsampler.nodes.{module}', *more.pop('arguments', ())]
    return Node(
        executable=PYTHON,
        arguments=arguments,
        parameters=parameters,
        output='screen',
        on_exit=ended,
        **more,
    )


def ended(event, context):
    """The launch ends with a node, and with an error where the node did."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'{event.process_name} ended with {event.returncode}; its last line says why.'
        )
    return [EmitEvent(event=Shutdown(reason=f'{event.process_name} ended'))]


def declare(arguments):
    """Arguments of a launch file, from (name, default, what it is).

    Where the default is None the argument must be given; what is empty stays as the node has it.
    """
    return [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in arguments
    ]


def refuse_missing(modules, extra):
    """Before anything starts: what the environment of the nodes lacks, and how it is installed."""
    code = (
        'import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])'
    )
    command = [PYTHON, '-c', code, *modules]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    if missing := asked.stdout.split():
        raise RuntimeError(
            f"{PYTHON} has no {', '.join(missing)}: pip install '.[{extra}]' there, or activate "
            'the environment that has it before ros2 launch.'
        )


def words(text):
    """Words between commas, with or without the brackets and quotes of a YAML list."""
    return [word.strip(' \'"') for word in text.strip(' []').split(',')]


def as_argument(value):
    """A value of a YAML file, written like an argument of `ros2 launch`."""
    if isinstance(value, list):
        return ','.join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def truth(given, name):
    """Whether an argument is true; what is neither true nor false must not switch a check off."""
    known = {'true': True, '1': True, 'false': False, '0': False}
    if given[name].lower() not in known:
        raise ValueError(f'{name} is {given[name]!r}; write true or false.')
    return known[given[name].lower()]


def number(given, name):
    """The number in an argument."""
    try:
        return float(given[name])
    except ValueError:
        raise ValueError(f'{name} is {given[name]!r}; write a number.') from None


def integers(given, name):
    """The whole numbers in an argument, between commas."""
    try:
        return [int(word) for word in words(given[name])]
    except ValueError:
        raise ValueError(f'{name} is {given[name]!r}; write whole numbers.') from None


def existing(given, name):
    """The path in an argument, with `~` resolved; refused before the start where nothing is."""
    path = os.path.expanduser(given[name])
    if not os.path.exists(path):
        raise ValueError(f'{name} is {path!r}, and there is no such file; check its path.')
    return path
