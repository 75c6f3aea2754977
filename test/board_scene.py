# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A board in front of a known camera: poses, exact corners, pictures."""

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ros2_gridsampler.calibrating.calibration_board import Board, BoardView
from ros2_gridsampler.calibrating.camera_calibration import project
from ros2_gridsampler.seeing.camera_message import CameraIntrinsics

BOARD = Board('chessboard', 7, 5, 0.03)
CAMERA = CameraIntrinsics(
    640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]), 'plumb_bob', np.zeros(5)
)
LENSES = {
    'pinhole': ('plumb_bob', [-0.2, 0.05, 0.001, -0.001, 0.0]),
    'rational': ('rational_polynomial', [-0.2, 0.05, 0.001, -0.001, 0.0, 0.1, 0.02, 0.0]),
    'fisheye': ('equidistant', [-0.02, 0.01, -0.005, 0.001]),
}


def pose(rotation_vector, translation):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rotation_vector).as_matrix()
    matrix[:3, 3] = translation
    return matrix


def lens(model):
    name, distortion = LENSES[model]
    matrix = np.array([[500.0, 0, 310], [0, 505, 250], [0, 0, 1]])
    return CameraIntrinsics(640, 480, matrix, name, np.array(distortion))


def centred(tilt, centre):
    """Board to camera, with the board's middle at `centre` [m]."""
    board = pose(tilt, (0, 0, 0))
    board[:3, 3] = np.array(centre) - board[:3, :3] @ BOARD.points.mean(0)
    return board


def exact_views(camera, count=12, seed=0, noise=0.0):
    """Views all over the picture, tilted, with corners where the camera puts them."""
    random = np.random.default_rng(seed)
    views = []
    while len(views) < count:
        distance = random.uniform(0.35, 0.8)
        x, y = random.uniform(-0.4, 0.4, 2) * distance
        tilt = [*random.uniform(-0.6, 0.6, 2), random.uniform(-0.3, 0.3)]
        pixels = project(camera, BOARD.points, centred(tilt, (x, y, distance)))
        inside = (pixels > 5).all() and (pixels < [635, 475]).all()
        if inside:
            pixels += random.normal(0, noise, pixels.shape) if noise else 0
            views.append(BoardView(f'view{len(views)}.png', 640, 480, BOARD.points, pixels))
    return views


def draw_board(board_to_camera, camera=CAMERA):
    """An RGB picture of the board, without distortion, on a grey wall."""
    cell, square = 40, BOARD.square
    columns, rows = BOARD.columns + 1, BOARD.rows + 1
    flat = np.full(((rows + 2) * cell, (columns + 2) * cell), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            if (row + column) % 2 == 0:
                top, left = (row + 1) * cell, (column + 1) * cell
                flat[top : top + cell, left : left + cell] = 0
    return _photograph(flat, square / cell, 2 * cell, board_to_camera, camera)


def draw_charuco(board, board_to_camera, camera=CAMERA):
    """Likewise, of a ChArUco board as OpenCV prints it."""
    cell, margin = 40, 20
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    printed = cv2.aruco.CharucoBoard(
        (board.columns, board.rows), board.square, board.marker, dictionary
    )
    flat = printed.generateImage((board.columns * cell, board.rows * cell), marginSize=0)
    flat = cv2.copyMakeBorder(flat, *4 * (margin,), cv2.BORDER_CONSTANT, value=255)
    return _photograph(flat, board.square / cell, margin, board_to_camera, camera)


def _photograph(flat, scale, origin, board_to_camera, camera):
    """A print of `scale` [m] per pixel whose frame begins at the edge of pixel `origin`."""
    # Pixel centres: an edge lies half a pixel before the centre of its pixel.
    to_board = np.array([[scale, 0, -1.0], [0, scale, -1.0], [0, 0, 1]])
    to_board[:2, 2] = -(origin - 0.5) * scale
    to_picture = camera.matrix @ board_to_camera[:3, [0, 1, 3]] @ to_board
    enlarge = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    size = (2 * camera.width, 2 * camera.height)
    big = cv2.warpPerspective(flat, enlarge @ to_picture, size, borderValue=128)
    gray = cv2.resize(big, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
