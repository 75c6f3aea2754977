# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy -> the one graph that every engine compiles, and the inputs that try it out."""

import copy
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..policy.encoder import Block, PatchEmbedding
from ..policy.grid_sampler import PointReader
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig
from ..seeing.observation import Observation
from .engine import EngineRefused, Inputs, Outputs
from .engine import as_inputs as as_inputs

# At least so many inputs try out an engine.
PROBES = 4
_TYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}


class Graph(nn.Module):
    """`Policy.forward`, with one more input: how far every sampled point is moved.

    Nothing that a camera shows makes a given policy look at the very corner, and just there
    engines are known to read bilinearly in their own ways. With zeros it is the policy itself.

    Args:
        policy: In float32.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self,
        images: Tensor,
        proprioception: Tensor,
        words: Tensor,
        point_shift: Tensor,
        *prefix: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Actions and points, as the policy gives them."""
        readers = [module for module in self.policy.modules() if isinstance(module, PointReader)]

        def moved(reader: PointReader) -> None:
            def read(feature_map: Tensor, points: Tensor) -> Tensor:
                return PointReader.read(
                    reader, feature_map, (points + point_shift).clamp(0.0, 1.0)
                )

            reader.__dict__['read'] = read

        try:
            for reader in readers:
                moved(reader)
            # Engines take bytes in, but may be able to do no more with them than to cast.
            return self.policy(images.float(), proprioception, words, *prefix)
        finally:
            for reader in readers:
                reader.__dict__.pop('read', None)


@dataclass(frozen=True)
class ExportedGraph:
    """What engines compile.

    Attributes:
        program: Static shapes, batch of one.
        graph_sha256: Of the operators with their arguments and shapes.
        weights_sha256: Of all tensors.
        example: Inputs of the right shapes.
    """

    program: ExportedProgram
    graph_sha256: str
    weights_sha256: str
    example: Inputs


def probes(config: PolicyConfig, examples: Sequence[Observation]) -> list[Inputs]:
    """Inputs that try an engine out: the examples, and the first of them looking elsewhere.

    Returns:
        At least `PROBES`; in four of them the points are at two opposite corners, along the
        edges, and all over the picture. Where the policy takes a prefix, two more begin with one.

    Raises:
        ValueError: There is no example.
    """
    if not examples:
        raise ValueError('Give at least one example observation, for instance the golden one.')
    inputs = [as_inputs(config, observation) for observation in examples]
    shape = (1, config.tokens, 2)
    generator = np.random.default_rng(0)
    shifts = (
        np.ones(shape),
        -np.ones(shape),
        generator.integers(-1, 2, shape),
        generator.uniform(-1, 1, shape),
    )
    inputs += [replace(inputs[0], point_shift=shift.astype(np.float32)) for shift in shifts]
    if config.continues:
        scale = np.array(config.action_statistics.scale)
        known = generator.normal(config.action_statistics.mean, scale, (config.steps, len(scale)))
        lengths = (config.steps // 2, config.steps - 1)
        inputs += [as_inputs(config, examples[0], known[:length]) for length in lengths]
    return inputs


def run_eagerly(graph: Graph, inputs: Inputs) -> Outputs:
    """The graph by PyTorch, operator by operator."""
    with torch.inference_mode():
        actions, points = graph(*(torch.from_numpy(array) for array in inputs.arrays))
    return Outputs(actions.numpy(), points.numpy())


def reduced(policy: Policy, precision: str) -> Policy:
    """A copy whose blocks and patches compute in 16 bits; all the rest stays in float32.

    Coordinates, units and attention over places are cheap and must be exact; the blocks are
    nearly all of the work.

    Args:
        policy: In float32.
        precision: 'fp16' or 'bf16'.
    """
    dtype = _TYPES[precision]
    small = copy.deepcopy(policy)
    for module in small.modules():
        if isinstance(module, Block | PatchEmbedding):
            module.to(dtype)
            module.register_forward_pre_hook(lambda _, given: tuple(x.to(dtype) for x in given))
            module.register_forward_hook(lambda _, given, result: result.float())
    return small


def export(policy: Policy, example: Inputs) -> ExportedGraph:
    """Trace the policy.

    Raises:
        EngineRefused: It cannot be exported; the text names the operator.
    """
    graph = Graph(policy).eval()
    arguments = tuple(torch.from_numpy(array) for array in example.arrays)
    try:
        with torch.no_grad():
            program = torch.export.export(graph, arguments, strict=False)
    except Exception as error:  # torch documents no common class
        raise EngineRefused(f'The policy cannot be exported: {first_line(error)}') from error
    return ExportedGraph(program, hash_graph(program), hash_weights(program), example)


def fingerprint(policy: Policy, example: Inputs) -> str:
    """sha256 over all that `export` makes a graph of: known without the seconds that it takes.

    PyTorch's version, the source of this package, the modules and their settings, every tensor,
    and the shapes of the inputs.
    """
    digest = hashlib.sha256(f'{torch.__version__} {_source_sha256()}'.encode())
    digest.update(f'{policy.config!r}\n{policy!r}\n'.encode())
    for array in example.arrays:
        digest.update(f'{array.shape} {array.dtype} '.encode())
    _add_tensors(digest, {**dict(policy.named_parameters()), **dict(policy.named_buffers())})
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
