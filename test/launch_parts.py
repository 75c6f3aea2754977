# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Launch files -> the parts that they would start, without a ROS installation; folders of arms."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import yaml

FOLDER = Path(__file__).parents[1] / 'launch'
ARMS = FOLDER.with_name('arms')
NAMES = {
    'launch': 'LaunchDescription',
    'launch.actions': 'DeclareLaunchArgument EmitEvent IncludeLaunchDescription OpaqueFunction',
    'launch.events': 'Shutdown',
    'launch.launch_description_sources': 'PythonLaunchDescriptionSource',
    'launch.substitutions': 'ThisLaunchFileDir',
    'launch_ros': '',
    'launch_ros.actions': 'Node',
}


class Part(SimpleNamespace):
    """Anything that a launch file makes: what it was made with."""

    def __init__(self, *given, **named):
        super().__init__(given=given, **named)


def load(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def parts_of(monkeypatch):
    """Returns a function that gives the parts of a launch file for some arguments."""
    for name, parts in NAMES.items():
        module = ModuleType(name)
        for part in parts.split():
            setattr(module, part, type(part, (Part,), {}))
        monkeypatch.setitem(sys.modules, name, module)

    def run(name, /, **given):
        module = load(FOLDER / f'{name}.launch.py')
        # Whether a bag and its reader are there is asked before anything starts.
        given = {**({'bag': str(FOLDER)} if name == 'replay' else {}), **given}
        defaults = {argument: default for argument, default, _ in module.ARGUMENTS}
        defaults |= getattr(module, 'TOPICS', {})
        assert set(given) <= set(defaults)
        missing = [key for key, value in {**defaults, **given}.items() if value is None]
        assert not missing, 'ros2 launch refuses'
        return module.start(SimpleNamespace(launch_configurations={**defaults, **given}))

    return run


def of_arm(robot, file):
    """What a YAML file of an arm's folder says."""
    return yaml.safe_load((ARMS / robot / file).read_text())


def controllers(robot):
    """Name of each controller of an arm's folder -> its parameters."""
    found = of_arm(robot, 'controllers.yaml')
    return {name.rpartition('/')[2]: of['ros__parameters'] for name, of in found.items()}
