# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Some thousand damaged bags and datasets -> a table of what reading them gave.

    python test/mutation_campaign.py --bags 2000 --datasets 500 --log campaign.jsonl

A bag must never be a traceback, nor whole where a message is lost or comes out of order; a
dataset never a traceback, nor imported whole where a row is lost; and no reading may take more
memory than `MOST_MEMORY`. Exit status 1 where one was. With a log, a second call goes on.
"""

import argparse
import contextlib
import io
import json
import resource
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import bag_layouts
import bag_mutations
import dataset_mutations
import numpy as np
from test_lerobot import of, rows, write_dataset
from test_lerobot_import import shown
from tqdm import tqdm

from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import read_messages, read_serialised
from ros2_gridsampler.datasets.lerobot_dataset import LeRobotDataset
from ros2_gridsampler.datasets.lerobot_import import JOINT_STATES, import_dataset

MOST_MEMORY = 300e6
"""That reading a damaged recording of some 100 kB may take on top of the imports [bytes]."""
WHOLE, SAID, REFUSED = 'whole', 'loss or doubt said', 'refused with a sentence'
LOST, TRACEBACK = 'CALLED WHOLE WITH A LOSS', 'TRACEBACK'
LENGTHS = (8, 5)
SILENT = {'flip_bytes', 'overwrite', 'exchange_files', 'spoil_number'}
"""Damages after which what is there may be another number, which nobody can see."""


@dataclass(frozen=True)
class Case:
    """What is read: everything follows from the seed."""

    seed: int
    layout: str
    damages: tuple[str, ...]


def bag_case(seed: int, folder: Path) -> tuple[Case, Path]:
    """A damaged bag."""
    generator = np.random.default_rng(seed)
    layout = sorted(bag_layouts.LAYOUTS)[generator.integers(len(bag_layouts.LAYOUTS))]
    bag = bag_layouts.LAYOUTS[layout](folder / 'bag', MESSAGES)
    done = []
    for _ in range(generator.integers(1, 4)):
        damage = bag_mutations.DAMAGES[generator.integers(len(bag_mutations.DAMAGES))]
        if bag_mutations.storage_files(bag):
            damage(bag, generator)
            done.append(damage.__name__)
    return Case(seed, layout, tuple(done)), bag


MESSAGES = bag_layouts.recording(30)


def read_bag(bag: Path, case: Case) -> str:
    """What reading a bag gave, with its messages' fields and as bytes."""
    came = []
    try:
        for message in read_serialised(bag):
            came.append((message.topic, message.message))
        for _ in read_messages(bag):
            pass
    except DamagedBag:
        return SAID if came else REFUSED
    except (FileNotFoundError, ValueError):
        return REFUSED
    if Counter(topic for topic, _ in came) != bag_layouts.counts(MESSAGES):
        return LOST
    if SILENT & set(case.damages):
        return WHOLE
    return WHOLE if came == [(m.topic, m.data) for m in MESSAGES] else LOST


def dataset_case(seed: int, folder: Path) -> tuple[Case, Path]:
    """A damaged dataset."""
    generator = np.random.default_rng(seed)
    version = ('v2.1', 'v3.0')[generator.integers(2)]
    root = write_dataset(folder / 'set', version, LENGTHS)
    done = []
    for _ in range(generator.integers(1, 4)):
        damage = dataset_mutations.DAMAGES[generator.integers(len(dataset_mutations.DAMAGES))]
        damage(root, generator)
        done.append(damage.__name__)
    return Case(seed, version, tuple(done)), root


def read_dataset(root: Path, case: Case) -> str:
    """What importing a dataset gave."""
    try:
        dataset = LeRobotDataset(root)
        imported = import_dataset(dataset, root.with_name('bags'))
    except (FileNotFoundError, ValueError):
        return REFUSED
    if imported.failed or dataset.unlisted:
        return SAID
    states = [[m.position for m in of(bag, JOINT_STATES)] for bag in imported.bags]
    if tuple(map(len, states)) != LENGTHS:
        return LOST
    if SILENT & set(case.damages):
        return WHOLE
    right = all(
        np.array_equal(found, rows(episode, len(found))[0].astype(np.float32))
        for episode, found in enumerate(states)
    )
    pictures = not dataset.cameras or all(
        shown(bag) == [*range(len(s))] for bag, s in zip(imported.bags, states, strict=True)
    )
    return WHOLE if right and pictures else LOST


def judge(case, read, seed: int) -> tuple[Case, str]:
    """Make one case and read it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        made, path = case(seed, Path(folder))
        try:
            return made, read(path, made)
        except Exception:
            return made, f'{TRACEBACK}\n{traceback.format_exc()}'


def peak() -> float:
    """The most memory that this process has had [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(name, case, read, seeds, log) -> list[dict]:
    """Read the cases that the log does not have yet; all of them, a record each."""
    done = {}
    if log and log.exists():
        records = (json.loads(line) for line in log.read_text().splitlines())
        done = {record['seed']: record for record in records if record['kind'] == name}
    before = peak()
    with log.open('a') if log else contextlib.nullcontext() as file:
        for seed in tqdm([seed for seed in seeds if seed not in done], desc=name, unit=name):
            made, outcome = judge(case, read, seed)
            grown = (peak() - before) / 1e6
            record = {'kind': name, **asdict(made), 'outcome': outcome, 'memory_mb': grown}
            done[seed] = record
            if file:
                print(json.dumps(record), file=file, flush=True)
    return [done[seed] for seed in seeds]


def table(name: str, records: list[dict]) -> tuple[str, int]:
    """What came of the cases by layout and damage, and how many were read wrongly."""
    outcomes: dict[str, Counter[str]] = {}
    wrong = []
    for record in records:
        word = record['outcome'].split('\n')[0]
        for what in {record['layout'], *record['damages']} | {'all'}:
            outcomes.setdefault(what, Counter())[word] += 1
        if word in (LOST, TRACEBACK) or 1e6 * record['memory_mb'] > MOST_MEMORY:
            wrong.append(str(record))
    words = [WHOLE, SAID, REFUSED, LOST, TRACEBACK]
    lines = ['| ' + ' | '.join([name, *words]) + ' |', '|---' * (len(words) + 1) + '|']
    for what, counts in sorted(outcomes.items()):
        lines.append('| ' + ' | '.join([what, *(str(counts[word]) for word in words)]) + ' |')
    grown = max(record['memory_mb'] for record in records)
    lines.append(f'{name}s: {len(records)}; memory grew by {grown:.0f} MB')
    return '\n'.join([*wrong, *lines]) + '\n', len(wrong)


def main() -> int:
    """Run both campaigns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bags', type=int, default=2000)
    parser.add_argument('--datasets', type=int, default=500)
    parser.add_argument('--first', type=int, default=0, help='first seed')
    parser.add_argument('--log', type=Path, help='keeps what is done, so a second call goes on')
    chosen = parser.parse_args()
    wrong = 0
    for name, case, read, count in (
        ('bag', bag_case, read_bag, chosen.bags),
        ('dataset', dataset_case, read_dataset, chosen.datasets),
    ):
        seeds = range(chosen.first, chosen.first + count)
        if seeds:
            text, bad = table(name, run(name, case, read, seeds, chosen.log))
            sys.stdout.write(text)
            wrong += bad
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
