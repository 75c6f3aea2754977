# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> how long a step takes, by engine and by how its visual tokens are reduced."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines import CompiledPolicy, Name, load
from ..engines.engine import EngineRefused
from ..policy.manifest import golden_observation
from ..policy.policy import Policy
from ..policy.signature import Precision
from .rival_methods import MergingPolicy, PruningPolicy, take_over, with_reducer

DENSE = 'dense'
# What others would keep; GridS keeps what the policy was trained for.
RIVAL_TOKENS = 16
_WARM_UP = 3


@dataclass(frozen=True)
class StepTime:
    """One engine on one variant of the policy.

    Attributes:
        backend: Name of the engine.
        variant: How the visual tokens are reduced.
        threads: CPU threads of one inference.
        wall: Median and 99th percentile [s].
        cpu: Median CPU time of the process [s].
        speedup: CPU time of the dense policy on the same backend over this one's; quartiles over
            rounds.
        over_eager: CPU time of the same variant by PyTorch over this one's; quartiles.
    """

    backend: Name
    variant: str
    threads: int
    wall: tuple[float, float]
    cpu: float
    speedup: tuple[float, float, float]
    over_eager: tuple[float, float, float] | None


def variants(policy: Policy, early: Sequence[int]) -> dict[str, Callable[[], Policy]]:
    """The policy as it might have been built, with its own weights where they fit.

    Args:
        policy: That keeps few tokens.
        early: Encoder blocks after which its own reducer is tried besides its own place.

    Returns:
        Name -> what makes it; raises ValueError where this policy cannot be built so.
    """
    config = policy.config
    depth, tokens = config.encoder.depth, config.tokens
    own = f'{config.reducer} {tokens}, after'
    blocks = sorted({*early, config.sample_after} - {depth})
    kept = min(RIVAL_TOKENS, config.dense_tokens)
    areas = _pooled(*config.encoder.grid)
    return {
        DENSE: lambda: with_reducer(policy, 'dense', config.dense_tokens, depth),
        f'{own} the tower': lambda: with_reducer(policy, config.reducer, tokens, depth),
        **{
            f'{own} block {block}': partial(with_reducer, policy, config.reducer, tokens, block)
            for block in blocks
        },
        f'average pooling {areas}': lambda: with_reducer(policy, 'fixed_grid', areas, depth),
        f'ToMe {kept}': lambda: take_over(MergingPolicy(config, kept), policy),
        f'FastV {kept}': lambda: take_over(PruningPolicy(config, kept), policy),
    }


def _pooled(rows: int, columns: int) -> int:
    """Returns into how many areas the map is cut: as many as others keep tokens, or fewer."""
    common = math.gcd(rows, columns)
    return max(n * n for n in range(1, common + 1) if common % n == 0 and n * n <= RIVAL_TOKENS)


def measure(
    policy: Policy,
    *,
    backends: Sequence[Name],
    early: Sequence[int],
    threads: int,
    precision: Precision,
    rounds: int,
    progress: Callable[[str], None],
) -> tuple[list[StepTime], dict[str, str]]:
    """Time every variant on every backend, one after the other in every round.

    Whatever else the machine does meets all of them alike, so ratios within a round say more
    than times do.

    Args:
        policy: Published.
        backends: That are compared; those that refuse are told.
        early: See `variants`.
        threads: CPU threads of one inference.
        precision: Precision of all engines.
        rounds: Number of rounds that count.
        progress: Told what is being built.

    Returns:
        Times, and what was refused: backend and variant, or variant -> reason.

    Raises:
        ValueError: Nothing could be measured.
    """
    if rounds < 1:
        raise ValueError(f'A benchmark needs at least one round, got {rounds}.')
    engines: dict[tuple[Name, str], CompiledPolicy] = {}
    refused: dict[str, str] = {}
    example = golden_observation(policy.config)
    for variant, make in variants(policy, early).items():
        try:
            model = make()
        except ValueError as error:
            refused[variant] = str(error)
            continue
        for backend in backends:
            progress(f'{backend}: {variant}, {threads} threads')
            try:
                engines[backend, variant] = load(
                    model,
                    [example],
                    backends=(backend,),
                    precision=precision,
                    threads=threads,
                    strict=True,
                )
            except EngineRefused as error:
                refused[f'{backend}: {variant}'] = str(error)
    if not engines:
        raise ValueError(
            f'No engine could be measured: {" ".join(dict.fromkeys(refused.values()))}'
        )
    wall: dict[tuple[Name, str], list[float]] = {key: [] for key in engines}
    cpu: dict[tuple[Name, str], list[float]] = {key: [] for key in engines}
    for number in range(rounds + _WARM_UP):
        for key, engine in engines.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            engine.predict(example)
            if number >= _WARM_UP:
                wall[key].append(time.perf_counter() - begin)
                cpu[key].append(time.process_time() - begin_cpu)
    times = []
    for backend, variant in engines:
        own = np.array(cpu[backend, variant])
        eager = cpu.get(('eager', variant))
        times.append(
            StepTime(
                backend=backend,
                variant=variant,
                threads=threads,
                wall=_percentiles(np.array(wall[backend, variant]), 50, 99),
                cpu=float(np.median(own)),
                speedup=_percentiles(np.array(cpu.get((backend, DENSE), own)) / own, 25, 50, 75),
                over_eager=None
                if eager is None
                else _percentiles(np.array(eager) / own, 25, 50, 75),
            )
        )
    return times, refused


def _percentiles(values: NDArray[np.float64], *at: float) -> Any:
    return tuple(np.percentile(values, at).tolist())
