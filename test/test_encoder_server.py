# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A server's encoder arrives whole at everybody, once, whatever happens to the server."""

import json
import os
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzed_encoders import SMALL, save_small_encoder

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS, load_encoder
from ros2_gridsampler.encoders.encoder_store import EncoderStore
from ros2_gridsampler.encoders.server_manifest import list_encoders, write_server_manifest
from ros2_gridsampler.encoders.weight_chunks import CHUNK_BYTES, Chunk, chunk_count, split
from ros2_gridsampler.policy.policy_config import EncoderConfig

# A soak is asked for by numbers in the environment.
FOLLOWERS = int(os.environ.get('GRIDSAMPLER_FLEET', '3'))
PROCESSES = int(os.environ.get('GRIDSAMPLER_FLEET_PROCESSES', '1'))
pytestmark = pytest.mark.timeout(1200 + 60 * FOLLOWERS)
NODE = 'ros2_gridsampler.nodes.encoder_server_node'
SERVER = '/encoder_server'
# A server checks in a process of its own, which a busy machine starts slowly.
PATIENCE = 240.0
# 12 MB: enough chunks to be cut in the middle.
LARGE = EncoderConfig(32, 32, patch=16, width=512, depth=2, heads=8, stem=())


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp('served')
    torch.manual_seed(0)
    for name, config in (('small', SMALL), ('large', LARGE)):
        save_small_encoder(folder / name, config=config)
    return folder


@pytest.fixture
def receive(watcher, tmp_path):
    """Starts receivers in this process; the store and what each was told to use."""
    from ros2_gridsampler.nodes.encoder_receiver import EncoderReceiver

    watcher.node.steady_clock = watcher.node.get_clock()
    running = []

    def start(store='store', refusal=lambda encoder: ''):
        used = []
        receiver = EncoderReceiver(
            watcher.node,
            SERVER,
            EncoderStore(tmp_path / store),
            refusal=refusal,
            use=used.append,
        )
        running.append(receiver)
        return receiver, used

    yield start
    for receiver in running:
        receiver.destroy()


@pytest.fixture
def talk(watcher):
    """Publishes as a server would, that need not be honest."""
    from std_msgs.msg import MultiArrayDimension, String, UInt8MultiArray

    from ros2_gridsampler.encoders.weight_chunks import fill_chunk
    from ros2_gridsampler.nodes.encoder_server_node import weights_quality
    from ros2_gridsampler.nodes.topics import LATCHED

    manifests = watcher.node.create_publisher(String, f'{SERVER}/manifest', LATCHED)
    weights = watcher.node.create_publisher(
        UInt8MultiArray, f'{SERVER}/weights', weights_quality(32 * CHUNK_BYTES)
    )

    class Talk:
        def __call__(self, text='', chunks=()):
            for chunk in chunks:
                message = UInt8MultiArray()
                fill_chunk(message, MultiArrayDimension, chunk)
                weights.publish(message)
            if text:
                manifests.publish(String(data=text))

        def end(self):
            watcher.node.destroy_publisher(manifests)
            watcher.node.destroy_publisher(weights)

    return Talk()


class Here:
    """This process, where a check wants one to name."""

    text = ''


def activate(watcher, node, name):
    """`ros2 param set /encoder_server active NAME`; the answer."""
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    message = Parameter('active', value=name).to_parameter_msg()
    request = SetParameters.Request(parameters=[message])
    service = f'{SERVER}/set_parameters'
    return watcher.call(SetParameters, service, request, node, PATIENCE).results[0]


def test_two_receivers_get_the_file_and_none_gets_it_twice(start_node, served, watcher, receive):
    node = start_node(NODE, folder=served, active='large')
    (first, used), (second, also) = receive('first'), receive('second')
    watcher.until(lambda: used and also, node, PATIENCE)
    for (folder,) in (used, also):
        kept = folder / ENCODER_WEIGHTS
        assert kept.read_bytes() == (served / 'large' / ENCODER_WEIGHTS).read_bytes()
        load_encoder(folder)
    count = chunk_count((served / 'large' / ENCODER_WEIGHTS).stat().st_size)
    assert first.received == second.received == count
    again, used_again = receive('first')
    watcher.until(lambda: used_again, node, PATIENCE)
    assert again.received == 0
    assert used_again == used
    assert node.end() == 0


def test_a_server_that_ends_in_the_middle_of_a_transfer_costs_nothing_but_time(
    start_node, served, watcher, receive, talk, tmp_path
):
    manifest = list_encoders(served, active='large')
    active = manifest.active_encoder
    weights = served / 'large' / ENCODER_WEIGHTS
    chunks = list(split(weights, active.sha256))
    half = len(chunks) // 2
    receiver, used = receive()
    # All that a server could send before it was killed.
    talk(write_server_manifest(manifest), chunks[:half])
    watcher.until(lambda: receiver.received == half, Here, PATIENCE)
    talk.end()
    assert not list((tmp_path / 'store').glob('[!.n]*/*')), "half a file is nobody's entry"
    assert used == []
    node = start_node(NODE, folder=served, active='large')
    watcher.until(lambda: used, node, PATIENCE)
    assert (used[0] / ENCODER_WEIGHTS).read_bytes() == weights.read_bytes()
    assert receiver.received == len(chunks), 'what came before was not taken again'
    assert node.end() == 0


class Fleet:
    """Processes of followers, and the last that each follower said of itself."""

    def __init__(self, start_node, watcher):
        self.start_node, self.watcher = start_node, watcher

    def start(self, followers, store, **parameters):
        parameters |= {'followers': followers, 'store': json.dumps(str(store))}
        return self.start_node('fleet_followers', **parameters)

    def said(self, process):
        """Number -> chunks, state, hash; lines of a process are whole but for the last."""
        lines = process.text.rpartition('\n')[0].splitlines()
        # ROS writes its own lines between.
        content = (json.loads(line) for line in lines if line[:1] == '[' and line[1].isdigit())
        return {number: rest for number, *rest in content}

    def all(self, processes, count, condition):
        """Wait until `condition(chunks, state, hash)` holds of all of so many followers."""
        self._until(
            processes,
            lambda found: len(found) == count and all(condition(*each) for each in found),
        )

    def any(self, processes, condition):
        """Wait until `condition(chunks, state, hash)` holds of one follower."""
        self._until(processes, lambda found: any(condition(*each) for each in found))

    def _until(self, processes, condition):
        def holds():
            assert all(process.running for process in processes), processes[0].text
            return condition([e for process in processes for e in self.said(process).values()])

        self.watcher.until(holds, processes[0], PATIENCE + 10 * FOLLOWERS)


def test_one_parameter_moves_a_fleet_whatever_happens_to_server_disk_and_followers(
    start_node, served, watcher, tmp_path
):
    small, large = (
        list_encoders(served, active=name).active_encoder for name in ('small', 'large')
    )
    count = chunk_count(large.bytes)
    fleet = Fleet(start_node, watcher)
    sizes = [len(part) for part in np.array_split(range(FOLLOWERS), PROCESSES)]
    stores = [tmp_path / f'store {number}' for number in range(PROCESSES)]
    ordinary = [fleet.start(size, store) for size, store in zip(sizes, stores, strict=True)]
    full = fleet.start(1, tmp_path / 'store full', file_limit=large.bytes // 2)
    behind = fleet.start(1, tmp_path / 'store behind')
    # None of them waits for another; discovery is part of what a fleet costs.
    fleet.all([*ordinary, full, behind], FOLLOWERS + 2, lambda _, state, used: 'waiting' in state)

    begin = time.monotonic()
    node = start_node(NODE, folder=served, active='large')
    fleet.any(ordinary, lambda chunks, state, used: chunks)
    node.kill()
    behind.send(signal.SIGSTOP)
    taken = [chunks for p in ordinary for chunks, *_ in fleet.said(p).values()]
    node = start_node(NODE, folder=served, active='large')
    fleet.all([full], 1, lambda chunks, state, used: 'It is tried again' in state and not used)
    place = tmp_path / 'store full'
    assert f'cannot be kept in {place}: [Errno 27] File too large. It is tried' in full.text
    _, hard = resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    fleet.all(ordinary, FOLLOWERS, lambda chunks, state, used: used == large.sha256)
    duration = time.monotonic() - begin
    for process in ordinary:
        # Who came late found it in the store that the followers of a process share.
        assert max(chunks for chunks, *_ in fleet.said(process).values()) == count, 'none twice'
    print(  # noqa: T201 - the figure of a soak
        f'{FOLLOWERS} followers in {PROCESSES} processes, {large.bytes / 1e6:.0f} MB: the server '
        f'was killed when they had {sum(taken)} of {count * FOLLOWERS} chunks; {duration:.1f} s '
        'until all had the encoder.'
    )

    fleet.all([full], 1, lambda chunks, state, used: used == large.sha256)
    full.kill()

    assert activate(watcher, node, 'small').successful
    fleet.all(ordinary, FOLLOWERS, lambda chunks, state, used: used == small.sha256)
    assert not any(used == small.sha256 for *_, used in fleet.said(behind).values())
    behind.send(signal.SIGCONT)
    everybody = ([*ordinary, behind], FOLLOWERS + 1)
    fleet.all(*everybody, lambda chunks, state, used: used == small.sha256)
    for store in tmp_path.glob('store *'):
        assert not list(store.glob('.partial-*'))

    refused = activate(watcher, node, 'nothing')
    assert not refused.successful
    assert "none of the encoders ['large', 'small']" in refused.reason
    assert activate(watcher, node, '').successful
    fleet.all(*everybody, lambda chunks, state, used: "each policy's own" in state and not used)
    assert node.end() == 0


def test_a_folder_that_must_not_be_served_is_refused_at_start(start_node, served, tmp_path):
    bad = tmp_path / 'bad'
    save_small_encoder(bad / 'small')
    weights = bad / 'small' / ENCODER_WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-10] ^= 1
    weights.write_bytes(data)
    for parameters, reason in (
        ({'folder': bad, 'active': 'small'}, 'is not the file that its manifest names'),
        ({'folder': tmp_path / 'nowhere'}, 'name a folder of encoder folders'),
        ({'folder': served, 'active': 'nothing'}, 'is none of the encoders'),
    ):
        node = start_node(NODE, **parameters)
        assert node.wait(PATIENCE) == 1
        assert reason in node.text


def test_a_hostile_server_is_refused_with_the_reason(served, watcher, receive, talk, tmp_path):
    receiver, used = receive()
    manifest = list_encoders(served, active='small')
    good = json.loads(write_server_manifest(manifest))

    def hears(text, reason):
        talk(text)
        watcher.until(lambda: reason in receiver.state, Here, PATIENCE)

    hears('[' * 100_000, 'opens')
    hears(json.dumps(good | {'encoders': good['encoders'] * 2}), 'Two encoders have one name')
    hostile = json.loads(json.dumps(good))
    hostile['encoders'][1]['bytes'] = 10**12
    hears(json.dumps(hostile), 'claims 1000000000000 bytes')
    hostile['encoders'][1] |= {'bytes': good['encoders'][1]['bytes'], 'name': '../small'}
    hears(json.dumps(hostile), 'is no name of an encoder')
    assert used == []
    assert receiver.received == 0

    active = manifest.active_encoder
    (whole,) = split(served / 'small' / ENCODER_WEIGHTS, active.sha256)
    forged = Chunk(whole.sha256, 0, 1, bytes(len(whole.data)))
    short = replace(whole, data=whole.data[:-1])
    misnumbered = replace(whole, index=7)
    for bad in (forged, short, misnumbered):
        other, used_other = receive(store=f'store {bad.index} {len(bad.data)} {bad.data[:1]!r}')
        talk(write_server_manifest(manifest), [bad] * 4)
        watcher.until(lambda other=other: 'is refused' in other.state, Here, PATIENCE)
        assert used_other == []
        other.destroy()
    assert not list(tmp_path.glob('store*/[!.n]*/*'))


def test_what_a_policy_cannot_use_is_not_even_received(served, watcher, receive, talk):
    receiver, used = receive(refusal=lambda encoder: f'{encoder.name} is too small.')
    manifest = list_encoders(served, active='small')
    active = manifest.active_encoder
    talk(write_server_manifest(manifest), split(served / 'small' / ENCODER_WEIGHTS, active.sha256))
    watcher.until(lambda: 'small is too small' in receiver.state, Here, PATIENCE)
    assert used == []
    assert receiver.received == 0


def test_what_was_refused_is_looked_at_again_when_the_server_offers_it_anew(
    served, watcher, receive, talk
):
    refusals = ['Not yet.']
    receiver, used = receive(refusal=lambda encoder: refusals[0])
    manifest = list_encoders(served, active='small')
    chunks = split(served / 'small' / ENCODER_WEIGHTS, manifest.active_encoder.sha256)
    talk(write_server_manifest(manifest), chunks)
    watcher.until(lambda: 'Not yet.' in receiver.state, Here, PATIENCE)
    refusals[0] = ''
    talk(write_server_manifest(manifest))
    watcher.until(lambda: used, Here, PATIENCE)


def test_what_is_offered_while_another_is_verified_is_asked_for_like_any(
    served, watcher, receive, talk
):
    from std_msgs.msg import String

    receiver, used = receive(refusal=lambda each: 'No.' if each.name == 'large' else '')
    small, large = (list_encoders(served, active=name) for name in ('small', 'large'))
    chunks = split(served / 'small' / ENCODER_WEIGHTS, small.active_encoder.sha256)
    talk(write_server_manifest(small), chunks)
    watcher.until(lambda: receiver._verifying is not None, Here, PATIENCE)
    receiver._take_manifest(String(data=write_server_manifest(large)))
    watcher.until(lambda: receiver._verifying is None, Here, PATIENCE)
    assert "'large' of /encoder_server is not received: No." in receiver.state
    assert used == []


def test_the_server_process_may_have_a_profile_of_the_user(monkeypatch):
    pytest.importorskip('rclpy')
    from ros2_gridsampler.nodes.encoder_server_node import PROFILE, prepare_server_process
    from ros2_gridsampler.nodes.node_setup import profile_variable

    variables = {'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'}
    for name in variables:
        monkeypatch.setenv(name, 'mine.xml')
        for other in variables - {name}:
            monkeypatch.delenv(other, raising=False)
        prepare_server_process()
        assert {each: os.environ.get(each) for each in variables} == {
            each: 'mine.xml' if each == name else None for each in variables
        }
        monkeypatch.delenv(name)
    prepare_server_process()
    assert {each for each in variables if each in os.environ} == {profile_variable()}
    assert Path(os.environ[profile_variable()]) == PROFILE
    assert 'heartbeatPeriod' in PROFILE.read_text()
