# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate camera`, `reference`, `drift`: pictures -> lenses, and moved mounts."""

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..files import write_whole
from .arguments import Bags, BoardOptions, Json, Live, Policy, Reference, Source
from .outputs import json_output, prepare_output

if TYPE_CHECKING:
    from ..calibrating.camera_calibration import CameraCalibration


def reference(
    policy: Policy,
    bags: Bags,
    camera: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
) -> None:
    """Keep reference views of the place with a policy.

    They are what the node compares its cameras with when it is activated. The first picture of
    each camera becomes its reference view, if the camera stands still in the recordings; its
    CameraInfo is kept too. Training does the same with its own bags.

    Args:
        policy: Checkpoint folder, or the name of one under models/.
        bags: Recordings of the place where the policy will work.
        camera: Like `--camera front=/front/image_raw`; repeatable. By default the topics whose
            names hold the name of the camera.
    """
    from ..bags.bag_reader import find_bags, read_topics
    from ..calibrating.camera_records import take_reference_views
    from ..calibrating.reference_views import FOLDER
    from ..evaluating.topic_choice import TopicChoice, with_cameras
    from ..evaluating.topic_map import map_cameras
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
    """Compare a camera's view with a reference view.

    Fails if the mount of the camera has moved.

    Args:
        reference: Picture, folder of pictures or bag; its first picture counts.
        live: Picture, folder or bag to compare with it; its first picture counts.
        reference_topic: Camera topic of a reference bag with several.
        live_topic: Camera topic of a live bag with several.
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


def camera(
    source: Source,
    options: Annotated[BoardOptions, tyro.conf.arg(name='')],
    model: Literal['pinhole', 'rational', 'fisheye'] = 'pinhole',
    files: str = '*',
    topic: str = '',
    live: str = '',
    views: int = 25,
    name: str = 'camera',
    out: Path = Path('build/calibration'),
    json: Json = None,
    keep_outliers: bool = False,
) -> None:
    """Calibrate a camera: lens and distortion.

    They are written as a ROS camera_info file.

    Args:
        source: Folder of pictures, or a bag; with --live the bag to record first.
        options: The board.
        model: 'pinhole', 'rational' for wide lenses, 'fisheye' beyond about 120 degrees.
        files: Pattern of file names in a folder.
        topic: Camera topic of a bag with several.
        live: Camera topic to record from, until there are enough views.
        views: How many views are recorded with --live.
        name: Name of the camera.
        out: Folder for NAME.yaml, the picture of the residuals and an undistorted sample.
        json: File, or - for standard output, for rms_px, camera_matrix, distortion, views_used
            and more.
        keep_outliers: Use views that do not fit the others too.
    """
    from ..calibrating.board_pictures import find_boards, read_pictures
    from ..calibrating.calibration_board import advise, require_views
    from ..calibrating.camera_calibration import calibrate_camera
    from ..calibrating.camera_info_file import from_intrinsics, save_camera_info

    board = options.build()
    with json_output(json) as write:
        if live:
            from ..nodes.calibration_capture_node import capture

            capture(source, board, live, views)
        found, names = find_boards(source, board, topic, files)
        unseen = [name for name, view in zip(names, found, strict=True) if view is None]
        result = calibrate_camera(
            require_views(found, names, board), model, drop_outliers=not keep_outliers
        )
        advice = advise(result.views, result.board_to_camera)
        now = datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
        provenance = (
            f'Calibrated {now} with `gridsampler calibrate camera`, model {model}.',
            f'Board: {board}.',
            f'{len(result.views)} of {len(names)} pictures of {source.name} used, RMS '
            f'{result.rms:.3f} px.',
        )
        path = out / f'{name}.yaml'
        save_camera_info(path, from_intrinsics(name, result.intrinsics), provenance)
        _draw(result, read_pictures(source, topic, files), out, name)
        print(_camera_text(result, len(names), unseen, advice))
        print(
            f'Written: {path}; look at {name}_residuals.png and {name}_undistorted.jpg beside it.'
        )
        write(_camera_json(result, unseen, advice, {'model': model, 'board': str(board)}))


def _draw(
    result: 'CameraCalibration', pictures: Iterable[tuple[str, Any]], out: Path, name: str
) -> None:
    from ..calibrating.camera_calibration import draw_residuals, draw_undistorted

    draw_residuals(result, out / f'{name}_residuals.png')
    sample = next(rgb for picture, rgb in pictures if picture == result.views[0].name)
    draw_undistorted(result, sample, out / f'{name}_undistorted.jpg')


def _camera_text(
    result: 'CameraCalibration', pictures: int, unseen: list[str], advice: list[str]
) -> str:
    matrix = result.intrinsics.matrix
    spread = (
        ''
        if result.deviations is None
        else ' ± {:.2f} {:.2f} {:.2f} {:.2f}'.format(*result.deviations)
    )
    lines = [
        f'RMS {result.rms:.3f} px over {len(result.views)} of {pictures} pictures; '
        f'views {min(result.view_errors):.2f} to {max(result.view_errors):.2f} px.',
        f'fx {matrix[0, 0]:.2f} fy {matrix[1, 1]:.2f} cx {matrix[0, 2]:.2f} cy {matrix[1, 2]:.2f}'
        f'{spread} px, {result.intrinsics.distortion_model} '
        f'{result.intrinsics.distortion.round(5).tolist()}.',
    ]
    lines += [f'Dropped: {name}, {error:.2f} px off the others.' for name, error in result.dropped]
    if unseen:
        lines.append(f'No board found in: {", ".join(unseen)}.')
    return '\n'.join([*lines, *(f'Warning: {each}' for each in result.warnings), *advice])


def _camera_json(
    result: 'CameraCalibration', unseen: list[str], advice: list[str], more: dict[str, Any]
) -> dict[str, Any]:
    camera = result.intrinsics
    errors = zip(result.views, result.view_errors, strict=True)
    return {
        'rms_px': result.rms,
        'camera_matrix': camera.matrix.tolist(),
        'distortion': camera.distortion.tolist(),
        'views_used': len(result.views),
        'distortion_model': camera.distortion_model,
        'image_size': [camera.width, camera.height],
        'view_errors_px': {view.name: error for view, error in errors},
        'dropped_px': dict(result.dropped),
        'without_board': unseen,
        'deviations_px': result.deviations,
        'warnings': list(result.warnings),
        'advice': advice,
        **more,
    }
