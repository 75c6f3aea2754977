# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A hostile server may say and send anything: what is kept is whole and right, or not there."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from fuzzed_encoders import SMALL, fuzz_manifests, fuzz_streams, save_small_encoder
from safetensors.torch import load_file, save_file

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS, load_encoder
from ros2_gridsampler.encoders.encoder_store import NAMES, EncoderStore
from ros2_gridsampler.encoders.server_manifest import (
    MAX_BYTES,
    list_encoders,
    read_server_manifest,
    write_server_manifest,
)
from ros2_gridsampler.encoders.strict_json import NotBelieved
from ros2_gridsampler.encoders.weight_chunks import CHUNK_BYTES, split
from ros2_gridsampler.encoders.weight_file import bytes_range, check_weight_file
from ros2_gridsampler.policy.manifest import MANIFEST
from ros2_gridsampler.policy.policy_config import EncoderConfig

# A soak is asked for by a number in the environment.
CASES = int(os.environ.get('GRIDSAMPLER_FUZZ_CASES', '400'))
WIDE = EncoderConfig(32, 32, patch=16, width=160, depth=3, heads=4, stem=(8,))


@pytest.fixture
def served(tmp_path):
    """A folder of two encoders; the wide one has several chunks."""
    torch.manual_seed(0)
    for name, config in (('small', SMALL), ('wide', WIDE)):
        save_small_encoder(tmp_path / 'served' / name, config=config, results={'a': [1.0, 2.0]})
    return tmp_path / 'served'


@pytest.fixture
def manifest(served):
    return list_encoders(served, active='wide')


@pytest.fixture
def store(tmp_path):
    return EncoderStore(tmp_path / 'store')


def offer(manifest, **changes):
    """JSON of the manifest with the first encoder changed."""
    content = json.loads(write_server_manifest(manifest))
    content['encoders'][0].update(changes)
    return json.dumps(content)


def transfer(store, encoder, served, order=lambda chunks: chunks):
    reception = store.receive(encoder)
    for chunk in order(list(split(served / encoder.name / ENCODER_WEIGHTS, encoder.sha256))):
        reception.chunks.add(chunk)
    return reception.finish()


def spoil_weights(served, name, change):
    """Change the tensors of a folder and let its manifest name the new hash."""
    path = served / name / ENCODER_WEIGHTS
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    about = served / name / 'manifest.json'
    content = json.loads(about.read_text())
    content['weights_sha256'] = hashlib.sha256(path.read_bytes()).hexdigest()
    about.write_text(json.dumps(content))


def test_what_was_served_is_received_whatever_the_order_of_the_chunks(served, manifest, store):
    def shuffled(chunks):
        return chunks[::-1] + chunks[:1]

    active = manifest.active_encoder
    assert active.bytes > CHUNK_BYTES
    folder = transfer(store, active, served, shuffled)
    _, found = load_encoder(folder)
    assert found == active.manifest
    assert store.find(active.sha256) == folder
    kept = folder / ENCODER_WEIGHTS
    assert kept.read_bytes() == (served / 'wide' / ENCODER_WEIGHTS).read_bytes()
    assert not list(store.folder.glob('.partial-*'))


def test_a_manifest_is_read_back_as_it_was_written(manifest):
    assert read_server_manifest(write_server_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'bytes': 10**12}, 'claims 1000000000000 bytes'),
        ({'bytes': 100}, 'its architecture has'),
        ({'name': '../../escaped'}, 'is no name of an encoder'),
        ({'name': 'a/b'}, 'is no name of an encoder'),
        ({'name': '.hidden'}, 'is no name of an encoder'),
        ({'name': 'wide'}, 'Two encoders have one name'),
        ({'sha256': '0' * 64}, 'is not that of its manifest'),
        ({'sha256': '../' + '0' * 61}, 'is not that of its manifest'),
        ({'surprise': 1}, 'surprise'),
        ({'bytes': '300'}, 'bytes'),
    ],
)
def test_a_hostile_entry_is_refused_with_the_reason(manifest, changes, reason):
    with pytest.raises(NotBelieved, match=reason):
        read_server_manifest(offer(manifest, **changes))


def test_an_architecture_out_of_bounds_is_refused_before_it_is_built(manifest):
    content = json.loads(write_server_manifest(manifest))
    for name, value in (('depth', 10**9), ('width', 2**40), ('image_height', 16 * 10**6)):
        content['encoders'][0]['manifest']['encoder'][name] = value
        with pytest.raises(NotBelieved, match=f'{name} {value}|multiple of'):
            read_server_manifest(json.dumps(content))


@pytest.mark.parametrize(
    'text',
    [
        '',
        'null',
        '[]',
        '{}',
        '{"format": 1, "active": "", "encoders": {}}',
        '[' * 100_000,
        '{"a":' * 100_000,
        '{"format": 1, "format": 1, "active": "", "encoders": []}',
        '{"format": NaN, "active": "", "encoders": []}',
        '{"format": 1e999, "active": "", "encoders": []}',
        '{"format": 1.0, "active": "", "encoders": []}',
        '{"format": true, "active": "", "encoders": []}',
        '{"format": 1, "active": "nobody", "encoders": []}',
        '{"format": ' + '9' * 5000 + ', "active": "", "encoders": []}',
        '{"format": 1, "active": "\\ud800", "encoders": []}',
        '{"format": 1, "active": "", "encoders": [' + '0,' * 10**6 + '0]}',
    ],
    ids=lambda text: text[:24],
)
def test_text_that_is_no_manifest_is_refused(text):
    with pytest.raises(NotBelieved):
        read_server_manifest(text)


def test_a_manifest_that_is_too_long_is_refused_without_being_parsed(manifest):
    many = 'x' * (MAX_BYTES + 1)
    with pytest.raises(NotBelieved, match='at most'):
        read_server_manifest(offer(manifest, name=many))


def test_memory_stays_bounded_whatever_a_manifest_says(manifest, tmp_path):
    hostile = tmp_path / 'hostile.json'
    entry = json.loads(write_server_manifest(manifest))['encoders'][0]
    content = {'format': 1, 'active': '', 'encoders': [entry] * 10**3}
    texts = [
        '{"format": 1, "active": "", "encoders": [' + '{},' * 10**6 + '{}]}',
        '[' * (8 << 20),
        json.dumps(content),
        offer(manifest, bytes=10**12),
    ]
    hostile.write_text(json.dumps(texts))
    program = (
        'import json, sys, resource\n'
        'from ros2_gridsampler.encoders.server_manifest import read_server_manifest\n'
        'from ros2_gridsampler.encoders.strict_json import NotBelieved\n'
        'texts = json.load(open(sys.argv[1]))\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'for text in texts:\n'
        '    try:\n'
        '        read_server_manifest(text)\n'
        '        sys.exit("believed")\n'
        '    except NotBelieved:\n'
        '        pass\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, str(hostile)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 << 10, 'more than 64 MiB for what was refused'


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda t: t['norm.weight'].fill_(float('nan')), 'not finite'),
        (lambda t: t['cls_token'].fill_(float('-inf')), 'not finite'),
        (lambda t: t.update({'norm.weight': t['norm.weight'].float()}), 'F32'),
        (lambda t: t.update({'norm.weight': t['norm.weight'].byte()}), 'U8'),
        (lambda t: t.update({'norm.weight': t['norm.weight'][:-1].clone()}), 'expected F16'),
        (lambda t: t.pop('norm.weight'), 'lacks norm.weight'),
        (lambda t: t.update(more=torch.zeros(1)), 'has more besides'),
    ],
)
def test_weights_that_do_not_fit_their_manifest_never_enter_the_store(
    served, store, change, reason
):
    spoil_weights(served, 'wide', change)
    encoder = list_encoders(served, active='wide').active_encoder
    with pytest.raises(NotBelieved, match=reason):
        transfer(store, encoder, served)
    assert store.find(encoder.sha256) is None
    assert not list(store.folder.glob('*/*'))


def test_weights_that_compute_something_else_than_announced_never_enter_the_store(served, store):
    spoil_weights(served, 'wide', lambda t: t['norm.weight'].mul_(1.5))
    encoder = list_encoders(served, active='wide').active_encoder
    with pytest.raises(ValueError, match='is not the one that its manifest names'):
        transfer(store, encoder, served)
    assert store.find(encoder.sha256) is None


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    low, _ = bytes_range(SMALL)
    for start in (b'\xff' * 8, (2**40).to_bytes(8, 'little'), (16).to_bytes(8, 'little') + b'{{'):
        path = tmp_path / 'file'
        path.write_bytes(start + b'\0' * low)
        with pytest.raises(NotBelieved, match='no safetensors file|header'):
            check_weight_file(path, SMALL)


def test_a_chunk_too_few_or_another_byte_is_refused_and_leaves_nothing(served, manifest, store):
    active = manifest.active_encoder

    def flipped(chunks):
        data = bytearray(chunks[0].data)
        data[1000] ^= 1
        return [replace(chunks[0], data=bytes(data)), *chunks[1:]]

    for order, reason in ((lambda c: c[:-1], 'did not come'), (flipped, 'it is thrown away')):
        with pytest.raises(NotBelieved, match=reason):
            transfer(store, active, served, order)
        assert not list(store.folder.glob('*/*'))


def test_a_name_keeps_its_meaning(manifest, served, store):
    store.pin(manifest)
    store.pin(manifest)
    torch.manual_seed(5)
    save_small_encoder(served / 'small')
    with pytest.raises(NotBelieved, match="'small' was .* give new weights a new name"):
        store.pin(list_encoders(served))
    (store.folder / NAMES).unlink()
    store.pin(list_encoders(served))


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'', b'[]', b'{"a": '])
def test_names_that_a_crash_has_damaged_are_told_and_end_nothing(manifest, store, content):
    (store.folder / NAMES).write_bytes(content)
    with pytest.raises(NotBelieved, match=NAMES):
        store.pin(manifest)


def test_a_process_that_keeps_the_names_is_not_waited_for_without_end(manifest, store):
    with FileLock(store.folder / 'names.lock'), pytest.raises(OSError, match='names.lock'):
        store.pin(manifest)
    store.pin(manifest)


def test_a_process_killed_at_any_moment_leaves_a_whole_entry_or_none(served, manifest, tmp_path):
    active = manifest.active_encoder
    program = (
        'import sys\n'
        'from pathlib import Path\n'
        'from ros2_gridsampler.encoders.encoder_store import EncoderStore\n'
        'from ros2_gridsampler.encoders.server_manifest import list_encoders\n'
        'from ros2_gridsampler.encoders.weight_chunks import split\n'
        'served, store = Path(sys.argv[1]), EncoderStore(Path(sys.argv[2]))\n'
        'encoder = list_encoders(served, active="wide").active_encoder\n'
        'print("ready", flush=True)\n'
        'import shutil\n'
        'while True:\n'
        '    reception = store.receive(encoder)\n'
        '    for chunk in split(served / "wide/encoder.safetensors", encoder.sha256):\n'
        '        reception.chunks.add(chunk)\n'
        '    shutil.rmtree(reception.finish())\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, '-c', program, str(served), str(tmp_path / 'store')],
        stdout=subprocess.PIPE,
        env=environment,
    )
    process.stdout.readline()
    time.sleep(0.35)
    process.kill()
    process.wait()
    process.stdout.close()
    store = EncoderStore(tmp_path / 'store')
    found = store.find(active.sha256)
    # Receiving is atomic, removing by hand is not: a whole entry loads, no other is found.
    if found is not None:
        load_encoder(found)
        shutil.rmtree(found)
    assert transfer(store, active, served).is_dir()


@pytest.mark.parametrize('left', [MANIFEST, ENCODER_WEIGHTS])
def test_an_entry_that_is_half_removed_is_none_and_comes_again(served, manifest, tmp_path, left):
    store, active = EncoderStore(tmp_path / 'store'), manifest.active_encoder
    entry = transfer(store, active, served)
    for path in entry.iterdir():
        if path.name != left:
            path.unlink()
    assert store.find(active.sha256) is None
    assert transfer(store, active, served) == entry
    load_encoder(store.find(active.sha256))


def test_two_processes_may_receive_the_same_encoder(served, manifest, tmp_path):
    first, second = (EncoderStore(tmp_path / 'store') for _ in range(2))
    active = manifest.active_encoder
    receptions = [store.receive(active) for store in (first, second)]
    for reception in receptions:
        for chunk in split(served / 'wide' / ENCODER_WEIGHTS, active.sha256):
            reception.chunks.add(chunk)
    assert len({reception.finish() for reception in receptions}) == 1
    load_encoder(first.find(active.sha256))
    assert not list(first.folder.glob('.partial-*'))


def test_what_was_used_least_recently_gives_way(served, manifest, tmp_path):
    small, wide = manifest.encoders
    store = EncoderStore(tmp_path / 'store', size_limit=wide.bytes + small.bytes // 2)
    transfer(store, small, served)
    transfer(store, wide, served)
    assert store.find(small.sha256) is None
    assert store.find(wide.sha256) is not None
    with pytest.raises(OSError, match='has room for'):
        EncoderStore(tmp_path / 'store', size_limit=1000).receive(wide)


@pytest.mark.timeout(3600)
def test_mutated_manifests_are_refused_or_harmless(manifest):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally = fuzz_manifests(read_server_manifest, write_server_manifest(manifest), CASES, seed=1)
    assert tally.refused > CASES / 2
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 << 10
    print(f'{CASES} manifests: {tally}, {grown >> 10} MiB more')  # noqa: T201 - a soak's figure


@pytest.mark.timeout(3600)
def test_mutated_streams_give_the_announced_file_or_none(served, tmp_path):
    path = served / 'wide' / ENCODER_WEIGHTS
    tally = fuzz_streams(tmp_path, path, CASES // 4, seed=2)
    assert tally.refused > CASES / 40
    assert tally.unchanged > CASES / 40
    print(f'{CASES // 4} streams: {tally}')  # noqa: T201 - the figure of a soak
