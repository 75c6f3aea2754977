# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU -> what our policies, lerobot's and pi0's tower cost on it, row by row."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..engines import build
from ..engines.compiled_policy import Report
from ..engines.eager import Eager, EagerSession
from ..engines.engine import Compilable, Engine, EngineRefused, Settings, versions
from ..engines.table import ENGINES
from ..engines.tensorrt import driver
from ..files import find
from ..policy.checkpoint import load_checkpoint
from ..policy.manifest import golden_observation
from ..policy.policy import Policy
from ..policy.signature import Precision, Signature
from .gpu_table import Job, Values
from .step_times import DENSE, variants

if TYPE_CHECKING:
    from ..seeing.observation import Observation
    from ..vla.lerobot_policy import LerobotPolicy

_WARM_UP, _BATCH, _TRAINED = 10, 32, 20


class TorchCompile(Eager):
    """PyTorch's own compiler, for comparison: no engine that a node may choose.

    Args:
        backend: Backend of torch.compile; 'inductor' replays CUDA graphs.
    """

    name = 'torch.compile'

    def __init__(self, backend: str = 'inductor') -> None:
        self._backend = backend

    def session(
        self, files: Any, signature: Signature, settings: Settings, source: Compilable | None
    ) -> EagerSession:
        """Returns the network, compiled for this device."""
        network, device = self.network(settings, source)
        mode = 'reduce-overhead' if self._backend == 'inductor' else None
        compiled: Any = torch.compile(network, backend=self._backend, mode=mode)
        return EagerSession(compiled, signature, device)


@dataclass(frozen=True)
class Bench:
    """What all rows share.

    Attributes:
        device: Name of the device.
        runs: Timed calls of a row.
        compiler: Backend of torch.compile.
    """

    device: str = 'cuda'
    runs: int = 200
    compiler: str = 'inductor'

    def ways(self) -> dict[str, tuple[Engine, Precision]]:
        """Returns by what a policy is computed, the fastest last."""
        compiler, tensorrt = TorchCompile(self.compiler), ENGINES['tensorrt']
        return {
            'eager fp32': (ENGINES['eager'], 'fp32'),
            'eager bf16': (ENGINES['eager'], 'bf16'),
            'torch.compile bf16': (compiler, 'bf16'),
            'tensorrt fp32': (tensorrt, 'fp32'),
            'tensorrt fp16': (tensorrt, 'fp16'),
            'tensorrt bf16': (tensorrt, 'bf16'),
        }

    def measure(self, made: Callable[[], tuple[Callable[[], object], Report]]) -> Values:
        """Returns the row of a call: batch of one, copies to and from the device included.

        Args:
            made: Builds and verifies; returns the call and how it came about.
        """
        before = self._memory()
        begin = time.perf_counter()
        call, report = made()
        built = time.perf_counter() - begin
        for _ in range(_WARM_UP):
            call()
        spent = []
        for _ in range(self.runs):
            begin = time.perf_counter()
            call()
            spent.append(time.perf_counter() - begin)
        median, worst = 1e3 * np.percentile(spent, (50, 99))
        row: dict[str, float | str] = {'p50 [ms]': float(median), 'p99 [ms]': float(worst)}
        if before is not None:
            row |= self._used(before)
        row['built and verified in [s]'] = built
        row['error'] = str(report.agreement)
        return row

    def _memory(self) -> int | None:
        """Returns how much of the GPU is used [bytes], by whomever; None on a CPU."""
        if not self.device.startswith('cuda'):
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        free, whole = torch.cuda.mem_get_info(self.device)
        return int(whole - free)

    def _used(self, before: int) -> dict[str, float]:
        free, whole = torch.cuda.mem_get_info(self.device)
        return {
            "peak of PyTorch's [MiB]": torch.cuda.max_memory_allocated(self.device) / 2**20,
            'more used than before [MiB]': (whole - free - before) / 2**20,
        }

    def jobs_of(
        self, subject: str, make: Callable[[Engine, Settings], tuple[Callable[[], object], Report]]
    ) -> Iterator[Job]:
        """Yields a row for every way."""
        for way, (engine, precision) in self.ways().items():
            settings = Settings(precision, device=self.device)
            made = functools.partial(make, engine, settings)
            yield Job(subject, way, functools.partial(self.measure, made))

    def network(
        self, subject: str, source: Callable[[], Compilable], examples: Any
    ) -> Iterator[Job]:
        """Yields the rows of one network.

        Args:
            subject: Its name.
            source: Makes it.
            examples: Returns observations for its probes.
        """
        kept = functools.cache(source)

        def make(engine: Engine, settings: Settings) -> tuple[Callable[[], object], Report]:
            made = build(kept(), examples(kept()), [engine], settings, strict=True)
            return functools.partial(made.session.run, made.inputs[0]), made.report

        yield from self.jobs_of(subject, make)

    def lerobot(self, subject: str, source: Callable[[], LerobotPolicy]) -> Iterator[Job]:
        """Yields the rows of a lerobot policy: all its networks and the loop, no processors."""
        kept = functools.cache(source)

        def make(engine: Engine, settings: Settings) -> tuple[Callable[[], object], Report]:
            from ..vla.lerobot_engines import compile_policy, try_outs

            compiled = compile_policy(kept(), [engine], settings, strict=True)
            batch = compiled.batch(try_outs(compiled)[0])
            return functools.partial(compiled.infer, batch), compiled.report

        yield from self.jobs_of(subject, make)

    def training(self, subject: str, source: Callable[[], Policy]) -> Iterator[Job]:
        """Yields the rows of training: forward, backward and AdamW on a made-up batch."""

        def measure(precision: Precision) -> Values:
            policy = Policy(source().config).to(self.device)
            arrays = policy.interface.arrays(golden_observation(policy.config))
            names = ('images', 'proprioception', 'words')
            batch = [
                torch.from_numpy(np.repeat(arrays[name], _BATCH, 0)).to(self.device)
                for name in names
            ]
            optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)
            lower = torch.autocast(
                torch.device(self.device).type, torch.bfloat16, enabled=precision == 'bf16'
            )
            rates = []
            for _ in range(_WARM_UP + min(_TRAINED, self.runs)):
                begin = time.perf_counter()
                with lower:
                    actions, _ = policy(*batch)
                loss = actions.float().abs().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()  # waits for the device
                rates.append(1 / (time.perf_counter() - begin))
            return {'training steps a second': float(np.median(rates[_WARM_UP:]))}

        for precision in ('fp32', 'bf16'):
            way = f'training {precision}, batch {_BATCH}'
            yield Job(subject, way, functools.partial(measure, precision))


def jobs(bench: Bench, policies: tuple[str, ...], others: bool) -> Iterator[Job]:
    """Yields all rows, the most telling first.

    Args:
        bench: Device and runs.
        policies: Checkpoint folders, or names of those that come with the package.
        others: Whether lerobot's policies and pi0's tower are measured too, at their real sizes.
    """
    for name in policies:
        own = functools.cache(lambda name=name: load_checkpoint(find('models', name))[0])
        config = own().config
        early = f'{config.reducer} {config.tokens}, after'
        for variant, make in variants(own(), (1,)).items():
            if variant == DENSE or variant.startswith(early):
                yield from bench.network(f'{name}, {variant}', make, _golden)
        yield from bench.training(name, own)
    if others:
        yield from _others(bench)


def _golden(policy: Any) -> list[Observation]:
    return [golden_observation(policy.config)]


def _others(bench: Bench) -> Iterator[Job]:
    for after in (None, 9):
        place = 'after the tower' if after is None else f'after block {after} of 27'
        yield from bench.network(
            f"pi0's tower, two pictures, GridS 16 {place}",
            functools.partial(_tower, 16, after),
            lambda part: [],
        )
    yield from bench.network(
        "pi0's tower, two pictures, dense", functools.partial(_tower, 0, None), lambda part: []
    )
    plans: dict[str, tuple[tuple[int, int | None] | None, ...]] = {
        'act': (None, (16, None)),
        'smolvla': (None, (16, None), (16, 4)),
    }
    for kind, chosen in plans.items():
        for plan in chosen:
            name = 'dense'
            if plan is not None:
                place = 'after the tower' if plan[1] is None else f'after block {plan[1]}'
                name = f'GridS {plan[0]} {place}'
            yield from bench.lerobot(f'{kind}, {name}', functools.partial(_random, kind, plan))


def _random(kind: str, plan: tuple[int, int | None] | None) -> LerobotPolicy:
    if importlib.util.find_spec('lerobot') is None:
        raise EngineRefused("lerobot is not installed; on Python 3.12: pip install '.[lerobot]'")
    from ..vla.lerobot import SamplerPlan
    from ..vla.random_policies import random_policy

    return random_policy(kind, None if plan is None else SamplerPlan(*plan))


def _tower(tokens: int, after: int | None) -> Compilable:
    from ..vla.random_policies import siglip_tower

    return siglip_tower(tokens, after)


def machine_facts(device: str) -> dict[str, str]:
    """Returns what the rows depend on: GPU, driver, libraries.

    Raises:
        ValueError: There is no such device here.
    """
    libraries = versions(
        *('torch', 'torch-tensorrt', 'torch-tensorrt-rtx', 'tensorrt', 'tensorrt-rtx'),
        *('tensorrt-rtx-cu13', 'transformers', 'lerobot'),
    )
    if not device.startswith('cuda'):
        return {'device': 'CPU', 'libraries': libraries}
    if not torch.cuda.is_available():
        raise ValueError(
            'No GPU was found: PyTorch sees none. Run this where an NVIDIA GPU, its driver and a '
            'CUDA build of PyTorch are; `gridsampler benchmark backends` measures a CPU.'
        )
    capability = '.'.join(map(str, torch.cuda.get_device_capability(device)))
    name = torch.cuda.get_device_name(device)
    return {
        'device': f'{name}, capability {capability}',
        'driver': driver(),
        'cuda': str(torch.version.cuda),
        'libraries': libraries,
    }
