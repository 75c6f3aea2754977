# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate drift`, `drift-rates`: has a camera moved, and how surely is it seen?"""

from pathlib import Path
from typing import Annotated

import tyro

Views = Annotated[Path, tyro.conf.Positional]
Bags = Annotated[tuple[Path, ...], tyro.conf.Positional]


def drift(
    reference: Views,
    live: Views,
    reference_topic: str = '',
    live_topic: str = '',
    max_shift: float = 2.0,
    max_rotation: float = 1.0,
    camera: Path | None = None,
    save: Path | None = None,
) -> None:
    """Compare the view of a camera with a reference view; fails if the mount has moved.

    Args:
        reference: Picture, folder of pictures or bag; its first picture counts.
        live: Likewise.
        reference_topic: Camera topic of a bag with several.
        live_topic: Likewise.
        max_shift: Allowed shift of the picture [px].
        max_rotation: Allowed rotation about the line of sight [deg].
        camera: camera_info YAML file, to tell the angle too.
        save: PNG file that keeps the first picture of LIVE as a reference view.
    """
    import cv2

    from ..calibrating.camera_info_file import load_camera_info
    from ..calibrating.mount_drift import DriftLimits, measure_drift
    from ..recordings.board_pictures import first_picture

    before = first_picture(reference, reference_topic)
    now = first_picture(live, live_topic)
    lens = None if camera is None else load_camera_info(camera).intrinsics
    found = measure_drift(before, now, lens)
    angle = '' if found.angle is None else f' ({found.angle:.2f} deg of the camera)'
    print(
        f'Shift {found.shift:.2f} px{angle}, rotation {found.rotation:.2f} deg, scale '
        f'{found.scale:.4f}; {found.matches} features agree.'
    )
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(save), cv2.cvtColor(now, cv2.COLOR_RGB2BGR))
        print(f'Reference view written: {save}')
    complaint = found.complaint(live_topic or live.name, DriftLimits(max_shift, max_rotation))
    if complaint:
        raise ValueError(complaint)


def drift_rates(
    bags: Bags = (),
    topic: str = '',
    rendered: bool = False,
    pairs: int = 12,
    tasks: str = '0,3,7',
    max_shift: float = 2.0,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Measure how often a moved camera is noticed, by known shifts and changed light.

    Args:
        bags: Recordings, whose frames are shifted in the plane.
        topic: Camera topic of bags with several.
        rendered: Use the simulation's scene camera instead, turned in place, with arm, objects
            and lamps elsewhere.
        pairs: Pairs of views per bag, or per task.
        tasks: Tasks of libero_spatial, with --rendered.
        max_shift: Allowed shift [px].
        seed: Of shifts and light.
        json: File for all trials.
    """
    from tqdm import tqdm

    from ..calibrating.mount_drift import DriftLimits
    from ..recordings.drift_rates import (
        compare,
        format_rates,
        recorded_pairs,
        rendered_pairs,
        write_trials,
    )
    from .simulation_commands import task_numbers

    if bool(bags) == rendered:
        raise ValueError('Name bags, or use --rendered; one of the two.')
    if rendered:
        views = rendered_pairs(task_numbers(tasks), pairs, seed)
    else:
        views = recorded_pairs(bags, topic, pairs, seed)
    limits = DriftLimits(max_shift)
    trials = [compare(pair, limits) for pair in tqdm(views, unit='pair')]
    print(format_rates(trials))
    if json:
        write_trials(json, trials)
