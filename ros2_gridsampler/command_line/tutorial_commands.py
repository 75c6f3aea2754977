# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler tutorial new-site`: a policy, another place -> an encoder for it, swapped in."""

import contextlib
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..bounds import checked
from ..simulation.job_configs import Perturbation, Placements
from .each_task import each_task
from .outputs import check_folder, where_to_look

if TYPE_CHECKING:
    from ..encoders.swap_config import SwapConfig
    from ..policy.policy import Policy

SUITE, ARM = 'libero_spatial', 'panda'
SITE: Perturbation = 'site'
PLACEMENTS: Placements = 'anywhere'
FIRST_SEED = 700_000
"""Of the recordings; no policy of the package was trained on placements of these seeds."""
ENCODER = 'site'
"""Folder, and name on the server, of the adapted encoder."""
LOOKS = 20
"""Observations of each recording on which the answers through both encoders are compared."""


@dataclass(frozen=True)
@checked
class NewSiteConfig:
    """What the tutorial does; the flags of `gridsampler tutorial new-site` are made from it.

    Attributes:
        policy: Checkpoint folder, or the name of one that comes with the package.
        encoder: Encoder to adapt, a folder or a name; `gridsampler encoders list --policy POLICY`
            says which fit.
        tasks: Numbers of the tasks of libero_spatial, from 0.
        recordings: Recordings of each task at the new site. The last of each is kept to compare
            both encoders on, the others adapt the new one; no label of theirs is read for that.
        episodes: Evaluation states of each task on which success is measured, before and after.
        max_latency_ratio: How many times as slow as with its own encoder an inference may be; the
            node's own limit, 1.5, is for encoders of one size, and those that come along have
            a stem twice as wide.
        small: Do every stage, but with one task, three recordings, a few steps of adaptation,
            a short trial and one state: to see the parts work together; its figures say nothing.
    """

    policy: str = 'libero'
    encoder: str = 'mi_mae_libero'
    tasks: tuple[int, ...] = (0, 1, 2, 3, 4)
    recordings: int = field(default=4, metadata={'minimum': 2})
    episodes: int = field(default=4, metadata={'minimum': 1})
    max_latency_ratio: float = field(default=4.0, metadata={'minimum': 0})
    small: bool = False


SMALL_STEPS = 20
"""Most steps of the adaptation of a small run."""


def new_site(
    config: Annotated[NewSiteConfig, tyro.conf.arg(name='')],
    out: Path = Path('build/new_site'),
) -> None:
    """Take a policy to a new site and swap its encoder there.

    The site is simulated: the camera was moved, the table has another colour. Each stage does
    what its own command does, and leaves a folder or a file in OUT:

    1. record the site (recordings/; `gridsampler record --perturbation site`), and keep its views
       with a copy of the policy, which would not move where its cameras see another place
       (policy/; `gridsampler calibrate reference`)
    2. adapt an encoder to the policy on these pictures, without labels (encoders/site;
       `gridsampler adapt`)
    3. compare both encoders on recordings that it did not see (compared.json;
       `gridsampler encoders compare`)
    4. measure success at the site with the policy's own encoder (before/; `gridsampler success
       --perturbation site`)
    5. drive the arm, serve the encoder, swap to it: shadow, trial, accepted or refused (live/;
       `gridsampler encoders serve`, `ros2 param set /encoder_server active site`)
    6. measure success again, on the same states, with the adapted encoder (after/)
    7. write the page (index.html, result.json)

    Stopped by Ctrl-C, the same command goes on with the stage where it was.

    Args:
        config: What to do.
        out: Folder of all stages and of the page.
    """
    _check(config, out)
    stages: dict[str, Callable[[NewSiteConfig, Path], None]] = {
        'record': _record,
        'reference': _keep_views,
        'adapt': _adapt,
        'compare': _compare,
        'before': lambda config, out: _measure(config, out, 'before', ''),
        'swap': _swap,
        'after': lambda config, out: _measure(config, out, 'after', str(out / 'encoders/site')),
    }
    for number, (name, stage) in enumerate(stages.items(), 1):
        print(f'{number} of {len(stages)}: {name}', flush=True)
        with _timed(out, name):
            stage(config, out)
    print(_write_page(config, out))
    print(f'\nBefore, shadow, after: {where_to_look(out / "index.html")}')


def _check(config: NewSiteConfig, out: Path) -> None:
    """Refuses before anything is recorded what could not be done at the end.

    Raises:
        ValueError: The encoder does not fit, there is no such task, or `out` holds another run.
    """
    from ..encoders.compatibility import PolicyNeeds
    from ..encoders.encoder_checkpoint import load_encoder_manifest
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import find_encoder, known_encoders
    from ..files import find, write_whole
    from ..policy.manifest import load_manifest
    from ..simulation.libero_arm import Libero
    from ..simulation.simulator import check_episodes

    check_folder(out)
    folder, store = find('models', config.policy), default_folder()
    encoder = find_encoder(config.encoder, store)
    needs = PolicyNeeds.of(load_manifest(folder), folder.name)
    manifest = load_encoder_manifest(encoder)
    needs.check(manifest, config.encoder, allow_unvalidated=True, known=known_encoders(store))
    simulator = Libero(SUITE)
    simulator.check_tasks(config.tasks)
    # The running policy gets the states behind those that are measured.
    check_episodes(simulator.states, PLACEMENTS, config.episodes + 1)
    content = json.dumps(asdict(config), indent=1)
    path = out / 'config.json'
    if path.exists() and path.read_text() != content:
        raise ValueError(
            f'{out} holds a run with other settings ({path}); give these again, or another --out.'
        )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _reduced(config: NewSiteConfig) -> NewSiteConfig:
    if not config.small:
        return config
    return replace(config, tasks=config.tasks[:1], recordings=3, episodes=1)


def _thresholds(config: NewSiteConfig) -> 'SwapConfig':
    """Returns what an encoder has to show; a small run has a short trial."""
    from ..encoders.swap_config import SwapConfig

    usual = SwapConfig(max_latency_ratio=config.max_latency_ratio)
    return replace(usual, trial_time=8.0, trial_commands=60) if config.small else usual


@contextlib.contextmanager
def _timed(out: Path, name: str) -> Iterator[None]:
    """Adds what a stage takes to `times.json`, children included, however it ends [s]."""
    from ..files import write_whole

    path = out / 'times.json'
    begin, cpu = time.monotonic(), _cpu_seconds()
    try:
        yield
    finally:
        times = json.loads(path.read_text()) if path.exists() else {}
        wall, spent = times.get(name, (0.0, 0.0))
        took = wall + time.monotonic() - begin, spent + _cpu_seconds() - cpu
        write_whole(path, json.dumps({**times, name: took}, indent=1))


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _record(config: NewSiteConfig, out: Path) -> None:
    config = _reduced(config)
    folder = out / 'recordings'
    arguments = {
        'suite': SUITE,
        'episodes': config.recordings,
        'anywhere': 1.0,
        'seed': FIRST_SEED,
        'perturbation': SITE,
        'out': folder,
    }
    each_task('record', arguments, config.tasks, out / 'logs' / 'record')


def _keep_views(config: NewSiteConfig, out: Path) -> None:
    """Copies the policy and gives the copy reference views of the site."""
    import shutil

    from ..files import find
    from .camera_calibration_commands import reference

    policy = out / 'policy'
    if policy.exists():
        return
    partial = out / 'policy.partial'
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(find('models', config.policy), partial)
    reference(str(partial), (out / 'recordings',))
    partial.rename(policy)


def _recordings(out: Path) -> tuple[list[Path], list[Path]]:
    """Returns the recordings to adapt on, and the last one of every task."""
    from ..bags.bag_reader import find_bags

    bags = find_bags([out / 'recordings'])
    last = {bag.name.rpartition('_')[0]: bag for bag in bags}
    return [bag for bag in bags if bag not in last.values()], list(last.values())


def _adapt(config: NewSiteConfig, out: Path) -> None:
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import find_encoder
    from ..files import find
    from ..training.adapt_config import AdaptConfig
    from ..training.adapt_encoder import adapt

    done = out / 'adapted'
    if done.exists():
        return
    adapt(
        find('models', config.policy),
        find_encoder(config.encoder, default_folder()),
        _recordings(out)[0],
        out / 'encoders' / ENCODER,
        out / 'cache',
        AdaptConfig(steps=SMALL_STEPS) if config.small else AdaptConfig(),
    )
    done.touch()


def _compare(config: NewSiteConfig, out: Path) -> None:
    """Writes the answers' differences, and how far both are from what the operator did."""
    from ..evaluating.encoder_comparison import compare_encoder
    from ..files import find, write_whole
    from ..policy.checkpoint import load_checkpoint
    from ..training.recipe import load_recipe

    path = out / 'compared.json'
    if path.exists():
        return
    folder, unseen = find('models', config.policy), _recordings(out)[1]
    episodes = load_recipe(folder / 'config.json').episodes
    encoder = str(out / 'encoders' / ENCODER)
    drift = compare_encoder(folder, encoder, unseen, episodes.topics, LOOKS)
    policy, _ = load_checkpoint(folder)
    content = {
        **asdict(drift),
        'refusal': drift.refusal(_thresholds(config)),
        'recordings': [bag.name for bag in unseen],
        'action errors': _action_errors(policy, folder, encoder, unseen, out / 'cache'),
    }
    write_whole(path, json.dumps(content, indent=1))


def _action_errors(
    policy: 'Policy', folder: Path, encoder: str, bags: list[Path], cache: Path
) -> dict[str, float]:
    """Returns how far from the recorded actions those through both encoders are [deviations]."""
    import numpy as np

    from ..datasets.episodes import store_episodes
    from ..encoders.compatibility import PolicyNeeds, see_through
    from ..policy.manifest import load_manifest
    from ..training.batches import Batches
    from ..training.recipe import load_recipe
    from ..training.train_policy import validate

    store = store_episodes(bags, load_recipe(folder / 'config.json').episodes, cache)
    needs = PolicyNeeds.of(load_manifest(folder), folder.name)
    seen_through = {'own': policy, ENCODER: see_through(policy, needs, encoder)}
    return {
        name: validate(each, Batches(store, each.config, 0.0, 0), np.arange(len(store)))['action']
        for name, each in seen_through.items()
    }


def _measure(config: NewSiteConfig, out: Path, when: str, encoder: str) -> None:
    """Measures success at the site, a file per task; what is there already stays."""
    config = _reduced(config)
    left = [task for task in config.tasks if not (out / when / f'task_{task:02d}.json').exists()]
    arguments: dict[str, Any] = {
        'policy': config.policy,
        'suite': SUITE,
        'placements': PLACEMENTS,
        'episodes': config.episodes,
        'json': out / when / 'task_{task}.json',
        'perturbation': SITE,
        **({'encoder': encoder} if encoder else {}),
    }
    each_task('success', arguments, left, out / 'logs' / when)


def _swap(config: NewSiteConfig, out: Path) -> None:
    from ..files import write_whole
    from ..nodes.live_swap import swap_live
    from ..simulation.libero_arm import STATES

    path = out / 'live' / 'swap.json'
    if path.exists():
        return
    used = _reduced(config).episodes
    shown = {
        'suite': SUITE,
        'tasks': [config.tasks[0]],
        'placements': PLACEMENTS,
        'first_episode': used,
        'episodes_per_task': len(STATES[PLACEMENTS]) - used,
        'perturbation': SITE,
    }
    seen = swap_live(
        out / 'policy',
        out / 'encoders',
        ENCODER,
        shown,
        _thresholds(config),
        ARM,
        path.parent,
    )
    write_whole(path, seen.to_json())


def _write_page(config: NewSiteConfig, out: Path) -> str:
    """Writes the page and all that it says as JSON; returns the verdict."""
    from ..encoders.encoder_checkpoint import load_encoder_manifest
    from ..evaluating.hardware import describe_hardware
    from ..evaluating.report_page import template
    from ..evaluating.success_rate import paired_difference
    from ..files import find, write_whole
    from ..policy.manifest import load_manifest

    manifest = load_encoder_manifest(out / 'encoders' / ENCODER)
    outcomes = {when: _outcomes(out / when) for when in ('before', 'after')}
    result: dict[str, Any] = {
        'config': asdict(config),
        'policy sha256': load_manifest(find('models', config.policy)).weights_sha256,
        'encoder sha256': manifest.weights_sha256,
        'method': manifest.method,
        'adapted': manifest.results['policies'][-1],
        'compared': json.loads((out / 'compared.json').read_text()),
        'thresholds': asdict(_thresholds(config)),
        'swap': json.loads((out / 'live/swap.json').read_text()),
        'outcomes': outcomes,
        'rates': {when: _rate(found) for when, found in outcomes.items()},
        'difference': paired_difference(
            [
                pair
                for task, after in outcomes['after'].items()
                for pair in zip(after, outcomes['before'][task], strict=True)
            ]
        ),
        'times': json.loads((out / 'times.json').read_text()),
        'hardware': dict(describe_hardware()),
    }
    write_whole(out / 'result.json', json.dumps(result, indent=1))
    verdict = _verdict(result)
    page = template('new_site.html').render(result=result, verdict=verdict)
    write_whole(out / 'index.html', page)
    return verdict


def _outcomes(folder: Path) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for path in sorted(folder.glob('task_*.json')):
        found |= json.loads(path.read_text())['outcomes']
    return found


def _rate(outcomes: dict[str, list[bool]]) -> dict[str, Any]:
    from ..simulation.solved_states import Tally

    tally = Tally(outcomes)
    return {'solved': tally.successes, 'episodes': tally.episodes, 'interval': tally.interval}


def _verdict(result: dict[str, Any]) -> str:
    rates = [
        f'{rate["solved"]} of {rate["episodes"]} ({100 * rate["interval"][0]:.0f} to '
        f'{100 * rate["interval"][1]:.0f}%)'
        for rate in (result['rates']['before'], result['rates']['after'])
    ]
    difference, low, high = (100 * part for part in result['difference'])
    return (
        f'The encoder was {result["swap"]["outcome"]}. Solved at the new site: {rates[0]} with '
        f"the policy's own encoder, {rates[1]} with the adapted one, on the same states "
        f'({difference:+.0f} points, {low:+.0f} to {high:+.0f}).'
    )
