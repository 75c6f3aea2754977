# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever engine computes a policy, it is the policy that is computed."""

import dataclasses
import importlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from policies import tiny_policy

from ros2_gridsampler.encoders.engine_maker import hand_over, take_over
from ros2_gridsampler.engines import EngineRefused, build, load
from ros2_gridsampler.engines.eager import Eager
from ros2_gridsampler.engines.engine import Engine, Machine, Settings
from ros2_gridsampler.engines.engine_cache import EngineCache
from ros2_gridsampler.engines.exported_graph import export, run_eagerly
from ros2_gridsampler.engines.onnxruntime import to_onnx
from ros2_gridsampler.engines.table import ENGINES, find_engines, preference
from ros2_gridsampler.engines.verification import verify
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.graph import PROBES
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.signature import ArraySpec, ResultSpec, Signature

MODELS = sorted((Path(__file__).parents[1] / 'models').glob('*/manifest.json'))
LIBRARIES = {'openvino': 'openvino', 'onnxruntime': 'onnxscript'}


def observations(config, count):
    """Noise in every stream, reproducibly."""
    generator = np.random.default_rng(1)
    golden = golden_observation(config)
    for number in range(count):
        yield dataclasses.replace(
            golden,
            images={
                name: generator.integers(0, 256, image.shape, np.uint8)
                for name, image in golden.images.items()
            },
            joints=golden.joints + generator.normal(size=golden.joints.shape),
            instruction=f'sentence {number}',
        )


def example(policy):
    """Arguments of its network."""
    return policy.interface.arrays(golden_observation(policy.config))


def compile_strictly(policy, backend, **options):
    """By this backend or not at all."""
    if backend in LIBRARIES:
        pytest.importorskip(LIBRARIES[backend])
    golden = golden_observation(policy.config)
    return load(policy, [golden], backends=(backend,), strict=True, **options)


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'eager'])
@pytest.mark.parametrize('sample_after', [1, 3])
def test_every_engine_predicts_as_the_policy_does(backend, sample_after):
    policy = tiny_policy(sample_after=sample_after)
    compiled = compile_strictly(policy, backend)
    several = list(observations(policy.config, 4))
    # All of them first: a later one must not change what an earlier one gave.
    predictions = [compiled.predict(observation) for observation in several]
    for observation, got in zip(several, predictions, strict=True):
        wanted = policy.predict(observation)
        np.testing.assert_allclose(got.chunk.targets, wanted.chunk.targets, atol=1e-5)
        for name, points in wanted.points.items():
            np.testing.assert_allclose(got.points[name], points, atol=1e-5)
        assert got.chunk.start_time == observation.time
    assert compiled.report.backend == backend
    assert compiled.report.agreement.inputs >= PROBES


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'eager'])
@pytest.mark.parametrize('head', ['continuing', 'flow'])
def test_every_engine_goes_on_from_the_steps_under_way(backend, head):
    policy = tiny_policy(head=head)
    compiled = compile_strictly(policy, backend)
    assert compiled.report.agreement.inputs >= PROBES + 3
    generator = np.random.default_rng(0)
    for count, observation in enumerate(observations(policy.config, 4)):
        prefix = generator.normal(0, 0.1, (count, 7))
        got, wanted = (p.predict(observation, prefix).chunk.targets for p in (compiled, policy))
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        np.testing.assert_allclose(got[:count], prefix, atol=1e-5)


def test_a_prefix_is_refused_by_an_engine_of_a_policy_that_takes_none():
    compiled = compile_strictly(tiny_policy(), 'eager')
    golden = golden_observation(tiny_policy().config)
    with pytest.raises(ValueError, match='not trained to go on'):
        compiled.predict(golden, np.zeros((1, 7)))


def test_an_engine_that_forgets_the_prefix_is_found():
    policy = tiny_policy(head='flow')

    def without_prefix(inputs):
        return inputs | {'given': np.zeros_like(inputs['given'])}

    with pytest.raises(EngineRefused, match='something else than PyTorch'):
        tried(Faulty(policy, inputs=without_prefix), policy)


@pytest.mark.parametrize('manifest', MODELS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime'])
def test_every_published_policy_is_compiled(manifest, backend):
    policy, _ = load_checkpoint(manifest.parent)
    report = compile_strictly(policy, backend).report
    assert report.agreement.errors['actions'] < 2e-4


@pytest.mark.parametrize(
    ('backend', 'precision'), [('openvino', 'bf16'), ('onnxruntime', 'int8'), ('eager', 'bf16')]
)
def test_fewer_bits_are_close_and_never_exact(backend, precision):
    policy = tiny_policy()
    try:
        report = compile_strictly(policy, backend, precision=precision).report
    except EngineRefused as error:
        if 'does not compute bf16' in str(error):
            pytest.skip(str(error))
        raise
    assert report.settings.precision == precision
    assert 1e-5 < report.agreement.errors['actions'] < 0.1


def eagerly(policy):
    """The policy by PyTorch."""
    return Eager().open({}, policy.signature, Settings(), policy)


class Faulty:
    """An engine that does something to what goes in or comes out of a right one."""

    def __init__(self, policy, inputs=lambda x: x, outputs=lambda x: x):
        self.engine, self.inputs, self.outputs = eagerly(policy), inputs, outputs

    def run(self, inputs):
        return self.outputs(self.engine.run(self.inputs(inputs)))


def tried(engine, policy, only_examples=False):
    """Verify it."""
    inputs = policy.probes([golden_observation(policy.config)])
    inputs = inputs[:1] if only_examples else inputs
    expected = [run_eagerly(policy, given) for given in inputs]
    return verify(engine, inputs, expected, policy.signature, 'fp32')


def test_an_engine_that_is_wrong_only_at_the_border_is_found():
    policy = tiny_policy()

    def short_of_the_border(inputs):
        return inputs | {'point_shift': inputs['point_shift'].clip(-0.7, 0.7)}

    engine = Faulty(policy, inputs=short_of_the_border)
    tried(engine, policy, only_examples=True)
    with pytest.raises(EngineRefused, match='something else than PyTorch'):
        tried(engine, policy)


@pytest.mark.parametrize(
    ('fault', 'words'),
    [
        (lambda o: o | {'actions': o['actions'] * np.nan}, 'actions for input 0 are not all fin'),
        (lambda o: o | {'points': o['points'][:, :1]}, r'points have shape \(1, 1, 2, 2\)'),
        (lambda o: o | {'actions': o['actions'] + 1e-3}, 'actions are off by 0.01 scales'),
        (lambda o: o | {'points': o['points'] + 0.01}, 'points are off by 0.03 cells'),
        (lambda o: {'actions': o['actions']}, r"gives \['actions'\] and no points"),
    ],
)
def test_an_engine_that_gives_something_else_is_refused(fault, words):
    policy = tiny_policy()
    with pytest.raises(EngineRefused, match=words):
        tried(Faulty(policy, outputs=fault), policy)


def test_an_engine_of_other_weights_is_refused():
    with pytest.raises(EngineRefused, match='something else'):
        tried(eagerly(tiny_policy(seed=1)), tiny_policy(seed=0))


class Bessel(torch.nn.Module):
    """An operator that engines do not have."""

    def forward(self, x):
        return torch.special.bessel_j0(x)


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime'])
def test_an_operator_that_an_engine_lacks_is_named_and_the_next_engine_taken(backend):
    pytest.importorskip(LIBRARIES[backend])
    policy = tiny_policy()
    policy.trunk.norm = Bessel()
    golden = golden_observation(policy.config)
    compiled = load(policy, [golden], backends=(backend, 'eager'))
    assert compiled.report.backend == 'eager'
    assert 'bessel_j0' in compiled.report.refusals[0].reason
    with pytest.raises(EngineRefused, match='bessel_j0'):
        load(policy, [golden], backends=(backend, 'eager'), strict=True)


class Guess(torch.nn.Module):
    """Decides by the content of a tensor, which no exported graph can."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_policy_that_cannot_be_exported_is_refused_in_a_sentence():
    policy = tiny_policy()
    policy.trunk.norm = Guess()
    with pytest.raises(EngineRefused, match='cannot be exported'):
        export(policy, example(policy))


@pytest.mark.parametrize(
    ('module', 'backend', 'line'),
    [
        ('openvino', 'openvino', 'pip install .openvino'),
        ('onnxruntime', 'onnxruntime', 'pip install .onnx'),
        ('tensorrt', 'tensorrt', r"pip install 'ros2_gridsampler\[tensorrt\]'"),
    ],
)
def test_a_backend_that_is_not_installed_is_one_sentence_with_the_pip_line(
    monkeypatch, module, backend, line
):
    monkeypatch.setitem(sys.modules, module, None)
    policy = tiny_policy()
    with pytest.raises(EngineRefused, match=f'is not installed; {line}'):
        load(policy, [golden_observation(policy.config)], backends=(backend,))


@pytest.mark.parametrize(
    ('backend', 'precision'),
    [('eager', 'fp16'), ('eager', 'int8'), ('onnxruntime', 'bf16'), ('openvino', 'int8')],
)
def test_a_precision_that_the_engine_lacks_is_refused_with_what_it_has(backend, precision):
    with pytest.raises(EngineRefused, match='use .*|quantised'):
        compile_strictly(tiny_policy(), backend, precision=precision)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_named(value):
    policy = tiny_policy()
    with torch.no_grad():
        policy.trunk.blocks[0].mlp.fc1.weight[3, 2] = value
    with pytest.raises(ValueError, match=r'trunk.blocks.0.mlp.fc1.weight'):
        load(policy, [golden_observation(policy.config)])


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'backends': ('telepathy',)}, 'telepathy'),
        ({'backends': ()}, 'use some of'),
        ({'threads': 0}, 'threads is 0, expected at least 1'),
        ({'device': 'gpu'}, "Device 'gpu' is not known; use 'auto', 'cpu', 'cuda' or 'cuda:1'"),
        ({'device': 'cuda:-1'}, 'is not known'),
    ],
)
def test_choices_that_cannot_be_met_are_refused(options, words):
    policy = tiny_policy()
    with pytest.raises(ValueError, match=words):
        load(policy, [golden_observation(policy.config)], **options)


def test_no_example_is_no_verification():
    with pytest.raises(ValueError, match='at least one example'):
        load(tiny_policy(), [])


def test_the_onnx_file_that_tensorrt_reads_has_opset_18_and_no_grid_sample():
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    policy = tiny_policy()
    content = to_onnx(export(policy, example(policy)))
    model = onnx.load_from_string(content)
    assert {entry.domain: entry.version for entry in model.opset_import}[''] == 18
    assert 'GridSample' not in {node.op_type for node in model.graph.node}


@pytest.mark.gpu
@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_tensorrt_predicts_as_the_policy_does(precision):
    pytest.importorskip('tensorrt', reason='TensorRT is not installed: nothing was shown')
    if not torch.cuda.is_available():
        pytest.skip('no NVIDIA GPU here: that the engine runs was not shown')
    report = compile_strictly(tiny_policy(), 'tensorrt', precision=precision).report
    assert report.backend == 'tensorrt'


BUILDS = """
import os, sys
from policies import tiny_policy
from ros2_gridsampler.engines import load
from ros2_gridsampler.policy.manifest import golden_observation

forks = []
os.register_at_fork(before=lambda: forks.append(1))
policy = tiny_policy()
load(policy, [golden_observation(policy.config)], backends=(sys.argv[1],), strict=True)
assert sys.argv[1] in sys.modules
print('forks', len(forks))
"""


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime'])
def test_no_engine_forks_this_process_or_tells_anybody_that_it_is_used(backend, tmp_path):
    # On the machine of a CI service they would be silent by themselves.
    silent = ('CI', 'TF_BUILD', 'GITHUB_ACTIONS', 'ORT_DISABLE_TELEMETRY')
    environment = {name: value for name, value in os.environ.items() if name not in silent}
    environment |= {
        'PYTHONPATH': str(Path(__file__).parents[1]),
        'HOME': str(tmp_path),
        'XDG_CACHE_HOME': str(tmp_path / 'cache'),
    }
    said = subprocess.run(
        [sys.executable, '-c', BUILDS, backend],
        env=environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split()[-2:] == ['forks', '0']
    left = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert not left, 'something was written to be reported later'


DROPS = """
import signal, sys, threading
from policies import tiny_policy
from ros2_gridsampler.engines import load
from ros2_gridsampler.policy.manifest import golden_observation

heard = []
signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
policy = tiny_policy()
held = [load(policy, [golden_observation(policy.config)], backends=(sys.argv[1],), strict=True)]
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
signal.raise_signal(signal.SIGUSR1)
print('heard', len(heard))
"""


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime'])
def test_a_signal_is_heard_after_another_thread_dropped_an_engine(backend):
    """On processors with AMX OpenVINO gives the thread that loads it a stack for signals."""
    said = subprocess.run(
        [sys.executable, '-c', DROPS, backend],
        env=os.environ | {'PYTHONPATH': str(Path(__file__).parents[1])},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split()[-2:] == ['heard', '1']


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'eager'])
def test_one_thread_never_takes_more_than_one_core(backend):
    policy = tiny_policy()
    compiled = compile_strictly(policy, backend, threads=1)
    golden = golden_observation(policy.config)
    compiled.predict(golden)
    begin, spent = time.perf_counter(), time.process_time()
    for _ in range(200):
        compiled.predict(golden)
    # A second thread that computes or only waits would be counted here.
    assert time.process_time() - spent <= 1.1 * (time.perf_counter() - begin) + 0.02
    assert compiled.report.settings.threads == 1


def test_the_default_takes_the_first_engine_that_is_installed_and_tells_why_not_the_others(
    monkeypatch,
):
    policy = tiny_policy()
    golden = golden_observation(policy.config)
    for module in ('tensorrt', 'torch_tensorrt'):
        monkeypatch.setitem(sys.modules, module, None)
    if importlib.util.find_spec('openvino'):
        report = load(policy, [golden], backends=preference('automatic')).report
        assert report.backend == 'openvino'
        assert [refusal.backend for refusal in report.refusals] == ['tensorrt']
    for module in ('openvino', 'onnxruntime'):
        monkeypatch.setitem(sys.modules, module, None)
    report = load(policy, [golden], backends=preference('automatic')).report
    assert report.backend == 'eager'
    assert all('is not installed; pip install' in each.reason for each in report.refusals)
    assert [each.backend for each in report.refusals] == ['tensorrt', 'openvino', 'onnxruntime']
    assert preference('onnxruntime') == ('onnxruntime',)


class Reference(Engine):
    """An engine of this test alone: ONNX's own evaluator, operator by operator in NumPy."""

    name, files, lowers = 'reference', ('graph.onnx',), True
    title, packages, on_gpu = "ONNX's evaluator", 'onnx', True

    def __init__(self):
        self.opened_on = []

    def library(self):
        import onnx.reference

        return onnx.reference

    def look(self, settings):
        return Machine('onnx.reference', settings.device), ('fp32',)

    def build(self, graph, settings):
        return {'graph.onnx': to_onnx(graph)}

    def session(self, files, signature, settings, source):
        from onnx import load_from_string

        class Session:
            def run(self, arrays):
                given = {name: arrays[name] for name in evaluator.input_names}
                return dict(
                    zip(signature.outputs, evaluator.run([*signature.outputs], given), strict=True)
                )

        self.opened_on.append(settings.device)
        evaluator = self.library().ReferenceEvaluator(load_from_string(bytes(files['graph.onnx'])))
        return Session()


@pytest.fixture
def reference(monkeypatch):
    """The engine of this test in the table: adding it is this one object."""
    pytest.importorskip('onnxscript')
    engine = Reference()
    monkeypatch.setitem(ENGINES, 'reference', engine)
    return engine


def test_an_engine_that_is_put_into_the_table_computes_a_policy(reference, tmp_path):
    assert preference('automatic')[-1] == 'reference'
    policy = tiny_policy(head='continuing')
    cache = EngineCache(tmp_path / 'cache')
    for origin in ('There was no entry. Built and kept', 'Loaded from'):
        compiled = compile_strictly(policy, 'reference', cache=cache)
        assert compiled.report.origin.startswith(origin)
    for observation in observations(policy.config, 2):
        got, wanted = (p.predict(observation).chunk.targets for p in (compiled, policy))
        np.testing.assert_allclose(got, wanted, atol=1e-5)

    golden = golden_observation(policy.config)
    made = build(policy, [golden], find_engines(['reference']), Settings(), cache=cache)
    folder = tmp_path / 'handed over'
    folder.mkdir()
    hand_over(made, folder)
    taken = take_over(folder, policy.interface)
    assert taken.report.backend == 'reference'
    assert np.array_equal(
        taken.predict(golden).chunk.targets, compiled.predict(golden).chunk.targets
    )


def test_an_engine_is_told_its_device_and_built_for_each(reference, tmp_path):
    cache = EngineCache(tmp_path)
    for device in ('cpu', 'cuda:1'):
        report = compile_strictly(tiny_policy(), 'reference', cache=cache, device=device).report
        assert report.machine.device == device
        assert reference.opened_on[-1] == device
        # What was built for another device is not taken.
        assert 'Built and kept' in report.origin
    reference.on_gpu = False
    with pytest.raises(
        EngineRefused, match=r"ONNX's evaluator computes on the CPU here, 'cuda:1'"
    ):
        compile_strictly(tiny_policy(), 'reference', cache=cache, device='cuda:1')
    with pytest.raises(EngineRefused, match='evaluator does not compute fp16 on cpu; use fp32'):
        compile_strictly(tiny_policy(), 'reference', device='cpu', precision='fp16')
    reference.library = lambda: importlib.import_module('no_such_library')
    with pytest.raises(EngineRefused, match='evaluator is not installed; pip install onnx'):
        compile_strictly(tiny_policy(), 'reference')


class Sum(torch.nn.Module):
    """A network that is no policy of ours: two numbers in, one out."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0, -3.0]))

    def forward(self, left, right):
        return self.weight[0] * left + self.weight[1] * right


class Weighed:
    """It, as engines want to know it."""

    signature = Signature(
        {'left': ArraySpec((1, 3), 'float32'), 'right': ArraySpec((1, 3), 'float32')},
        {'sum': ResultSpec(np.ones(3), 'ones', {'fp32': 1e-5})},
    )

    def network(self, precision):
        return Sum().eval()

    def probes(self, examples):
        return [
            {'left': np.full((1, 3), x, np.float32), 'right': np.ones((1, 3), np.float32)}
            for x in range(3)
        ]


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'eager'])
def test_every_engine_takes_a_network_with_other_arguments(backend):
    if backend in LIBRARIES:
        pytest.importorskip(LIBRARIES[backend])
    made = build(Weighed(), [], find_engines([backend]), Settings(), strict=True)
    given = {'left': np.float32([[1, 2, 3]]), 'right': np.float32([[1, 0, -1]])}
    np.testing.assert_allclose(made.session.run(given)['sum'], [[-1, 4, 9]], atol=1e-5)
    assert str(made.report.agreement).endswith('ones')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda a: a | {'images': a['images'][:, :1]}, r"'images' in shape \(1, 2, 64, 64, 3\)"),
        (lambda a: a | {'words': a['words'].astype(np.int32)}, 'of int64, got .* of int32'),
        (lambda a: a | {'depth': a['images']}, 'The network reads .* got .*depth'),
    ],
)
def test_arguments_of_another_form_are_refused_by_name(change, words):
    policy = tiny_policy()
    policy.signature.check(example(policy))
    with pytest.raises(ValueError, match=words):
        policy.signature.check(change(example(policy)))


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'eager'])
def test_a_gpu_that_an_engine_does_not_have_here_is_refused(backend):
    if torch.cuda.device_count() > 99:
        pytest.skip('there is such a GPU here')
    with pytest.raises(EngineRefused, match=r"'cuda:99'.*(use|device) .*'cpu'"):
        compile_strictly(tiny_policy(), backend, device='cuda:99')
    assert compile_strictly(tiny_policy(), backend, device='cpu').report.agreement.inputs


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no NVIDIA GPU here')
@pytest.mark.parametrize('head', ['direct', 'flow'])
def test_the_eager_engine_on_a_gpu_predicts_as_the_policy_does(head):
    policy = tiny_policy(head=head)
    compiled = compile_strictly(policy, 'eager', device='cuda')
    assert compiled.report.machine.device == torch.cuda.get_device_name()
    golden = golden_observation(policy.config)
    got, wanted = (p.predict(golden).chunk.targets for p in (compiled, policy))
    np.testing.assert_allclose(got, wanted, atol=2e-5)
    assert next(policy.parameters()).device.type == 'cpu'
