# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Solved camera -> a picture of its residuals, and of a sample without distortion."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..seeing.calibration import ImagePreparation, prepare_image
from .camera_calibration import CameraCalibration, residuals

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
    """A sample as taken and as the policy sees it rectified, side by side, with straight lines."""
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
