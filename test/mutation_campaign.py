# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Some thousand damaged bags and datasets -> a table of what reading them gave.

    python test/mutation_campaign.py --bags 2000 --datasets 500

A bag must never be a traceback, nor whole where a message is lost; a dataset never a traceback,
nor imported whole where a row is lost; and no reading may take more memory than `MOST_MEMORY`.
Exit status 1 where one was.
"""

import argparse
import contextlib
import io
import resource
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import bag_mutations
import dataset_mutations
import numpy as np
from test_lerobot import write_dataset
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


@dataclass(frozen=True)
class Case:
    """What is read: everything follows from the seed."""

    seed: int
    layout: str
    damages: tuple[str, ...]


def bag_case(seed: int, folder: Path) -> tuple[Case, Path]:
    """A damaged bag."""
    generator = np.random.default_rng(seed)
    layout = sorted(bag_mutations.LAYOUTS)[generator.integers(len(bag_mutations.LAYOUTS))]
    bag = bag_mutations.LAYOUTS[layout](folder / 'bag', MESSAGES)
    done = []
    for _ in range(generator.integers(1, 4)):
        damage = bag_mutations.DAMAGES[generator.integers(len(bag_mutations.DAMAGES))]
        if bag_mutations.storage_files(bag):
            damage(bag, generator)
            done.append(damage.__name__)
    return Case(seed, layout, tuple(done)), bag


MESSAGES = bag_mutations.recording(30)


def read_bag(bag: Path) -> str:
    """What reading a bag gave, with its messages' fields and as bytes."""
    came: Counter[str] = Counter()
    try:
        for message in read_serialised(bag):
            came[message.topic] += 1
        for _ in read_messages(bag):
            pass
    except DamagedBag:
        return SAID if came else REFUSED
    except (FileNotFoundError, ValueError):
        return REFUSED
    return WHOLE if came == bag_mutations.counts(MESSAGES) else LOST


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


def read_dataset(root: Path) -> str:
    """What importing a dataset gave."""
    try:
        dataset = LeRobotDataset(root)
        imported = import_dataset(dataset, root.with_name('bags'))
    except (FileNotFoundError, ValueError):
        return REFUSED
    lengths = tuple(sum(1 for _ in read_messages(bag, [JOINT_STATES])) for bag in imported.bags)
    if imported.failed or dataset.unlisted:
        return SAID
    return WHOLE if lengths == LENGTHS else LOST


def judge(case, read, seed: int) -> tuple[Case, str]:
    """Make one case and read it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        made, path = case(seed, Path(folder))
        try:
            return made, read(path)
        except Exception:
            return made, f'{TRACEBACK}\n{traceback.format_exc()}'


def campaign(name, case, read, count: int, first: int) -> int:
    """Read so many cases; how many were read wrongly."""
    outcomes: dict[str, Counter[str]] = {}
    wrong = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for seed in tqdm(range(first, first + count), desc=name, unit=name):
        made, outcome = judge(case, read, seed)
        word = outcome.split('\n')[0]
        if word in (LOST, TRACEBACK):
            wrong += 1
            tqdm.write(f'{made}: {outcome}')
        for what in {made.layout, *made.damages}:
            outcomes.setdefault(what, Counter())[word] += 1
        outcomes.setdefault('all', Counter())[word] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    words = [WHOLE, SAID, REFUSED, LOST, TRACEBACK]
    lines = ['| ' + ' | '.join([name, *words]) + ' |', '|---' * (len(words) + 1) + '|']
    for what, counts in sorted(outcomes.items()):
        lines.append('| ' + ' | '.join([what, *(str(counts[word]) for word in words)]) + ' |')
    lines.append(f'{name}s: {count} from seed {first}; memory grew by {grown / 1e6:.0f} MB')
    sys.stdout.write('\n'.join(lines) + '\n')
    return wrong + (grown > MOST_MEMORY)


def main() -> int:
    """Run both campaigns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bags', type=int, default=2000)
    parser.add_argument('--datasets', type=int, default=500)
    parser.add_argument('--first', type=int, default=0, help='first seed')
    chosen = parser.parse_args()
    wrong = campaign('bag', bag_case, read_bag, chosen.bags, chosen.first)
    wrong += campaign('dataset', dataset_case, read_dataset, chosen.datasets, chosen.first)
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
