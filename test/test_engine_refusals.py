# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What an engine cannot do here is refused in a sentence; no test here needs TensorRT or a GPU."""

import dataclasses
import sys
import tempfile
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.engines import build, build_parts, onnxruntime, tensorrt
from ros2_gridsampler.engines.compiled_policy import Refusal, Report
from ros2_gridsampler.engines.eager import Eager
from ros2_gridsampler.engines.engine import EngineRefused, Machine, Settings, versions
from ros2_gridsampler.engines.exported_graph import export, first_line
from ros2_gridsampler.engines.onnxruntime import OnnxRuntime
from ros2_gridsampler.engines.openvino import OpenVino, installed_version
from ros2_gridsampler.engines.table import ENGINES
from ros2_gridsampler.engines.tensorrt import PLAN, TensorRt
from ros2_gridsampler.engines.verification import Agreement, pack_probes, unpack_probes, verify
from ros2_gridsampler.policy.signature import ArraySpec, ResultSpec, Signature

SIGNATURE = Signature(
    {'x': ArraySpec((1, 3), 'float32')},
    {'y': ResultSpec(np.ones(3), 'ones', {'fp32': 1e-5})},
)
PROBES = [{'x': np.float32([[1, 2, x]])} for x in (0, 3)]


class Network(torch.nn.Module):
    def __init__(self, compute):
        super().__init__()
        self.compute = compute

    def forward(self, x):
        return self.compute(x)


class Small:
    """A network of one argument and one result, as engines want to know it."""

    signature = SIGNATURE

    def __init__(self, compute=lambda x: 2 * x):
        self.compute = compute

    def network(self, precision):
        return Network(self.compute).eval()

    def probes(self, examples):
        return PROBES


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU here')


@pytest.mark.parametrize(
    ('device', 'words'),
    [
        ('cpu', 'the CPU was asked for'),
        ('cuda:99', "'cuda:99' was asked for, but PyTorch sees"),
        pytest.param('auto', 'PyTorch sees none', marks=NO_GPU),
    ],
)
def test_without_the_gpu_that_was_asked_for_it_is_neither_looked_at_nor_opened(device, words):
    settings = Settings(device=device)
    for attempt in (
        lambda: TensorRt().look(settings),
        lambda: TensorRt().open({PLAN: b''}, SIGNATURE, settings),
    ):
        with pytest.raises(EngineRefused, match=f'^TensorRT needs an NVIDIA GPU.*{words}'):
            attempt()


def test_what_the_driver_says_of_itself_is_one_line_of_a_desktop_or_of_a_jetson(
    monkeypatch, tmp_path
):
    desktop, jetson = tmp_path / 'version', tmp_path / 'nv_tegra_release'
    monkeypatch.setattr(tensorrt, '_DRIVERS', (desktop, jetson))
    assert tensorrt.driver() == ''
    jetson.write_text('# R36 (release), REVISION: 4.3\n# and more\n')
    assert tensorrt.driver() == '# R36 (release), REVISION: 4.3'
    jetson.unlink()
    desktop.write_text('NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1\nGCC version: 12\n')
    assert tensorrt.driver() == 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1'


@pytest.fixture
def library(monkeypatch):
    """Puts what stands for TensorRT's parser, builder and runtime in its place.

    It takes a file or says why not, and it builds a plan or nothing; what it was given is kept.
    """

    def put(*, errors=(), plan=b'plan', name='tensorrt'):
        given = []

        def parse(content):
            given.append(content)
            return not errors

        parser = SimpleNamespace(
            parse=parse, num_errors=len(errors), get_error=lambda index: errors[index]
        )
        builder = SimpleNamespace(
            create_network=lambda flags: flags,
            create_builder_config=lambda: None,
            build_serialized_network=lambda network, config: plan,
        )
        module = ModuleType(name)
        module.Logger = lambda level: level
        module.Logger.WARNING = 2
        module.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        module.Builder = lambda logger: builder
        module.OnnxParser = lambda network, logger: parser
        module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda data: None)
        for each in ('tensorrt', 'tensorrt_rtx', 'torch_tensorrt'):
            monkeypatch.setitem(sys.modules, each, module if each == name else None)
        return given

    return put


@pytest.fixture(scope='module')
def graph():
    return export(Small(), PROBES[0])


@pytest.mark.parametrize('name', ['tensorrt', 'tensorrt_rtx'])
def test_without_torch_tensorrt_the_onnx_file_is_built_by_whichever_tensorrt_there_is(
    library, graph, name
):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    given = library(name=name)
    assert TensorRt().library().__name__ == name
    assert TensorRt().build(graph, Settings()) == {PLAN: b'plan'}
    assert [entry.name for entry in onnx.load_from_string(given[0]).graph.output] == [
        *graph.signature.outputs
    ]


@pytest.mark.parametrize(
    ('answers', 'words'),
    [
        ({'errors': ('no importer for Bessel', 'stopped')}, 'no importer for Bessel; stopped'),
        ({'plan': None}, 'failed to build the ONNX file; its log says more'),
    ],
)
def test_an_onnx_file_that_tensorrt_does_not_take_is_refused_with_its_words(
    library, graph, answers, words
):
    pytest.importorskip('onnxscript')
    library(**answers)
    with pytest.raises(EngineRefused, match=words):
        TensorRt().build(graph, Settings())


def test_a_plan_of_another_version_or_gpu_is_refused_with_what_to_do(library):
    library()
    with pytest.raises(EngineRefused, match='built for another version.*`gridsampler export`'):
        tensorrt.TensorRtSession({PLAN: b'old'}, SIGNATURE, torch.device('cpu'))


def test_an_exporter_that_is_not_installed_is_named_with_the_pip_line(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    with pytest.raises(
        EngineRefused, match=r"\(onnx, onnxscript\) is not installed; pip install 'o"
    ):
        OnnxRuntime().build(graph, Settings())


def test_a_converted_policy_that_cannot_be_written_is_refused_with_the_folder(
    graph, monkeypatch, tmp_path
):
    pytest.importorskip('openvino')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'gone'))
    with pytest.raises(EngineRefused, match=r'cannot write the converted policy to .*gone'):
        OpenVino().build(graph, Settings())


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_files_that_are_none_are_refused_by_the_library_in_our_words(name):
    pytest.importorskip(name)
    engine = ENGINES[name]
    files = dict.fromkeys(engine.files, b'no such thing')
    with pytest.raises(EngineRefused, match=f'^{engine.title} cannot load the policy: '):
        engine.open(files, SIGNATURE, Settings())


def test_pytorch_itself_keeps_no_files_and_opens_none(graph):
    assert Eager().build(graph, Settings()) == {}
    with pytest.raises(EngineRefused, match='there are no files to open'):
        Eager().open({}, SIGNATURE, Settings())


def test_what_is_not_installed_has_no_version(monkeypatch):
    assert versions('torch', 'no-such-library') == f'torch {torch.__version__}'
    monkeypatch.setattr(sys, 'path', [])
    assert installed_version() == ''


def test_memory_that_a_graph_takes_without_values_is_zero_in_every_engine():
    def forgetful(x):
        return 2 * x + 0 * torch.empty(1, 3).copy_(x) + torch.empty_like(x).fill_(0)

    graph = export(Small(forgetful), PROBES[0])
    assert not [node for node in graph.program.graph.nodes if 'aten.empty' in str(node.target)]
    expected = [{'y': 2 * given['x']} for given in PROBES]
    for name in ('openvino', 'onnxruntime', 'eager'):
        pytest.importorskip(ENGINES[name].library().__name__)
        made = build(Small(forgetful), [], [ENGINES[name]], Settings(), strict=True)
        assert verify(made.session, PROBES, expected, SIGNATURE, 'fp32').inputs == 2


@pytest.mark.parametrize('name', ['openvino', 'onnxruntime', 'eager'])
def test_a_policy_of_several_networks_is_computed_by_one_engine_and_verified_as_a_whole(name):
    pytest.importorskip(ENGINES[name].library().__name__)
    parts = {'prefix': Small(), 'step': Small(lambda x: x + 1)}

    def whole(sessions):
        return Agreement({'targets': 0.0}, {'targets': 'ones'}, 1)

    def otherwise(sessions):
        raise EngineRefused('The chunk is another one.')

    engines = [ENGINES[name]]
    sessions, report = build_parts(parts, [], engines, Settings(), whole=whole)
    given = sessions['prefix'].run(PROBES[1])
    np.testing.assert_allclose(sessions['step'].run({'x': given['y']})['y'], [[3, 5, 7]])
    assert report.backend == name
    assert {*report.agreement.errors} == {'prefix y', 'step y', 'targets'}
    with pytest.raises(EngineRefused, match='The chunk is another one'):
        build_parts(parts, [], engines, Settings(), whole=otherwise, strict=True)


def test_more_weights_than_one_onnx_file_holds_are_refused_with_the_engines_that_take_them(
    graph, monkeypatch
):
    large = dataclasses.replace(graph, program=SimpleNamespace(state_dict={'w': torch.ones(9)}))
    monkeypatch.setattr(onnxruntime, 'LIMIT', 8)
    with pytest.raises(EngineRefused, match="use 'openvino', or 'tensorrt' with torch-tensorrt"):
        onnxruntime.to_onnx(large)


@pytest.mark.parametrize('sizes', [(0, 1), (1, 0), (0, 1, 1), (0, 0), (1, 1)], ids=str)
def test_what_is_joined_to_nothing_is_itself(sizes):
    def join(x):
        return torch.cat([x[:size] for size in sizes])

    program = export(Small(join), PROBES[0]).program
    x = torch.ones(1, 3)
    torch.testing.assert_close(program.module()(x), join(x))
    joined = [node for node in program.graph.nodes if 'aten.cat' in str(node.target)]
    assert all(each.meta['val'].numel() for node in joined for each in node.args[0]) or not any(
        sizes
    )


@given(st.text(), st.sampled_from(['aten.grid_sampler', 'torch.ops.gs.read', 'prims::fma', '']))
def test_a_librarys_message_becomes_one_short_line_that_names_the_operator(text, operator):
    line = first_line(RuntimeError(f'{text}\nsomewhere in {operator}' if operator else text))
    assert len(line) <= 300
    assert len(line.splitlines()) <= 1
    assert line
    if operator and len(text) < 100:
        assert operator in line


numbers = st.floats(-9, 9, width=32)
rows = st.lists(numbers, min_size=3, max_size=3)


@given(st.lists(st.tuples(rows, rows), min_size=1, max_size=4))
def test_probes_are_read_back_as_they_were_packed(pairs):
    inputs = [{'x': np.float32([x])} for x, _ in pairs]
    results = [{'y': np.float32([y])} for _, y in pairs]
    back = unpack_probes(pack_probes(inputs, results), SIGNATURE)
    for name, found, packed in (('x', back[0], inputs), ('y', back[1], results)):
        assert [each[name].tolist() for each in found] == [each[name].tolist() for each in packed]


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'no safetensors',
        pack_probes([], []),
        pack_probes([{'x': np.ones((1, 3), np.float32)}], [{}]),
        pack_probes([{'x': np.ones((1, 4), np.float32)}], [{'y': np.ones((1, 3))}]),
        pack_probes([{'x': np.ones((1, 3))}], [{'y': np.ones((1, 3))}]),
    ],
)
def test_probes_of_another_form_are_refused(data):
    with pytest.raises(ValueError, match='^It is incomplete: '):
        unpack_probes(data, SIGNATURE)


def test_an_engine_that_fails_on_an_input_is_refused_with_its_number():
    class Failing:
        def run(self, arrays):
            if arrays['x'][0, 2]:
                raise KeyError('no such row')
            return {'y': arrays['x']}

    expected = [{'y': given['x']} for given in PROBES]
    with pytest.raises(EngineRefused, match='fails on input 1: .no such row'):
        verify(Failing(), PROBES, expected, SIGNATURE, 'fp32')


def test_a_report_says_in_one_line_which_engines_were_not_taken_and_why():
    refusals = (Refusal('tensorrt', 'No GPU.'), Refusal('openvino', 'Not installed.'))
    agreement = Agreement({'y': 2e-6}, {'y': 'ones'}, 2)
    report = Report('eager', Settings(), Machine('torch', 'CPU'), agreement, 'Built.', refusals)
    refused = 'tensorrt: No GPU. openvino: Not installed.'
    assert report.about() == {'backend': 'eager', 'backends refused': refused}
    assert str(agreement) == 'y by 2e-06 ones'
