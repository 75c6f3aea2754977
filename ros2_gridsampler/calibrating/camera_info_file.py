# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""ROS camera_info YAML <-> intrinsics; the format of camera_info_manager."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

from ..seeing.camera_message import CameraIntrinsics

_COEFFICIENTS = {'plumb_bob': (4, 5), 'rational_polynomial': (8,), 'equidistant': (4,)}


@dataclass(frozen=True, eq=False)
class CameraInfoFile:
    """What a camera_info file says.

    Attributes:
        name: Name of the camera.
        intrinsics: Camera matrix K and distortion.
        rectification: R, for stereo cameras; else the identity.
        projection: P, of the rectified picture [px].
    """

    name: str
    intrinsics: CameraIntrinsics
    rectification: Float[np.ndarray, '3 3']
    projection: Float[np.ndarray, '3 4']


def from_intrinsics(name: str, intrinsics: CameraIntrinsics) -> CameraInfoFile:
    """Returns a single camera whose rectified picture keeps K, as `prepare_image` makes it."""
    projection = np.hstack([intrinsics.matrix, np.zeros((3, 1))])
    return CameraInfoFile(name, intrinsics, np.eye(3), projection)


def load_camera_info(path: Path | str) -> CameraInfoFile:
    """Reads a file of camera_calibration or camera_info_manager.

    Raises:
        ValueError: Names the file, the key and what is wrong.
    """
    try:
        # OpenCV's own YAML begins with a line that is none.
        text = Path(path).read_text('utf-8')
        if text.startswith('%YAML:'):
            raise ValueError(
                'this is a YAML file of OpenCV; write a ROS camera_info file with '
                '`gridsampler calibrate camera`.'
            )
        tree = yaml.safe_load(text)
        if not isinstance(tree, dict):
            raise ValueError(f'expected the keys of a camera_info file, got {tree!r}.')
        width, height = (_size(tree, key) for key in ('image_width', 'image_height'))
        model = _get(tree, 'distortion_model')
        if model not in _COEFFICIENTS:
            raise ValueError(
                f'distortion_model must be one of {list(_COEFFICIENTS)}, got {model!r}.'
            )
        matrix = _matrix(tree, 'camera_matrix', (3, 3))
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or not np.allclose(matrix[2], [0, 0, 1]):
            raise ValueError(
                f'camera_matrix must be [fx, 0, cx, 0, fy, cy, 0, 0, 1] with positive focal '
                f'lengths [px], got {matrix.ravel().tolist()}.'
            )
        distortion = _matrix(tree, 'distortion_coefficients', None).ravel()
        if len(distortion) not in _COEFFICIENTS[model]:
            raise ValueError(
                f'{model} has {" or ".join(map(str, _COEFFICIENTS[model]))} coefficients, '
                f'distortion_coefficients has {len(distortion)}.'
            )
        return CameraInfoFile(
            str(_get(tree, 'camera_name')),
            CameraIntrinsics(width, height, matrix, model, distortion),
            _matrix(tree, 'rectification_matrix', (3, 3)),
            _matrix(tree, 'projection_matrix', (3, 4)),
        )
    except (ValueError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: {error}') from error


def save_camera_info(path: Path, info: CameraInfoFile, provenance: Sequence[str] = ()) -> None:
    """Writes the file; `provenance` becomes comments, which every reader skips.

    Raises:
        ValueError: A comment has a line break, a number is not finite.
    """
    camera = info.intrinsics
    lines = [f'# {line}' for line in provenance]
    if any('\n' in line for line in provenance):
        raise ValueError('A line of provenance must be one line.')
    lines += [
        f'image_width: {camera.width}',
        f'image_height: {camera.height}',
        f'camera_name: {yaml.safe_dump(info.name, width=10**6).splitlines()[0]}',
        *_lines('camera_matrix', camera.matrix),
        f'distortion_model: {camera.distortion_model}',
        *_lines('distortion_coefficients', camera.distortion[None]),
        *_lines('rectification_matrix', info.rectification),
        *_lines('projection_matrix', info.projection),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n', 'utf-8')


def _lines(key: str, matrix: Float[np.ndarray, 'rows columns']) -> list[str]:
    if not np.isfinite(matrix).all():
        raise ValueError(f'{key} is not finite: {matrix.ravel().tolist()}.')
    # repr keeps every digit; the '.0' of whole numbers keeps YAML readers at floats.
    numbers = ', '.join(repr(float(value)) for value in matrix.ravel())
    rows, columns = matrix.shape
    return [f'{key}:', f'  rows: {rows}', f'  cols: {columns}', f'  data: [{numbers}]']


def _get(tree: dict[str, Any], key: str) -> Any:
    if key not in tree:
        raise ValueError(
            f'{key} is missing; write the file with `gridsampler calibrate camera` or with '
            "ROS's camera_calibration."
        )
    return tree[key]


def _size(tree: dict[str, Any], key: str) -> int:
    value = _get(tree, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{key} must be a whole number of pixels, got {value!r}.')
    return value


def _matrix(
    tree: dict[str, Any], key: str, shape: tuple[int, int] | None
) -> Float[np.ndarray, 'rows columns']:
    entry = _get(tree, key)
    try:
        size = (int(entry['rows']), int(entry['cols']))
        numbers = np.array(entry['data'], np.float64)
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f'{key} must have rows, cols and data (numbers), got {entry!r}.'
        ) from None
    if numbers.shape != (size[0] * size[1],) or (shape is not None and size != shape):
        wanted = '' if shape is None else f'; {shape[0]}x{shape[1]} is expected'
        raise ValueError(
            f'{key} says {size[0]}x{size[1]} and holds {numbers.size} numbers{wanted}.'
        )
    if not np.isfinite(numbers).all():
        raise ValueError(f'{key} must be finite, got {numbers.tolist()}.')
    return numbers.reshape(size)
