# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""ACT and SmolVLA at their real sizes -> time, error and memory on each engine, by reducer.

Every row is a process of its own, one after the other: its memory is nobody else's, and a stop
loses one row. Weights are random; neither time nor memory depends on them.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from experiments.lerobot_step_cost import plans_of
from ros2_gridsampler.engines.engine import Settings
from ros2_gridsampler.engines.engine_cache import EngineCache
from ros2_gridsampler.engines.table import find_engines
from ros2_gridsampler.files import write_whole
from ros2_gridsampler.vla.lerobot import SamplerPlan

from . import run

_ENGINES = 'eager,openvino,onnxruntime'
_ROW = 'import sys; from experiments.lerobot_engines import print_row; print_row(*sys.argv[1:])'


def measure(kind: str, plan: SamplerPlan | None, engine: str, runs: int, cache: Path) -> Any:
    """Returns the row of one engine on one policy, as values for JSON.

    Args:
        kind: 'act' or 'smolvla'.
        plan: What is attached.
        engine: Name.
        runs: Predictions that are timed, after one that is not.
        cache: Where built engines are kept between runs.
    """
    import torch

    from ros2_gridsampler.vla.lerobot_engines import compile_policy, try_outs
    from ros2_gridsampler.vla.random_policies import random_policy

    torch.set_num_threads(1)
    policy = random_policy(kind, plan)
    weights = sum(each.numel() for each in policy.model.policy.parameters())
    row: dict[str, Any] = {'weights': weights, 'error': 0.0}
    if engine != 'eager':
        compiled = compile_policy(
            policy, find_engines([engine]), Settings(), strict=True, cache=EngineCache(cache)
        )
        row['error'] = compiled.report.agreement.errors['targets']
        policy = compiled
    observation = try_outs(policy)[1]
    policy.predict(observation)
    spent = []
    for _ in range(runs):
        begin = time.process_time()
        policy.predict(observation)
        spent.append(time.process_time() - begin)
    row['seconds'] = float(np.median(spent))
    row['quartiles'] = np.quantile(spent, (0.25, 0.75)).tolist()
    row['resident'] = _resident()
    row['peak'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def print_row(kind: str, plan: str, engine: str, runs: str, cache: str) -> None:
    """Measures a row in this process and prints it; the arguments are those of a command line."""
    print(json.dumps(measure(kind, plans_of(plan)[0], engine, int(runs), Path(cache))))


def _resident() -> float:
    """Returns the memory that this process holds now [MiB]."""
    lines = Path('/proc/self/status').read_text().splitlines()
    (line,) = (line for line in lines if line.startswith('VmRSS'))
    return int(line.split()[1]) / 1024


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Returns the rows of one kind as Markdown; ratios against PyTorch, and dense on the engine.

    Args:
        rows: 'plan engine' -> what was measured.
    """
    lines = [
        '| visual tokens per camera | engine | CPU s (quartiles) | x eager | x dense | error '
        '[scales] | resident / peak [MiB] |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, row in rows.items():
        plan, engine = name.split()
        ratios = [
            f'{rows[other]["seconds"] / row["seconds"]:.2f}' if other in rows else '-'
            for other in (f'{plan} eager', f'dense {engine}')
        ]
        low, high = row['quartiles']
        lines.append(
            f'| {plan} | {engine} | {row["seconds"]:.3f} ({low:.3f} to {high:.3f}) '
            f'| {ratios[0]} | {ratios[1]} | {row["error"]:.1g} '
            f'| {row["resident"]:.0f} / {row["peak"]:.0f} |'
        )
    return '\n'.join(lines)


def main(
    kind: tyro.conf.Positional[Literal['act', 'smolvla']],
    json_file: Path = Path('build/lerobot_engines.json'),
    plans: str = 'dense,16',
    engines: str = _ENGINES,
    runs: int = 5,
) -> None:
    """Time eager, OpenVINO and ONNX Runtime on one CPU thread; rows that the file has are kept.

    Args:
        kind: ACT sees two pictures of 480x640, SmolVLA two of 512x512.
        json_file: Where the rows are kept, each as soon as it was measured.
        plans: Separated by commas: 'dense', tokens per camera, or tokens@block.
        engines: Separated by commas.
        runs: Timed predictions per row.
    """
    cache = json_file.parent / 'lerobot_engines'
    json_file.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(json_file.read_text()) if json_file.exists() else {}
    rows = content.setdefault(kind, {})
    plans_of(plans)
    for name in (f'{p} {e}' for p in plans.split(',') for e in engines.split(',')):
        if name in rows:
            continue
        command = [sys.executable, '-c', _ROW, kind, *name.split(), str(runs), str(cache)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        write_whole(json_file, json.dumps(content, indent=1))
        print(name, rows[name])
    print(table(rows))


if __name__ == '__main__':
    from experiments.lerobot_engines import main as command

    run(command)
