# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT takes the published policies whole and builds them; that they run needs a GPU."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ros2_gridsampler.policy.manifest import load_manifest
from ros2_gridsampler.policy.policy_config import Statistics

ROOT = Path(__file__).parents[1]


def _one_of_each_graph():
    """Policies of one graph differ in their numbers alone, which a build does not compute with."""
    found = {}
    for path in sorted((ROOT / 'models').glob('*/manifest.json')):
        config = load_manifest(path.parent).policy
        units = {
            name: Statistics((0.0,) * len(each.mean), (1.0,) * len(each.mean))
            for name in ('proprioception_statistics', 'action_statistics')
            for each in [getattr(config, name)]
        }
        found.setdefault(repr(replace(config, **units)), path)
    return [*found.values()]


MODELS = _one_of_each_graph()

if importlib.util.find_spec('torch_tensorrt') is None:
    pytest.skip(
        'torch-tensorrt-rtx is not in the path (`make test` puts it there): that TensorRT builds '
        'the policies was not shown',
        allow_module_level=True,
    )


# Several builds; a busy machine takes minutes.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope='module', params=MODELS, ids=lambda path: path.parent.name)
def found(request, tmp_path_factory):
    """What TensorRT-RTX makes of a published policy."""
    script = Path(__file__).with_name('tensorrt_plan.py')
    scratch = tmp_path_factory.mktemp('plan')
    result = subprocess.run(
        [sys.executable, script, request.param.parent, scratch, 'fp32,fp16'],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={
            'PYTHONPATH': os.pathsep.join(['.', os.environ.get('PYTHONPATH', '')]),
            'OMP_NUM_THREADS': '1',
            'HOME': str(scratch),
        },
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_every_operator_converts_and_into_one_engine(found):
    assert '100.0% coverage' in found['plan']
    assert found['plan'].count('TRT Engine #') == 1


def test_it_builds_in_32_and_in_16_bits(found):
    assert found['bytes']['fp32'] > found['bytes']['fp16'] > 1 << 20


def test_tensorrts_own_parser_takes_the_onnx_file_whole_and_builds_it(found):
    onnx = found['onnx']
    assert onnx['parsed']
    assert not onnx['errors']
    assert onnx['inputs'][:3] == ['images', 'proprioception', 'words']
    assert onnx['outputs'][0][0] == 1
    # Points are read as weights times tokens: there is no mode of interpolation to mistake.
    assert onnx['layers'] > 100
    assert onnx['samplers'] == 0
    assert onnx['bytes'] > 1 << 20


def test_an_operator_without_a_converter_is_caught_and_named(found):
    assert 'bessel_j0' in found['refusal']
