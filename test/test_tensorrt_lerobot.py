# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT takes the networks of small lerobot policies whole and builds them; none is run."""

import importlib.util
import os
from pathlib import Path

import onnx
import pytest

GRAPHS = Path(os.environ.get('LEROBOT_GRAPHS', 'build/lerobot_graphs'))
FILES = sorted(GRAPHS.glob('*.onnx'))
if importlib.util.find_spec('tensorrt_rtx') is None or not FILES:
    pytest.skip(
        'lerobot and TensorRT-RTX are never in one environment: run '
        '`make test-tensorrt-lerobot LEROBOT=PYTHON`, with the Python that has lerobot',
        allow_module_level=True,
    )
pytestmark = pytest.mark.timeout(1200)


def test_every_network_was_exported():
    networks = ('act_network', 'pi0_prefix', 'pi0_step', 'smolvla_prefix', 'smolvla_step')
    precisions = ('bf16', 'fp16', 'fp32')
    assert [path.stem for path in FILES] == [f'{n}_{p}' for n in networks for p in precisions]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_all_operators_are_taken_and_one_engine_is_built(path):
    import tensorrt_rtx as trt

    content = path.read_bytes()
    nodes = len(onnx.load_from_string(content).graph.node)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(content)
    errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
    assert parsed, errors
    assert not errors
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    print(f'{path.stem}: all {nodes} operators, {plan.nbytes / 1e6:.1f} MB')  # noqa: T201
    kinds = {network.get_input(index).dtype for index in range(network.num_inputs)}
    assert trt.DataType.FLOAT in kinds


def test_an_operator_without_a_converter_is_named():
    import tensorrt_rtx as trt
    from onnx import TensorProto, helper

    forms = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in 'xy']
    node = helper.make_node('BitShift', ['x', 'x'], ['y'], direction='LEFT')
    graph = helper.make_graph([node], 'one', forms[:1], forms[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert not parser.parse(model.SerializeToString())
    assert 'BitShift' in str(parser.get_error(0))
