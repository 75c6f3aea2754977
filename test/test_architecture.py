# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The import order is the pipeline; a foreign library stays behind its own door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'ros2_gridsampler'
STAGES = (
    'flop_count',
    'bounds',
    'opencv',
    'structured_file',
    'whole_file',
    'camera_message',
    'calibration',
    'arm_limits',
    'stream_health',
    'sample_stream',
    'stream_budget',
    'observation',
    'camera_streams',
    'observation_buffer',
    'camera_record',
    'instruction',
    'action_chunk',
    'action_prefix',
    'policy_config',
    'prediction',
    'golden_observation',
    'manifest',
    'encoder',
    'grid_sampler',
    'point_locator',
    'token_merging',
    'token_learner',
    'token_reducers',
    'trunk',
    'action_head',
    'continuing_head',
    'flow_head',
    'policy',
    'sampled_points',
    'checkpoint',
    'encoder_checkpoint',
    'backends',
    'chunk_schedule',
    'stopping',
    'safety_filter',
    'twist_safety_filter',
    'grip_watch',
    'commanded_motion',
    'controller',
    'limit_excess',
    'command_message',
    'latency',
    'installed_files',
    'stop_request',
    'limit_stress',
)
# A folder may use the stages and the folders before it.
FOLDERS = (
    'costs',
    'calibrating',
    'swapping',
    'plugins',
    'simulation',
    'recordings',
    'training',
    'nodes',
    'command_line',
)
ORDER = (*STAGES, *FOLDERS)
DOORS = {
    'rosbags': ('recordings/',),
    'mcap': ('recordings/',),
    'pyarrow': ('recordings/',),
    'av': ('recordings/',),
    'distributed': ('recordings/',),
    'rclpy': ('nodes/',),
    'libero': ('simulation/',),
    'robosuite': ('simulation/',),
    'mujoco': ('simulation/',),
    'openvino': ('engines/openvino.py',),
    'onnxruntime': ('engines/onnxruntime.py',),
    'tensorrt': ('engines/tensorrt.py',),
    'transformers': ('plugins/',),
    'lerobot': ('plugins/',),
    'peft': ('plugins/',),
    'torch_tensorrt': ('engines/tensorrt.py',),
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


def place(path: Path) -> str:
    """The stage or folder that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_what_comes_before_it(path):
    if path == PACKAGE / '__init__.py':
        return
    own = place(path)
    assert own in ORDER, f'{own} has no place in the pipeline yet'
    for name in imports(path):
        parts = name.split('.')
        if parts[0] == 'ros2_gridsampler' and len(parts) > 1 and parts[1] in ORDER:
            later = ORDER.index(parts[1]) > ORDER.index(own)
            assert not later, f'{own} imports {parts[1]}, which comes later'


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_runs_on_an_arm_imports_neither_faults_nor_benchmarks(path):
    own = path.relative_to(PACKAGE).parts
    if own[0] != 'nodes':
        return
    # Benchmarks may use the bench of the faults, and nobody the other way.
    later = {'faults': ('benchmarks',), 'benchmarks': ()}.get(own[1], ('faults', 'benchmarks'))
    for name in imports(path):
        for folder in later:
            package = f'ros2_gridsampler.nodes.{folder}'
            assert not f'{name}.'.startswith(f'{package}.'), f'{own[1]} imports {name}'


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_foreign_library_stays_behind_its_door(path):
    here = str(path.relative_to(PACKAGE))
    for name in imports(path):
        root = name.split('.')[0]
        doors = (
            ('nodes/',) if root.endswith('_msgs') or root.endswith('_srvs') else DOORS.get(root)
        )
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


def test_folders_hold_things_and_not_leftovers():
    names = {path.stem for path in PACKAGE.rglob('*')}
    assert not names & {'utils', 'util', 'common', 'core', 'helpers', 'misc'}
