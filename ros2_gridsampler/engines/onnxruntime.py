# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Exported graph -> ONNX Runtime on the CPU, through the ONNX file that TensorRT reads too."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy.signature import Arrays, Precision, Signature
from .engine import (
    Built,
    Compilable,
    Engine,
    EngineRefused,
    Machine,
    Session,
    Settings,
    missing,
    versions,
)

if TYPE_CHECKING:
    from .exported_graph import ExportedGraph

# TensorRT before 10.17 reads bilinear sampling of opset 20 as nearest, silently.
OPSET = 18
FILE = 'graph.onnx'
# What protobuf can write.
LIMIT = (1 << 31) - (1 << 24)
PACKAGES = "'onnx>=1.20,<2' 'onnxscript>=0.7,<0.8' 'onnxruntime>=1.24,<2'"


class OnnxRuntime(Engine):
    """ONNX Runtime on the CPU; for int8 the weights are quantised, and stay so."""

    name = 'onnxruntime'
    files: tuple[str, ...] = (FILE,)
    lowers = True
    title = 'ONNX Runtime'
    packages = PACKAGES
    errors = (Exception,)  # its classes derive from that alone

    def library(self) -> Any:
        """Returns the module, without its telemetry."""
        return _onnxruntime()

    def look(self, settings: Settings) -> tuple[Machine, Sequence[Precision]]:
        flags = f'opset {OPSET}, {versions("torch", "onnx", "onnxscript")}'
        engine = f'onnxruntime {_onnxruntime().__version__}'
        return Machine(engine, 'CPU', flags=flags), ('fp32', 'int8')

    def build(self, graph: ExportedGraph, settings: Settings) -> Built:
        content = to_onnx(graph)
        return {FILE: quantise(content) if settings.precision == 'int8' else content}

    def session(
        self, files: Built, signature: Signature, settings: Settings, source: Compilable | None
    ) -> Session:
        return OnnxRuntimeSession(files, signature, settings)


def _onnxruntime() -> Any:
    """Returns the module without its telemetry.

    That writes to the home folder and reports to a server; it asks once, at the first import.
    """
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    import onnxruntime

    return onnxruntime


def to_onnx(graph: ExportedGraph) -> bytes:
    """Returns the graph as an ONNX file of opset 18.

    Raises:
        EngineRefused: The exporter is not installed, an operator has no counterpart, or the
            weights are too many for one file.
    """
    import torch

    from .exported_graph import first_line

    size = sum(each.nbytes for each in graph.program.state_dict.values())
    if size > LIMIT:
        raise EngineRefused(
            f'An ONNX file in one piece holds {LIMIT / 1e9:.1f} GB, and the network has '
            f"{size / 1e9:.1f} GB of weights; use 'openvino', or 'tensorrt' with torch-tensorrt."
        )
    try:
        import onnxscript

        version('onnx')
    except ImportError as error:
        raise missing("PyTorch's ONNX exporter (onnx, onnxscript)", PACKAGES) from error
    del onnxscript
    noisy = logging.getLogger('torch.onnx._internal.exporter._registration')
    level = noisy.level
    try:
        noisy.setLevel(logging.ERROR)  # it misses torchvision, which we do not use
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program: Any = torch.onnx.export(
                graph.program,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.signature.inputs),
                output_names=list(graph.signature.outputs),
                verbose=False,
            )
    except Exception as error:  # the exporter's own classes are private
        cause = error.__cause__ or error
        raise EngineRefused(f'The policy cannot become ONNX: {first_line(cause)}') from error
    finally:
        noisy.setLevel(level)
    return bytes(program.model_proto.SerializeToString())


def quantise(content: bytes) -> bytes:
    """Returns the file with weights of matrix products in 8 bits.

    Activations are measured at every inference.
    """
    _onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / FILE, Path(folder) / 'int8.onnx'
        source.write_bytes(content)
        quantize_dynamic(
            source,
            result,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # With 8 bits, processors without VNNI saturate their 16-bit sums.
            reduce_range=True,
            op_types_to_quantize=['MatMul', 'Gemm'],
        )
        return result.read_bytes()


class OnnxRuntimeSession:
    """A session of ONNX Runtime on the CPU.

    Args:
        built: Files that `OnnxRuntime.build` returned.
        signature: Signature of the network.
        settings: How it computes.
    """

    def __init__(self, built: Built, signature: Signature, settings: Settings) -> None:
        onnxruntime = _onnxruntime()
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        # A spinning thread takes the core from the other nodes.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            bytes(built[FILE]), options, providers=['CPUExecutionProvider']
        )
        # An argument that nothing reads is not in the file.
        self._given = [given.name for given in self._session.get_inputs()]
        self._results = list(signature.outputs)

    def run(self, arrays: Arrays) -> Arrays:
        found = self._session.run(self._results, {name: arrays[name] for name in self._given})
        return dict(zip(self._results, found, strict=True))
