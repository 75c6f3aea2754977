# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler demo`, `record`, `success`: jobs on the simulated arm."""

from pathlib import Path
from typing import Literal

from .json_output import prepare_output, write_json
from .output_folder import check_folder


def demo(
    out: Path = Path('build/demo'),
    policy: str = 'libero_spatial',
    tasks: str = '0,1,2,3,4',
    episodes: int = 1,
    placements: Literal['official', 'widened'] = 'official',
) -> None:
    """Watch a simulated arm being driven by the policy node over real ROS 2 topics.

    Args:
        out: Folder for the page, the film, the numbers and the logs.
        policy: Checkpoint folder, or the name of one that comes with the package.
        tasks: Task numbers of libero_spatial from 0, separated by commas.
        episodes: Of each task.
        placements: 'official' (LIBERO's initial states) or 'widened' (by 5 cm, fixed seeds).
    """
    from ..nodes.demonstration import DemonstrationConfig, run_demonstration

    numbers = task_numbers(tasks)
    print(run_demonstration(DemonstrationConfig(policy, numbers, episodes, placements), out))
    print(f'\nThe film and all figures: {(out / "index.html").resolve().as_uri()}')


def record(
    out: Path,
    suite: str = 'libero_spatial',
    tasks: str = '0',
    episodes: int = 50,
    widened: float = 0.75,
    noise: float = 0.25,
    wander: int = 12,
    slips: float = 0.0,
    seed: int = 1000,
) -> None:
    """Record scripted demonstrations on LIBERO as rosbag2 bags; go on where it stopped.

    Args:
        out: Folder of the bags, one per episode.
        suite: LIBERO suite.
        tasks: Task numbers from 0, separated by commas.
        episodes: Successful episodes per task.
        widened: Share of placements widened by 5 cm; the rest as LIBERO samples them.
        noise: Deviation of the noise in the executed twist [m/s]; labels stay clean.
        wander: The hand first moves somewhere for fewer than so many periods of 0.05 s; 30 shows
            the policy other starts than LIBERO's.
        slips: Share of episodes in which the hand loses the object once and goes on without it;
            shows the policy how to try again.
        seed: Of the first try of every task; another one gives other placements.
    """
    from ..simulation.demonstrations import RecordConfig, record

    check_folder(out)
    numbers = task_numbers(tasks)
    record(RecordConfig(suite, numbers, episodes, widened, noise, wander, slips, seed), out)


def success(
    policy: str = 'libero_spatial',
    suite: str = 'libero_spatial',
    placements: Literal['official', 'widened'] = 'official',
    tasks: str = '',
    episodes: int = 2,
    json: Path | None = None,
    rendering: Literal['simplified', 'original'] = 'simplified',
    perturbation: Literal['none', 'camera', 'light', 'distractor', 'start', 'paraphrase'] = 'none',
    encoder: str = '',
) -> None:
    """Measure closed-loop success of a policy on LIBERO, in process.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        suite: LIBERO suite.
        placements: 'official' (LIBERO's initial states) or 'widened' (by 5 cm, fixed seeds).
        tasks: Task numbers separated by commas; all if empty.
        episodes: Per task.
        json: File for the result.
        rendering: 'simplified' or 'original'.
        perturbation: Camera moved by 3 cm and 2 degrees, light dimmed, a thing on the table,
            another start of the hand, or the instruction in other words.
        encoder: Encoder folder or name to see through instead of the policy's own.
    """
    from ..acting.arm_limits import load_arm
    from ..encoders.compatibility import PolicyNeeds, see_through
    from ..engines import load
    from ..files import find
    from ..policy.checkpoint import load_checkpoint
    from ..policy.golden_observation import golden_observation
    from ..simulation.benchmark import all_tasks
    from ..simulation.closed_loop import measure_success
    from ..simulation.libero_arm import Libero
    from ..simulation.simulator import check_episodes

    numbers = task_numbers(tasks) if tasks else all_tasks(suite)
    simulator = Libero(suite, rendering)
    check_episodes(episodes, simulator.states)
    simulator.check_tasks(numbers)
    prepare_output(json)
    folder = find('models', policy)
    model, manifest = load_checkpoint(folder)
    if encoder:
        model = see_through(model, PolicyNeeds.of(manifest, folder.name), encoder)
    result = measure_success(
        load(model, [golden_observation(model.config)], backends=('eager',)),
        model.config,
        load_arm(find('calibration', 'panda', '.yaml')),
        simulator,
        name=policy,
        weights_sha256=manifest.weights_sha256,
        encoder=encoder,
        tasks=numbers,
        episodes=episodes,
        placements=placements,
        perturbation=perturbation,
    )
    print(result)
    write_json(json, result.to_json())


def task_numbers(text: str) -> tuple[int, ...]:
    """Task numbers written like '0,1,2'."""
    try:
        return tuple(int(number) for number in text.split(','))
    except ValueError:
        raise ValueError(
            f'Tasks are numbers from 0 separated by commas, like 0,1,2; got {text!r}.'
        ) from None
