# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Network -> the one graph that every engine compiles, and what tells it from others."""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ..policy.signature import Arrays, Precision, Signature
from .eager import EagerSession
from .engine import Compilable, EngineRefused


@dataclass(frozen=True, eq=False)
class ExportedGraph:
    """A network as engines compile it.

    Attributes:
        program: Static shapes.
        signature: Signature of the network.
        graph_sha256: Hash of the operators with their arguments and shapes.
        weights_sha256: Hash of all tensors.
        example: Arguments that the network was traced with.
    """

    program: ExportedProgram
    signature: Signature
    graph_sha256: str
    weights_sha256: str
    example: Arrays


_LAYOUT = 'memory_format'
_ADDRESS = re.compile(r' at 0x[0-9a-f]+')


def run_eagerly(source: Compilable, arrays: Arrays) -> Arrays:
    """Returns what PyTorch makes of arguments on the CPU in float32: the reference."""
    session = EagerSession(source.network('fp32'), source.signature, torch.device('cpu'))
    return session.run(arrays)


def export(source: Compilable, example: Arrays, precision: Precision = 'fp32') -> ExportedGraph:
    """Returns a network traced with example arguments.

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
    _without_empty(program)
    _without_unused(program)
    # Torch-tensorrt puts arguments in an order of its own: only by name are they found again.
    program.module_call_graph[0].signature.forward_arg_names = list(signature.inputs)
    return ExportedGraph(program, signature, hash_graph(program), hash_weights(program), example)


def _without_empty(program: ExportedProgram) -> None:
    """Takes out what not every engine has: tensors without entries, and memory without values.

    A cache of transformers begins as nothing, to which keys are joined; memory that is written
    before it is read may as well be zero at first.
    """
    graph, aten = program.graph_module.graph, torch.ops.aten
    for node in list(graph.nodes):
        if node.target is aten.empty_like.default:
            node.target = aten.zeros_like.default
        elif node.target is aten.empty.memory_format:
            node.target = aten.zeros.default
            node.kwargs = {key: each for key, each in node.kwargs.items() if key != _LAYOUT}
        if node.target is not aten.cat.default:
            continue
        joined = [each for each in node.args[0] if each.meta['val'].numel()]
        if len(joined) == 1 and len(node.args[0]) > 1:
            program.graph_signature.replace_all_uses(node.name, joined[0].name)
            node.replace_all_uses_with(joined[0])
            graph.erase_node(node)
        elif joined:
            node.args = (joined, *node.args[1:])
    program.graph_module.recompile()


def _without_unused(program: ExportedProgram) -> None:
    """Takes out weights that nothing reads: one network of a policy carries all of its weights."""
    graph = program.graph_module.graph
    nodes = {node.name: node for node in graph.nodes}
    read = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT or nodes[spec.arg.name].users:
            read.append(spec)
            continue
        graph.erase_node(nodes[spec.arg.name])
        program.state_dict.pop(spec.target, None)
        program.constants.pop(spec.target, None)
    program.graph_signature.input_specs[:] = read
    program.graph_module.recompile()


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


def fingerprint(source: Compilable, example: Arrays) -> str:
    """Returns a sha256 over all that `export` makes a graph of, without the seconds it takes.

    PyTorch's version, the source of this package, the modules with their settings, every tensor,
    and the shapes of the arguments. A setting whose text differs from process to process makes
    another fingerprint each time; nothing is then taken for something else. Addresses in memory
    are left out: whoever opens an engine by a fingerprint verifies its numbers.
    """
    digest = hashlib.sha256(f'{torch.__version__} {_source_sha256()}\n'.encode())
    network = source.network('fp32')
    internal = vars(nn.Module()).keys()
    for name, module in network.named_modules():
        settings = {key: each for key, each in vars(module).items() if key not in internal}
        digest.update(f'{name} {type(module).__qualname__} {module.extra_repr()} '.encode())
        text = _ADDRESS.sub('', repr(sorted(settings.items())))
        digest.update(f'{module.training} {text}\n'.encode())
    for name, array in example.items():
        digest.update(f'{name} {array.shape} {array.dtype} '.encode())
    _add_tensors(digest, {**dict(network.named_parameters()), **dict(network.named_buffers())})
    return digest.hexdigest()


@functools.cache
def _source_sha256() -> str:
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob('*.py')):
        digest.update(f'{path.relative_to(package)} '.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _add_tensors(digest: 'hashlib._Hash', tensors: Mapping[str, object]) -> None:
    for name in sorted(tensors):
        tensor = tensors[name]
        if isinstance(tensor, Tensor):
            digest.update(f'{name}{tuple(tensor.shape)}{tensor.dtype}'.encode())
            digest.update(
                tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
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
    _add_tensors(digest, {**program.state_dict, **program.constants})
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """The part of a library's message that a reader needs: the operator, else the first line."""
    text = str(error)
    operator = re.search(r'\b(?:aten|torch\.ops\.\w+|prims)[.:]+\w+(?:\.\w+)?', text)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if operator and operator.group() not in line:
        line = f'{line} ({operator.group()})'
    return line[:300]
