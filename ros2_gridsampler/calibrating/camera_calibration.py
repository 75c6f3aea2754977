# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Views of a board -> intrinsics and distortion of the camera, and how far to believe them."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..seeing.calibration import ImagePreparation, prepare_image
from ..seeing.camera_message import CameraIntrinsics
from .calibration_board import BoardView

Model = Literal['pinhole', 'rational', 'fisheye']
# Names that ROS gives the models, and how many coefficients each has.
_ROS_NAMES = {
    'pinhole': ('plumb_bob', 5),
    'rational': ('rational_polynomial', 8),
    'fisheye': ('equidistant', 4),
}
# A view is an outlier when its error is so many times the median one: a moved camera or a wrong
# corner gives 3 to 10 times, the far edge of a lens less than 2 (shared chessboard pictures).
_OUTLIER = 2.5


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """A calibrated camera, and how well the views fit it.

    Attributes:
        intrinsics: Camera matrix and distortion that were found.
        rms: Distance between where corners are and where they should be, root mean square over
            all corners in use [px].
        view_errors: The same for each view in use [px].
        views: Views in use.
        dropped: Outliers: name and error under the final camera [px].
        board_to_camera: Where the board was in each view, 4x4, metres, optical frame.
        deviations: Standard deviations of fx, fy, cx, cy [px]; None for a fisheye.
        warnings: What the user should know.
    """

    intrinsics: CameraIntrinsics
    rms: float
    view_errors: tuple[float, ...]
    views: tuple[BoardView, ...]
    dropped: tuple[tuple[str, float], ...]
    board_to_camera: Float[np.ndarray, 'views 4 4']
    deviations: tuple[float, ...] | None
    warnings: tuple[str, ...]


def calibrate_camera(
    views: Sequence[BoardView], model: Model = 'pinhole', *, drop_outliers: bool = True
) -> CameraCalibration:
    """Solves for the camera, drops views that do not fit, one by one, and solves again.

    Args:
        views: At least 3, of one size; see `require_views`.
        model: 'pinhole' (5 coefficients), 'rational' (8, wide lenses) or 'fisheye' (4,
            equidistant, beyond about 120 degrees).
        drop_outliers: Whether views that do not fit are left out; never more than a quarter.

    Raises:
        ValueError: The views do not determine a camera.
    """
    used = list(views)
    solution = _solve(used, model)
    spare = len(views) // 4 if drop_outliers else 0
    dropped: list[BoardView] = []
    while len(dropped) < spare and len(used) > 3:
        worst = int(np.argmax(solution.view_errors))
        if solution.view_errors[worst] <= _OUTLIER * float(np.median(solution.view_errors)):
            break
        dropped.append(used.pop(worst))
        solution = _solve(used, model)
    # The error of a dropped view is the one that it has where it was not fitted.
    errors = [
        float(np.sqrt(np.mean(residuals(solution.intrinsics, view) ** 2) * 2)) for view in dropped
    ]
    outliers = tuple((view.name, error) for view, error in zip(dropped, errors, strict=True))
    warnings = (*solution.warnings, *_two_cameras(solution, model))
    return replace(solution, dropped=outliers, warnings=warnings)


def residuals(
    camera: CameraIntrinsics,
    view: BoardView,
    board_to_camera: Float[np.ndarray, '4 4'] | None = None,
) -> Float[np.ndarray, 'corners 2']:
    """Returns the vectors from where the corners should be to where they are [px].

    Args:
        camera: The camera.
        view: A view of the board.
        board_to_camera: Where the board was; solved for where None.

    Raises:
        ValueError: The board's place cannot be told from its corners.
    """
    if board_to_camera is None:
        board_to_camera = locate_board(camera, view)
    return view.pixels - project(camera, view.points, board_to_camera)


def locate_board(camera: CameraIntrinsics, view: BoardView) -> Float[np.ndarray, '4 4']:
    """Returns where the board is, in the optical frame (x right, y down, z forward) [m].

    Raises:
        ValueError: Its place cannot be told from its corners.
    """
    if camera.distortion_model == 'equidistant':
        # Seen through a pinhole without distortion, from the same place.
        flat = cv2.fisheye.undistortPoints(
            view.pixels[:, None], camera.matrix, _fisheye(camera.distortion)
        )
        matrix, distortion = np.eye(3), np.zeros(5)
    else:
        flat, matrix, distortion = view.pixels[:, None], camera.matrix, camera.distortion
    found, rotation, translation = cv2.solvePnP(
        view.points, flat, matrix, distortion, flags=cv2.SOLVEPNP_IPPE
    )
    if found:
        rotation, translation = cv2.solvePnPRefineLM(
            view.points, flat, matrix, distortion, rotation, translation
        )
    if not found or not np.isfinite(translation).all() or translation[2] <= 0:
        raise ValueError(f'The place of the board in {view.name} cannot be told; drop the view.')
    return _transform(rotation, translation)


def project(
    camera: CameraIntrinsics,
    points: Float[np.ndarray, 'points 3'],
    board_to_camera: Float[np.ndarray, '4 4'],
) -> Float[np.ndarray, 'points 2']:
    """Returns where points of the board [m] appear in the picture [px]."""
    rotation, translation = cv2.Rodrigues(board_to_camera[:3, :3])[0], board_to_camera[:3, 3]
    if camera.distortion_model == 'equidistant':
        pixels, _ = cv2.fisheye.projectPoints(
            points[:, None], rotation, translation, camera.matrix, _fisheye(camera.distortion)
        )
    else:
        pixels, _ = cv2.projectPoints(
            points, rotation, translation, camera.matrix, camera.distortion
        )
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def _solve(views: Sequence[BoardView], model: Model) -> CameraCalibration:
    name, count = _ROS_NAMES[model]
    size = (views[0].width, views[0].height)
    points: Any = [view.points.astype(np.float32)[:, None] for view in views]
    pixels: Any = [view.pixels.astype(np.float32)[:, None] for view in views]
    deviations = None
    try:
        if model == 'fisheye':
            matrix, distortion, rotations, translations = _solve_fisheye(points, pixels, size)
        else:
            flags = cv2.CALIB_RATIONAL_MODEL if model == 'rational' else 0
            _, matrix, distortion, rotations, translations, spread, _, _ = (
                cv2.calibrateCameraExtended(points, pixels, size, None, None, flags=flags)  # type: ignore[call-overload]
            )
            deviations = tuple(float(value) for value in np.ravel(spread)[:4])
    except cv2.error as error:
        raise ValueError(
            f'The {len(views)} views do not determine a {model} camera ({error.err}); add views '
            'tilted by 20 to 45 degrees to several sides and in the corners of the picture.'
        ) from error
    matrix = np.asarray(matrix, np.float64)
    distortion = np.ravel(distortion)[:count].astype(np.float64)
    _refuse_nonsense(matrix, distortion, size, model)
    camera = CameraIntrinsics(*size, matrix, name, distortion)
    boards = np.stack([_transform(*pair) for pair in zip(rotations, translations, strict=True)])
    squares = [
        np.sum(residuals(camera, view, board) ** 2, -1)
        for view, board in zip(views, boards, strict=True)
    ]
    errors = tuple(float(np.sqrt(square.mean())) for square in squares)
    rms = float(np.sqrt(np.concatenate(squares).mean()))
    return CameraCalibration(
        intrinsics=camera,
        rms=rms,
        view_errors=errors,
        views=tuple(views),
        dropped=(),
        board_to_camera=boards,
        deviations=deviations,
        warnings=(),
    )


def _solve_fisheye(points: Any, pixels: Any, size: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW
    points = [each.reshape(1, -1, 3).astype(np.float64) for each in points]
    pixels = [each.reshape(1, -1, 2).astype(np.float64) for each in pixels]
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 200, 1e-9)
    _, matrix, distortion, rotations, translations = cv2.fisheye.calibrate(
        points, pixels, size, np.eye(3), np.zeros((4, 1)), flags=flags, criteria=until
    )
    return matrix, distortion, rotations, translations


def _refuse_nonsense(matrix: Any, distortion: Any, size: tuple[int, int], model: Model) -> None:
    """Refuses views so alike that they fit any focal length, and any number comes out."""
    focal, centre = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    sane = np.isfinite(matrix).all() and np.isfinite(distortion).all() and (focal > 0).all()
    if (
        not sane
        or (focal > 20 * max(size)).any()
        or (abs(centre - np.divide(size, 2)) > size).any()
    ):
        raise ValueError(
            f'The views do not determine a {model} camera: focal lengths '
            f'{focal.round(1).tolist()}, principal point {centre.round(1).tolist()} for '
            f'{size[0]}x{size[1]} pictures. Tilt the board by 20 to 45 degrees to several sides.'
        )


def _two_cameras(solution: CameraCalibration, model: Model) -> tuple[str, ...]:
    """Returns a warning where groups of file names fit much better apart than together."""
    groups: dict[str, list[BoardView]] = {}
    for view in solution.views:
        groups.setdefault(re.sub(r'\d+$', '', view.name.rsplit('.', 1)[0]), []).append(view)
    if len(groups) < 2 or min(map(len, groups.values())) < 5:
        return ()
    try:
        apart = {name: _solve(views, model) for name, views in groups.items()}
    except ValueError:
        return ()
    corners = {name: sum(len(v.pixels) for v in each.views) for name, each in apart.items()}
    square = sum(corners[name] * each.rms**2 for name, each in apart.items())
    together = float(np.sqrt(square / sum(corners.values())))
    centres = [each.intrinsics.matrix[:2, 2] for each in apart.values()]
    distance = max(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(centres, 2))
    # Fitted apart, a single camera gains about 1%: nine more numbers against thousands.
    if solution.rms < 1.1 * together:
        return ()
    return (
        f'These look like pictures of {len(groups)} cameras ({", ".join(groups)}): fitted apart, '
        f'the error falls from {solution.rms:.3f} to {together:.3f} px and the principal points '
        f"differ by {distance:.1f} px. Choose one camera's with --files, for instance "
        f"--files '{next(iter(groups))}*'.",
    )


def _transform(rotation: Any, translation: Any) -> Float[np.ndarray, '4 4']:
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.asarray(rotation, np.float64))[0]
    matrix[:3, 3] = np.ravel(translation)
    return matrix


def _fisheye(distortion: Float[np.ndarray, ' coefficients']) -> Float[np.ndarray, '4']:
    return np.resize(distortion, 4) if len(distortion) >= 4 else np.zeros(4)


_DPI = 100


def draw_residuals(calibration: CameraCalibration, path: Path) -> None:
    """Arrows from where corners should be, enlarged, and the error of every view."""
    camera = calibration.intrinsics
    triples = zip(calibration.views, calibration.board_to_camera, strict=True)
    pixels = np.concatenate([view.pixels for view in calibration.views])
    errors = np.concatenate([residuals(camera, view, board) for view, board in triples])
    sizes = np.linalg.norm(errors, axis=1)
    figure = Figure(figsize=(13, 5.6), dpi=_DPI, layout='constrained')
    FigureCanvasAgg(figure)
    picture, bars = figure.subplots(1, 2, width_ratios=(1.5, 1))
    # The 99th percentile becomes a twentieth of the width.
    enlarged = camera.width / 20 / max(float(np.percentile(sizes, 99)), 1e-6)
    arrows = picture.quiver(
        *pixels.T,
        *errors.T,
        sizes,
        angles='xy',
        scale_units='xy',
        scale=1 / enlarged,
        cmap='viridis',
        width=0.002,
    )
    figure.colorbar(arrows, ax=picture, label='residual [px]')
    picture.set(
        xlim=(0, camera.width),
        ylim=(camera.height, 0),
        aspect='equal',
        xlabel='x [px]',
        ylabel='y [px]',
        title=f'Residuals, {enlarged:.0f} times enlarged; RMS {calibration.rms:.3f} px',
    )
    names = [view.name for view in calibration.views] + [name for name, _ in calibration.dropped]
    heights = [*calibration.view_errors, *(error for _, error in calibration.dropped)]
    colours = ['tab:blue'] * len(calibration.views) + ['tab:red'] * len(calibration.dropped)
    bars.barh(range(len(names)), heights, color=colours)
    bars.set_yticks(range(len(names)), names, fontsize=7)
    bars.invert_yaxis()
    bars.axvline(calibration.rms, color='black', linewidth=0.8)
    bars.set(xlabel='RMS of the view [px]', title='Views (red: dropped; line: all in use)')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw_undistorted(
    calibration: CameraCalibration, rgb: UInt8[np.ndarray, 'height width 3'], path: Path
) -> None:
    """Draws a sample as taken and as it is rectified, side by side, with straight lines."""
    camera = calibration.intrinsics
    preparation = ImagePreparation(camera.width, camera.height, rectify=True)
    both = [rgb.copy(), prepare_image(rgb, preparation, camera).copy()]
    for picture in both:
        for share in np.linspace(0, 1, 9)[1:-1]:
            x, y = int(share * camera.width), int(share * camera.height)
            cv2.line(picture, (x, 0), (x, camera.height), (255, 220, 0), 1)
            cv2.line(picture, (0, y), (camera.width, y), (255, 220, 0), 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(both), cv2.COLOR_RGB2BGR))
