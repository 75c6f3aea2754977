# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folder -> JSON of what TensorRT-RTX makes of it, on a machine without a GPU.

A process of its own, because torch-tensorrt asks for a GPU when it is imported: the answers below
stand for one. They reach as far as building; nothing here can run an engine.
"""
# ruff: noqa: E402, T201

import importlib
import json
import os
import sys
import types
from pathlib import Path

import torch

REAL_ISFILE = os.path.isfile
torch.cuda.get_device_capability = lambda *a, **k: (8, 9)
torch.cuda.current_device = lambda: 0
torch.cuda.get_device_properties = lambda *a, **k: types.SimpleNamespace(
    name='plan', major=8, minor=9, total_memory=8 << 30, multi_processor_count=24
)
torch.cuda.mem_get_info = lambda *a, **k: (8 << 30, 8 << 30)
torch.cuda.synchronize = torch.cuda.empty_cache = lambda *a, **k: None
if not REAL_ISFILE(os.path.join(os.path.dirname(torch.__file__), 'lib', 'libtorch_cuda.so')):
    # The C++ runtime needs a CUDA build of PyTorch; building does not.
    os.path.isfile = lambda p: False if 'libtorchtrt' in str(p) else REAL_ISFILE(p)
    if not hasattr(torch._C, '_CudaDeviceProperties'):
        torch._C._CudaDeviceProperties = type('_CudaDeviceProperties', (), {})

import torch_tensorrt
import torch_tensorrt.dynamo._compiler as compiler

from ros2_gridsampler.engines.engine import EngineRefused, Settings
from ros2_gridsampler.engines.exported_graph import export
from ros2_gridsampler.engines.onnxruntime import to_onnx
from ros2_gridsampler.engines.tensorrt import PLAN, TensorRt
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import golden_observation

# torch-tensorrt-rtx gives TensorRT-RTX that name when it is imported.
trt = importlib.import_module('tensorrt')
compiler.to_torch_device = lambda device: torch.device('cpu')


class Plan:
    """Keeps the bytes of an engine that cannot be opened here."""

    def __init__(self, content):
        self.content = content

    def serialize(self):
        return self.content

    def serialize_with_config(self, *config):
        return self.content

    def get_aliased_input_tensor(self, *names):
        return None

    def create_serialization_config(self):
        return type('Config', (), {'__getattr__': lambda self, name: lambda *given: None})()


class Runtime:
    """Opens nothing."""

    def __init__(self, *given):
        pass

    def deserialize_cuda_engine(self, content):
        return Plan(bytes(content))


trt.Runtime = Runtime


class Bessel(torch.nn.Module):
    """An operator without a converter."""

    def forward(self, x):
        return torch.special.bessel_j0(x)


def coverage(graph, file):
    """The first lines of torch-tensorrt's own plan."""
    torch_tensorrt.dynamo.compile(
        graph.program,
        arg_inputs=tuple(torch.from_numpy(array) for array in graph.example.values()),
        dryrun=str(file),
        min_block_size=1,
    )
    return file.read_text()


def parse_onnx(graph):
    """What TensorRT's own parser, the way of Jetson, makes of the ONNX file, and its engine."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(to_onnx(graph))
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return {
        'errors': [parser.get_error(index).desc() for index in range(parser.num_errors)],
        'parsed': parsed,
        'inputs': [network.get_input(index).name for index in range(network.num_inputs)],
        'outputs': [list(network.get_output(index).shape) for index in range(network.num_outputs)],
        'samplers': sum(layer.type == trt.LayerType.GRID_SAMPLE for layer in layers),
        'layers': len(layers),
        'bytes': 0 if engine is None else engine.nbytes,
    }


def main():
    """Print what was found."""
    folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    policy, _ = load_checkpoint(folder)
    example = policy.interface.arrays(golden_observation(policy.config))
    engine = TensorRt()
    found = {'plan': coverage(export(policy, example), scratch / 'plan.txt'), 'bytes': {}}
    for precision in sys.argv[3].split(','):
        graph = export(policy, example, precision)
        found['bytes'][precision] = len(engine.build(graph, Settings(precision))[PLAN])
    found['onnx'] = parse_onnx(export(policy, example))
    policy.trunk.norm = Bessel()
    try:
        engine.build(export(policy, example), Settings())
    except EngineRefused as error:
        found['refusal'] = str(error)
    print(json.dumps(found))


if __name__ == '__main__':
    main()
