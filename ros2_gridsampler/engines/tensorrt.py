# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Exported graph -> TensorRT: by torch-tensorrt where it is installed, else through ONNX.

Nothing in this file has run on a GPU of ours. What tests show without one is that the graph
converts completely and that TensorRT-RTX builds it; `gridsampler benchmark backends` shows the
rest on a machine that has one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..device import torch_device
from ..policy.signature import Arrays, Precision, Signature
from .engine import Built, Compilable, Engine, EngineRefused, Machine, Session, Settings, versions
from .onnxruntime import OPSET, to_onnx

if TYPE_CHECKING:
    import torch

    from .exported_graph import ExportedGraph

PLAN = 'graph.plan'
PACKAGES = (
    "'ros2_gridsampler[tensorrt]' --extra-index-url https://pypi.nvidia.com "
    '(a Jetson has it from JetPack)'
)
# A desktop driver, a Jetson.
_DRIVERS = (Path('/proc/driver/nvidia/version'), Path('/etc/nv_tegra_release'))


class TensorRt(Engine):
    """TensorRT on a GPU; the precision is that of the graph's tensors."""

    name = 'tensorrt'
    files: tuple[str, ...] = (PLAN,)
    lowers = False
    title = 'TensorRT'
    packages = PACKAGES
    on_gpu = True
    hint = 'For int8 it needs a model that was quantised with data.'

    def library(self) -> Any:
        return _library()

    def look(self, settings: Settings) -> tuple[Machine, Sequence[Precision]]:
        import torch

        gpu = _gpu(settings)
        capability = torch.cuda.get_device_capability(gpu)
        able: tuple[Precision, ...] = ('fp32', 'fp16', 'bf16')
        converters = versions('torch', 'torch-tensorrt', 'onnx', 'onnxscript')
        machine = Machine(
            f'{self.library().__name__} {self.library().__version__}',
            f'{torch.cuda.get_device_name(gpu)} sm_{capability[0]}{capability[1]}',
            driver(),
            f'{_route()}, opset {OPSET}, {converters}',
        )
        return machine, able if capability >= (8, 0) else able[:2]

    def build(self, graph: ExportedGraph, settings: Settings) -> Built:
        import torch

        by_torch = _route() == 'torch-tensorrt'
        # Building alone is possible without a GPU, by TensorRT-RTX.
        gpu = _gpu(settings) if torch.cuda.is_available() else None
        with contextlib.nullcontext() if gpu is None else torch.cuda.device(gpu):
            return {PLAN: _by_torch(graph) if by_torch else _by_onnx(to_onnx(graph))}

    def session(
        self, files: Built, signature: Signature, settings: Settings, source: Compilable | None
    ) -> Session:
        import torch

        gpu = _gpu(settings)
        with torch.cuda.device(gpu):
            return TensorRtSession(files, signature, gpu)


def driver() -> str:
    """Returns what the driver of NVIDIA says of itself; empty without one."""
    return ' '.join(path.read_text().splitlines()[0] for path in _DRIVERS if path.exists())


def _library() -> Any:
    """Returns TensorRT, or TensorRT-RTX where only that is: two wheels of a hundred megabytes."""
    try:
        import tensorrt
    except ImportError:
        import tensorrt_rtx

        return tensorrt_rtx
    return tensorrt


def _gpu(settings: Settings) -> torch.device:
    """Returns the GPU that the settings name.

    Raises:
        EngineRefused: There is none, or the CPU was asked for.
    """
    try:
        device = torch_device(settings.device)
    except ValueError as error:
        raise EngineRefused(f'TensorRT needs an NVIDIA GPU with its driver. {error}') from error
    if device.type != 'cuda':
        seen = 'PyTorch sees none' if settings.device == 'auto' else 'the CPU was asked for'
        raise EngineRefused(f'TensorRT needs an NVIDIA GPU with its driver; {seen}.')
    return device


def _route() -> str:
    try:
        import torch_tensorrt
    except ImportError:
        return 'onnx'
    del torch_tensorrt
    return 'torch-tensorrt'


def _by_torch(graph: ExportedGraph) -> bytes:
    import torch
    from torch_tensorrt.dynamo import convert_exported_program_to_serialized_trt_engine

    from .exported_graph import first_line

    try:
        plan = convert_exported_program_to_serialized_trt_engine(
            graph.program,
            arg_inputs=tuple(
                torch.from_numpy(graph.example[name]) for name in graph.signature.inputs
            ),
            require_full_compilation=True,
            truncate_double=False,
        )
    except Exception as error:  # torch-tensorrt has no common class
        cause = error.__cause__ or error
        raise EngineRefused(f'TensorRT cannot build the policy: {first_line(cause)}') from error
    return bytes(plan)


def _by_onnx(content: bytes) -> bytes:
    tensorrt = _library()
    builder: Any = tensorrt.Builder(_logger())
    typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = tensorrt.OnnxParser(network, _logger())
    if not parser.parse(content):
        errors = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineRefused(f'TensorRT cannot read the ONNX file: {errors}')
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        raise EngineRefused('TensorRT failed to build the ONNX file; its log says more.')
    return bytes(plan)


def _logger() -> Any:
    tensorrt = _library()
    return tensorrt.Logger(tensorrt.Logger.WARNING)


class TensorRtSession:
    """A plan on the GPU: pinned host buffers, and copies and kernels replayed as one CUDA graph.

    Args:
        built: Files that `TensorRt.build` returned.
        signature: Signature of the network.
        gpu: Where it computes; the current device.
    """

    def __init__(self, built: Built, signature: Signature, gpu: torch.device) -> None:
        import torch

        tensorrt = _library()
        self._signature = signature
        runtime: Any = tensorrt.Runtime(_logger())
        plan = runtime.deserialize_cuda_engine(built[PLAN])
        if plan is None:
            raise EngineRefused(
                'TensorRT does not accept this engine file: it was built for another version, '
                'driver or GPU. Build it here with `gridsampler export`.'
            )
        self._plan = plan
        self._context: Any = plan.create_execution_context()
        self._host: dict[str, torch.Tensor] = {}
        self._device: dict[str, torch.Tensor] = {}
        self._given: list[str] = []
        self._results: list[str] = []
        for index in range(plan.num_io_tensors):
            name = plan.get_tensor_name(index)
            is_input = plan.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
            (self._given if is_input else self._results).append(name)
            shape = tuple(plan.get_tensor_shape(name))
            # NumPy's type, so that no table of types can be wrong.
            kind = torch.from_numpy(
                np.empty(0, tensorrt.nptype(plan.get_tensor_dtype(name)))
            ).dtype
            self._host[name] = torch.empty(shape, dtype=kind).pin_memory()
            self._device[name] = torch.empty(shape, dtype=kind, device=gpu)
            self._context.set_tensor_address(name, self._device[name].data_ptr())
        # Torch-tensorrt puts inputs in an order of its own, and gives results names of its own.
        if set(self._results) == signature.outputs.keys():
            self._results = list(signature.outputs)
        known = len(self._results) == len(signature.outputs)
        if not set(self._given) <= signature.inputs.keys() or not known:
            raise EngineRefused(
                f'The TensorRT engine has inputs {self._given} and outputs {self._results}; '
                f'expected some of {list(signature.inputs)} and {list(signature.outputs)}. Build '
                'it again.'
            )
        self._stream = torch.cuda.Stream(gpu)
        with torch.cuda.stream(self._stream):
            self._step()  # a first run allocates, which a recording must not
            self._stream.synchronize()
            self._recording = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._recording, stream=self._stream):
                self._step()

    def _step(self) -> None:
        for name in self._given:
            self._device[name].copy_(self._host[name], non_blocking=True)
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise EngineRefused('TensorRT failed to run the engine; its log says more.')
        for name in self._results:
            self._host[name].copy_(self._device[name], non_blocking=True)

    def run(self, arrays: Arrays) -> Arrays:
        import torch

        for name in self._given:
            self._host[name].copy_(torch.from_numpy(arrays[name]))
        with torch.cuda.stream(self._stream):
            self._recording.replay()
            self._stream.synchronize()
        found = (self._host[name].numpy().copy() for name in self._results)
        return dict(zip(self._signature.outputs, found, strict=True))
