# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Network -> the one graph that every engine compiles, and what tells it from others."""

import hashlib
import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..policy.signature import Arrays, Precision, Signature
from .eager import EagerSession
from .engine import Compilable, EngineRefused


@dataclass(frozen=True, eq=False)
class ExportedGraph:
    """What engines compile.

    Attributes:
        program: Static shapes.
        signature: Of the network.
        graph_sha256: Of the operators with their arguments and shapes.
        weights_sha256: Of all tensors.
        example: Arguments.
    """

    program: ExportedProgram
    signature: Signature
    graph_sha256: str
    weights_sha256: str
    example: Arrays


def run_eagerly(source: Compilable, arrays: Arrays) -> Arrays:
    """Returns what PyTorch makes of arguments on the CPU in float32: the reference."""
    session = EagerSession(source.network('fp32'), source.signature, torch.device('cpu'))
    return session.run(arrays)


def export(source: Compilable, example: Arrays, precision: Precision = 'fp32') -> ExportedGraph:
    """Traces a network.

    Raises:
        EngineRefused: It cannot be exported; the text names the operator.
    """
    signature = source.signature
    arguments = tuple(torch.from_numpy(example[name]) for name in signature.inputs)
    try:
        with torch.no_grad():
            program = torch.export.export(source.network(precision), arguments, strict=False)
    except Exception as error:  # torch documents no common class
        raise EngineRefused(f'The policy cannot be exported: {first_line(error)}') from error
    return ExportedGraph(program, signature, hash_graph(program), hash_weights(program), example)


def refuse_broken_weights(source: Compilable) -> None:
    """Refuses a network that nothing can compute.

    Raises:
        ValueError: Names a weight that is not finite.
    """
    for name, tensor in source.network('fp32').state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f'Weight {name!r} of the policy is not finite; the training diverged or the file '
                'was damaged. No engine can compute it.'
            )


def hash_graph(program: ExportedProgram) -> str:
    """sha256 over every operator with its arguments, shapes and types."""
    digest = hashlib.sha256()
    for node in program.graph.nodes:
        value = node.meta.get('val')
        shape = (
            (tuple(value.shape), str(value.dtype)) if isinstance(value, Tensor) else type(value)
        )
        text = f'{node.op} {node.name} {node.target} {node.args} {node.kwargs} {shape}\n'
        digest.update(text.encode())
    return digest.hexdigest()


def hash_weights(program: ExportedProgram) -> str:
    """sha256 over all parameters, buffers and constants."""
    digest = hashlib.sha256()
    tensors = {**program.state_dict, **program.constants}
    for name in sorted(tensors):
        tensor = tensors[name]
        if isinstance(tensor, Tensor):
            digest.update(f'{name}{tuple(tensor.shape)}{tensor.dtype}'.encode())
            digest.update(
                tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """The part of a library's message that a reader needs: the operator, else the first line."""
    text = str(error)
    operator = re.search(r'\b(?:aten|torch\.ops\.\w+|prims)[.:]+\w+(?:\.\w+)?', text)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if operator and operator.group() not in line:
        line = f'{line} ({operator.group()})'
    return line[:300]
