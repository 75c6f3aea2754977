# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 domain of its own for every process that runs tests, found fast and left clean."""

import functools
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is up to whoever else uses the machine.
settings.register_profile('no_deadline', deadline=None)
settings.load_profile('no_deadline')

# Two threads on a busy machine of two cores wait for each other: twenty times slower.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Of a fleet on one machine, rmw_fastrtps finds the first 32 participants alone by LOCALHOST.
DISCOVERY = 'LOCALHOST' if int(os.environ.get('GRIDSAMPLER_FLEET', '0')) < 26 else 'SUBNET'
SHARED_DATA = Path(__file__).resolve().parents[1] / 'shared/data'


@pytest.fixture(scope='session')
def ros_domain(tmp_path_factory):
    """Environment for this process and the nodes it starts; none of it reaches other machines."""
    pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
    coordinator = pytest.importorskip('domain_coordinator')
    from ros2_gridsampler.nodes.node_setup import prepare_process

    with coordinator.domain_id() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', DISCOVERY)
        patch.setenv('ROS_LOG_DIR', str(tmp_path_factory.mktemp('ros_log')))
        if not os.environ.get('AMENT_PREFIX_PATH'):
            patch.setenv('AMENT_PREFIX_PATH', sys.prefix)
        # Child processes use this tree, whether or not it is installed.
        patch.setenv('PYTHONPATH', str(Path(__file__).parent), prepend=os.pathsep)
        for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
            # Set by prepare_process; recorded here so that they are taken back.
            patch.setenv(name, '')
            patch.delenv(name)
        prepare_process()
        yield domain


@pytest.fixture(scope='session', autouse=True)
def exports_are_not_traced():
    """Coverage sees engines/ call the exporters, and not the million calls that they make.

    Under Python 3.11's tracer an export takes several times as long. On the way it runs the
    network, whose own code is not measured.
    """
    if sys.gettrace() is None:
        yield
        return
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.export, 'export', _untraced(torch.export.export))
        patch.setattr(torch.onnx, 'export', _untraced(torch.onnx.export))
        yield


def _untraced(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(tracer)

    return call


@pytest.fixture
def shared_bag():
    """Finds a recording of a real robot; skips where it is not there."""

    def find(name):
        bag = SHARED_DATA / 'bags' / name
        if not bag.exists():
            pytest.skip(f'{bag} is not here: the real recordings are not part of this repository')
        return bag

    return find


@pytest.fixture
def shared_data():
    """Finds an odd recording or dataset; skips where it is not there."""

    def find(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f'{path} is not here: it is not part of this repository')
        return path

    return find


@pytest.fixture
def full_disk():
    """Makes a file one whose disk is always full."""

    def put(path):
        if not os.path.exists('/dev/full'):
            pytest.skip('/dev/full is not here: no disk that is always full')
        path.unlink(missing_ok=True)
        path.symlink_to('/dev/full')

    return put


@pytest.fixture
def watcher(ros_domain):
    """Another process's view of the nodes under test."""
    from ros_watcher import Watcher

    watching = Watcher()
    yield watching
    watching.close()


@pytest.fixture
def start_node(ros_domain, tmp_path):
    """Starts nodes as processes of their own and ends those that a failed test leaves."""
    from ros_watcher import NodeProcess

    running = []

    def start(module, *arguments, **parameters):
        process = NodeProcess(module, arguments, parameters, tmp_path / f'{len(running)}.log')
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
