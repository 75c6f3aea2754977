# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> the first engine that computes it honestly; every engine has the same call.

Only building engines needs PyTorch: it is imported when `build` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as remember
from typing import TYPE_CHECKING, Protocol

from ..policy.signature import Arrays, Precision, Signature
from ..seeing.observation import Observation
from .compiled_policy import Backend as Backend
from .compiled_policy import CompiledPolicy as CompiledPolicy
from .compiled_policy import Interface, Refusal, Report
from .engine import Built, Compilable, Engine, EngineRefused, Machine, Session, Settings
from .engine_cache import EngineCache, EngineKey
from .table import ENGINES as ENGINES
from .table import Name as Name
from .table import find_engines
from .verification import verify

if TYPE_CHECKING:
    from .exported_graph import ExportedGraph


class CompilablePolicy(Compilable, Protocol):
    """A policy of one network."""

    @property
    def interface(self) -> Interface:
        """Turns observations into arguments, and results into predictions."""


@dataclass(frozen=True, eq=False)
class Verified:
    """An engine that computes what a network computes, and all that it takes to open it again.

    Attributes:
        session: Open.
        files: From which it was opened; none where PyTorch computes.
        inputs: Arguments that tried it out.
        expected: What PyTorch made of them.
        report: How it came about.
    """

    session: Session
    files: Built
    inputs: Sequence[Arrays]
    expected: Sequence[Arrays]
    report: Report


def load(
    policy: CompilablePolicy,
    examples: Sequence[Observation],
    *,
    backends: Sequence[Name] | None = None,
    precision: Precision = 'fp32',
    threads: int = 1,
    device: str = 'auto',
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> CompiledPolicy:
    """Returns the call of the engine that `build` gives, which explains the other arguments.

    Args:
        policy: The reference, in float32.
        examples: At least one.
        backends: Names in order of preference; all of the table where there are none.
        precision: See `Settings`.
        threads: See `Settings`.
        device: See `Settings`.
        strict: Whether the first refusal is an error.
        cache: Where built engines are kept; None builds anew.
        progress: Told what is being built, in a sentence.

    Raises:
        ValueError: There is no such backend or device, no example, or the policy itself gives
            numbers that are not finite.
        EngineRefused: No backend is left, or the first refused and `strict` is set.
    """
    made = build(
        policy,
        examples,
        find_engines(tuple(ENGINES) if backends is None else backends),
        Settings(precision, threads, device),
        strict=strict,
        cache=cache,
        progress=progress,
    )
    return CompiledPolicy(policy.interface, made.session, made.report)


def build(
    source: Compilable,
    examples: Sequence[Observation],
    engines: Sequence[Engine],
    settings: Settings,
    *,
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> Verified:
    """Tries engines in order; takes the first that computes what the network computes.

    Every engine runs the probes that the network gives for the examples before it is believed.

    Args:
        source: The reference, in float32.
        examples: At least one.
        engines: In order of preference.
        settings: How they compute.
        strict: Whether the first refusal is an error.
        cache: Where built engines are kept; None builds anew.
        progress: Told what is being built, in a sentence.

    Raises:
        ValueError: There is no example, or the network gives numbers that are not finite.
        EngineRefused: No engine is left, or the first refused and `strict` is set.
    """
    from .exported_graph import export, fingerprint, refuse_broken_weights, run_eagerly

    refuse_broken_weights(source)
    inputs = source.probes(examples)
    for given in inputs:
        source.signature.check(given)
    expected = [run_eagerly(source, given) for given in inputs]

    @remember
    def graph(precision: Precision) -> ExportedGraph:
        progress('Exporting the policy as one graph.')
        return export(source, inputs[0], precision)

    @remember
    def hashes(precision: Precision) -> tuple[str, str]:
        # The same policy was exported before, most often; that takes seconds.
        known = f'{fingerprint(source, inputs[0])}-{precision}'
        found = None if cache is None else cache.graph(known)
        if found is None:
            exported = graph(precision)
            found = exported.graph_sha256, exported.weights_sha256
            if cache is not None:
                cache.keep_graph(known, *found)
        return found

    refusals: list[Refusal] = []
    for engine in engines:
        try:
            machine = engine.check(settings)
            if engine.files:
                session, files, origin = _obtain(
                    engine,
                    source.signature,
                    graph,
                    hashes,
                    settings=settings,
                    machine=machine,
                    cache=cache,
                    progress=progress,
                )
            else:
                session = engine.open({}, source.signature, settings, source)
                files, origin = {}, 'The policy itself.'
            agreement = verify(session, inputs, expected, source.signature, settings.precision)
        except EngineRefused as error:
            if strict:
                raise EngineRefused(f'Backend {engine.name!r} was refused: {error}') from error
            refusals.append(Refusal(engine.name, str(error)))
            continue
        report = Report(engine.name, settings, machine, agreement, origin, tuple(refusals))
        return Verified(session, files, inputs, expected, report)
    reasons = ' '.join(f'{refusal.backend}: {refusal.reason}' for refusal in refusals)
    raise EngineRefused(f'No backend can compute the policy in {settings.precision}. {reasons}')


def _obtain(
    engine: Engine,
    signature: Signature,
    graph: Callable[[Precision], ExportedGraph],
    hashes: Callable[[Precision], tuple[str, str]],
    *,
    settings: Settings,
    machine: Machine,
    cache: EngineCache | None,
    progress: Callable[[str], object],
) -> tuple[Session, Built, str]:
    """Returns an engine opened from files, the files, and where they came from."""
    kind: Precision = 'fp32' if engine.lowers else settings.precision

    def convert() -> Built:
        exported = graph(kind)
        progress(
            f'Building the {engine.name} engine in {settings.precision}; it is kept for the next '
            'start.'
        )
        return engine.build(exported, settings)

    def open_files(files: Built) -> tuple[Session, Built]:
        return engine.open(files, signature, settings), files

    if cache is None:
        return *open_files(convert()), 'Built.'
    graph_sha256, weights_sha256 = hashes(kind)
    key = EngineKey(
        backend=engine.name,
        graph=graph_sha256,
        weights=weights_sha256,
        precision=settings.precision,
        flags=machine.flags,
        engine=machine.engine,
        driver=machine.driver,
        device=machine.device,
    )
    opened, origin = cache.obtain(key, convert, open_files)
    return *opened, origin
