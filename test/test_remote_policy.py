# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy over loopback: right answers are those of the policy here, all others are refused."""

import contextlib
import dataclasses
import http.client
import re
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('msgpack', reason="pip install 'ros2_gridsampler[remote]'")
pytest.importorskip('websockets', reason="pip install 'ros2_gridsampler[remote]'")
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.command_line.check_command import check, serve
from ros2_gridsampler.files import structure
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.vla.array_messages import decode_message, encode_message
from ros2_gridsampler.vla.deployed_policy import DeployedPolicy
from ros2_gridsampler.vla.policy_client import MAX_ANSWER, RemoteFailed
from ros2_gridsampler.vla.policy_server import MAX_CLIENTS, PolicyServer, describe_robot
from ros2_gridsampler.vla.remote_policy import load_remote
from ros2_gridsampler.vla.remote_robot import RemoteConfig, RemoteRobot, load_remote_robot
from ros2_gridsampler.vla.robot import Units, pose_of, state_vector

TWIST = ActionSpace('end_effector_twist', TWIST_NAMES, 'panda_link0')
JOINTS = ('shoulder', 'elbow')


def deploy(policy):
    """A policy that can be served."""
    example = golden_observation(policy.config)
    return DeployedPolicy(
        policy.config, policy, example, None, {'policy': 'tiny'}, lambda text: None
    )


class Liar(PolicyServer):
    """Answers as its `lie` says; rightly where there is none."""

    lie = None

    def answer(self, message):
        right = super().answer(message)
        return right if self.lie is None else self.lie(right)


@pytest.fixture
def deployed():
    return deploy(tiny_policy(steps=40))


@pytest.fixture
def server(deployed):
    with Liar(deployed, port=0) as serving:
        yield serving


@pytest.fixture
def remote(server):
    opened = load_remote(server.address)
    yield opened
    opened.elsewhere.close()


def asked_again(remote, example):
    """The chunk of a policy that may first have to wait before it connects again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return remote.backend.predict(example).chunk
        except RemoteFailed:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def actions(change):
    """A lie about the actions of a right answer."""

    def lie(right):
        return encode_message({'actions': change(decode_message(right)['actions'])})

    return lie


def with_one(number):
    def change(right):
        changed = right.copy()
        changed[3, 1] = number
        return changed

    return actions(change)


def raw(claim):
    """An answer whose actions are a claim that `encode_message` would not write."""
    import msgpack

    return lambda right: msgpack.packb({'actions': {b'__ndarray__': True, **claim}})


OBJECTS = raw({b'data': b'\x80\x04N.', b'dtype': '|O', b'shape': [1]})
TOO_LARGE = raw({b'data': bytes(MAX_ANSWER + 1), b'dtype': '|u1', b'shape': [MAX_ANSWER + 1]})
LIES = {
    'NaN': (with_one(np.nan), 'no arm can follow'),
    'infinite': (with_one(-np.inf), 'no arm can follow'),
    'too few actions': (actions(lambda right: right[:, :6]), 'expected steps of 7 numbers'),
    'no steps': (actions(lambda right: right[:0]), 'expected steps of 7 numbers'),
    'one dimension': (actions(lambda right: right[0]), 'expected steps of 7 numbers'),
    'a batch': (actions(lambda right: right[None]), 'expected steps of 7 numbers'),
    'fewer steps': (actions(lambda right: right[:7]), 'gave a chunk of 7 steps; at configure it'),
    'too many steps': (actions(lambda right: np.zeros((3000, 7))), 'at most 2000'),
    'words': (actions(lambda right: [['up'] * 7] * 40), 'has to hold numbers'),
    'no actions': (lambda right: encode_message({'action': 1}), "no 'actions'"),
    'no map': (lambda right: b'\x01', 'A message is a map'),
    'garbage': (lambda right: b'\xc1garbage', 'cannot be read'),
    'objects': (OBJECTS, "dtype '|O' is not one of"),
    'half an answer': (lambda right: right[: len(right) // 2], 'cannot be read'),
    'too large': (TOO_LARGE, 'broke the connection off'),
    'a traceback': (
        lambda right: 'Traceback (most recent call last):\n  File "x"\nKeyError: 1\n',
        'answered with an error: KeyError: 1;',
    ),
    'empty text': (lambda right: '', 'answered with an error: nothing;'),
}


def test_a_remote_policy_gives_the_chunks_of_the_policy_that_is_served(deployed, remote):
    example = dataclasses.replace(deployed.example, time=12.5, pose=pose_of(np.full(6, 0.3)))
    here, there = (p.backend.predict(example).chunk for p in (deployed, remote))
    np.testing.assert_allclose(there.targets, here.targets, rtol=0, atol=1e-6)
    assert (there.start_time, there.period) == (12.5, here.period)
    assert remote.config.observation == deployed.config.observation
    assert remote.config.action_space == deployed.config.action_space
    assert remote.elsewhere.wrong == ''


def test_a_served_policy_goes_on_from_the_steps_under_way(deployed, remote):
    own = deploy(tiny_policy(head='continuing', steps=40))
    prefix = np.linspace(-0.05, 0.05, 21).reshape(3, 7)
    with PolicyServer(own, port=0) as server:
        opened = load_remote(server.address)
        assert opened.config.continues
        here = own.backend.predict(own.example, prefix).chunk.targets
        there = opened.backend.predict(own.example, prefix).chunk.targets
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-6)
        np.testing.assert_allclose(there[:3], prefix, atol=1e-6)
        for wrong in (np.zeros((2, 6)), np.full((2, 7), np.nan), np.zeros((40, 7)), np.zeros(7)):
            with pytest.raises(RemoteFailed, match='answered with an error'):
                opened.backend.predict(own.example, wrong)
            asked_again(opened, own.example)
        opened.elsewhere.close()
    assert not remote.config.continues
    with pytest.raises(ValueError, match='give no prefix'):
        remote.backend.predict(deployed.example, prefix)


@pytest.mark.parametrize('name', LIES)
def test_a_lie_is_refused_with_the_reason_and_the_next_right_answer_is_taken(
    name, server, remote, deployed
):
    lie, reason = LIES[name]
    server.lie = lie
    with pytest.raises(ValueError, match=r'^[A-Z\']') as refused:
        remote.backend.predict(deployed.example)
    assert reason in str(refused.value)
    assert remote.elsewhere.wrong == str(refused.value)
    server.lie = None
    chunk = asked_again(remote, deployed.example)
    right = deployed.backend.predict(deployed.example).chunk
    np.testing.assert_allclose(chunk.targets, right.targets, rtol=0, atol=1e-6)
    assert remote.elsewhere.wrong == ''


def test_an_answer_that_comes_too_late_is_never_taken_for_that_of_another_request(
    server, remote, deployed
):
    stalled = threading.Event()

    def stall(right):
        stalled.wait(60)
        return encode_message({'actions': np.full((40, 7), 9.0)})

    server.lie = stall
    with pytest.raises(RemoteFailed, match=r'did not answer within 1\.95 s'):
        remote.backend.predict(deployed.example)
    server.lie = None
    stalled.set()
    chunk = asked_again(remote, deployed.example)
    assert np.abs(chunk.targets).max() < 9
    assert remote.elsewhere.numbers['connections'] == 2


def test_a_second_answer_to_one_question_ends_the_connection(server, remote, deployed):
    def twice(right):
        (connection,) = server._clients
        connection.send(encode_message({'actions': np.full((40, 7), 9.0)}))
        return right

    server.lie = twice
    remote.backend.predict(deployed.example)
    server.lie = None
    time.sleep(0.2)
    with pytest.raises(RemoteFailed, match='nobody had asked for'):
        remote.backend.predict(deployed.example)
    assert np.abs(asked_again(remote, deployed.example).targets).max() < 9


def test_a_server_that_dies_in_the_middle_is_found_again_when_it_is_back(deployed):
    with Liar(deployed, port=0) as first:
        port = int(first.address.rpartition(':')[2])
        remote = load_remote(first.address)
        first.lie = lambda right: first.close() or right
    with pytest.raises(RemoteFailed, match='it is tried again'):
        remote.backend.predict(deployed.example)
    refused = 0
    for _ in range(20):
        begin = time.monotonic()
        with pytest.raises(RemoteFailed):
            remote.backend.predict(deployed.example)
        refused += time.monotonic() - begin < 0.05
    assert refused > 10, 'most do not even try: each failure doubles the pause'
    with PolicyServer(deployed, port=port):
        right = deployed.backend.predict(deployed.example).chunk
        chunk = asked_again(remote, deployed.example)
        np.testing.assert_allclose(chunk.targets, right.targets, rtol=0, atol=1e-6)
    remote.elsewhere.close()


def test_a_server_that_comes_back_for_another_robot_or_policy_is_not_followed(deployed):
    other = tiny_policy(steps=40)
    turned = dataclasses.replace(other.config, joints=('thumb',))
    strange = {
        'another robot': dataclasses.replace(deployed, config=turned),
        'another policy': dataclasses.replace(deployed, about={'weights sha256': 'abc'}),
    }
    with PolicyServer(deployed, port=0) as first:
        port = int(first.address.rpartition(':')[2])
        remote = load_remote(first.address)
    for what, serving in strange.items():
        with PolicyServer(serving, port=port):
            deadline, told = time.monotonic() + 60, remote.elsewhere.numbers
            while (
                remote.elsewhere.numbers['connections'] == told['connections']
                or 'configure' not in remote.elsewhere.wrong
            ):
                assert time.monotonic() < deadline, what
                with pytest.raises(ValueError, match='server'):
                    remote.backend.predict(deployed.example)
                time.sleep(0.02)
            assert 'serves another policy' in remote.elsewhere.wrong
    with PolicyServer(deployed, port=port):
        asked_again(remote, deployed.example)
    remote.elsewhere.close()


def test_what_a_client_cannot_do_is_not_served_in_silence(deployed):
    reads_more = dataclasses.replace(deployed.config.observation, earlier=1, earlier_period=0.05)
    averages = types.SimpleNamespace(
        **{
            name: getattr(deployed.config, name)
            for name in ('cameras', 'action_space', 'period', 'continues')
        },
        observation=deployed.config.observation,
        ensemble_decay=0.2,
    )
    with pytest.raises(ValueError, match='reads 2 observations at once.* on this machine'):
        describe_robot(types.SimpleNamespace(**{**vars(averages), 'observation': reads_more}))
    robot = describe_robot(averages)
    assert RemoteConfig(robot, 40).ensemble_decay == 0.2
    assert describe_robot(deployed.config).ensemble_decay is None


def test_an_interruption_ends_a_call_at_once_and_resuming_takes_it_back(server, remote, deployed):
    asked, released = threading.Event(), threading.Event()

    def stall(right):
        asked.set()
        released.wait(60)
        return right

    server.lie = stall
    ended = []

    def predict():
        with pytest.raises(RemoteFailed):
            remote.backend.predict(deployed.example)
        ended.append(released.is_set())

    thread = threading.Thread(target=predict)
    thread.start()
    assert asked.wait(60)
    remote.elsewhere.interrupt()
    thread.join(60)
    assert ended == [False], 'it ended before the server answered'
    with pytest.raises(RemoteFailed, match='the node is stopping'):
        remote.backend.predict(deployed.example)
    released.set()
    server.lie = None
    remote.elsewhere.resume()
    assert remote.elsewhere.wrong == ''
    assert len(asked_again(remote, deployed.example).targets) == 40


def test_a_chunk_that_cannot_cover_the_round_trip_is_refused_with_both_figures(deployed, server):
    server.lie = lambda right: time.sleep(0.3) or actions(lambda a: a[:10])(right)
    with pytest.raises(ValueError, match=r'takes 0\.\d+ s .* chunks last 0\.450 s \(10 steps'):
        load_remote(server.address)


def test_where_time_stands_still_a_slow_server_is_waited_for(deployed, server):
    server.lie = lambda right: time.sleep(0.6) or actions(lambda a: a[:10])(right)
    remote = load_remote(server.address, waits=True)
    assert remote.config.duration < 0.6
    assert len(remote.backend.predict(deployed.example).chunk.targets) == 10
    remote.elsewhere.close()


def test_a_round_trip_that_grows_later_is_named(server, remote, deployed):
    server.lie = lambda right: time.sleep(1.1) or right
    for _ in range(10):
        remote.backend.predict(deployed.example)
    assert 'two answers have to come in that time' in remote.elsewhere.wrong
    assert remote.elsewhere.numbers['round trip, longest lately'] > 1100


@pytest.mark.parametrize(
    'address',
    ['ws://', 'ws:///x', 'wss://a:b', 'ws://a:99999999', 'ws://a..b:1', f'ws://{64 * "a"}:1'],
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match='write ws://HOST:PORT'):
        load_remote(address)


def test_a_robot_that_asks_a_server_needs_no_pytorch(server):
    code = """
import sys
sys.modules['torch'] = None
from ros2_gridsampler.nodes import policy_parameters
from ros2_gridsampler.vla.remote_policy import load_remote
remote = load_remote(sys.argv[1])
print(len(remote.backend.predict(remote.example).chunk.targets))
remote.elsewhere.close()
"""
    command = [sys.executable, '-c', code, server.address]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, '40'), ran.stderr


@pytest.mark.parametrize('library', ['msgpack', 'websockets'])
def test_a_missing_library_is_named_with_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"needs {library}, .* 'ros2_gridsampler\[remote\]'"):
        load_remote('ws://127.0.0.1:9')


def test_a_server_that_is_not_there_or_says_nothing_is_refused(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RemoteFailed, match='does not accept a connection'):
            load_remote(f'ws://127.0.0.1:{port}')
    with pytest.raises(RemoteFailed, match='cannot be reached'):
        load_remote(f'ws://127.0.0.1:{port}')


def test_a_server_that_does_not_say_for_which_robot_it_is_needs_a_file(server):
    server._metadata = encode_message({'name': 'pi0'})
    with pytest.raises(ValueError, match='name that as remote_robot'):
        load_remote(server.address)


def test_a_robot_that_a_server_describes_wrongly_is_refused(server):
    server._metadata = encode_message({'ros2_gridsampler': {'robot': {'cameras': {}}}})
    with pytest.raises(ValueError, match='words that are not known here'):
        load_remote(server.address)


# What a server of another maker is told.
LIBERO = RemoteRobot(
    {'front': 'observation/image', 'wrist': 'observation/wrist_image'},
    (64, 48),
    ('left', 'right'),
    TWIST,
    0.05,
    uses_pose=True,
    picture=(32, 32),
    flipped={'wrist': 'both'},
    action=Units((0.27,) * 3 + (2.7,) * 3 + (-0.04,), (0.0,) * 6 + (0.04,)),
)
DROID = RemoteRobot(
    {'front': 'observation/exterior_image_1_left'},
    (32, 32),
    (*JOINTS, 'jaw'),
    ActionSpace('joint_position', (*JOINTS, 'jaw')),
    0.1,
    picture=(32, 32),
    state=Units((1.0, 1.0, 0.04), (0.0, 0.0, 0.0)),
    state_keys={'observation/joint_position': 2, 'observation/gripper_position': 1},
    velocities=JOINTS,
)


def test_pictures_get_borders_and_are_mirrored_and_the_state_is_that_of_openpi():
    seen = dataclasses.replace(LIBERO.example(), joints=np.array([0.01, -0.02]))
    assert LIBERO.preparation('front') == ImagePreparation(32, 24)
    message = LIBERO.message(seen)
    assert set(message) == {*LIBERO.cameras.values(), 'observation/state', 'prompt'}
    picture, wrist = message['observation/image'], message['observation/wrist_image']
    assert picture.shape == wrist.shape == (32, 32, 3)
    assert not picture[:4].any()
    assert not picture[-4:].any()
    np.testing.assert_array_equal(picture[4:-4], seen.images['front'])
    np.testing.assert_array_equal(wrist[4:-4], seen.images['wrist'][::-1, ::-1])
    np.testing.assert_array_equal(message['observation/state'], state_vector(seen))
    assert decode_message(encode_message(message)).keys() == message.keys()


def test_actions_of_other_units_are_physical_and_begin_when_the_picture_was_taken():
    seen = dataclasses.replace(LIBERO.example(), time=7.0)
    answer = {'actions': np.array([[1.0, 0, 0, 0, 0, -1, 1], [0, 1, 0, 0, 0, 0, -1]])}
    chunk = LIBERO.chunk(answer, seen)
    assert chunk.start_time == 7.0
    np.testing.assert_allclose(chunk.targets[0], [0.27, 0, 0, 0, 0, -2.7, 0])
    np.testing.assert_allclose(chunk.targets[1], [0, 0.27, 0, 0, 0, 0, 0.08])


def test_velocities_are_added_up_from_where_the_joints_are():
    seen = dataclasses.replace(DROID.example(), joints=np.array([0.5, -0.5, 0.02]))
    message = DROID.message(seen)
    np.testing.assert_allclose(message['observation/joint_position'], [0.5, -0.5])
    np.testing.assert_allclose(message['observation/gripper_position'], [0.5])
    chunk = DROID.chunk({'actions': [[1.0, 0.0, 0.3], [1.0, -2.0, 0.2], [0.0, 0.0, 0.1]]}, seen)
    np.testing.assert_allclose(chunk.targets[:, 0], [0.5, 0.6, 0.7])
    np.testing.assert_allclose(chunk.targets[:, 1], [-0.5, -0.5, -0.7])
    np.testing.assert_allclose(chunk.targets[:, 2], [0.3, 0.2, 0.1])


@given(st.lists(st.floats(-1.7, 1.7), min_size=6, max_size=6))
def test_a_pose_comes_back_from_position_and_rotation_vector(numbers):
    seen = dataclasses.replace(LIBERO.example(), pose=pose_of(np.array(numbers)))
    np.testing.assert_allclose(state_vector(seen)[:6], numbers, atol=1e-9)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'cameras': {}}, 'Every camera needs a key of its own'),
        ({'cameras': {'front': 'prompt', 'wrist': 'x'}, 'flipped': {}}, 'Two things have the key'),
        ({'flipped': {'side': 'both'}}, "flipped names the cameras ['side']"),
        ({'preparations': {'front': ImagePreparation(5000, 1)}}, 'more than 2048 px'),
        ({'state_keys': {'a': 3}}, 'state_keys share out 3'),
        ({'state_keys': {'a': 9, 'b': -1}}, 'Every key of state_keys has numbers'),
        ({'state': Units.same(7)}, 'state has 8 numbers, but units for 7'),
        ({'action': Units.same(6)}, 'action has 7 numbers, but units for 6'),
        ({'velocities': ('left',)}, "velocities names ['left']"),
        ({'velocities': ('left',), 'continues': True}, "velocities names ['left']"),
        ({'period': 0.0}, 'period is 0.0 s'),
        ({'picture': (0, 224)}, 'picture is 0 px'),
    ],
)
def test_a_robot_that_contradicts_itself_is_refused(changes, reason):
    with pytest.raises(ValueError, match='.') as refused:
        dataclasses.replace(LIBERO, **changes)
    assert reason in str(refused.value)


def described_robots():
    """The robots of the recipe and of the documentation, each as a YAML text."""
    root = Path(__file__).parents[1]
    page = (root / 'docs/howto/remote.md').read_text()
    recipe = (root / 'models/recipes/openpi_libero_robot.yaml').read_text()
    return [recipe, *re.findall(r'```yaml\n(.*?)```', page, re.DOTALL)]


@pytest.mark.parametrize('text', described_robots())
def test_the_documented_robots_can_be_asked_for_and_understood(text, tmp_path):
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    robot = load_remote_robot(path)
    seen = robot.example()
    message = decode_message(encode_message(robot.message(seen)))
    assert {message[key].shape for key in robot.cameras.values()} == {(224, 224, 3)}
    chunk = robot.chunk({'actions': np.zeros((10, len(robot.action_space.names)))}, seen)
    assert chunk.targets.shape == (10, len(robot.action_space.names))


def test_a_file_with_a_key_that_nobody_knows_is_refused_by_its_name(tmp_path):
    path = tmp_path / 'robot.yaml'
    path.write_text('cameras: {front: observation/image}\nresolutoin: [640, 480]\n')
    with pytest.raises(ValueError, match='resolutoin') as refused:
        load_remote_robot(path)
    assert str(path) in str(refused.value)


def test_a_wrong_question_is_answered_by_a_sentence_and_the_next_one_rightly(server, deployed):
    robot = server.robot
    right = robot.message(deployed.example)
    wrong = {
        'no picture': {**right, 'observation/images/front': None},
        'another size': {**right, 'observation/images/front': np.zeros((9, 9, 3), np.uint8)},
        'floats': {**right, 'observation/images/front': np.zeros((64, 64, 3))},
        'NaN': {**right, 'observation/state': np.full(7, np.nan)},
        'short state': {**right, 'observation/state': np.zeros(3)},
        'no sentence': {**right, 'prompt': ''},
        'number': {**right, 'prompt': 3},
    }
    with connect(server.address, proxy=None) as client:
        client.recv()
        for name, content in wrong.items():
            client.send(encode_message(content))
            said = client.recv()
            assert str(said).startswith("'"), (name, said)
        client.send('hello')
        assert client.recv() == 'Send an observation as MessagePack.'
        client.send(b'\xc1')
        assert 'not MessagePack' in client.recv()
        client.send(encode_message(right))
        assert decode_message(client.recv())['actions'].shape == (40, 7)


def test_too_large_a_question_hangs_up_and_others_go_on(server, remote, deployed):
    with connect(server.address, proxy=None) as client:
        client.recv()
        client.send(bytes(8 << 20))
        with pytest.raises(ConnectionClosed):
            client.recv()
    assert len(remote.backend.predict(deployed.example).chunk.targets) == 40


def test_no_more_clients_are_taken_than_are_said_and_a_place_comes_free(server):
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            stack.enter_context(connect(server.address, proxy=None)).recv()
        one_more = stack.enter_context(connect(server.address, proxy=None))
        with pytest.raises(ConnectionClosed) as full:
            one_more.recv()
    assert full.value.rcvd.code == 1013
    deadline = time.monotonic() + 60
    while server._clients:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with connect(server.address, proxy=None) as again:
        assert decode_message(again.recv())


def test_a_page_in_a_browser_is_not_answered_and_health_is_told(server):
    from websockets.exceptions import InvalidStatus

    page = {'proxy': None, 'origin': 'http://evil.example'}
    with pytest.raises(InvalidStatus, match='403'), connect(server.address, **page):
        pass
    host, _, port = server.address.removeprefix('ws://').rpartition(':')
    asked = http.client.HTTPConnection(host, int(port), timeout=60)
    asked.request('GET', '/healthz')
    assert asked.getresponse().status == 200
    asked.close()


def test_a_server_listens_on_this_machine_only_and_a_taken_port_is_said(deployed, server):
    assert server.address.startswith('ws://127.0.0.1:')
    port = int(server.address.rpartition(':')[2])
    with pytest.raises(OSError, match='choose another --port'):
        PolicyServer(deployed, port=port)


def test_what_a_server_says_of_its_robot_is_read_as_it_was_written(server, remote):
    with connect(server.address, proxy=None) as client:
        described = decode_message(client.recv())['ros2_gridsampler']
    assert structure(described['robot'], RemoteRobot) == server.robot
    assert described['policy'] == {'policy': 'tiny'}


def test_a_server_is_checked_from_the_command_line(server, capsys):
    check(server.address, runs=2)
    said = capsys.readouterr().out
    assert f'{server.address}: chunks of 40 steps for {list(TWIST_NAMES)}.' in said
    assert 'ms per prediction (median of 2)' in said


def test_what_a_command_cannot_do_with_a_server_is_said(server):
    with pytest.raises(ValueError, match='leave --backend and --threads away'):
        check(server.address, threads=2)
    with pytest.raises(ValueError, match='is served already'):
        serve(server.address)
    with pytest.raises(ValueError, match=r'for a policy at ws://HOST:PORT, got'):
        check('libero_spatial', remote_robot='robot.yaml')
