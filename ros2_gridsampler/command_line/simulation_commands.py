# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler demo`, `record`, `success`: jobs on the simulated arm."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..simulation.job_configs import DemonstrationConfig, Perturbation, Placements, RecordConfig
from .arguments import Json
from .outputs import check_folder, json_output, where_to_look


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
) -> None:
    """Measure how often a policy solves LIBERO's tasks.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
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
    """
    from ..acting.arm_limits import load_arm
    from ..device import torch_device
    from ..encoders.compatibility import PolicyNeeds, see_through
    from ..engines import Backend, load
    from ..engines.engine import Settings
    from ..files import find
    from ..policy.checkpoint import load_checkpoint
    from ..policy.manifest import golden_observation, is_lerobot
    from ..simulation.benchmark import all_tasks
    from ..simulation.closed_loop import measure_success
    from ..simulation.libero_arm import Libero
    from ..simulation.simulator import check_episodes
    from ..vla.deployed_policy import DeployedConfig, keeps_encoder, load_policy

    place = str(torch_device(device))
    folder = find('models', policy)
    if encoder and (kept := keeps_encoder(folder)):
        raise ValueError(f'{kept} Leave out --encoder.')
    numbers = tasks or all_tasks(suite)
    simulator = Libero(suite, rendering)
    check_episodes(simulator.states, placements, episodes, first)
    simulator.check_tasks(numbers)
    with json_output(json) as write:
        engine: Backend
        config: DeployedConfig
        if is_lerobot(folder):
            adopted = load_policy(folder, 'eager', None, Settings(device=place))
            engine, config = adopted.backend, adopted.config
            sha256 = adopted.about['weights sha256']
        else:
            model, manifest = load_checkpoint(folder)
            if encoder:
                model = see_through(model, PolicyNeeds.of(manifest, folder.name), encoder)
            engine = load(
                model, [golden_observation(model.config)], backends=('eager',), device=place
            )
            config, sha256 = model.config, manifest.weights_sha256
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
