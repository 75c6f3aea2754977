# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag made here -> what an evaluation costs beside the policy: CPU time and memory."""

import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.command_line.arguments import Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.engines import Backend
from ros2_gridsampler.evaluating.contestants import load_contestants
from ros2_gridsampler.evaluating.evaluation_config import EvaluationTask
from ros2_gridsampler.evaluating.evaluation_task import evaluate_to_folder
from ros2_gridsampler.evaluating.hardware import describe_hardware
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.manifest import load_manifest
from ros2_gridsampler.policy.prediction import Prediction
from ros2_gridsampler.seeing.camera_message import decode_image
from ros2_gridsampler.seeing.observation import Observation

from . import run
from .benchmark_bag import CAMERA, RATE, write_bag

FEWEST_FRAMES = 2
SMALLEST_SIDE = 16
"""Of the pictures [px]."""


@dataclass(frozen=True)
class Round:
    """CPU time of one evaluation [s]; that of the film's encoder, a process of its own, is in it.

    Attributes:
        total: The time of everything.
        model: The time of the policy's inference.
        times_real_time: Length of the recording over `total - model`.
        decodings: `total - model` in units of decoding every picture once, which depends less
            on what else the machine does.
    """

    total: float
    model: float
    times_real_time: float
    decodings: float


@dataclass(frozen=True)
class Cost:
    """What an evaluation costs here.

    Attributes:
        frames: In the bag.
        recording: Length of the bag [s].
        megabytes: The size of the bag.
        rounds: With page, film and bag of predictions.
        bare: The same with the scores and the page alone.
        peak_memory: The largest memory of the whole process, PyTorch included [MiB].
        hardware: The hardware of this machine.
    """

    frames: int
    recording: float
    megabytes: float
    rounds: tuple[Round, ...]
    bare: tuple[Round, ...]
    peak_memory: float
    hardware: dict[str, str]

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        lines = [f'{self.frames} frames, {self.recording:.1f} s, {self.megabytes:.0f} MB']
        for name, rounds in (
            ('with film and bag of predictions', self.rounds),
            ('scores and page alone', self.bare),
        ):
            speeds = [each.times_real_time for each in rounds]
            rest = median(each.total - each.model for each in rounds)
            lines.append(
                f'{name}: everything but the model takes {rest:.2f} s of CPU time, '
                f'{median(speeds):.1f} times real time on one core ({min(speeds):.1f} to '
                f'{max(speeds):.1f} in {len(speeds)} rounds)'
            )
        lines.append(f'peak memory {self.peak_memory:.0f} MiB')
        lines.append(', '.join(f'{key} {value}' for key, value in self.hardware.items()))
        return '\n'.join(lines)


def measure_cost(
    policy: Path,
    arm: Path,
    *,
    frames: int = 300,
    size: tuple[int, int] = (320, 240),
    raw: bool = False,
    rounds: int = 3,
) -> Cost:
    """Make a bag, evaluate it several times and count.

    Args:
        policy: Checkpoint of joint targets that reads one camera.
        arm: YAML with the arm's limits.
        frames: At 30 Hz.
        size: The size of the pictures, width and height [px].
        raw: Whether the pictures are uncompressed, for a large bag.
        rounds: The number of each kind.

    Raises:
        ValueError: The policy is of another kind, or a number measures nothing.
    """
    if frames < FEWEST_FRAMES or rounds < 1 or min(size) < SMALLEST_SIDE:
        raise ValueError(
            f'The bag is to have {frames} frames of {size[0]}x{size[1]} px, for {rounds} rounds; '
            f'ask for at least {FEWEST_FRAMES} frames, {SMALLEST_SIDE} px a side and one round.'
        )
    config = load_manifest(policy).policy
    if config.action_space.kind != 'joint_position' or len(config.cameras) != 1:
        raise ValueError(f'{policy} is no policy of joint targets with one camera.')
    task = EvaluationTask(str(policy), str(arm))
    (contestant,) = load_contestants(task.choices)
    clocked = _Clocked(contestant.backend)
    contestant = replace(contestant, backend=clocked)
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'bag'
        write_bag(bag, config, frames, size, raw)
        megabytes = sum(file.stat().st_size for file in bag.iterdir()) / 1e6

        def run(number: int, film_and_bag: bool) -> Round:
            out = Path(folder) / f'{number}_{film_and_bag}'
            decoding = _cpu_time(lambda: _decode_all(bag))
            clocked.spent = 0.0
            chosen = replace(task, film=film_and_bag, bag=film_and_bag)
            total = _cpu_time(
                lambda: evaluate_to_folder(bag, chosen, out, contestants=(contestant,))
            )
            rest = total - clocked.spent
            return Round(total, clocked.spent, frames / RATE / rest, rest / decoding)

        pairs = [(run(number, True), run(number, False)) for number in range(rounds)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(
        frames,
        frames / RATE,
        megabytes,
        tuple(full for full, _ in pairs),
        tuple(bare for _, bare in pairs),
        peak,
        dict(describe_hardware()),
    )


class _Clocked:
    """A policy whose CPU time is counted."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.spent = 0.0

    def predict(self, observation: Observation, *prefix: Any) -> Prediction:
        begin = time.process_time()
        prediction = self._backend.predict(observation, *prefix)
        self.spent += time.process_time() - begin
        return prediction


def _decode_all(bag: Path) -> None:
    for recorded in read_messages(bag):
        if recorded.topic.startswith(CAMERA):
            decode_image(recorded.message)


def _cpu_time(work: Callable[[], Any]) -> float:
    """Of this process and of those that it waited for [s]."""

    def now() -> float:
        usage = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(each.ru_utime + each.ru_stime for each in usage)

    begin = now()
    work()
    return now() - begin


def main(
    policy: str = 'g1_bottle',
    arm: str = 'g1',
    frames: int = 300,
    size: tuple[int, int] = (320, 240),
    raw: bool = False,
    rounds: int = 3,
    json: Json = None,
) -> None:
    """Count what an evaluation costs beside the policy, on a bag made here, at 30 Hz.

    Args:
        policy: Checkpoint of joint targets that reads one camera, its folder or name.
        arm: YAML with the arm's limits, or a name in calibration/.
        frames: In the bag.
        size: The size of the pictures [px].
        raw: Uncompressed pictures; with --frames 1740 --size 1600 1200 the bag has 10 GB.
        rounds: With and without film and bag of predictions, in turn.
        json: File for the result, or - for standard output.
    """
    with json_output(json) as write:
        cost = measure_cost(
            find('models', policy),
            find('calibration', arm, '.yaml'),
            frames=frames,
            size=size,
            raw=raw,
            rounds=rounds,
        )
        print(cost)
        write(cost.to_json())


if __name__ == '__main__':
    from experiments.evaluation_benchmark import main as command

    run(command)
