# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a package index would hold: source and wheel, installed where nothing else is."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# With what is needed to convert nothing, train nothing and open no recording.
USES = """
import sys
from pathlib import Path
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.manifest import load_manifest

places = [Path(sys.modules['ros2_gridsampler'].__file__), find('models', 'libero_spatial')]
assert all(place.is_relative_to(sys.prefix) for place in places), places
load_arm(find('calibration', 'panda.yaml'))
load_manifest(places[1])
assert 'torch' not in sys.modules
print('used')
"""


def run(*command, cwd):
    kept = {n: v for n, v in os.environ.items() if n not in ('PYTHONPATH', 'AMENT_PREFIX_PATH')}
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env=kept, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Source and wheel; the wheel is built from the source."""
    copy, out = tmp_path_factory.mktemp('tree') / 'tree', tmp_path_factory.mktemp('built')
    ignored = shutil.ignore_patterns('.*', 'build', '*.egg-info', '__pycache__', 'site')
    shutil.copytree(ROOT, copy, ignore=ignored)
    run(sys.executable, '-m', 'build', '--outdir', out, copy, cwd=out)
    (source,), (wheel,) = out.glob('*.tar.gz'), out.glob('*.whl')
    return source, wheel


def test_source_and_wheel_hold_what_the_tree_holds(built):
    source, wheel = built
    with tarfile.open(source) as archive:
        in_source = {Path(*Path(name).parts[1:]).as_posix() for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
    code = {
        path.relative_to(ROOT).as_posix()
        for pattern in ('*.py', '*.xml', '*.html', 'py.typed')
        for path in (ROOT / 'ros2_gridsampler').rglob(pattern)
    }
    shared = {
        path.relative_to(ROOT).as_posix()
        for folder in (
            'launch/*.py',
            'calibration/*.yaml',
            'security/*.xml',
            'arms/*/*',
            'models/*/*.safetensors',
        )
        for path in ROOT.glob(folder)
    }
    assert len(code) > 200
    assert len(shared) > 20
    assert code <= in_source
    assert code <= set(in_wheel)
    assert shared <= in_source
    ends = {name.partition('/share/ros2_gridsampler/')[2] for name in in_wheel}
    assert shared <= ends
    for outside in ('test/', 'experiments/'):
        assert not any(name.startswith(outside) for name in (*in_source, *in_wheel))


def test_the_wheel_works_where_nothing_else_is(built, tmp_path):
    run(sys.executable, '-m', 'venv', tmp_path / 'new', cwd=tmp_path)
    python, command = (tmp_path / 'new/bin' / name for name in ('python', 'gridsampler'))
    run(python, '-m', 'pip', 'install', '--disable-pip-version-check', built[1], cwd=tmp_path)
    assert 'used' in run(python, '-c', USES, cwd=tmp_path)
    assert 'gridsampler' in run(command, '--help', cwd=tmp_path)
