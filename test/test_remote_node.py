# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node with its policy on a server, over DDS and loopback: all of them processes."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from policies import tiny_policy

pytest.importorskip('msgpack', reason="pip install 'ros2_gridsampler[remote]'")
pytest.importorskip('websockets', reason="pip install 'ros2_gridsampler[remote]'")
from ros2_gridsampler.policy.checkpoint import save_checkpoint

NODE = 'ros2_gridsampler.nodes.policy_node'
PARAMETERS = {
    'arm': 'panda',
    'camera_topics': '[/front/image, /wrist/image]',
    'gripper_joints': '[finger]',
}


@pytest.fixture
def checkpoint(tmp_path):
    """A tiny policy that always wants to go up at about 0.1 m/s, in chunks of 2 s."""
    policy = tiny_policy(steps=40)
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    return tmp_path / 'policy'


class Served:
    """`gridsampler serve` as a process."""

    def __init__(self, checkpoint, log, port=0):
        command = [sys.executable, '-m', 'ros2_gridsampler.command_line', 'serve']
        command += [str(checkpoint), '--port', str(port), '--backend', 'eager']
        self.log = log
        with log.open('wb') as stream:
            self.process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + 180
        while not (found := re.search(r'served at (ws://\S+:(\d+)) ', log.read_text())):
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        self.address, self.port = found[1], int(found[2])

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def serve(ros_domain, checkpoint, tmp_path):
    running = []

    def start(port=0):
        running.append(Served(checkpoint, tmp_path / f'served{len(running)}.log', port))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def arm(watcher):
    from ros_watcher import FakeArm

    return FakeArm(watcher)


@pytest.fixture
def twists(watcher):
    """Name of a node -> the list that its twists are appended to."""
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import ALL

    from ros2_gridsampler.acting.command_message import read_twist

    def listen(name):
        seen = []
        watcher.node.create_subscription(
            TwistStamped,
            f'/{name}/twist_command',
            lambda message: seen.append(read_twist(message, 'panda_link0')),
            ALL,
        )
        return seen

    return listen


@pytest.fixture
def diagnostics(watcher):
    """Name of a status -> its newest message and values."""
    from diagnostic_msgs.msg import DiagnosticArray

    from ros2_gridsampler.nodes.topics import STATE

    newest = {}

    def store(array):
        for status in array.status:
            newest[status.name] = (status.message, {v.key: v.value for v in status.values})

    watcher.node.create_subscription(DiagnosticArray, '/diagnostics', store, STATE)
    return newest


def moves(twists):
    return len(twists) > 3 and all(twist[2] > 0.05 for twist in twists[-3:])


def holds(twists):
    return len(twists) > 3 and not any(twist.any() for twist in twists[-3:])


def chunks(messages):
    """Capture stamp -> the numbers of a chunk."""
    return {
        (m.header.stamp.sec, m.header.stamp.nanosec): np.array(
            [[*point.positions, *point.velocities] for point in m.points]
        )
        for m in messages
    }


@pytest.mark.timeout(600)
def test_a_served_policy_commands_what_it_commands_where_it_is_opened_here(
    serve, start_node, checkpoint, arm, watcher, twists
):
    from trajectory_msgs.msg import JointTrajectory

    server = serve()
    seen, predicted, nodes = {}, {}, {}
    for name, policy in (('here', checkpoint), ('there', server.address)):
        seen[name] = twists(name)
        predicted[name] = watcher.collect(JointTrajectory, f'/{name}/action_chunk')
        more = {'backend': 'eager'} if name == 'here' else {}
        renamed = ('-r', f'__node:={name}', '-r', '~/instruction:=/instruction')
        nodes[name] = start_node(NODE, *renamed, policy=policy, **PARAMETERS, **more)
    arm.say('Lift the cup.')

    def both():
        return chunks(predicted['here']).keys() & chunks(predicted['there']).keys()

    watcher.until(lambda: len(both()) > 10 and all(map(moves, seen.values())), nodes['there'])
    here, there = (chunks(predicted[name]) for name in ('here', 'there'))
    for stamp in both():
        assert here[stamp].any()
        np.testing.assert_allclose(there[stamp], here[stamp], rtol=1e-6, atol=1e-6)
    settled = [np.array(seen[name][-3:]) for name in ('here', 'there')]
    np.testing.assert_allclose(settled[0], settled[1], atol=0.02)
    assert nodes['there'].end(signal.SIGINT) == 0, nodes['there'].text
    assert server.end(signal.SIGINT) == 130, server.log.read_text()
    assert 'Traceback' not in server.log.read_text() + nodes['there'].text


@pytest.mark.timeout(600)
def test_an_arm_whose_server_dies_holds_says_so_and_goes_on_when_it_is_back(
    serve, start_node, arm, watcher, twists, diagnostics
):
    server, seen = serve(), twists('policy_node')
    node = start_node(
        NODE, '-r', '~/instruction:=/instruction', policy=server.address, **PARAMETERS
    )
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(seen), node)
    assert server.end(signal.SIGTERM) == 143
    watcher.until(lambda: holds(seen), node)

    def named():
        message, _ = diagnostics.get('/policy_node', ('', {}))
        return f'The server at {server.address}' in message

    watcher.until(named, node)
    _, numbers = diagnostics['/policy_node: server']
    assert int(numbers['late or refused answers']) > 0
    serve(server.port)
    watcher.until(lambda: moves(seen), node)
    changes = np.linalg.norm(np.diff([twist[:3] for twist in seen], axis=0), axis=1)
    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find

    limits = load_arm(find('calibration', 'panda', '.yaml')).end_effector
    assert (changes <= limits.max_acceleration / 50 + 1e-9).all()
    assert node.end(signal.SIGINT) == 0, node.text
    assert 'Traceback' not in node.text


@pytest.mark.timeout(600)
def test_ctrl_c_does_not_wait_for_a_server_that_does_not_answer(
    serve, start_node, arm, watcher, twists
):
    server, seen = serve(), twists('policy_node')
    node = start_node(
        NODE, '-r', '~/instruction:=/instruction', policy=server.address, **PARAMETERS
    )
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(seen), node)
    server.process.send_signal(signal.SIGSTOP)
    watcher.until(lambda: holds(seen), node)
    assert node.end(signal.SIGINT) == 0, node.text
    watcher.spin(0.3)
    assert not any(twist.any() for twist in seen[-4:])
    assert 'Ended by a signal in the middle of something' not in node.text
    assert 'Traceback' not in node.text


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'policy': 'ws://127.0.0.1:9'}, 'cannot be reached'),
        ({'policy': 'ws://127.0.0.1:9', 'backend': 'eager'}, 'computes as it was started'),
        ({'policy': 'ws://127.0.0.1:9', 'encoder': 'x'}, 'A policy server keeps its encoder'),
        ({'policy': 'ws://127.0.0.1:9', 'remote_robot': '/no.yaml'}, '/no.yaml'),
        ({'policy': 'libero_spatial', 'remote_robot': 'x.yaml'}, 'is for policies at ws://'),
    ],
)
def test_configure_refuses_what_cannot_be_in_one_sentence(parameters, reason, start_node):
    node = start_node(NODE, **{**PARAMETERS, **parameters})
    assert node.wait() == 1
    assert reason in node.text
    assert 'Traceback' not in node.text


def test_a_node_that_cannot_be_configured_leaves_no_client_at_the_server(watcher):
    from rclpy.parameter import Parameter
    from test_remote_policy import deploy

    from ros2_gridsampler.nodes.policy_node import PolicyNode
    from ros2_gridsampler.vla.policy_server import MAX_CLIENTS, PolicyServer

    with PolicyServer(deploy(tiny_policy(steps=40)), port=0) as server:
        given = {
            'policy': server.address,
            'arm': 'panda',
            'camera_topics': ['/front/image'],
            'gripper_joints': ['finger'],
            'autostart': False,
        }
        node = PolicyNode(
            context=watcher.context,
            namespace='refused',
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        try:
            for _ in range(MAX_CLIENTS + 1):
                node.trigger_configure()
                assert 'name one topic per camera' in node._refusal
            deadline = time.monotonic() + 60
            while server._clients:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            node.stop()
            node.destroy_node()
