# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> the first engine that computes it honestly; every engine has the same call.

Only building engines needs PyTorch: it is imported when `build` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..policy.signature import Arrays, Precision
from ..seeing.observation import Observation
from .compiled_policy import Backend as Backend
from .compiled_policy import CompiledPolicy as CompiledPolicy
from .compiled_policy import Interface, Refusal, Report
from .engine import Built, Compilable, Engine, EngineRefused, Machine, Session, Settings
from .engine_cache import EngineCache, EngineKey
from .table import ENGINES as ENGINES
from .table import Name as Name
from .table import find_engines
from .verification import Agreement, merge, verify

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
        files: Files from which it was opened; none where PyTorch computes.
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
    reference = _Reference(source, examples, cache, progress)

    def attempt(engine: Engine) -> tuple[Verified, Report]:
        made = _make(engine, reference, settings)
        return made, made.report

    verified, report = _first(engines, attempt, settings, strict=strict)
    return replace(verified, report=report)


def build_parts(
    parts: Mapping[str, Compilable],
    examples: Sequence[Observation],
    engines: Sequence[Engine],
    settings: Settings,
    *,
    whole: Callable[[Mapping[str, Session]], Agreement],
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> tuple[dict[str, Session], Report]:
    """Tries engines in order for a policy of several networks; one engine computes all of them.

    Every network is verified by itself as `build` does, and then the policy as a whole.

    Args:
        parts: Name of a network -> the reference, in float32.
        examples: At least one.
        engines: In order of preference.
        settings: How they compute.
        whole: Compares what the sessions, put together, compute with the policy itself; raises
            an `EngineRefused` where it is something else.
        strict: Whether the first refusal is an error.
        cache: Where built engines are kept; None builds anew.
        progress: Told what is being built, in a sentence.

    Raises:
        ValueError: There is no example, or a network gives numbers that are not finite.
        EngineRefused: No engine is left, or the first refused and `strict` is set.
    """
    references = {
        name: _Reference(part, examples, cache, progress, f'{name} of the policy')
        for name, part in parts.items()
    }

    def attempt(engine: Engine) -> tuple[dict[str, Session], Report]:
        made = {name: _make(engine, each, settings) for name, each in references.items()}
        sessions = {name: each.session for name, each in made.items()}
        agreements = {f'{name} ': each.report.agreement for name, each in made.items()}
        agreement = merge({**agreements, '': whole(sessions)})
        origin = ' '.join(f'{name}: {each.report.origin}' for name, each in made.items())
        machine = next(iter(made.values())).report.machine
        return sessions, Report(engine.name, settings, machine, agreement, origin, ())

    return _first(engines, attempt, settings, strict=strict)


class _Reference:
    """A network as PyTorch computes it, and its graph, which is exported once for all engines."""

    def __init__(
        self,
        source: Compilable,
        examples: Sequence[Observation],
        cache: EngineCache | None,
        progress: Callable[[str], object],
        title: str = 'policy',
    ) -> None:
        from .exported_graph import refuse_broken_weights, run_eagerly

        refuse_broken_weights(source)
        self.source = source
        self.cache = cache
        self.progress = progress
        self.title = title
        self.inputs = source.probes(examples)
        for given in self.inputs:
            source.signature.check(given)
        self.expected = [run_eagerly(source, given) for given in self.inputs]
        self._graphs: dict[Precision, ExportedGraph] = {}

    def graph(self, precision: Precision) -> ExportedGraph:
        """Returns the exported network."""
        from .exported_graph import export

        if precision not in self._graphs:
            self.progress(f'Exporting the {self.title} as one graph.')
            self._graphs[precision] = export(self.source, self.inputs[0], precision)
        return self._graphs[precision]

    def hashes(self, precision: Precision, cache: EngineCache) -> tuple[str, str]:
        """Returns the hashes of the graph and of its weights.

        The same network was exported before, most often; that takes seconds.
        """
        from .exported_graph import fingerprint

        known = f'{fingerprint(self.source, self.inputs[0])}-{precision}'
        found = cache.graph(known)
        if found is None:
            exported = self.graph(precision)
            found = exported.graph_sha256, exported.weights_sha256
            cache.keep_graph(known, *found)
        return found


_Made = TypeVar('_Made')


def _first(
    engines: Sequence[Engine],
    attempt: Callable[[Engine], tuple[_Made, Report]],
    settings: Settings,
    *,
    strict: bool,
) -> tuple[_Made, Report]:
    """Returns what the first engine that is not refused makes; the report names the others."""
    refusals: list[Refusal] = []
    for engine in engines:
        try:
            made, report = attempt(engine)
        except EngineRefused as error:
            if strict:
                raise EngineRefused(f'Backend {engine.name!r} was refused: {error}') from error
            refusals.append(Refusal(engine.name, str(error)))
            continue
        return made, replace(report, refusals=tuple(refusals))
    reasons = ' '.join(f'{each.backend}: {each.reason}' for each in refusals)
    raise EngineRefused(f'No backend can compute the policy in {settings.precision}. {reasons}')


def _make(engine: Engine, reference: _Reference, settings: Settings) -> Verified:
    """Returns one network on one engine, compared with PyTorch."""
    source = reference.source
    machine = engine.check(settings)
    if engine.files:
        session, files, origin = _obtain(engine, reference, settings, machine)
    else:
        session = engine.open({}, source.signature, settings, source)
        files, origin = {}, 'The policy itself.'
    inputs, expected = reference.inputs, reference.expected
    agreement = verify(session, inputs, expected, source.signature, settings.precision)
    report = Report(engine.name, settings, machine, agreement, origin, ())
    return Verified(session, files, inputs, expected, report)


def _obtain(
    engine: Engine, reference: _Reference, settings: Settings, machine: Machine
) -> tuple[Session, Built, str]:
    """Returns an engine opened from files, the files, and where they came from."""
    kind: Precision = 'fp32' if engine.lowers else settings.precision
    cache = reference.cache

    def convert() -> Built:
        exported = reference.graph(kind)
        reference.progress(
            f'Building the {engine.name} engine in {settings.precision}; it is kept for the next '
            'start.'
        )
        return engine.build(exported, settings)

    def open_files(files: Built) -> tuple[Session, Built]:
        return engine.open(files, reference.source.signature, settings), files

    if cache is None:
        return *open_files(convert()), 'Built.'
    graph_sha256, weights_sha256 = reference.hashes(kind, cache)
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
