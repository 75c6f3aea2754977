# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Exported graph -> OpenVINO on the CPU; running what it built needs no PyTorch."""

from __future__ import annotations

import functools
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy.signature import Arrays, Precision, Signature
from .engine import Built, Compilable, Engine, EngineRefused, Machine, Session, Settings

if TYPE_CHECKING:
    from .exported_graph import ExportedGraph

HINTS: dict[Precision, str] = {'fp32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}
CAPABILITIES: dict[Precision, str] = {'fp32': 'FP32', 'bf16': 'BF16', 'fp16': 'FP16'}
DESCRIPTION, WEIGHTS = 'graph.xml', 'graph.bin'


class OpenVino(Engine):
    """OpenVINO on the CPU; what it builds computes in every precision and on every machine."""

    name = 'openvino'
    files: tuple[str, ...] = (DESCRIPTION, WEIGHTS)
    lowers = True
    portable = True
    title = 'OpenVINO'
    packages = "'openvino>=2026.2,<2027'"
    errors = (RuntimeError, KeyError)
    hint = "For int8 it needs a model that was quantised with data; 'onnxruntime' does not."

    def library(self) -> Any:
        """Returns the module, without its telemetry."""
        return _openvino()

    def look(self, settings: Settings) -> tuple[Machine, Sequence[Precision]]:
        core = _core()
        offered = core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        able = [each for each in HINTS if CAPABILITIES[each] in offered]
        processor = str(core.get_property('CPU', 'FULL_DEVICE_NAME'))
        return Machine(f'openvino {installed_version()}', processor), able

    def build(self, graph: ExportedGraph, settings: Settings) -> Built:
        """Returns the files of an engine; refused too where there is no space on the way."""
        from .exported_graph import first_line

        openvino = _openvino()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # its use of torch.export is behind torch's
                model = openvino.convert_model(graph.program)
        except Exception as error:  # OpenVINO throws RuntimeError and classes of its own
            raise EngineRefused(
                f'OpenVINO cannot convert the policy: {first_line(error)}'
            ) from error
        inputs = graph.signature.inputs
        for given, name in zip(model.inputs, inputs, strict=True):
            given.get_tensor().set_names({name})
        model.reshape({name: list(spec.shape) for name, spec in inputs.items()})
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / DESCRIPTION
                # Weights that a checkpoint holds in 16 bits lose nothing; others would.
                openvino.save_model(model, path, compress_to_fp16=False)
                return {name: (Path(folder) / name).read_bytes() for name in self.files}
        except (RuntimeError, OSError) as error:
            raise EngineRefused(
                f'OpenVINO cannot write the converted policy to {tempfile.gettempdir()}: '
                f'{first_line(error)}'
            ) from error

    def session(
        self, files: Built, signature: Signature, settings: Settings, source: Compilable | None
    ) -> Session:
        return OpenVinoSession(files, signature, settings)


def installed_version() -> str:
    """Returns the version of OpenVINO; empty where it is not installed."""
    try:
        return version('openvino')
    except PackageNotFoundError:
        return ''


def _openvino() -> Any:
    """Returns the module without its telemetry.

    That forks this process, threads and all, whenever it is imported or converts something, and
    reports to a server on the internet: nothing that a process which moves an arm may do.
    """
    # To whoever imports a module that is None, it is not installed; OpenVINO does without.
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    """Returns the core of the whole process, which is never given back while it runs.

    Where the processor has AMX, its plugin gives the thread that loads it a stack for signals,
    and unmaps that when it ends, in whichever thread that is (2026.4): the next SIGINT of the
    first one is then a segmentation fault instead of an arm that decelerates.
    """
    return _openvino().Core()


class OpenVinoSession:
    """A converted graph, compiled for this processor.

    Args:
        built: Files that `OpenVino.build` returned.
        signature: Signature of the network.
        settings: 'fp32', or what the processor can do besides.
    """

    def __init__(self, built: Built, signature: Signature, settings: Settings) -> None:
        import numpy as np

        openvino, core = _openvino(), _core()
        # What may be written to is not copied: that would hold Python's lock.
        self._weights = np.frombuffer(built[WEIGHTS], np.uint8)
        weights = openvino.Tensor(self._weights, shared_memory=self._weights.flags.writeable)
        model = core.read_model(bytes(built[DESCRIPTION]), weights)
        self._compiled: Any = core.compile_model(
            model,
            'CPU',
            {
                # Left alone, it takes bf16 wherever the processor has it.
                'INFERENCE_PRECISION_HINT': HINTS[settings.precision],
                # Its fused elementwise kernels (2026.4, AMX) are wrong in the third digit for
                # small maps, see the test; without them it is as fast.
                'SNIPPETS_MODE': 'DISABLE',
                'PERFORMANCE_HINT': 'LATENCY',
                'INFERENCE_NUM_THREADS': settings.threads,
                'NUM_STREAMS': 1,
                # Other nodes run on the same cores.
                'ENABLE_CPU_PINNING': False,
            },
        )
        self._request = self._compiled.create_infer_request()
        # Its own memory, looked up once: for each call anew it is a seventh of a small policy's.
        self._given = {
            name: self._request.get_input_tensor(index).data
            for index, name in enumerate(signature.inputs)
        }
        self._results = {
            name: self._request.get_output_tensor(index).data
            for index, name in enumerate(signature.outputs)
        }

    def run(self, arrays: Arrays) -> Arrays:
        for name, place in self._given.items():
            place[...] = arrays[name]
        self._request.infer()
        return {name: result.copy() for name, result in self._results.items()}
