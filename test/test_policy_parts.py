# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy of two networks, with its loop outside, is what any engine makes of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ros2_gridsampler.engines import EngineRefused, build_parts, onnxruntime
from ros2_gridsampler.engines.eager import Eager, EagerSession
from ros2_gridsampler.engines.engine import Settings
from ros2_gridsampler.engines.engine_cache import EngineCache
from ros2_gridsampler.engines.exported_graph import export
from ros2_gridsampler.engines.table import find_engines
from ros2_gridsampler.engines.verification import Agreement
from ros2_gridsampler.policy.grid_sampler import GridSampler
from ros2_gridsampler.vla.policy_parts import ACTIONS, Part, features, integrate, points, reduced

STEPS, NUMBERS, WIDTH = 5, 3, 16
LIBRARIES = {'openvino': 'openvino', 'onnxruntime': 'onnxscript'}


class Prefix(nn.Module):
    """A picture -> keys and values, and where it was read."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 8, 8)
        self.token_reducer = GridSampler(WIDTH, 4)
        self.keys, self.values = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, picture):
        tokens, where = self.token_reducer(self.stem(picture).permute(0, 2, 3, 1))
        return self.keys(tokens), self.values(tokens), where


class Step(nn.Module):
    """Noisy actions and what the prefix made of the picture -> their velocity."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(NUMBERS + 1, WIDTH), nn.Linear(WIDTH, NUMBERS)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, actions, time, keys, values):
        told = time[:, None, None].expand(-1, actions.shape[1], -1)
        queries = self.enter(torch.cat([actions, told], -1))
        return self.leave(queries + self.attention(queries, keys, values)[0])


def stand_in():
    """Returns the parts of a policy, its arguments, and what it computes in PyTorch."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    pictures = [
        {'picture': generator.normal(size=(1, 3, 32, 48)).astype(np.float32)} for _ in range(3)
    ]
    results = {'keys': features, 'values': features, 'points': points(np.array([6, 4]))}
    prefix = Part(Prefix(), pictures[0], results, lambda examples: pictures)
    noise = generator.normal(size=(1, STEPS, NUMBERS)).astype(np.float32)
    known = eagerly(prefix).run(pictures[0])
    tried = [arguments(known, noise * size, size) for size in (1.0, 0.4)]
    step = Part(Step(), tried[0], {'velocity': ACTIONS}, lambda examples: tried)
    return {'prefix': prefix, 'step': step}, pictures, noise


def arguments(known, actions, time):
    told = {'actions': actions, 'time': np.array([time], np.float32)}
    return told | {name: known[name] for name in ('keys', 'values')}


def eagerly(part):
    return EagerSession(part.network('fp32'), part.signature, torch.device('cpu'))


def act(sessions, picture, noise):
    known, step = sessions['prefix'].run(picture), sessions['step']
    return integrate(
        lambda actions, time: step.run(arguments(known, actions, time))['velocity'], noise, 10
    )


def compare(parts, pictures, noise):
    """Returns what compares engines with the policy as a whole, in PyTorch."""
    reference = {name: eagerly(part) for name, part in parts.items()}

    def whole(sessions):
        off = max(
            np.abs(act(sessions, each, noise) - act(reference, each, noise)).max()
            for each in pictures
        )
        if off > 1e-4:
            raise EngineRefused(f'its actions are off by {off}.')
        return Agreement({'actions': float(off)}, {'actions': 'scales'}, len(pictures))

    return whole


@pytest.mark.parametrize('backend', ['eager', 'openvino', 'onnxruntime'])
def test_an_engine_computes_both_networks_and_what_the_loop_makes_of_them(backend, tmp_path):
    if backend in LIBRARIES:
        pytest.importorskip(LIBRARIES[backend])
    parts, pictures, noise = stand_in()
    cache, told = EngineCache(tmp_path), []
    for origin in ('Built', 'Loaded') if backend in LIBRARIES else ('The policy itself',):
        sessions, report = build_parts(
            parts,
            [],
            find_engines([backend]),
            Settings(),
            whole=compare(parts, pictures, noise),
            strict=True,
            cache=cache,
            progress=told.append,
        )
        assert report.origin.count(origin) == 2
        wanted = act({name: eagerly(part) for name, part in parts.items()}, pictures[1], noise)
        np.testing.assert_allclose(act(sessions, pictures[1], noise), wanted, atol=1e-4)
        assert report.agreement.errors.keys() == {
            *('prefix keys', 'prefix values', 'prefix points', 'step velocity', 'actions')
        }
    assert len(told) == (4 if backend in LIBRARIES else 0), 'the second start built again'


class Forgetful(Eager):
    """An engine whose second network does not see what the first one made."""

    name = 'forgetful'

    def session(self, files, signature, settings, source):
        own = super().session(files, signature, settings, source)
        if 'keys' not in signature.inputs:
            return own

        class Session:
            def run(self, arrays):
                return own.run({**arrays, 'values': 0 * arrays['values']})

        return Session()


def test_an_engine_that_is_wrong_in_one_network_computes_none_of_them():
    parts, pictures, noise = stand_in()
    whole = compare(parts, pictures, noise)
    engines = [Forgetful(), Eager()]
    _, report = build_parts(parts, [], engines, Settings(), whole=whole)
    assert report.backend == 'eager'
    (refusal,) = report.refusals
    assert 'velocity' in refusal.reason
    with pytest.raises(EngineRefused, match="'forgetful' was refused: it computes something"):
        build_parts(parts, [], engines, Settings(), whole=whole, strict=True)


def test_an_engine_is_refused_for_what_its_networks_make_together():
    parts, *_ = stand_in()

    def whole(sessions):
        raise EngineRefused('its chunks are off.')

    with pytest.raises(EngineRefused, match='No backend can compute the policy.*chunks are off'):
        build_parts(parts, [], [Eager()], Settings(), whole=whole)


def test_a_network_too_large_for_one_onnx_file_is_refused_in_a_sentence(monkeypatch):
    pytest.importorskip('onnxscript')
    monkeypatch.setattr(onnxruntime, 'LIMIT', 1000)
    parts, pictures, noise = stand_in()
    whole = compare(parts, pictures, noise)
    engines = find_engines(['onnxruntime'])
    with pytest.raises(EngineRefused, match='in one piece holds 0.0 GB.*use .openvino'):
        build_parts(parts, [], engines, Settings(), whole=whole, strict=True)


@pytest.mark.filterwarnings('ignore:.*LeafSpec.*:FutureWarning')  # PyTorch warns of itself
def test_what_engines_do_not_have_or_need_is_not_in_their_graph():
    class Cache(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.bias = nn.Linear(3, 3), nn.Parameter(torch.zeros(3))

        def forward(self, keys):
            written = torch.empty_like(keys)
            written[:] = torch.cat([torch.tensor([]), keys], -2)
            return written + torch.cat([keys, keys[:, :0]], 1) + self.bias

    example = {'keys': np.ones((1, 2, 3), np.float32)}
    part = Part(Cache(), example, {'joined': ACTIONS}, lambda examples: [example])
    program = export(part, example).program
    targets = {str(node.target) for node in program.graph.nodes}
    assert not targets & {'aten.cat.default', 'aten.empty_like.default'}
    assert 'aten.zeros_like.default' in targets
    assert set(program.state_dict) == {'bias'}
    torch.testing.assert_close(program.module()(torch.ones(1, 2, 3)), 2 * torch.ones(1, 2, 3))
    assert program.run_decompositions().graph_signature.user_inputs == ('keys',)


@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(1, 20))
def test_a_constant_velocity_is_followed_exactly_from_time_one_to_zero(start, velocity, steps):
    times = []

    def constant(actions, time):
        times.append(time)
        return np.full_like(actions, velocity)

    found = integrate(constant, np.full((1, 2), start, np.float32), steps)
    np.testing.assert_allclose(found, start - velocity, atol=1e-4)
    np.testing.assert_allclose(times, 1 - np.arange(steps) / steps, atol=1e-12)


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_fewer_bits_are_close_and_coordinates_stay_exact(precision):
    parts, pictures, noise = stand_in()
    network = parts['prefix'].network('fp32')
    small = reduced(network, precision)
    kinds = {name: each.dtype for name, each in small.named_parameters()}
    assert all(
        (kind == torch.float32) == ('token_reducer' in name) for name, kind in kinds.items()
    )
    assert all(each.dtype == torch.float32 for each in network.parameters()), 'a copy is reduced'
    exact = {name: eagerly(part) for name, part in parts.items()}
    lower = {
        name: EagerSession(part.network(precision), part.signature, torch.device('cpu'))
        for name, part in parts.items()
    }
    off = np.abs(act(lower, pictures[0], noise) - act(exact, pictures[0], noise)).max()
    assert 1e-6 < off < 5e-2
