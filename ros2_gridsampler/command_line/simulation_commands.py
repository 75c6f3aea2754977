# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler demo`, `record`, `success`: jobs on the simulated arm."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..simulation.job_configs import DemonstrationConfig, Perturbation, Placements, RecordConfig
from .arguments import Json
from .outputs import check_folder, json_output, where_to_look

if TYPE_CHECKING:
    from ..engines import Backend
    from ..vla.deployed_policy import DeployedConfig


def demo(
    config: Annotated[DemonstrationConfig, tyro.conf.arg(name='')],
    out: Path = Path('build/demo'),
) -> None:
    """Watch the policy node drive a simulated arm over ROS 2.

    Args:
        config: What to show.
        out: Folder for the page, the film, the numbers and the logs.
    """
    from ..nodes.demonstration import run_demonstration

    print(run_demonstration(config, out))
    print(f'\nThe film and all figures: {where_to_look(out / "index.html")}')


def record(out: Path, config: Annotated[RecordConfig, tyro.conf.arg(name='')]) -> None:
    """Record scripted demonstrations; go on where it stopped.

    The arm is LIBERO's; each episode becomes a rosbag2 bag with the topics of a live arm.

    Args:
        out: Folder of the bags, one per episode.
        config: What to record.
    """
    from ..simulation.demonstrations import record

    check_folder(out)
    record(config, out)


def success(
    policy: str = 'libero_spatial',
    suite: str = 'libero_spatial',
    placements: Placements = 'official',
    tasks: tuple[int, ...] = (),
    episodes: int = 2,
    first: int = 0,
    json: Json = None,
    rendering: Literal['simplified', 'original'] = 'simplified',
    perturbation: Perturbation = 'none',
    encoder: str = '',
    device: str = 'auto',
    remote_robot: str = '',
) -> None:
    """Measure how often a policy solves LIBERO's tasks.

    Args:
        policy: Checkpoint folder, the name of one that comes with the package, or ws://HOST:PORT
            of a policy server, whose answers are waited for: simulated time stands still.
        suite: LIBERO suite.
        placements: 'official' (LIBERO's initial states), 'widened' (by 5 cm, fixed seeds),
            'anywhere' (all over the table, to develop with) or 'anywhere_scored' (others, to be
            run once per published policy).
        tasks: Numbers of the tasks, from 0; all of them if left out.
        episodes: Evaluation states per task.
        first: Number of the first evaluation state; 10 leaves out 0 to 9.
        json: File for the result, or - for standard output.
        rendering: 'simplified' is cheap enough for a CPU; 'original' is LIBERO's.
        perturbation: Camera moved by 3 cm and 2 degrees, light dimmed, a thing on the table,
            another start of the hand, or the instruction in other words: by rule, or an unseen
            sentence that was written apart from those of training; or another site, its camera
            moved by 6 cm and 4 degrees and its table painted, the same in every episode.
        encoder: Encoder folder or name to see through instead of the policy's own.
        device: Where PyTorch computes the policy: auto (the GPU, if any), cpu, cuda or cuda:1.
        remote_robot: YAML file of the robot for a policy server, as the node's parameter;
            models/recipes/openpi_libero_robot.yaml is one for openpi's LIBERO policies.
    """
    from ..acting.arm_limits import load_arm
    from ..files import find
    from ..simulation.benchmark import all_tasks
    from ..simulation.closed_loop import measure_success
    from ..simulation.libero_arm import Libero
    from ..simulation.simulator import check_episodes

    numbers = tasks or all_tasks(suite)
    simulator = Libero(suite, rendering)
    check_episodes(simulator.states, placements, episodes, first)
    simulator.check_tasks(numbers)
    with json_output(json) as write, _opened(policy, encoder, device, remote_robot) as opened:
        engine, config, sha256 = opened
        result = measure_success(
            engine,
            config,
            load_arm(find('calibration', 'panda', '.yaml')),
            simulator,
            name=policy,
            weights_sha256=sha256,
            encoder=encoder,
            tasks=numbers,
            episodes=episodes,
            placements=placements,
            first=first,
            perturbation=perturbation,
        )
        print(result)
        write(result.to_json())


@contextlib.contextmanager
def _opened(
    policy: str, encoder: str, device: str, remote_robot: str
) -> 'Iterator[tuple[Backend, DeployedConfig, str]]':
    """Yields what predicts, what it reads and commands, and the hash of its weights."""
    from ..device import torch_device
    from ..encoders.compatibility import PolicyNeeds, see_through
    from ..engines import load
    from ..engines.engine import Settings
    from ..files import find
    from ..policy.checkpoint import load_checkpoint
    from ..policy.manifest import golden_observation, is_lerobot
    from ..vla.deployed_policy import keeps_encoder, load_policy
    from ..vla.remote_policy import is_remote, load_remote

    if is_remote(policy):
        if encoder or device != 'auto':
            raise ValueError(
                f'{policy} computes as it was started; leave out --encoder and --device.'
            )
        served = load_remote(policy, remote_robot, waits=True)
        with contextlib.ExitStack() as ends:
            if served.elsewhere is not None:
                ends.callback(served.elsewhere.close)
            yield served.backend, served.config, served.about['weights sha256']
        return
    if remote_robot:
        raise ValueError(f'A robot is named for a policy at ws://HOST:PORT, got {policy!r}.')
    place, folder = str(torch_device(device)), find('models', policy)
    if encoder and (kept := keeps_encoder(folder)):
        raise ValueError(f'{kept} Leave out --encoder.')
    if is_lerobot(folder):
        adopted = load_policy(folder, 'eager', None, Settings(device=place))
        yield adopted.backend, adopted.config, adopted.about['weights sha256']
        return
    model, manifest = load_checkpoint(folder)
    if encoder:
        model = see_through(model, PolicyNeeds.of(manifest, folder.name), encoder)
    engine = load(model, [golden_observation(model.config)], backends=('eager',), device=place)
    yield engine, model.config, manifest.weights_sha256
