# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler faults`, `safety-tables`, `monitor`, `delay`, `benchmark timing`: how safe."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..benchmarks.campaign_config import CampaignConfig, CommandKind
from ..calibrating.delay_estimate import DelayConfig
from .arguments import Json, Page
from .outputs import json_output


def faults(
    config: Annotated[CampaignConfig, tyro.conf.arg(name='')] = CampaignConfig(pairs=10),  # noqa: B008 - frozen
    json: Json = None,
    kinds: tuple[CommandKind, ...] = ('joints', 'twist', 'positions', 'pose'),
    random_steps: int = 1_000_000,
    logs: Path = Path('build/faults'),
) -> None:
    """Inject faults into a node and watch what it commands.

    Node and watcher are processes of their own, over DDS. Fails where a limit was exceeded, a
    hold or a recovery did not come. A node of yours is tested with `--node running`: it has to
    use the topics in benchmarks/campaign_config.py.

    Args:
        config: What is done to which node.
        json: File for the results, or - for standard output.
        kinds: Kinds of commands, tested one after the other; of positions and poses only what a
            controller does that was off, or away.
        random_steps: Wild targets (NaN, infinite and huge ones too) for each of the safety filters
            alone; 0 leaves that out.
        logs: Folder for what the nodes say.
    """
    from dataclasses import replace

    from tqdm import tqdm

    from ..benchmarks.fault_campaign import run_campaign
    from ..benchmarks.fault_report import to_json
    from ..benchmarks.limit_stress import stress_joints, stress_twists
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    with json_output(json) as write:
        reports = []
        with StopRequest() as stop, private_domain(shared=config.node == 'running'):
            for kind in kinds:
                reports.append(run_campaign(replace(config, kind=kind), logs, stop.check))
                print(f'\n{config.node}, {kind}:\n{reports[-1].table()}')
                write(to_json(reports, {}))
        stresses = {}
        if random_steps:
            stresses['joints'] = stress_joints(random_steps, config.seed)
            with tqdm(total=random_steps, desc='random twists', unit='step') as bar:
                stresses['twists'] = stress_twists(random_steps, config.seed, progress=bar.update)
        for name, stress in stresses.items():
            print(f'Safety filter of {name} alone: {stress}')
        write(to_json(reports, stresses))
    exceeded = any(stress.max_limit_excess > 0 for stress in stresses.values())
    if exceeded or not all(report.safe for report in reports):
        sys.exit(f'{config.node} is not safe; see the rows with "no".')


def safety_tables(
    page: Page,
    faults: tuple[Path, ...] = (),
    timing: Path | None = None,
) -> None:
    """Write the tables of a page from measured faults and times.

    The tables replace what stands between `<!-- faults -->` and `<!-- /faults -->`, and likewise
    for `timing`.

    Args:
        page: Markdown, for instance docs/evidence/fault_campaign.md.
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
    """Show the diagnostics of a running policy node.

    Args:
        node: Name of the node, with its namespace.
        once: Print one report and end.
    """
    from ..nodes.monitor import run_monitor

    run_monitor(node, once=once)


def delay(config: Annotated[DelayConfig, tyro.conf.arg(name='')]) -> None:
    """Measure the actuation delay of an arm: IT MOVES.

    Steps a joint within its limits and reads it back.

    Args:
        config: Which joint is stepped, and how.
    """
    from ..nodes.actuation_delay import measure_delay

    print(measure_delay(config))


def timing(
    json: Json = None,
    seconds: float = 20.0,
    rates: tuple[float, ...] = (50.0, 100.0),
    nodes: tuple[Literal['policy', 'naive'], ...] = ('policy', 'naive'),
    loads: tuple[Literal['inference', 'all-cores'], ...] = ('inference', 'all-cores'),
) -> None:
    """Measure when commands leave the node, idle and loaded.

    While inference runs, and while all cores are loaded besides; each with our node and, in the
    same run, with a node that predicts in its timer's callback.

    Args:
        json: File for the results, or - for standard output.
        seconds: Length of each measurement [s].
        rates: Commands per second [Hz].
        nodes: Which nodes are measured.
        loads: Under which loads; one endless loop per core is added for all-cores.
    """
    from ..benchmarks.timing_benchmark import run_timing
    from ..nodes.private_domain import private_domain
    from ..stop_request import StopRequest

    if not (seconds > 0 and rates and min(rates) > 0):
        raise ValueError(f'Seconds and rates must be positive, got {seconds} and {list(rates)}.')
    with json_output(json) as write:
        with StopRequest() as stop, private_domain():
            report = run_timing(rates, seconds, stop.check, nodes=nodes, loads=loads)
        print(report)
        write(report.to_json())
