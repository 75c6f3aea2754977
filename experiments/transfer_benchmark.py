# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder over ROS 2 to two receivers, and the same file over loopback HTTP -> a ratio."""

import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS, save_encoder
from ros2_gridsampler.nodes.child_process import ChildProcess
from ros2_gridsampler.nodes.private_domain import private_domain
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.seeing.calibration import ImagePreparation

from . import run

RECEIVERS = 2
VIT_B = EncoderConfig(224, 224, 16, 768, 12, 12, ())
_PATIENCE = 600.0
_FETCH = """
import shutil, sys, time, urllib.request
sys.stdin.readline()
begin = time.monotonic()
with urllib.request.urlopen(sys.argv[1]) as source, open(sys.argv[2], 'wb') as file:
    shutil.copyfileobj(source, file)
print(time.monotonic() - begin, flush=True)
"""
_RECEIVE = """
import sys, time
from pathlib import Path
import rclpy
from rclpy.executors import SingleThreadedExecutor
from ros2_gridsampler.nodes.encoder_receiver import EncoderReceiver
from ros2_gridsampler.nodes.node_setup import prepare_process
from ros2_gridsampler.encoders.encoder_store import EncoderStore
prepare_process()
rclpy.init()
node = rclpy.create_node('receiver_' + sys.argv[1])
node.steady_clock = node.get_clock()
executor = SingleThreadedExecutor()
executor.add_node(node)
sys.stdin.readline()
used = []
receiver = EncoderReceiver(node, '/encoder_server', EncoderStore(Path(sys.argv[2])),
                           refusal=lambda encoder: '', use=used.append)
begin = complete = None
while not used:
    executor.spin_once(timeout_sec=0.05)
    if begin is None and receiver.state.startswith('receiving'):
        begin = time.monotonic()
    if complete is None and receiver.state.startswith('verifying'):
        complete = time.monotonic()
print(complete - begin, time.monotonic() - begin, flush=True)
"""


@dataclass(frozen=True)
class TransferTimes:
    """One run.

    Attributes:
        size: The size of the file [bytes].
        http: Until the slowest of two simultaneous HTTP clients had its file [s].
        chunks: Until the slowest of two receivers had every chunk on its disk [s].
        verified: Until both had it hashed, loaded, compared with its golden features, and in
            their stores [s].
        server_memory: Largest resident size of the server [bytes].
    """

    size: int
    http: float
    chunks: float
    verified: float
    server_memory: int

    def __str__(self) -> str:
        """For people."""
        return (
            f'{self.size / 1e6:.0f} MB to {RECEIVERS} receivers: HTTP {self.http:.2f} s, ROS 2 '
            f'{self.chunks:.2f} s ({self.http / self.chunks:.2f} times the throughput of HTTP), '
            f'{self.verified:.2f} s until verified; the server took '
            f'{self.server_memory / self.size:.2f} times the file in memory.'
        )


def measure_transfer(config: EncoderConfig = VIT_B) -> TransferTimes:
    """Serve a random encoder on this machine and receive it twice at once.

    Args:
        config: The settings of the encoder.
    """
    with tempfile.TemporaryDirectory() as place, private_domain():
        root = Path(place)
        torch.manual_seed(0)
        save_encoder(
            Encoder(config),
            root / 'served' / 'random',
            preparation=ImagePreparation(config.image_width, config.image_height),
            method='untrained',
            loss_weights={},
            steps=0,
            compute=0.0,
            training={},
            results={},
        )
        weights = root / 'served' / 'random' / ENCODER_WEIGHTS
        http_time = _over_http(weights, root)
        parameters = {'folder': str(root / 'served'), 'active': 'random'}
        # The server sets its own profile, which prepare_process of this process must not hide.
        environment = {k: v for k, v in os.environ.items() if 'PROFILES_FILE' not in k}
        with ChildProcess(
            'nodes.encoder_server_node',
            parameters,
            {},
            environment=environment,
            log=root / 'server.log',
            patience=10.0,
        ) as server:
            _wait_for(lambda: 'Serving' in (root / 'server.log').read_text(), server)
            lines = _together(
                [
                    [sys.executable, '-c', _RECEIVE, str(i), str(root / f'store{i}')]
                    for i in range(RECEIVERS)
                ]
            )
            memory = server.peak_memory
        chunks, verified = (max(column) for column in zip(*lines, strict=True))
        return TransferTimes(weights.stat().st_size, http_time, chunks, verified, memory)


def _over_http(weights: Path, root: Path) -> float:
    """Until the slowest client has the file [s]."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    handler = partial(Quiet, directory=str(weights.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_address[1]}/{weights.name}'
        commands = [
            [sys.executable, '-c', _FETCH, address, str(root / f'http{i}')]
            for i in range(RECEIVERS)
        ]
        times = _together(commands)
        server.shutdown()
    return max(first for first, *_ in times)


def _together(commands: list[list[str]]) -> list[list[float]]:
    """Start processes, let them go at once, and read the numbers that each prints."""
    processes = [
        subprocess.Popen(  # noqa: S603 - our own code
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    try:
        time.sleep(5.0)  # all of them have imported what they need
        for process in processes:
            assert process.stdin is not None  # noqa: S101 - for the types
            process.stdin.write('\n')
            process.stdin.flush()
        return [
            [float(number) for number in process.communicate(timeout=_PATIENCE)[0].split()]
            for process in processes
        ]
    finally:
        for process in processes:
            process.kill()


def _wait_for(condition: Callable[[], bool], server: ChildProcess) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        server.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f'The server did not begin. {server.last_words()}')
        time.sleep(0.05)


def main() -> None:
    """How fast a ViT-B reaches two receivers, against the same file over loopback HTTP."""
    print(measure_transfer())


if __name__ == '__main__':
    from experiments.transfer_benchmark import main as command

    run(command)
