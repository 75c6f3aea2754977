# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag with one picture of the board per pose calibrates as a folder of these pictures does."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from board_scene import BOARD, CAMERA, centred, draw_board, draw_charuco

from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.calibrating.board_pictures import find_boards
from ros2_gridsampler.calibrating.calibration_board import Board, require_views
from ros2_gridsampler.calibrating.camera_calibration import calibrate_camera, project

CHARUCO = Board('charuco', 6, 5, 0.03, 0.022)
TOPIC = '/camera/image_raw'


def poses(count):
    """Places of the board, whole in the picture, each far from the one before."""
    generator = np.random.default_rng(0)
    found = []
    while len(found) < count:
        x, y = generator.uniform(-0.02, 0.02), generator.uniform(-0.06, 0.06)
        side = 0.07 * (-1) ** len(found)
        tilt = (*generator.uniform(-0.4, 0.4, 2), 0.0)
        place = centred(tilt, (x + side, y, generator.uniform(0.5, 0.7)))
        pixels = project(CAMERA, BOARD.points, place)
        if (pixels > 60).all() and (pixels < [580, 420]).all():
            found.append(place)
    return found


def write_pictures(bag, pictures, period, *, stamped=True):
    with BagWriter(bag) as writer:
        for index, rgb in enumerate(pictures):
            time = 100 + period * index
            picture = build(
                'sensor_msgs/msg/Image',
                header=build_header(time if stamped else 0.0, 'camera'),
                height=rgb.shape[0],
                width=rgb.shape[1],
                encoding='rgb8',
                is_bigendian=0,
                step=3 * rgb.shape[1],
                data=np.ascontiguousarray(rgb).reshape(-1),
            )
            writer.write(TOPIC, picture, time)
    return bag


@pytest.mark.parametrize(
    ('period', 'stamped'), [(2.0, True), (0.7, True), (0.03, True), (2.0, False)]
)
def test_every_pose_of_a_snapshot_bag_is_a_view_as_in_a_folder(tmp_path, period, stamped):
    pictures = [draw_board(pose) for pose in poses(12)]
    bag = write_pictures(tmp_path / 'bag', pictures, period, stamped=stamped)
    folder = tmp_path / 'folder'
    folder.mkdir()
    for number, rgb in enumerate(pictures):
        cv2.imwrite(str(folder / f'{number:02d}.png'), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    of_folder = require_views(*find_boards(folder, BOARD), BOARD)
    of_bag = require_views(*find_boards(bag, BOARD), BOARD)
    assert len(of_bag) == len(of_folder) == 12
    assert len({view.name for view in of_bag}) == 12
    for one, other in zip(of_bag, of_folder, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert calibrate_camera(of_bag).rms < 0.2


def test_charuco_boards_of_a_snapshot_bag_are_views_too(tmp_path):
    pictures = [draw_charuco(CHARUCO, pose) for pose in poses(8)]
    bag = write_pictures(tmp_path / 'bag', pictures, 3.0)
    assert len(require_views(*find_boards(bag, CHARUCO), CHARUCO)) == 8
    even = replace(CHARUCO, columns=5, rows=6)
    bag = write_pictures(tmp_path / 'even', [draw_charuco(even, pose) for pose in poses(3)], 3.0)
    with pytest.raises(ValueError, match='in the new pattern of OpenCV: leave out --legacy'):
        find_boards(bag, replace(even, legacy=True))


def test_a_board_that_only_moves_is_not_called_missing(tmp_path):
    moving = [draw_board(centred((0.2, 0, 0), (-0.1 + 0.01 * i, 0, 0.5))) for i in range(12)]
    bag = write_pictures(tmp_path / 'bag', moving, 0.05)
    with pytest.raises(ValueError, match='in 12 of 12 pictures and moves in all of them'):
        find_boards(bag, BOARD)


def test_a_video_is_still_thinned_to_its_still_and_new_views(tmp_path):
    still = [draw_board(pose) for pose in poses(4) for _ in range(5)]
    bag = write_pictures(tmp_path / 'bag', still, 0.05)
    assert len(require_views(*find_boards(bag, BOARD), BOARD)) == 4


def test_a_wall_is_counted_in_pictures(tmp_path):
    walls = [np.full((480, 640, 3), 90, np.uint8)] * 5
    bag = write_pictures(tmp_path / 'bag', walls, 1.0)
    with pytest.raises(ValueError, match='was found in any of 5 pictures'):
        require_views(*find_boards(bag, BOARD), BOARD)
