# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate reference`, `drift`: has a camera moved since then?"""

from pathlib import Path

import tyro

from ..files import write_whole
from .json_output import prepare_output
from .positionals import Bags, Live, Policy, Reference


def reference(
    policy: Policy,
    bags: Bags,
    camera: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
) -> None:
    """Keep views of the place with a policy, for the check at activate.

    The first picture of each camera becomes its reference view, if the camera stands still in
    the recordings; its CameraInfo is kept too. Training does the same with its own bags.

    Args:
        policy: Checkpoint folder, or the name of one under models/.
        bags: Recordings of the place where the policy will work.
        camera: Like `--camera front=/front/image_raw`; repeatable. By default the topics whose
            names hold the name of the camera.
    """
    from ..bags.bag_reader import find_bags, read_topics
    from ..calibrating.camera_records import take_reference_views
    from ..calibrating.reference_views import FOLDER
    from ..evaluating.topic_map import TopicChoice, map_cameras, with_cameras
    from ..files import find
    from ..policy.manifest import load_manifest

    folder, found = find('models', policy), find_bags(bags)
    names = load_manifest(folder).policy.cameras
    chosen = with_cameras(TopicChoice(), camera).cameras or {}
    topics = map_cameras(read_topics(found[0]), names, chosen)
    for name, record in take_reference_views(folder, found, topics).items():
        lens = 'lens kept' if record.lens else 'no lens kept'
        view = record.no_view_because or f'{folder / FOLDER / name}.png'
        print(f'{name}: {view}; {lens}')


def drift(
    reference: Reference,
    live: Live,
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

    from ..calibrating.board_pictures import first_picture
    from ..calibrating.camera_info_file import load_camera_info
    from ..calibrating.mount_drift import DriftLimits, measure_drift

    if save is not None and save.suffix.lower() != '.png':
        raise ValueError(f'--save writes a PNG file, got {save}.')
    prepare_output(save)
    before = first_picture(reference, reference_topic)
    now = first_picture(live, live_topic)
    lens = None if camera is None else load_camera_info(camera).intrinsics
    found = measure_drift(before, now, lens)
    angle = '' if found.angle is None else f' ({found.angle:.2f} deg of the camera)'
    print(
        f'Shift {found.shift:.2f} px{angle}, rotation {found.rotation:.2f} deg, scale '
        f'{found.scale:.4f}; {found.matches} features agree.'
    )
    if save is not None:
        write_whole(save, cv2.imencode('.png', cv2.cvtColor(now, cv2.COLOR_RGB2BGR))[1].tobytes())
        print(f'Reference view written: {save}')
    complaint = found.complaint(live_topic or live.name, DriftLimits(max_shift, max_rotation))
    if complaint:
        raise ValueError(complaint)
