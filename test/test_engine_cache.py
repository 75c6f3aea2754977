# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An engine from the cache is the engine that would be built, whatever happened to the file."""

import dataclasses
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from ros2_gridsampler.engines.engine import EngineRefused
from ros2_gridsampler.engines.engine_cache import EngineCache, EngineKey, default_folder
from ros2_gridsampler.engines.exported_graph import hash_graph

KEY = EngineKey(
    'openvino', 'a' * 64, 'b' * 64, 'fp32', '', 'openvino 2026.4.1', '', 'some processor'
)
FILES = {'graph.bin': bytes(range(256)) * 40, 'graph.xml': b'<net/>'}


class Builder:
    """Builds `FILES` and counts."""

    def __init__(self, files=FILES):
        self.files, self.built = files, 0

    def __call__(self):
        self.built += 1
        return self.files


def obtain(folder, key=KEY, build=None, **options):
    """The engine (its own files), where it came from, and how often it was built."""
    build = build or Builder()
    engine, origin = EngineCache(folder, **options).obtain(key, build, dict)
    return engine, origin, build.built


def test_an_engine_is_built_once(tmp_path):
    assert obtain(tmp_path)[0::2] == (FILES, 1)
    engine, origin, built = obtain(tmp_path)
    assert (engine, built) == (FILES, 0)
    assert origin.startswith('Loaded from')


@pytest.mark.parametrize('place', [0.0, 0.01, 0.03, 0.05, 0.2, 0.5, 0.9999])
def test_one_flipped_byte_is_found_and_the_engine_built_again(tmp_path, place):
    obtain(tmp_path)
    path = next(tmp_path.glob('*.engine'))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    engine, origin, built = obtain(tmp_path)
    assert (engine, built) == (FILES, 1)
    assert origin.startswith('An entry was refused')
    assert obtain(tmp_path)[2] == 0


@pytest.mark.parametrize('length', [0, 7, 300, 5000])
def test_a_cut_file_is_found(tmp_path, length):
    obtain(tmp_path)
    path = next(tmp_path.glob('*.engine'))
    path.write_bytes(path.read_bytes()[:length])
    assert obtain(tmp_path)[0::2] == (FILES, 1)


@pytest.mark.parametrize(
    ('field', 'value'),
    [('engine', 'openvino 2025.1'), ('device', 'another GPU sm_87'), ('driver', '999')],
)
def test_an_engine_of_another_version_or_machine_is_built_again_and_the_difference_named(
    tmp_path, field, value
):
    obtain(tmp_path, dataclasses.replace(KEY, **{field: value}))
    engine, origin, built = obtain(tmp_path)
    assert (engine, built) == (FILES, 1)
    assert f'was made for {field} {value!r}' in origin


def test_a_file_that_was_renamed_is_not_believed(tmp_path):
    other = dataclasses.replace(KEY, device='another GPU sm_87')
    obtain(tmp_path, other)
    foreign = next(tmp_path.glob('*.engine'))
    obtain(tmp_path)
    own = next(path for path in tmp_path.glob('*.engine') if path != foreign)
    foreign.replace(own)
    engine, origin, built = obtain(tmp_path)
    assert (engine, built) == (FILES, 1)
    assert 'another GPU sm_87' in origin


def test_every_part_of_the_key_counts():
    digests = {
        dataclasses.replace(KEY, **{field.name: 'other'}).digest
        for field in dataclasses.fields(KEY)
    }
    assert len(digests | {KEY.digest}) == len(dataclasses.fields(KEY)) + 1


def test_graphs_that_differ_in_an_argument_or_a_shape_have_different_hashes():
    class Cut(torch.nn.Module):
        def __init__(self, high):
            super().__init__()
            self.high = high

        def forward(self, x):
            return x.clamp(0, self.high)

    hashes = {
        hash_graph(torch.export.export(Cut(high), (torch.zeros(size),), strict=False))
        for high in (1, 2)
        for size in (4, 16)
    }
    assert len(hashes) == 4


def test_an_entry_that_the_engine_does_not_accept_is_built_again(tmp_path):
    obtain(tmp_path, build=Builder({'graph.bin': b'old'}))

    def load(files):
        if files['graph.bin'] == b'old':
            raise EngineRefused('not of this driver')
        return dict(files)

    build = Builder()
    engine, origin = EngineCache(tmp_path).obtain(KEY, build, load)
    assert (engine, build.built) == (FILES, 1)
    assert 'not of this driver' in origin


def test_the_entries_used_last_stay(tmp_path):
    keys = [dataclasses.replace(KEY, weights=letter * 64) for letter in 'cdef']
    size = 3 * len(FILES['graph.bin'])  # not four
    for key in keys[:3]:
        obtain(tmp_path, key, size_limit=4 * size)
    assert obtain(tmp_path, keys[0])[2] == 0  # now the newest
    obtain(tmp_path, keys[3], size_limit=size)
    kept = [obtain(tmp_path / 'none', key)[1] for key in keys]
    assert len(kept) == 4
    names = ' '.join(path.name for path in tmp_path.glob('*.engine'))
    assert keys[0].stem in names
    assert keys[3].stem in names
    assert keys[1].stem not in names


def test_a_folder_that_cannot_be_written_costs_the_cache_and_nothing_else(tmp_path):
    (tmp_path / 'file').write_text('')
    engine, origin, built = obtain(tmp_path / 'file' / 'cache')
    assert (engine, built) == (FILES, 1)
    assert origin.startswith('Built, not kept')


def test_where_the_engine_must_be_kept_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    build = Builder()
    with pytest.raises(OSError, match='Engines cannot be kept in .*cache'):
        obtain(tmp_path / 'file' / 'cache', build=build, must_keep=True)
    assert build.built == 0


CHILD = """
    import resource, signal, sys
    from pathlib import Path
    from ros2_gridsampler.engines.engine_cache import EngineCache, EngineKey

    folder, log, action = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    key = EngineKey('openvino', 'a' * 64, 'b' * 64, 'fp32', '', 'v', '', 'd')

    def build():
        with log.open('a') as file:
            file.write('built\\n')
        return {'graph.bin': bytes(1 << 22)}

    if action != 'whole':
        if action == 'kill':  # the kernel ends the process in the middle of the write
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    cache = EngineCache(folder, must_keep=action == 'must keep')
    print(*cache.obtain(key, build, lambda files: len(files['graph.bin'])))
"""


def child(folder, action, **options):
    """Another process that wants an engine of 4 MiB."""
    command = [sys.executable, '-c', textwrap.dedent(CHILD), folder, folder / 'log', action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_believed(tmp_path):
    killed = child(tmp_path, 'kill')
    killed.communicate()
    assert killed.returncode < 0
    assert list(tmp_path.glob('*.partial'))
    assert not list(tmp_path.glob('*.engine'))
    output = child(tmp_path, 'whole').communicate()[0]
    assert output.startswith('4194304 There was no entry. Built and kept')
    assert not list(tmp_path.glob('*.partial'))


def test_a_disk_without_space_costs_the_cache_and_nothing_else(tmp_path):
    output = child(tmp_path, 'full').communicate()[0]
    assert output.startswith('4194304 There was no entry. Built, not kept')
    assert not list(tmp_path.glob('*.partial'))


def test_where_the_engine_must_be_kept_a_disk_without_space_is_an_error(tmp_path):
    process = child(tmp_path, 'must keep', stderr=subprocess.PIPE)
    errors = process.communicate()[1]
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith('OSError: The engine was built, but cannot be kept in')
    assert not list(tmp_path.glob('*.partial'))


def test_two_processes_at_once_build_one_engine(tmp_path):
    processes = [child(tmp_path, 'whole') for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert all(output.startswith('4194304 ') for output in outputs)
    assert (tmp_path / 'log').read_text() == 'built\n'


def test_a_policy_that_was_exported_before_is_not_exported_again(tmp_path):
    from policies import tiny_policy

    from ros2_gridsampler.engines import load
    from ros2_gridsampler.policy.manifest import golden_observation

    def origin(policy):
        told = []
        example = golden_observation(policy.config)
        engine = load(
            policy,
            [example],
            backends=('openvino',),
            cache=EngineCache(tmp_path),
            progress=told.append,
        )
        exported = sum('Exporting' in text for text in told)
        return exported, engine.report.origin.split(' ')[0], engine.predict(example).chunk.targets

    policy = tiny_policy()
    first, second = origin(policy), origin(policy)
    assert first[0] == 1
    assert second[:2] == (0, 'Loaded')
    assert (first[2] == second[2]).all()
    # One number of one tensor makes it another policy.
    with torch.no_grad():
        policy.action_head.units.scale[0] += 0.01
    assert origin(policy)[0] == 1
    assert origin(tiny_policy(steps=6))[0] == 1
    # A memory that was cut is none.
    for path in tmp_path.glob('*.graph'):
        path.write_bytes(path.read_bytes()[:20])
    exported, source, targets = origin(tiny_policy())
    assert (exported, source) == (1, 'Loaded')
    assert (targets == first[2]).all()


def test_an_engine_that_was_kept_is_taken_where_nothing_can_be_written(tmp_path):
    obtain(tmp_path)
    lock = next(tmp_path.glob('*.engine')).with_suffix('.lock')
    lock.unlink(missing_ok=True)
    # A folder in its place cannot be opened to write, whoever runs the test.
    lock.mkdir()
    for must_keep in (False, True):
        engine, origin, built = obtain(tmp_path, must_keep=must_keep)
        assert (engine, built) == (FILES, 0)
        assert origin.startswith('Loaded from')


def test_an_entry_that_vanishes_while_others_are_counted_costs_nothing(tmp_path):
    (tmp_path / 'gone.engine').symlink_to(tmp_path / 'nowhere')
    _, origin, _ = obtain(tmp_path, must_keep=True)
    assert 'Built and kept as' in origin


ABOUT = st.text() | st.sampled_from(['[]', '1', '{}', 'null', '{"engine": "openvino 2025.1"}'])


@given(ABOUT)
def test_an_entry_is_never_believed_for_what_it_says_of_another_key(said):
    with tempfile.TemporaryDirectory() as folder:
        obtain(Path(folder))
        path = next(Path(folder).glob('*.engine'))
        path.write_bytes(save({'graph.bin': np.zeros(3, np.uint8)}, metadata={'key': said}))
        engine, origin, built = obtain(Path(folder))
        assert (engine, built) == (FILES, 1)
        assert origin.startswith(f'An entry was refused: {path} was made for ')
        # Under another name it is what a reader is told of.
        path.replace(path.with_name(f'{KEY.stem}-other.engine'))
        assert 'other.engine was made for ' in obtain(Path(folder))[1]


def test_a_damaged_entry_of_another_machine_is_no_reason():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f'{KEY.stem}-other.engine').write_bytes(b'no safetensors')
        assert obtain(Path(folder))[1].startswith('There was no entry. Built and kept')


@pytest.mark.parametrize('must_keep', [False, True])
def test_an_entry_whose_place_is_taken_costs_the_cache_or_is_an_error_as_one_says(
    tmp_path, must_keep
):
    obtain(tmp_path)
    path = next(tmp_path.glob('*.engine'))
    path.unlink()
    path.with_suffix('.partial').mkdir()
    if must_keep:
        with pytest.raises(OSError, match='was built, but cannot be kept in'):
            obtain(tmp_path, must_keep=True)
    else:
        engine, origin, built = obtain(tmp_path)
        assert (engine, built) == (FILES, 1)
        assert origin.startswith('There was no entry. Built, not kept: ')


def test_engines_are_kept_where_this_users_caches_are(monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', '/somewhere')
    assert default_folder() == Path('/somewhere/ros2_gridsampler/engines')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/somebody')
    assert default_folder() == Path('/home/somebody/.cache/ros2_gridsampler/engines')


def test_a_graph_that_cannot_be_remembered_costs_nothing(tmp_path):
    (tmp_path / 'file').write_text('')
    for folder in (tmp_path / 'file' / 'cache', tmp_path / 'cache'):
        cache = EngineCache(folder)
        assert cache.graph('unknown') is None
        cache.keep_graph('policy', 'a', 'b')
        assert cache.graph('policy') == (None if 'file' in folder.parts else ('a', 'b'))
