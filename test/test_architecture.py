# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The graph of folders is the law; a foreign library stays behind its own door."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'ros2_gridsampler'
# A folder may import these folders, and what lies beside them (bounds, files, stop_request).
MAY_IMPORT = {
    'seeing': (),
    'acting': ('seeing',),
    'policy': ('seeing', 'acting'),
    'engines': ('seeing', 'acting', 'policy'),
    'encoders': ('seeing', 'acting', 'policy', 'engines'),
    'bags': ('seeing',),
    'calibrating': ('seeing', 'acting', 'policy', 'bags'),
    'vla': ('seeing', 'acting', 'policy', 'engines', 'calibrating'),
    'datasets': ('seeing', 'acting', 'policy', 'bags'),
    'evaluating': (
        *('seeing', 'acting', 'policy', 'engines', 'encoders', 'bags', 'vla', 'datasets'),
    ),
    'simulation': ('seeing', 'acting', 'policy', 'engines', 'bags', 'vla', 'evaluating'),
    'training': ('policy', 'encoders', 'bags', 'calibrating', 'vla', 'datasets', 'evaluating'),
    'nodes': (
        *('seeing', 'acting', 'policy', 'engines', 'encoders', 'bags', 'calibrating', 'vla'),
        *('evaluating', 'simulation'),
    ),
    'benchmarks': (
        *('seeing', 'acting', 'policy', 'engines', 'vla', 'evaluating', 'simulation', 'nodes'),
    ),
    'command_line': (
        *('seeing', 'acting', 'policy', 'engines', 'encoders', 'bags', 'calibrating', 'vla'),
        *('datasets', 'evaluating', 'simulation', 'training', 'nodes', 'benchmarks'),
    ),
}
# ROS comes in by the nodes, and by the benches that watch a node from outside.
ROS = ('nodes/', 'benchmarks/')
DOORS = {
    'rosbags': ('bags/',),
    'mcap': ('bags/',),
    'pyarrow': ('datasets/',),
    'av': ('bags/', 'datasets/'),
    'distributed': ('evaluating/',),
    'rclpy': ROS,
    'libero': ('simulation/',),
    'robosuite': ('simulation/',),
    'mujoco': ('simulation/',),
    'openvino': ('engines/openvino.py',),
    'onnxruntime': ('engines/onnxruntime.py',),
    'tensorrt': ('engines/tensorrt.py',),
    'tensorrt_rtx': ('engines/tensorrt.py',),
    'tokenizers': ('policy/sentence_encoder.py', 'vla/'),
    'torch_tensorrt': ('engines/tensorrt.py',),
    'transformers': ('vla/',),
    'huggingface_hub': ('vla/',),
    'lerobot': ('vla/',),
    'msgpack': ('vla/',),
    'websockets': ('vla/',),
    'peft': ('vla/',),
    # Nobody in the package needs what only reproduces published tables.
    'experiments': (),
}
FILES = sorted(PACKAGE.rglob('*.py'))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, inside functions too."""
    package = ('ros2_gridsampler', *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(part for part in (base, node.module) if part)
            yield module
            yield from (f'{module}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'import_module':
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)


def folders_of(path: Path) -> set[str]:
    """The other folders of the package from which a file imports."""
    found = {name.split('.')[1] for name in imports(path) if name.startswith('ros2_gridsampler.')}
    return found & MAY_IMPORT.keys() - {path.relative_to(PACKAGE).parts[0]}


def test_the_graph_of_folders_is_that_of_the_disk_and_has_no_circle():
    on_disk = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert on_disk == MAY_IMPORT.keys()
    assert set(TopologicalSorter(MAY_IMPORT).static_order()) == on_disk


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_folders_that_its_own_may_import(path):
    own = path.relative_to(PACKAGE).parts[0]
    forbidden = folders_of(path) - set(MAY_IMPORT.get(own, ()))
    assert not forbidden, f'{own} must not import from {sorted(forbidden)}'


@pytest.mark.parametrize('folder', MAY_IMPORT)
def test_no_arrow_between_folders_is_allowed_that_nobody_uses(folder):
    used = set().union(*(folders_of(path) for path in (PACKAGE / folder).rglob('*.py')))
    assert used == set(MAY_IMPORT[folder])


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_foreign_library_stays_behind_its_door(path):
    here = str(path.relative_to(PACKAGE))
    for name in imports(path):
        root = name.split('.')[0]
        message = root.endswith(('_msgs', '_srvs'))
        doors = ROS if message else DOORS.get(root)
        assert doors is None or here.startswith(doors), f'{here} must not import {root}'


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_unpickled_or_evaluated(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = any(ast.unparse(k) == 'weights_only=True' for k in node.keywords)
            if called == 'torch.load' and safe and path.name == 'published_encoders.py':
                continue
            assert called not in ('eval', 'exec', 'torch.load', 'torch.save', 'pickle.load')


# What rclpy gives nobody, or gives in a way that one file repairs.
OF_RCLPY = {'take_message', 'send_response', 'srv_type', 'experimental', 'SignalHandlerOptions'}
AT_ROS = [path for path in FILES if str(path.relative_to(PACKAGE)).startswith(ROS)]


@pytest.mark.parametrize('path', AT_ROS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_file_alone_reaches_into_rclpy(path):
    reached = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            foreign = ast.unparse(node.value) not in ('self', 'cls', 'os', 'super()')
            private = node.attr.startswith('_') and not node.attr.startswith('__')
            reached |= {node.attr} if node.attr in OF_RCLPY or (private and foreign) else set()
    names = {name.split('.')[-1] for name in imports(path) if name.startswith('rclpy.')}
    reached |= names & OF_RCLPY
    assert bool(reached) == (path.name == 'rclpy_repairs.py'), reached


@pytest.mark.parametrize('folder', ['nodes', 'engines', 'benchmarks'])
def test_no_description_begins_in_the_middle_of_a_sentence(folder):
    for path in (PACKAGE / folder).rglob('*.py'):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            begun = re.search(r'(^\s+\w+: |""")(Of|Likewise|See there)\b', line)
            assert not begun, f'{path.name}:{number}: {line.strip()}'


def test_folders_hold_things_and_not_leftovers():
    names = {path.stem for path in PACKAGE.rglob('*')}
    assert not names & {'utils', 'util', 'common', 'core', 'helpers', 'misc'}
