# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler export`, `benchmark backends`, `flops`: engines, and what a step costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .arguments import Json
from .outputs import json_output, prepare_output

if TYPE_CHECKING:
    from ..engines.compiled_policy import Report
    from ..engines.engine import Settings
    from ..engines.engine_cache import EngineCache
    from ..policy.policy import Policy

BackendName = Literal['tensorrt', 'openvino', 'onnxruntime', 'eager']
PrecisionName = Literal['fp32', 'fp16', 'bf16', 'int8']


def export(
    backend: BackendName,
    policy: str = 'libero_spatial',
    precision: PrecisionName = 'fp32',
    threads: int = 1,
    cache: Path | None = None,
    out: Path | None = None,
) -> None:
    """Build a policy's engine ahead of time, and keep it.

    The engine is compared with PyTorch first.

    Args:
        backend: Engine.
        policy: Checkpoint folder, an adopted one of lerobot too, or the name of one that comes
            with the package.
        precision: Number format of the engine's arithmetic.
        threads: CPU threads of one inference.
        cache: Folder of the engines; default the user's cache, where the policy node looks.
        out: Write a converted policy there instead, which a robot runs without PyTorch; with
            the backend openvino.
    """
    from ..engines import load
    from ..engines.engine import Settings
    from ..engines.engine_cache import EngineCache, default_folder
    from ..files import find
    from ..policy.checkpoint import load_checkpoint
    from ..policy.manifest import golden_observation, is_lerobot

    folder = find('models', policy)
    kept = EngineCache(cache or default_folder(), must_keep=True)
    if is_lerobot(folder):
        report = _export_lerobot(folder, backend, Settings(precision, threads), kept, out)
    else:
        model, _ = load_checkpoint(folder)
        if out is not None:
            _export_converted(model, folder, backend, out)
            return
        report = load(
            model,
            [golden_observation(model.config)],
            backends=(backend,),
            precision=precision,
            threads=threads,
            strict=True,
            cache=kept,
            progress=print,
        ).report
    print(report.origin)
    print(
        f'{report.backend} ({report.machine.engine}, {report.machine.device}), '
        f'{report.settings.precision}: on {report.agreement.inputs} inputs it differs from '
        f'PyTorch by at most: {report.agreement}.'
    )


def _export_lerobot(
    folder: Path,
    backend: BackendName,
    settings: 'Settings',
    cache: 'EngineCache',
    out: Path | None,
) -> 'Report':
    from ..engines.table import find_engines
    from ..vla.lerobot_engines import compile_policy
    from ..vla.lerobot_policy import load_lerobot_policy

    if out is not None:
        raise ValueError(
            f'{folder} is a lerobot policy, whose processors need lerobot: it cannot become a '
            'folder that runs without PyTorch. Leave --out away; its engine is kept in the cache.'
        )
    policy, _ = load_lerobot_policy(folder)
    return compile_policy(
        policy, find_engines((backend,)), settings, strict=True, cache=cache, progress=print
    ).report


def _export_converted(policy: 'Policy', checkpoint: Path, backend: BackendName, out: Path) -> None:
    from ..engines.converted_policy import convert, load_converted

    try:
        convert(policy, checkpoint, out, backend)
    except OSError as error:
        reason = str(error).rstrip('.')
        raise OSError(f'The converted policy cannot be kept in {out}: {reason}.') from error
    agreement = load_converted(out)[0].report.agreement
    size = sum(path.stat().st_size for path in out.rglob('*') if path.is_file()) / 1e6
    print(
        f'{out}: {size:.1f} MB; on {agreement.inputs} inputs it differs from PyTorch by at most: '
        f'{agreement}.'
    )


def benchmark_backends(
    out: Path = Path('build/benchmark_backends'),
    policies: tuple[str, ...] = ('libero_spatial',),
    backends: tuple[BackendName, ...] = ('openvino', 'onnxruntime', 'eager'),
    early: tuple[int, ...] = (1, 2),
    threads: tuple[int, ...] = (1, 2),
    precision: PrecisionName = 'fp32',
    rounds: int = 40,
    json: Json = None,
) -> None:
    """Time GridS, dense and other methods on every engine.

    All of them in one run: dense, GridS late and early, and methods of other papers.

    Args:
        out: Folder of the table, the plot and the numbers.
        policies: Checkpoint folders, or names of those that come with the package.
        backends: Engines to compare.
        early: Encoder blocks after which the policy samples, tried besides its own place.
        threads: CPU threads of one inference; one run for each number.
        precision: Number format of all engines.
        rounds: Predictions of every engine, in turns.
        json: File for the numbers, or - for standard output.
    """
    from ..benchmarks.step_time_report import measure_policies, write_report
    from ..files import find
    from ..policy.checkpoint import load_checkpoint

    with json_output(json) as write:
        report = measure_policies(
            {name: load_checkpoint(find('models', name))[0] for name in policies},
            backends=backends,
            early=early,
            threads=threads,
            precision=precision,
            rounds=rounds,
            progress=print,
        )
        print(write_report(report, out))
        write((out / 'times.json').read_text())


def benchmark_gpu(
    json: Path,
    policies: tuple[str, ...] = ('libero_spatial',),
    runs: int = 200,
    budget: float = 420.0,
    device: Annotated[str, tyro.conf.Suppress] = 'cuda',
    others: Annotated[bool, tyro.conf.Suppress] = True,
    compiler: Annotated[str, tyro.conf.Suppress] = 'inductor',
) -> None:
    """Time our policies, lerobot's and pi0's tower on a GPU.

    PyTorch, torch.compile and, where it is installed, TensorRT; and training steps a second. A
    row is written as soon as it is measured, and a second call goes on with those that are left.

    Exit status: 1 where rows are left.

    Args:
        json: File of the rows; what it has is not measured again.
        policies: Checkpoint folders, or names of those that come with the package.
        runs: Timed calls of each row.
        budget: Time after which no row is begun [s].
        device: Where it computes.
        others: Whether other people's policies are measured too.
        compiler: Backend of torch.compile.
    """
    import sys
    import time

    from ..benchmarks.gpu_rows import Bench, jobs, machine_facts
    from ..benchmarks.gpu_table import RowFile, as_table, run_jobs

    facts = machine_facts(device)
    prepare_output(json)
    file = RowFile(json, facts)
    bench = Bench(device, runs, compiler)
    left = run_jobs(jobs(bench, policies, others), file, budget, time.monotonic, print)
    print(as_table(file.rows))
    if left:
        print(f'{left} rows are left; the same command goes on with them.', file=sys.stderr)
        sys.exit(1)


def flops(
    model: str = 'pi0',
    tokens: int | None = None,
    cameras: int | None = None,
    language_tokens: int | None = None,
    sample_after: int | None = None,
    count_loops_once: bool = False,
    json: Json = None,
    plot: Path | None = None,
) -> None:
    """Count what a control step of a model costs.

    Vision, language, actions and GridS are counted by themselves.

    Args:
        model: pi0, pi05, openvla, openvla-oft or smolvla; or a checkpoint: its folder or name.
        tokens: Visual tokens kept per camera; all if left out (of a checkpoint: its own number).
        cameras: As many as published if left out.
        language_tokens: As many as published if left out.
        sample_after: Block of the vision tower after which GridS samples; after the tower if
            left out.
        count_loops_once: Count the body of each loop once, as the published cuts of pi0 do.
        json: File for the numbers [GFLOP], or - for standard output.
        plot: PNG of the cost against the block, for several numbers of tokens.
    """
    from dataclasses import asdict

    from ..benchmarks.step_cost import count_model, count_policy, plot_costs
    from ..benchmarks.vla_models import MODELS
    from ..files import find
    from ..policy.checkpoint import load_checkpoint

    names = {name: name for name in MODELS}
    with json_output(json) as write:
        if model in names:
            cost = count_model(
                names[model],
                tokens=tokens,
                cameras=cameras,
                language_tokens=language_tokens,
                sample_after=sample_after,
                once=count_loops_once,
            )
            if plot:
                plot_costs(names[model], plot, cameras=cameras, language_tokens=language_tokens)
        else:
            given = (cameras, language_tokens, plot)
            if count_loops_once or any(value is not None for value in given):
                raise ValueError(
                    f'{model} is a checkpoint: its cameras and words are fixed, and its loops '
                    'are counted as they run; give --tokens and --sample-after alone.'
                )
            policy, _ = load_checkpoint(find('models', model))
            cost = count_policy(policy, tokens=tokens, sample_after=sample_after)
        for name, value in asdict(cost).items():
            shown = f'{100 * value:9.1f} %' if name == 'cut' else f'{value:9.3f} G'
            print(f'{name:20} {shown}')
        write(asdict(cost))
