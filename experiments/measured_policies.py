# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of checkpoints -> those whose closed-loop success was measured, on the same tasks."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ros2_gridsampler.policy.manifest import MANIFEST, load_manifest
from ros2_gridsampler.training.batches import held
from ros2_gridsampler.training.run_state import BAGS, CONFIG

FEWEST = 3
"""Fewer policies have no order worth a correlation."""

Outcomes = Mapping[str, Sequence[bool]]


@dataclass(frozen=True)
class MeasuredPolicy:
    """A checkpoint and how often it succeeds.

    Attributes:
        folder: The checkpoint.
        success: Mean over tasks of the share of episodes that were solved.
        episodes: In all.
        measured: Names of the files with the outcomes.
        validation: Loss on actions in the training's own validation; None where it is not known.
        held_out: Share of bags that the training kept for validation; None where it is not known.
        bags: How many it was trained and validated on; None where it is not known.
        names: The names of these bags, in order; None where they are not known.
    """

    folder: Path
    success: float
    episodes: int
    measured: tuple[str, ...]
    validation: float | None
    held_out: float | None
    bags: int | None
    names: tuple[str, ...] | None


def read_policies(
    folder: Path, measured: Collection[str] = ()
) -> tuple[list[MeasuredPolicy], dict[str, str]]:
    """All checkpoints in a folder whose success was measured on the same tasks.

    The outcomes stand beside the manifest, in files as `experiments.comparison` and `gridsampler
    success --json` write them.

    Args:
        folder: The folder of checkpoints.
        measured: Names of these files without their ending, such as 'widened'; all if empty.

    Returns:
        The policies, and name -> why a checkpoint is left out.

    Raises:
        ValueError: There are too few.
    """
    checkpoints = sorted(path.parent for path in folder.glob(f'*/{MANIFEST}'))
    outcomes = {path: _outcomes(path, measured) for path in checkpoints}
    wanted = {pair for found in outcomes.values() for pair in found}
    policies: list[MeasuredPolicy] = []
    left_out: dict[str, str] = {}
    for path, found in outcomes.items():
        if set(found) == wanted and found:
            policies.append(_measured(path, found))
        else:
            left_out[path.name] = f'success is known of {len(found)} of {len(wanted)} tasks'
    if len(policies) < FEWEST:
        raise ValueError(
            f'{folder} has {len(policies)} checkpoints whose success was measured on the same '
            f'tasks, at least {FEWEST} are needed; measure more with "gridsampler success '
            '--policy CHECKPOINT --json CHECKPOINT/official.json".'
        )
    return policies, left_out


def held_out_bags(bags: Sequence[Path], policies: Sequence[MeasuredPolicy]) -> list[Path]:
    """Those of the bags on which all policies were trained that none of them has seen.

    Raises:
        ValueError: The trainings kept other bags, or none, or these are not their bags.
    """
    kept = {(policy.held_out, policy.bags) for policy in policies}
    share, count = next(iter(kept))
    if len(kept) > 1 or share is None:
        raise ValueError(
            f'Share and number of bags differ among the trainings or are not known: {kept}; name '
            'bags that none of them has seen with --bags.'
        )
    names = [bag.name for bag in bags]
    others = [
        policy.folder.name
        for policy in policies
        if policy.names is not None and [*policy.names] != names
    ]
    if count != len(bags) or others:
        raise ValueError(
            f'The policies were trained on {count} bags, here are {len(bags)}'
            + (f', and not those of {", ".join(others)} in their order' if others else '')
            + ': which of them were held out cannot be told.'
        )
    numbers = np.flatnonzero(held(len(bags), share))
    if not len(numbers):
        raise ValueError(f'The trainings held out {share} of {len(bags)} bags, that is none.')
    return [bags[number] for number in numbers]


def _outcomes(checkpoint: Path, measured: Collection[str]) -> dict[tuple[str, str], list[bool]]:
    """File and task -> outcomes."""
    found: dict[tuple[str, str], list[bool]] = {}
    for file in sorted(checkpoint.glob('*.json')):
        if measured and file.stem not in measured:
            continue
        content = json.loads(file.read_text('utf-8'))
        outcomes: Outcomes = content.get('outcomes', {}) if isinstance(content, dict) else {}
        found |= {(file.stem, task): list(solved) for task, solved in outcomes.items() if solved}
    return found


def _measured(checkpoint: Path, outcomes: Mapping[tuple[str, str], list[bool]]) -> MeasuredPolicy:
    manifest = load_manifest(checkpoint)
    config = _read(checkpoint / CONFIG)
    bags = checkpoint / BAGS
    names = tuple(json.loads(bags.read_text('utf-8'))) if bags.exists() else None
    return MeasuredPolicy(
        checkpoint,
        float(np.mean([np.mean(solved) for solved in outcomes.values()])),
        sum(map(len, outcomes.values())),
        tuple(dict.fromkeys(name for name, _ in outcomes)),
        manifest.results.get('validation', {}).get('action'),
        config.get('held_out'),
        manifest.training.get('bags'),
        names,
    )


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text('utf-8'))) if file.exists() else {}
