# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m experiments.metric_ranking`, `benchmark evaluation`: what an evaluation is worth and costs."""

import sys
from pathlib import Path

from .arm_choice import usual_arm
from .json_output import prepare_output, write_json
from .output_folder import check_folder
from .positionals import Folder


def benchmark_evaluation(
    policy: str = 'g1_bottle',
    arm: str = 'g1',
    frames: int = 300,
    size: tuple[int, int] = (320, 240),
    raw: bool = False,
    rounds: int = 3,
    json: Path | None = None,
) -> None:
    """Count what an evaluation costs beside the policy, on a bag made here, at 30 Hz.

    Args:
        policy: Checkpoint of joint targets that reads one camera, its folder or name.
        arm: YAML with the arm's limits, or a name in calibration/.
        frames: In the bag.
        size: Of the pictures [px].
        raw: Uncompressed pictures; with --frames 1740 --size 1600 1200 the bag has 10 GB.
        rounds: With and without film and bag of predictions, in turn.
        json: File for the result.
    """
    from experiments.evaluation_benchmark import measure_cost

    from ..files import find

    prepare_output(json)
    cost = measure_cost(
        find('models', policy),
        find('calibration', arm, '.yaml'),
        frames=frames,
        size=size,
        raw=raw,
        rounds=rounds,
    )
    print(cost)
    write_json(json, cost.to_json())


def rank_metrics(
    checkpoints: Folder,
    out: Path,
    bags: tuple[Path, ...] = (),
    demonstrations: tuple[Path, ...] = (),
    measured: tuple[str, ...] = (),
    arm: str = '',
    jobs: str = '1',
) -> None:
    """See which offline metric orders policies as their measured success does.

    Evaluates every checkpoint on the same bags; what is done already is not done again. Writes
    ranking.md, ranking.json and ranking.png.

    Args:
        checkpoints: Folder of checkpoints with their outcomes beside the manifest, as `gridsampler
            compare` leaves them, or each by `success --json CHECKPOINT/official.json`.
        out: Folder of the ranking and of all evaluations.
        bags: Bags that none of them has seen, or folders of such bags.
        demonstrations: All bags on which they were trained; of these only those are taken that
            every training held out.
        measured: Names of the outcomes, like `official widened`; all if left out.
        arm: YAML with the arm's limits, or a name in calibration/; guessed where only one fits.
        jobs: See `evaluate`.
    """
    from experiments.measured_policies import held_out_bags, read_policies
    from experiments.metric_ranking import rank_metrics, write_ranking

    from ..bags.bag_reader import find_bags
    from ..evaluating.contestants import PolicyChoice
    from ..evaluating.evaluation_jobs import check_jobs, evaluate_bags
    from ..evaluating.evaluation_task import EvaluationTask
    from ..files import find

    check_folder(out)
    check_jobs(jobs)
    if not checkpoints.is_dir():
        raise ValueError(f'{checkpoints} is no folder; name one that holds checkpoint folders.')
    policies, left_out = read_policies(checkpoints, measured)
    for name, reason in left_out.items():
        print(f'{name} is left out: {reason}.', file=sys.stderr)
    found = find_bags(bags) if bags else []
    if demonstrations:
        found += held_out_bags(find_bags(demonstrations), policies)
    if not found:
        raise ValueError('Name bags with --bags, or those of the training with --demonstrations.')
    limits = find('calibration', arm or usual_arm(policies[0].folder), '.yaml')
    reports = []
    for policy in policies:
        task = EvaluationTask(PolicyChoice(policy.folder), None, limits, film=False, bag=False)
        report, failed = evaluate_bags(found, task, out / policy.folder.name, jobs)
        if failed:
            raise ValueError(
                f'All policies need the same bags, but {policy.folder.name} failed on '
                f'{"; ".join(f"{name}: {reason}" for name, reason in failed.items())}'
            )
        reports.append(report)
    rankings = rank_metrics(policies, reports)
    print(write_ranking(policies, rankings, found, reports[0]['frames'], out))
