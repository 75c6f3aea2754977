# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler check` and `serve`: a policy, opened as the node opens it, timed or served."""

from typing import TYPE_CHECKING, Literal

from .arguments import Policy

if TYPE_CHECKING:
    from ..vla.deployed_policy import DeployedPolicy

BackendChoice = Literal['automatic', 'tensorrt', 'openvino', 'onnxruntime', 'eager']


def check(
    policy: Policy,
    backend: BackendChoice = 'automatic',
    threads: int = 1,
    runs: int = 20,
    remote_robot: str = '',
) -> None:
    """Verify a policy, predict its golden chunk, and time it.

    A converted policy (`gridsampler export --out`) needs no PyTorch here.

    Args:
        policy: Folder, the name of one under models/, or ws://HOST:PORT of a policy server.
        backend: Engine, as the node's parameter.
        threads: CPU threads of one inference.
        runs: Timed predictions.
        remote_robot: YAML file of the robot for a policy server, as the node's parameter.
    """
    import sys
    import time

    import numpy as np

    from ..files import find

    if runs < 1:
        raise ValueError(f'{runs} predictions cannot be timed; ask for 1 at least.')
    deployed = open_policy(policy, backend, threads, remote_robot)
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        targets = deployed.backend.predict(deployed.example).chunk.targets
        times.append(1e3 * (time.perf_counter() - begin))
    place = f'on {threads} thread(s)'
    if deployed.elsewhere is not None:
        place = 'there and back'
        deployed.elsewhere.close()
        print(f'{policy}: chunks of {len(targets)} steps for {deployed.about["actions"]}.')
    elif (golden := deployed.golden) is not None:
        off = np.abs((targets - golden.actions) / golden.unit).max()
        print(f'{find("models", policy)}: every hash and the golden chunk agree.')
        print(f'The golden chunk is off by {off:.1g} {golden.unit_name} at most.')
    print(
        f'{np.median(times):.1f} ms per prediction (median of {runs}) {place}; '
        f'PyTorch {"was" if sys.modules.get("torch") else "was not"} imported.'
    )


def serve(
    policy: Policy,
    host: str = '127.0.0.1',
    port: int = 8000,
    backend: BackendChoice = 'automatic',
    threads: int = 1,
) -> None:
    """Serve a policy by openpi's protocol until Ctrl-C.

    A policy node on another machine drives its arm with it by policy:=ws://HOST:PORT. Up to four
    clients may be connected; one prediction is made after the other. There is no
    encryption and no authentication: beyond this machine, listen only in a network that you trust.

    Args:
        policy: Folder, or the name of one under models/; ours, converted, or adopted.
        host: Address to listen at; 0.0.0.0 for all of this machine.
        port: Port to listen at.
        backend: Engine, as the node's parameter.
        threads: CPU threads of one inference.
    """
    from ..vla.policy_server import MAX_CLIENTS, PolicyServer
    from ..vla.remote_policy import is_remote

    if is_remote(policy):
        raise ValueError(f'{policy} is served already; name a folder, or ask that server.')
    deployed = open_policy(policy, backend, threads)
    for _ in range(2):
        deployed.backend.predict(deployed.example)
    with PolicyServer(deployed, host, port) as server:
        print(
            f'{policy} is served at {server.address} to at most {MAX_CLIENTS} clients; Ctrl-C '
            'ends it.',
            flush=True,
        )
        while not server.wait(1.0):
            pass
    raise OSError(f'{policy} is served no more: the socket was closed.')


def open_policy(
    policy: str, backend: BackendChoice, threads: int, remote_robot: str = ''
) -> 'DeployedPolicy':
    """Returns a policy, verified as the node verifies it.

    Args:
        policy: Folder, name, or address of a server.
        backend: Engine, as the node's parameter.
        threads: CPU threads of one inference.
        remote_robot: YAML file of the robot for a policy server.

    Raises:
        ValueError: It must not drive an arm, or cannot be computed so; the text says why.
        OSError: It cannot be read.
    """
    from .. import engines as backends
    from ..engines.engine import Settings
    from ..engines.table import AUTOMATIC, preference
    from ..files import find
    from ..policy.manifest import golden_observation
    from ..vla.deployed_policy import load_policy
    from ..vla.remote_policy import is_remote, load_remote

    if is_remote(policy):
        if (backend, threads) != (AUTOMATIC, 1):
            raise ValueError(
                f'{policy} computes as it was started; leave --backend and --threads away.'
            )
        return load_remote(policy, remote_robot)
    if remote_robot:
        raise ValueError(f'A robot is named for a policy at ws://HOST:PORT, got {policy!r}.')
    return load_policy(
        find('models', policy),
        backend,
        lambda own: backends.load(
            own,
            [golden_observation(own.config)],
            backends=preference(backend),
            threads=threads,
            strict=backend != AUTOMATIC,
        ),
        Settings(threads=threads),
    )
