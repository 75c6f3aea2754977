# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Many bags -> one report; one bag, one task, here, in processes, or on a Dask cluster."""

import json
import logging
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..files import write_whole
from .contestants import load_contestants
from .evaluation_config import EvaluationTask
from .evaluation_report import REPORT, SCHEMA, conclude, dump, merge
from .evaluation_task import Preparation, evaluate_to_folder
from .report_page import PAGE, write_index

FAILED = 'failed.json'


def evaluate_bags(
    bags: Sequence[Path],
    task: EvaluationTask,
    out: Path,
    jobs: str = '1',
    prepare: Preparation | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Evaluates bags; what is done already is taken from `out`, what fails fails alone.

    Args:
        bags: Bags of any kind.
        task: What to do with each, settled.
        out: Folder of the report; with several bags, each has a folder in it.
        jobs: Number of processes, or address of a Dask scheduler like 'tcp://10.0.0.1:8786' whose
            workers see the same paths. Dask pickles what it sends: use a network that you trust.
        prepare: See there; one bag after the other, in this process.

    Returns:
        The report, empty where every bag failed, and bag -> why it failed.

    Raises:
        ValueError: `jobs` is neither a number nor an address, or more than one while bags have
            to be prepared; or results would be written into a recording.
    """
    if prepare is not None and jobs != '1':
        raise ValueError(f'Bags are played to a live node one by one: --jobs is {jobs}, not 1.')
    check_jobs(jobs)
    folders = {bag: out for bag in bags} if len(bags) == 1 else _folders(bags, out)
    own = next((bag for bag, folder in folders.items() if folder.resolve() == bag.resolve()), None)
    if own is not None:
        raise ValueError(
            f'The results of {own} would be written into the recording itself; name another '
            'folder with --out.'
        )
    # A broken checkpoint is no fault of the bags: it is said once, and first.
    contestants = load_contestants(task.choices)
    out.mkdir(parents=True, exist_ok=True)
    if len(bags) > 1:
        # If none can be read now, nothing older must stand for them.
        for old in (REPORT, PAGE):
            (out / old).unlink(missing_ok=True)
    reports: dict[Path, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    if jobs == '1':
        for bag, folder in _with_bar(folders.items(), len(folders)):
            try:
                reports[bag] = evaluate_to_folder(
                    bag,
                    task,
                    folder,
                    contestants=contestants,
                    prepare=prepare,
                    progress=True,
                )
            except InterruptedError:  # an OSError, but not of this bag
                raise
            except (ValueError, OSError) as error:
                failed[_name(bag, folders)] = str(error)
            except Exception as error:  # nobody foresaw it; the other bags go on
                tqdm.write(traceback.format_exc())
                failed[_name(bag, folders)] = repr(error)
    else:
        with _client(jobs) as client:
            from distributed import as_completed

            futures = {
                client.submit(_work, bag, task, folder, pure=False): bag
                for bag, folder in folders.items()
            }
            for future in _with_bar(as_completed(futures), len(futures)):
                bag = futures[future]
                if future.status == 'error':  # the worker died, or broke in a way nobody foresaw
                    failed[_name(bag, folders)] = repr(future.exception())
                    continue
                report, reason = future.result()
                if reason:
                    failed[_name(bag, folders)] = reason
                else:
                    reports[bag] = report
    ordered = [(folders[bag], reports[bag]) for bag in folders if bag in reports]
    failed = dict(sorted(failed.items()))
    return _write(ordered, failed, out, len(bags)), failed


def check_jobs(jobs: str) -> None:
    """Refuses what is neither a number of processes nor an address."""
    if '://' not in jobs and not (jobs.isdecimal() and int(jobs) > 0):
        raise ValueError(
            '--jobs is a number of processes or an address like tcp://10.0.0.1:8786, got '
            f'{jobs!r}.'
        )


def _write(
    ordered: Sequence[tuple[Path, Mapping[str, Any]]],
    failed: Mapping[str, str],
    out: Path,
    bags: int,
) -> dict[str, Any]:
    (out / FAILED).unlink(missing_ok=True)
    if failed:
        (out / FAILED).write_text(json.dumps(failed, indent=1), 'utf-8')
    if bags == 1:
        return dict(ordered[0][1]) if ordered else {}
    listed = [{'folder': folder.name, **report} for folder, report in ordered]
    merged: dict[str, Any] = {}
    if ordered:
        reports = [{**report, 'bag': folder.name} for folder, report in ordered]
        first = reports[0]
        merged = conclude(
            {
                'schema': SCHEMA,
                'verdict': '',
                'findings': [],
                'bags': [folder.name for folder, _ in ordered],
                'failed': sorted(failed),
                **{key: first[key] for key in ('policy', 'arm')},
                **merge(reports),
            }
        )
        write_whole(out / REPORT, dump(merged))
    write_index(out / PAGE, merged, listed, failed)
    return merged


def _work(bag: Path, task: EvaluationTask, folder: Path) -> tuple[dict[str, Any], str]:
    """What a worker does; its errors come back as words, which is all that helps from afar."""
    try:
        return evaluate_to_folder(bag, task, folder), ''
    except (ValueError, OSError) as error:
        return {}, str(error)


@contextmanager
def _client(jobs: str) -> Iterator[Any]:
    """A Dask client: of a cluster that is there, or of processes started here."""
    from distributed import Client, LocalCluster

    if '://' in jobs:
        with Client(jobs) as client:
            yield client
        return
    # Threads of one inference would fight those of the next for the same cores.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    with (
        LocalCluster(
            n_workers=int(jobs),
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _with_bar(items: Any, total: int) -> Iterator[Any]:
    yield from tqdm(items, total=total, desc='bags', unit='bag', disable=total == 1)


def _folders(bags: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Bag -> folder of its results; bags of one name are told apart by their parents."""
    folders: dict[Path, Path] = {}
    taken: set[str] = set()
    for bag in dict.fromkeys(bags):
        parts = [*bag.resolve().parts[:-1], bag.stem]
        length = 1
        while (name := '_'.join(parts[-length:])) in taken and length < len(parts):
            length += 1
        taken.add(name)
        folders[bag] = out / name
    return folders


def _name(bag: Path, folders: Mapping[Path, Path]) -> str:
    return bag.stem if len(folders) == 1 else folders[bag].name
