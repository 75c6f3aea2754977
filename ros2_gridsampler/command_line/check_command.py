# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler check`: a checkpoint, verified as the node verifies it, and timed."""

from typing import Literal

from .arguments import Policy


def check(
    policy: Policy,
    backend: Literal['automatic', 'tensorrt', 'openvino', 'onnxruntime', 'eager'] = 'automatic',
    threads: int = 1,
    runs: int = 20,
) -> None:
    """Verify a policy, predict its golden chunk, and time it.

    A converted policy (`gridsampler export --out`) needs no PyTorch here.

    Args:
        policy: Folder, or the name of one under models/.
        backend: Engine, as the node's parameter.
        threads: CPU threads of one inference.
        runs: Timed predictions.
    """
    import sys
    import time

    import numpy as np

    from .. import engines as backends
    from ..engines.engine import Settings
    from ..engines.table import preference
    from ..files import find
    from ..policy.manifest import golden_observation
    from ..vla.deployed_policy import load_policy

    if runs < 1:
        raise ValueError(f'{runs} predictions cannot be timed; ask for 1 at least.')
    folder = find('models', policy)
    deployed = load_policy(
        folder,
        backend,
        lambda own: backends.load(
            own,
            [golden_observation(own.config)],
            backends=preference(backend),
            threads=threads,
            strict=backend != 'automatic',
        ),
        Settings(threads=threads),
    )
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        targets = deployed.backend.predict(deployed.example).chunk.targets
        times.append(1e3 * (time.perf_counter() - begin))
    golden = deployed.golden
    off = np.abs((targets - golden.actions) / golden.unit).max()
    print(f'{folder}: every hash and the golden chunk agree.')
    print(f'The golden chunk is off by {off:.1g} {golden.unit_name} at most.')
    print(
        f'{np.median(times):.1f} ms per prediction (median of {runs}) on {threads} thread(s); '
        f'PyTorch {"was" if sys.modules.get("torch") else "was not"} imported.'
    )
