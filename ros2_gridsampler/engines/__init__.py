# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> the first engine that computes it honestly; every engine has the same call.

Only building engines needs PyTorch: it is imported when `load` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as remember
from typing import TYPE_CHECKING

from ..seeing.observation import Observation
from .compiled_policy import NAMES as NAMES
from .compiled_policy import Backend as Backend
from .compiled_policy import CompiledPolicy as CompiledPolicy
from .compiled_policy import Name as Name
from .compiled_policy import Refusal, Report
from .engine import Built, Engine, EngineRefused, Inputs, Machine, Outputs, Precision
from .engine_cache import EngineCache, EngineKey
from .verification import verify

if TYPE_CHECKING:
    from ..policy.policy import Policy
    from .exported_graph import ExportedGraph


@dataclass(frozen=True, eq=False)
class Verified:
    """An engine that computes what a policy computes, and all that it takes to open it again.

    Attributes:
        engine: Open.
        files: From which it was opened; none where PyTorch computes.
        inputs: That tried it out.
        expected: What PyTorch made of them.
        report: How it came about.
    """

    engine: Engine
    files: Built
    inputs: Sequence[Inputs]
    expected: Sequence[Outputs]
    report: Report


def load(
    policy: Policy,
    examples: Sequence[Observation],
    *,
    backends: Sequence[Name] = NAMES,
    precision: Precision = 'fp32',
    threads: int = 1,
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> CompiledPolicy:
    """The call of the engine that `build` gives; see there."""
    made = build(
        policy,
        examples,
        backends=backends,
        precision=precision,
        threads=threads,
        strict=strict,
        cache=cache,
        progress=progress,
    )
    return CompiledPolicy(policy.config, made.engine, made.report)


def build(
    policy: Policy,
    examples: Sequence[Observation],
    *,
    backends: Sequence[Name] = NAMES,
    precision: Precision = 'fp32',
    threads: int = 1,
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> Verified:
    """Try backends in order; take the first that computes what the policy computes.

    Every engine runs the examples, and the first of them with the sampled points moved to the
    border and all over the picture, before it is believed.

    Args:
        policy: The reference, in float32.
        examples: At least one.
        backends: Names in order of preference.
        precision: 'bf16', 'fp16' and 'int8' are approximations; nobody chooses them for you.
        threads: Of one inference. One is right where other nodes share the machine: two threads
            that must wait for each other on a busy core are slower than one.
        strict: Whether the first refusal is an error.
        cache: Where built engines are kept; None builds anew.
        progress: Told what is being built, in a sentence.

    Raises:
        ValueError: There is no such backend, no example, or the policy itself gives numbers
            that are not finite.
        EngineRefused: No backend is left, or the first refused and `strict` is set.
    """
    from .exported_graph import Graph, export, fingerprint, probes, reduced, run_eagerly

    unknown = [name for name in backends if name not in NAMES]
    if unknown or not backends:
        raise ValueError(f'Backends {unknown or "()"} are not known; use some of {list(NAMES)}.')
    if threads < 1:
        raise ValueError(f'An inference needs at least one thread, got {threads}.')
    _refuse_broken_weights(policy)
    inputs = probes(policy.config, examples)
    reference = Graph(policy).eval()
    expected = [run_eagerly(reference, given) for given in inputs]

    @remember
    def graph(kind: Precision) -> ExportedGraph:
        progress('Exporting the policy as one graph.')
        return export(policy if kind == 'fp32' else reduced(policy, kind), inputs[0])

    @remember
    def hashes(kind: Precision) -> tuple[str, str]:
        # The same policy was exported before, most often; that takes seconds.
        known = f'{fingerprint(policy, inputs[0])}-{kind}'
        found = None if cache is None else cache.graph(known)
        if found is None:
            exported = graph(kind)
            found = exported.graph_sha256, exported.weights_sha256
            if cache is not None:
                cache.keep_graph(known, *found)
        return found

    refusals: list[Refusal] = []
    for name in backends:
        try:
            machine = _check(name, precision)
            engine, files, origin = _obtain(
                name, policy, graph, hashes, machine, precision, threads, cache, progress
            )
            agreement = verify(engine, inputs, expected, policy.config, precision)
        except EngineRefused as error:
            if strict:
                raise EngineRefused(f'Backend {name!r} was refused: {error}') from error
            refusals.append(Refusal(name, str(error)))
            continue
        report = Report(name, precision, threads, machine, agreement, origin, tuple(refusals))
        return Verified(engine, files, inputs, expected, report)
    reasons = ' '.join(f'{refusal.backend}: {refusal.reason}' for refusal in refusals)
    raise EngineRefused(f'No backend can compute the policy in {precision}. {reasons}')


def _check(name: Name, precision: Precision) -> Machine:
    from . import eager, onnxruntime, openvino, tensorrt

    if name == 'tensorrt':
        return tensorrt.check(precision)
    if name == 'openvino':
        return openvino.check(precision)
    if name == 'onnxruntime':
        return onnxruntime.check(precision)
    return eager.check(precision)


def open_engine(name: Name, files: Built, precision: Precision, threads: int) -> Engine:
    """An engine from its files; PyTorch has none.

    Raises:
        EngineRefused: Its library does not accept them here.
    """
    from . import onnxruntime, openvino, tensorrt

    if name == 'tensorrt':
        return tensorrt.TensorRtEngine(files)
    if name == 'openvino':
        return openvino.OpenVinoEngine(files, precision, threads)
    if name == 'onnxruntime':
        return onnxruntime.OnnxRuntimeEngine(files, threads)
    raise EngineRefused('PyTorch computes the policy itself; there are no files to open.')


def _obtain(
    name: Name,
    policy: Policy,
    graph: Callable[[Precision], ExportedGraph],
    hashes: Callable[[Precision], tuple[str, str]],
    machine: Machine,
    precision: Precision,
    threads: int,
    cache: EngineCache | None,
    progress: Callable[[str], object],
) -> tuple[Engine, Built, str]:
    """The engine, its files, and where it came from."""
    from . import eager, onnxruntime, openvino, tensorrt

    if name == 'eager':
        return eager.EagerEngine(policy, precision, threads), {}, 'The policy itself.'
    # On a CPU the library itself lowers the precision; TensorRT takes the types of the graph.
    kind: Precision = precision if name == 'tensorrt' else 'fp32'

    def convert() -> Built:
        source = graph(kind)
        progress(f'Building the {name} engine in {precision}; it is kept for the next start.')
        if name == 'tensorrt':
            return tensorrt.build(source)
        if name == 'openvino':
            return openvino.build(source)
        return onnxruntime.build(source, precision)

    def open_files(files: Built) -> tuple[Engine, Built]:
        return open_engine(name, files, precision, threads), files

    if cache is None:
        return *open_files(convert()), 'Built.'
    key = EngineKey(
        name,
        *hashes(kind),
        precision,
        machine.flags,
        machine.engine,
        machine.driver,
        machine.device,
    )
    opened, origin = cache.obtain(key, convert, open_files)
    return *opened, origin


def _refuse_broken_weights(policy: Policy) -> None:
    import torch

    for name, tensor in policy.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f'Weight {name!r} of the policy is not finite; the training diverged or the file '
                'was damaged. No engine can compute it.'
            )
