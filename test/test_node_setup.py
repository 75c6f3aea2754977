# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A parameter is declared once; a node ends safely however it ends."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

from ros2_gridsampler.nodes.node_setup import (
    ENDS,
    BadParameter,
    declare_parameters,
    profile_variable,
    read_parameters,
)


@dataclass(frozen=True)
class Inner:
    """A group of parameters."""

    age: float = field(default=0.5, metadata={'help': 'Oldest', 'unit': 's', 'minimum': 0.0})


@dataclass(frozen=True)
class Everything:
    """One field of each kind."""

    rate: float = field(
        default=20.0, metadata={'help': 'How often', 'unit': 'Hz', 'minimum': 1.0, 'maximum': 50.0}
    )
    count: int = field(default=3, metadata={'help': 'How many', 'minimum': 1})
    name: str = ''
    active: bool = True
    topics: tuple[str, ...] = ()
    tasks: tuple[int, ...] = (0, 1)
    kind: Literal['a', 'b'] = 'a'
    fixed: str = field(default='x', metadata={'read_only': True})
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def make_node(ros_domain):
    """Makes nodes with parameter overrides."""
    import rclpy
    from rclpy.context import Context
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    nodes = []

    def make(**overrides):
        given = [Parameter(name.replace('__', '.'), value=v) for name, v in overrides.items()]
        node = rclpy.create_node(f'node_{len(nodes)}', context=context, parameter_overrides=given)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_defaults_of_the_dataclass_are_the_defaults_of_the_node(make_node):
    node = make_node()
    names = declare_parameters(node, Everything)
    assert read_parameters(node, Everything) == Everything()
    assert 'inner.age' in names


def test_what_is_given_at_the_start_is_read(make_node):
    node = make_node(rate=10.0, topics=['/a', '/b'], tasks=[4], kind='b', inner__age=0.1)
    declare_parameters(node, Everything)
    expected = Everything(
        rate=10.0, topics=('/a', '/b'), tasks=(4,), kind='b', inner=Inner(age=0.1)
    )
    assert read_parameters(node, Everything) == expected


def test_unit_bounds_and_help_can_be_described(make_node):
    node = make_node()
    declare_parameters(node, Everything)
    rate = node.describe_parameter('rate')
    assert rate.description == 'How often [Hz]'
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (
        1.0,
        50.0,
    )
    assert node.describe_parameter('count').integer_range[0].from_value == 1
    assert node.describe_parameter('fixed').read_only
    assert "'a', 'b'" in node.describe_parameter('kind').additional_constraints


@pytest.mark.parametrize(
    ('override', 'text'),
    [
        ({'rate': 100.0}, 'rate'),
        ({'rate': 20}, 'write rate:=15.0, not 15'),
        ({'count': 0}, 'count'),
        ({'inner__age': -1.0}, 'inner.age'),
        ({'topics': 'one'}, 'topics'),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(make_node, override, text):
    with pytest.raises(BadParameter, match=text):
        declare_parameters(make_node(**override), Everything)


def test_a_choice_that_does_not_exist_is_refused_with_the_choices(make_node):
    node = make_node(kind='c')
    declare_parameters(node, Everything)
    with pytest.raises(BadParameter, match=r"'c'; choose one of \['a', 'b'\]"):
        read_parameters(node, Everything)


PROGRAM = """
import signal, sys, time
from rclpy.node import Node
from ros2_gridsampler.nodes.node_setup import ENDS, Refused, run

class Example(Node):
    finished = False
    def __init__(self):
        super().__init__('example')
        self.create_timer(0.05, self.act)
        if sys.argv[1] == 'build':
            self.commanding = False
        if sys.argv[1] == 'move':
            self.commanding = True
        print('running', flush=True)
    def act(self):
        if sys.argv[1] == 'fail':
            raise RuntimeError('an arm may be moving')
        if sys.argv[1] == 'refuse':
            raise Refused('Write something else.')
        if sys.argv[1] == 'build deaf':
            # Another thread takes the signal, and nothing cuts the sleep short.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        if sys.argv[1] in ('build', 'build without arm', 'build deaf'):
            print('building', flush=True)
            time.sleep(3600)
        if sys.argv[1] == 'talk':
            for _ in range(1000):
                self.get_logger().warning('nobody reads this ' * 30)
        self.finished = sys.argv[1].startswith('finish')
    def stop(self):
        time.sleep(6.0 if sys.argv[1] in ('move', 'write') else 0.5)
        assert self.context.ok(), 'publishers must still work'
        self.get_logger().info('stopped')

if sys.argv[1] == 'finish on an old rclpy':
    sys.modules['rclpy.experimental'] = None
raise SystemExit(run(Example))
"""


@pytest.fixture
def run_program(ros_domain, tmp_path):
    """Starts the example as a process."""
    path = tmp_path / 'program.py'
    path.write_text(PROGRAM)

    def start(job, ignored=None, **environment):
        removed = [name for name, value in environment.items() if value is None]
        env = {**os.environ, **environment}
        return subprocess.Popen(
            [sys.executable, str(path), job],
            env={name: value for name, value in env.items() if name not in removed},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=ignored and (lambda: signal.signal(ignored, signal.SIG_IGN)),
        )

    return start


@pytest.mark.parametrize(
    ('job', 'code', 'text'),
    [
        ('finish', 0, 'stopped'),
        ('fail', 1, 'Stopped after RuntimeError: an arm may be moving'),
        ('refuse', 1, 'Write something else.'),
    ],
)
def test_a_node_is_stopped_while_it_can_still_publish(run_program, job, code, text):
    process = run_program(job)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert text in output
    assert 'stopped' in output
    assert ('Traceback' in output) == (job == 'fail')


def test_nobody_waits_for_whoever_reads_the_log(run_program):
    process = run_program('talk')
    assert process.stdout.readline().strip() == 'running'
    # Long after the pipe and what is kept for this end are full.
    time.sleep(3.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    kept = process.communicate()[0]
    assert 'nobody reads this' in kept


def test_a_service_manager_that_ends_everything_hears_the_last_words(run_program):
    process = run_program('wait')
    assert process.stdout.readline().strip() == 'running'
    for child in Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split():
        os.kill(int(child), signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert 'stopped' in process.communicate(timeout=30)[0]
    assert process.returncode == 0


def test_a_node_may_outlive_its_terminal(run_program):
    process = run_program('wait', ignored=signal.SIGHUP)
    assert process.stdout.readline().strip() == 'running'
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    process.send_signal(signal.SIGINT)
    assert 'stopped' in process.communicate(timeout=30)[0]
    assert process.returncode == 0


@pytest.mark.parametrize('number', ENDS)
def test_a_second_signal_does_not_cut_the_stop_short(run_program, number):
    process = run_program('wait')
    assert process.stdout.readline().strip() == 'running'
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.25)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'stopped' in output


@pytest.mark.parametrize('job', ['build', 'build without arm', 'build deaf'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_in_the_middle_of_a_long_callback(run_program, job, number):
    process = run_program(job)
    assert process.stdout.readline().strip() == 'running'
    assert process.stdout.readline().strip() == 'building'
    process.send_signal(number)
    # The callback goes on for an hour.
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'Ended by a signal in the middle of something; nothing moves.' in output


@pytest.mark.parametrize('job', ['move', 'write'])
def test_a_stop_that_takes_long_is_waited_for(run_program, job):
    process = run_program(job)
    assert process.stdout.readline().strip() == 'running'
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'stopped' in output


def test_a_node_starts_without_a_home(run_program):
    process = run_program('finish', HOME=None, ROS_LOG_DIR=None, ROS_HOME=None)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output


def test_an_rclpy_without_the_cheap_executor_will_do_and_is_named(run_program):
    process = run_program('finish on an old rclpy')
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'no EventsExecutor' in output
    assert 'stopped' in output


def test_a_private_domain_is_given_back(monkeypatch):
    from ros2_gridsampler.nodes.private_domain import private_domain

    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE', raising=False)
    with private_domain() as first, private_domain() as second:
        assert first != second
        assert os.environ['ROS_DOMAIN_ID'] == str(second)
        assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    # A later node of this process would be in a domain that another process may have by now.
    assert os.environ['ROS_DOMAIN_ID'] == '7'
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in os.environ


@pytest.mark.parametrize(
    ('version', 'variable'),
    [
        ('6.2.7', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('8.4.3', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('9.3.3', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('10.0.0', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        (None, 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_fast_dds_is_told_its_profiles_by_the_variable_of_its_distribution(
    version, variable, tmp_path, monkeypatch
):
    if version:
        package = tmp_path / 'share/rmw_fastrtps_shared_cpp/package.xml'
        package.parent.mkdir(parents=True)
        package.write_text(f'<package format="2">\n  <version>{version}</version>\n</package>\n')
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'none'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/no/such/prefix{os.pathsep}{tmp_path}')
    assert profile_variable() == variable


def test_the_rclpy_of_humble_is_refused_in_a_sentence(tmp_path):
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy/__init__.py').write_text("raise AssertionError('it is not imported')\n")
    ran = subprocess.run(
        [sys.executable, '-c', 'import ros2_gridsampler.nodes.policy_node'],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{Path(__file__).parents[1]}'},
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f'ImportError: The rclpy in {tmp_path}/rclpy is that of ROS 2 Humble')
    assert 'run on Jazzy and Kilted' in last
