# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A network -> PyTorch itself, operator by operator: the reference, and the last resort."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..device import to_arrays, to_device, torch_device
from ..policy.signature import Arrays, Precision, Signature
from .engine import Built, Compilable, Engine, EngineRefused, Machine, Session, Settings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .exported_graph import ExportedGraph


class Eager(Engine):
    """PyTorch itself; it has no files, and one number of threads for the whole process."""

    name = 'eager'
    files: tuple[str, ...] = ()
    lowers = False
    title = 'PyTorch'
    packages = 'torch'
    on_gpu = True

    def library(self) -> Any:
        import torch

        return torch

    def look(self, settings: Settings) -> tuple[Machine, Sequence[Precision]]:
        import torch

        device = self._device(settings)
        engine = f'torch {torch.__version__}'
        if device.type == 'cpu':
            return Machine(engine, 'CPU'), ('fp32', 'bf16')
        return Machine(engine, torch.cuda.get_device_name(device)), ('fp32', 'fp16', 'bf16')

    def build(self, graph: ExportedGraph, settings: Settings) -> Built:
        return {}

    def session(
        self, files: Built, signature: Signature, settings: Settings, source: Compilable | None
    ) -> Session:
        network, device = self.network(settings, source)
        return EagerSession(network, signature, device)

    def network(
        self, settings: Settings, source: Compilable | None
    ) -> tuple[nn.Module, torch.device]:
        """Returns the network on the device that was asked for, and that device.

        Raises:
            EngineRefused: There is no network, or no such device.
        """
        import torch

        if source is None:
            raise EngineRefused('PyTorch computes the policy itself; there are no files to open.')
        device = self._device(settings)
        torch.set_num_threads(settings.threads)
        network = source.network(settings.precision)
        if device.type != 'cpu':
            # The caller's weights stay where they are.
            network = copy.deepcopy(network).to(device)
        return network, device

    @staticmethod
    def _device(settings: Settings) -> torch.device:
        try:
            return torch_device(settings.device)
        except ValueError as error:
            raise EngineRefused(str(error)) from error


class EagerSession:
    """A network on a device.

    Args:
        network: Network, on the device already.
        signature: Signature of the network.
        device: Device of the network.
    """

    def __init__(self, network: nn.Module, signature: Signature, device: torch.device) -> None:
        self._network = network
        self._signature = signature
        self._device = device

    def run(self, arrays: Arrays) -> Arrays:
        import torch

        exact: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self._device.type == 'cuda':
            # Convolutions in TF32 are off in the fourth digit and would not be believed.
            exact = torch.backends.cudnn.flags(allow_tf32=False)
        with torch.inference_mode(), exact:
            given = (arrays[name] for name in self._signature.inputs)
            results = self._network(*to_device(given, self._device))
        # Of a network with one result only, the result itself.
        results = (results,) if isinstance(results, torch.Tensor) else results
        return dict(zip(self._signature.outputs, to_arrays(results), strict=True))
