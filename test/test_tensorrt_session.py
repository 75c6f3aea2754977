# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is copied to and from a plan of TensorRT; a stand-in computes, so nothing here is fast."""

import contextlib
import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from ros2_gridsampler.engines.engine import EngineRefused, Settings
from ros2_gridsampler.engines.tensorrt import PLAN, TensorRt, TensorRtSession
from ros2_gridsampler.policy.signature import ArraySpec, ResultSpec, Signature

SIGNATURE = Signature(
    {'x': ArraySpec((1, 3), 'float32'), 'n': ArraySpec((1,), 'int64')},
    {
        'double': ResultSpec(np.ones(3), 'ones', {'fp32': 1e-5}),
        'sum': ResultSpec(np.ones(1), 'ones', {'fp32': 1e-5}),
    },
)
FORMS = {'x': ((1, 3), np.float32), 'n': ((1,), np.int64)}
RESULTS = {'double': ((1, 3), np.float32), 'sum': ((1,), np.float32)}


class Plan:
    """Stands for a plan and its context: it reads and writes at the addresses it was told."""

    def __init__(self, names, results, works=True):
        self.forms = {**{name: FORMS[name] for name in names}, **results}
        self.given, self.results, self.works = names, results, works
        self.places = {}

    @property
    def num_io_tensors(self):
        return len(self.forms)

    def create_execution_context(self):
        return self

    def get_tensor_name(self, index):
        return [*self.forms][index]

    def get_tensor_mode(self, name):
        return 'in' if name in self.given else 'out'

    def get_tensor_shape(self, name):
        return self.forms[name][0]

    def get_tensor_dtype(self, name):
        return self.forms[name][1]

    def set_tensor_address(self, name, address):
        shape, kind = self.forms[name]
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = (ctypes.c_char * size).from_address(address)
        self.places[name] = np.frombuffer(memory, kind).reshape(shape)

    def execute_async_v3(self, stream):
        double, total = (self.places[name] for name in sorted(self.results))
        double[...] = 2 * self.places['x']
        total[...] = self.places['x'].sum() + self.places.get('n', 0)
        return self.works


@pytest.fixture
def run_by(monkeypatch):
    """Opens a plan; CPU memory stands for that of a GPU, and the calls it records for a graph."""
    recording = []
    step = TensorRtSession._step

    def record(session):
        recording[:] = [session]
        step(session)

    @contextlib.contextmanager
    def capture(graph, *, stream):
        yield

    stream = SimpleNamespace(synchronize=lambda: None, cuda_stream=0)
    graph = SimpleNamespace(replay=lambda: step(recording[0]))
    monkeypatch.setattr(TensorRtSession, '_step', record)
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda tensor: tensor)
    monkeypatch.setattr(torch.cuda, 'Stream', lambda device: stream)
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', lambda: graph)
    for name in ('stream', 'device'):
        monkeypatch.setattr(torch.cuda, name, lambda what: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'graph', capture)

    def run(plan, signature=SIGNATURE):
        module = ModuleType('tensorrt')
        module.__version__ = '10.13'
        module.Logger = lambda level: level
        module.Logger.WARNING = 2
        module.TensorIOMode = SimpleNamespace(INPUT='in')
        module.nptype = lambda kind: kind
        module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda data: plan)
        monkeypatch.setitem(sys.modules, 'tensorrt', module)
        return TensorRtSession({PLAN: b'plan'}, signature, torch.device('cpu'))

    return run


@pytest.mark.parametrize('names', [['x', 'n'], ['n', 'x'], ['x']])
@pytest.mark.parametrize('results', [['double', 'sum'], ['sum', 'double']])
def test_arguments_and_results_are_found_by_name_in_whatever_order_a_plan_has_them(
    run_by, names, results
):
    session = run_by(Plan(names, {name: RESULTS[name] for name in results}))
    found = []
    for n in (1, 5):
        found.append(session.run({'x': np.float32([[1, 2, n]]), 'n': np.int64([n])}))
        added = n if 'n' in names else 0
        assert list(found[-1]) == ['double', 'sum']
        np.testing.assert_array_equal(found[-1]['double'], [[2, 4, 2 * n]])
        np.testing.assert_array_equal(found[-1]['sum'], [3 + n + added])
    # The first result is not the memory of the second.
    np.testing.assert_array_equal(found[0]['double'], [[2, 4, 2]])


def test_results_with_names_of_torch_tensorrt_s_own_are_taken_in_their_order(run_by):
    session = run_by(Plan(['x'], {'output_0': RESULTS['double'], 'output_1': RESULTS['sum']}))
    found = session.run({'x': np.float32([[1, 2, 3]]), 'n': np.int64([0])})
    np.testing.assert_array_equal(found['double'], [[2, 4, 6]])
    np.testing.assert_array_equal(found['sum'], [6])


def test_a_plan_of_other_arguments_or_results_is_refused_with_both_lists(run_by):
    other = Signature({'n': SIGNATURE.inputs['n']}, SIGNATURE.outputs)
    with pytest.raises(EngineRefused, match=r"inputs \['x'\].*expected some of \['n'\]"):
        run_by(Plan(['x'], RESULTS), other)
    fewer = Signature(SIGNATURE.inputs, {'sum': SIGNATURE.outputs['sum']})
    with pytest.raises(EngineRefused, match=r"outputs \['double', 'sum'\].*Build it again"):
        run_by(Plan(['x'], RESULTS), fewer)


def test_a_plan_that_fails_to_run_is_refused(run_by):
    with pytest.raises(EngineRefused, match='failed to run the engine; its log says more'):
        run_by(Plan(['x'], RESULTS, works=False))


@pytest.mark.parametrize(
    ('capability', 'precisions'),
    [((7, 5), ('fp32', 'fp16')), ((9, 0), ('fp32', 'fp16', 'bf16'))],
)
def test_a_gpu_before_ampere_is_not_asked_for_bf16(run_by, monkeypatch, capability, precisions):
    plan = Plan(['x'], RESULTS)
    run_by(plan)
    gpu = torch.device('cuda', 0)
    monkeypatch.setattr('ros2_gridsampler.engines.tensorrt.torch_device', lambda name: gpu)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Some GPU')
    machine, able = TensorRt().look(Settings())
    assert able == precisions
    assert machine.engine == 'tensorrt 10.13'
    assert machine.device == f'Some GPU sm_{capability[0]}{capability[1]}'
