# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Devices that need no GPU: tensors without values, on which a tensor of the CPU raises."""

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental import _config
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META, FAKE = 'meta', 'cuda without a GPU'
PLACES = (META, FAKE)


def moved(make, device):
    """Returns a module that is on a device.

    Tensors of a fake GPU cannot take the place of others in a module: there it is made on it, and
    nothing in it is moved or laid out anew.
    """
    if device.type == META:
        return make().to(device)
    with device, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, 'to', lambda module, *given, **named: module)
        made = make()
    for part in made.modules():
        for name, buffer in part.named_buffers(recurse=False):
            # Some are made of NumPy's arrays.
            part.register_buffer(
                name, buffer.to(device), name not in part._non_persistent_buffers_set
            )
    return made


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, as a GPU does; copies may.

    The products of 'meta' take a factor from the CPU without a word. A number, in a tensor without
    dimensions, may be on the CPU.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        devices = {t.device for t in given if isinstance(t, torch.Tensor) and t.ndim}
        copies = ('aten.copy_', 'aten._to_copy', 'aten.set_')
        if len(devices) > 1 and not str(function).startswith(copies):
            raise RuntimeError(f'{function} was given tensors on {sorted(map(str, devices))}')
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def elsewhere(place):
    """Yields a device; inside, whatever is made on another one cannot be computed with it.

    On 'meta' only shapes are computed. The fake GPU also refuses what CUDA has no kernel for, and
    needs a PyTorch that was built for CUDA.
    """
    if place == META:
        with _config.patch(meta_nonzero_assume_all_nonzero=True), OneDevice():
            yield torch.device('meta')
        return
    if not torch.backends.cuda.is_built():
        pytest.skip('this PyTorch was not built for CUDA')
    with FakeTensorMode(shape_env=ShapeEnv(allow_dynamic_output_shape_ops=True)):
        yield torch.device('cuda', 0)
