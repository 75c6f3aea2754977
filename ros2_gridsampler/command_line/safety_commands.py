# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler faults`, `safety-tables`, `monitor`, `delay`, `benchmark timing`: how safe."""

import sys
from pathlib import Path
from typing import Literal

from .arguments import Page
from .outputs import prepare_output, write_json


def faults(
    json: Path | None = None,
    node: Literal['policy', 'naive', 'running'] = 'policy',
    kinds: tuple[Literal['joints', 'twist'], ...] = ('joints', 'twist'),
    faults: tuple[str, ...] = (),
    pairs: int = 10,
    seed: int = 0,
    random_steps: int = 1_000_000,
    duration: float = 4.0,
    logs: Path = Path('build/faults'),
) -> None:
    """Inject faults into a node over DDS and watch from outside what it commands.

    Fails where a limit was exceeded, a hold or a recovery did not come. A node of yours is
    tested with `--node running`: it has to use the topics in benchmarks/bench_topics.py.

    Args:
        json: File for the results.
        node: Ours, the naive reference that must fail, or one that runs already.
        kinds: Of commands.
        faults: Names, see the table; all by default.
        pairs: How many random pairs of these faults besides.
        seed: Of the pairs and the random steps.
        random_steps: Wild targets (NaN, infinite and huge ones too) for each of the safety filters
            alone; 0 leaves that out.
        duration: Of each fault [s].
        logs: Folder for what the nodes say.
    """
    from tqdm import tqdm

    from ..benchmarks.campaign_config import CampaignConfig
    from ..benchmarks.fault_campaign import run_campaign
    from ..benchmarks.fault_report import to_json
    from ..benchmarks.limit_stress import stress_joints, stress_twists
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    prepare_output(json)
    reports = []
    with StopRequest() as stop, private_domain(shared=node == 'running'):
        for kind in kinds:
            config = CampaignConfig(
                node=node, kind=kind, faults=faults, pairs=pairs, seed=seed, duration=duration
            )
            reports.append(run_campaign(config, logs, stop.check))
            print(f'\n{node}, {kind}:\n{reports[-1].table()}')
    stresses = {}
    if random_steps:
        stresses['joints'] = stress_joints(random_steps, seed)
        with tqdm(total=random_steps, desc='random twists', unit='step') as bar:
            stresses['twists'] = stress_twists(random_steps, seed, progress=bar.update)
    for name, stress in stresses.items():
        print(f'Safety filter of {name} alone: {stress}')
    write_json(json, to_json(reports, stresses))
    exceeded = any(stress.max_limit_excess > 0 for stress in stresses.values())
    if exceeded or not all(report.safe for report in reports):
        sys.exit(f'{node} is not safe; see the rows with "no".')


def safety_tables(
    page: Page,
    faults: tuple[Path, ...] = (),
    timing: Path | None = None,
) -> None:
    """Write the tables of a page from results of `faults` and `benchmark timing`.

    They replace what stands between `<!-- faults -->` and `<!-- /faults -->`, and likewise for
    `timing`.

    Args:
        page: Markdown, for instance docs/safety.md.
        faults: Files that `faults --json` wrote; one table for every campaign in them.
        timing: File that `benchmark timing --json` wrote.
    """
    from ..benchmarks.safety_tables import fault_tables, replace_block, timing_table

    text = page.read_text()
    if faults:
        text = replace_block(text, 'faults', fault_tables([path.read_text() for path in faults]))
    if timing:
        text = replace_block(text, 'timing', timing_table(timing.read_text()))
    page.write_text(text)


def monitor(node: str = '/policy_node', once: bool = False) -> None:
    """Show the diagnostics of a running policy node in the terminal.

    Args:
        node: Its name, with namespace.
        once: Print one report and end.
    """
    from ..nodes.monitor import run_monitor

    run_monitor(node, once=once)


def delay(
    joint: str,
    arm: str = 'panda',
    amplitude: float = 0.05,
    repetitions: int = 6,
    joint_states: str = '/joint_states',
    command: str = '/joint_trajectory_controller/joint_trajectory',
) -> None:
    """Measure the actuation delay: step a joint within its limits and read it back. IT MOVES.

    Args:
        joint: Name; only this one moves, by the amplitude and back.
        arm: YAML with its limits, or the name of one in calibration/.
        amplitude: Of the step [rad], [m].
        repetitions: Steps.
        joint_states: Topic.
        command: JointTrajectory topic of the controller.
    """
    from ..nodes.actuation_delay import DelayConfig, measure_delay

    print(
        measure_delay(DelayConfig(joint, arm, amplitude, repetitions, joint_states, command)),
    )


def timing(
    json: Path | None = None,
    seconds: float = 20.0,
    rates: tuple[float, ...] = (50.0, 100.0),
) -> None:
    """Measure when commands leave: idle, while inference runs, while all cores are loaded.

    Each with our node and, in the same run, with a node that predicts in its timer's callback.

    Args:
        json: File for the results.
        seconds: Of each measurement.
        rates: Commands per second [Hz].
    """
    from ..benchmarks.timing_benchmark import run_timing
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    if not (seconds > 0 and rates and min(rates) > 0):
        raise ValueError(f'Seconds and rates must be positive, got {seconds} and {list(rates)}.')
    prepare_output(json)
    with StopRequest() as stop, private_domain():
        report = run_timing(rates, seconds, stop.check)
    print(report)
    write_json(json, report.to_json())
