# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs of a board give the camera; what gives no camera is refused with advice."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from board_scene import (
    BOARD,
    CAMERA,
    LENSES,
    centred,
    draw_board,
    draw_charuco,
    exact_views,
    lens,
)

from ros2_gridsampler.calibrating.board_pictures import find_boards
from ros2_gridsampler.calibrating.calibration_board import Board, advise, require_views
from ros2_gridsampler.calibrating.camera_agreement import (
    CameraDisagrees,
    check_camera,
    measure_difference,
)
from ros2_gridsampler.calibrating.camera_calibration import calibrate_camera, project
from ros2_gridsampler.calibrating.camera_info_file import (
    from_intrinsics,
    load_camera_info,
    save_camera_info,
)
from ros2_gridsampler.seeing.camera_message import CameraIntrinsics

SHARED = Path(__file__).resolve().parents[2] / 'shared/data/calibration'


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f'{path} is not here: the real photographs are not part of this repository')
    return path


def run(*arguments):
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line', 'calibrate', *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def calibrate(folder, out, *more):
    board = ('--board', 'chessboard', '--columns', 9, '--rows', 6, '--square', 0.025)
    result = run('camera', folder, *board, '--out', out, '--json', out / 'out.json', *more)
    assert result.returncode == 0, result.stderr
    return json.loads((out / 'out.json').read_text()), result.stdout


def shipped_matrix(path, key):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)  # its nodes die with it
    return storage.getNode(key).mat()


def focal_and_centre(matrix):
    return np.asarray(matrix)[[0, 1, 0, 1], [0, 1, 2, 2]]


def test_thirteen_real_photographs_give_the_shipped_intrinsics(tmp_path):
    folder = shared('chessboard')
    found, _ = calibrate(folder, tmp_path, '--files', 'left*', '--name', 'left')
    assert 0.15 < found['rms_px'] < 0.22
    assert found['views_used'] == 13
    expected = shipped_matrix(folder / 'left_intrinsics.yml', 'camera_matrix')
    np.testing.assert_allclose(
        focal_and_centre(found['camera_matrix']), focal_and_centre(expected), rtol=0.01
    )
    camera = load_camera_info(tmp_path / 'left.yaml').intrinsics
    np.testing.assert_array_equal(camera.matrix, found['camera_matrix'])
    np.testing.assert_array_equal(camera.distortion, found['distortion'])
    assert '# Board: chessboard 9x6, square 0.025 m.' in (tmp_path / 'left.yaml').read_text()
    for picture in ('left_residuals.png', 'left_undistorted.jpg'):
        assert cv2.imread(str(tmp_path / picture)) is not None


def test_the_board_is_found_in_all_26_photographs_and_two_cameras_are_noticed(tmp_path):
    folder = shared('chessboard')
    found, text = calibrate(folder, tmp_path)
    assert found['views_used'] == 26
    assert not found['without_board']
    assert found['rms_px'] == pytest.approx(0.2, abs=0.04)
    expected = shipped_matrix(folder / 'intrinsics.yml', 'M1')
    np.testing.assert_allclose(
        focal_and_centre(found['camera_matrix']), focal_and_centre(expected), rtol=0.01
    )
    assert 'pictures of 2 cameras (left, right)' in text


def test_a_real_charuco_board_is_found_whole():
    gray = cv2.imread(str(shared('hand_eye') / 'test_charuco_board_detection.jpg'), 0)
    view = Board('charuco', 5, 7, 0.02, 0.015, 'DICT_5X5_250').find(gray)
    assert len(view.pixels) == 24
    plane, _ = cv2.findHomography(view.points[:, :2], view.pixels)
    seen = cv2.perspectiveTransform(view.points[None, :, :2], plane)[0]
    assert np.linalg.norm(seen - view.pixels, axis=1).max() < 2


@pytest.mark.parametrize('model', LENSES)
def test_corners_of_a_known_camera_give_that_camera(model):
    camera = lens(model)
    found = calibrate_camera(exact_views(camera, 16), model)
    assert found.rms < 0.01
    assert found.intrinsics.distortion_model == camera.distortion_model
    assert len(found.intrinsics.distortion) == len(camera.distortion)
    assert measure_difference(found.intrinsics, camera) < 0.5


def test_corners_in_a_picture_are_found_to_a_tenth_of_a_pixel():
    board = centred((0.4, -0.3, 0.2), (0.02, -0.01, 0.5))
    view = BOARD.find(draw_board(board)[..., 0])
    expected = project(CAMERA, view.points, board)
    # A chessboard looks the same from both ends.
    error = min(
        np.linalg.norm(view.pixels - each, axis=1).max() for each in (expected, expected[::-1])
    )
    assert error < 0.1


def test_corners_of_both_kinds_of_board_are_counted_from_the_centre_of_the_first_pixel():
    board, errors = Board('charuco', 6, 5, 0.03, 0.022), []
    for tilt in np.random.default_rng(0).uniform(-0.5, 0.5, (8, 3)):
        place = centred(tilt, (0.02, -0.01, 0.5))
        view = board.find(draw_charuco(board, place)[..., 0])
        errors.append(view.pixels - project(CAMERA, view.points, place))
    assert np.abs(np.concatenate(errors).mean(axis=0)).max() < 0.1


def test_a_view_that_does_not_fit_is_dropped_and_named():
    views = exact_views(lens('pinhole'), 12, noise=0.1)
    shifted = views[4].pixels + np.random.default_rng(1).normal(0, 3, views[4].pixels.shape)
    views[4] = dataclasses.replace(views[4], pixels=shifted)
    found = calibrate_camera(views)
    assert [name for name, _ in found.dropped] == ['view4.png']
    assert found.rms < 0.2
    kept = calibrate_camera(views, drop_outliers=False)
    assert len(kept.views) == 12
    assert kept.rms > 0.5


def test_advice_names_the_part_of_the_picture_that_lacks_corners():
    views = [v for v in exact_views(CAMERA, 40) if v.pixels[:, 0].max() < 420]
    text = ' '.join(advise(views))
    assert all(f'{row} right (0 corners)' in text for row in ('top', 'middle', 'bottom'))
    assert 'middle left' not in text


def test_flat_views_at_one_distance_are_told_to_be_tilted_and_moved():
    boards = np.stack([centred((0, 0, 0.1 * i), (0.01 * i, 0, 0.5)) for i in range(6)])
    text = ' '.join(advise(exact_views(CAMERA, 6), boards))
    assert 'Only 0 views are tilted' in text
    assert 'take some nearer and some farther' in text


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('chessboard', 9, 6, 25.0), 'measure one side .* in metres'),
        (('chessboard', 9, 6, float('nan')), 'are not likely'),
        (('chessboard', 2, 6, 0.025), 'too small'),
        (('charuco', 5, 7, 0.02, 0.03), 'does not fit into a square'),
        (('charuco', 5, 7, 0.02, 0.01, 'DICT_7'), 'no dictionary of OpenCV'),
        (('charuco', 5, 7, 0.02, 0.01, 'Board'), 'no dictionary of OpenCV'),
    ],
)
def test_a_board_that_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Board(*arguments)


def test_pictures_without_enough_boards_of_one_size_are_refused_with_advice():
    views = exact_views(CAMERA, 4)
    names = [view.name for view in views]
    with pytest.raises(ValueError, match=r'No chessboard 7x5.*in any of 4 pictures'):
        require_views([None] * 4, names, BOARD)
    with pytest.raises(ValueError, match='found in 2 of 4 pictures, 3 are the least'):
        require_views([*views[:2], None, None], names, BOARD)
    views[3] = dataclasses.replace(views[3], width=320, height=240)
    with pytest.raises(ValueError, match=r'several sizes .*320x240: view3\.png'):
        require_views(views, names, BOARD)


def test_a_folder_without_a_board_is_one_sentence(tmp_path):
    cv2.imwrite(str(tmp_path / 'wall.png'), np.full((48, 64), 128, np.uint8))
    result = run('camera', tmp_path, '--columns', 9, '--rows', 6, '--square', 0.025)
    assert result.returncode == 1
    assert 'No chessboard 9x6' in result.stderr
    assert 'Traceback' not in result.stderr
    result = run('camera', tmp_path / 'gone', '--columns', 9, '--rows', 6, '--square', 0.025)
    assert 'gone is not there' in result.stderr
    (tmp_path / 'wall.png').write_bytes(b'\x89PNG, but cut')
    with pytest.raises(ValueError, match='damaged or no picture'):
        find_boards(tmp_path, BOARD)


def test_the_file_of_ros_own_tests_round_trips(tmp_path):
    path = shared('image_common_test_calibration.yaml')
    first = load_camera_info(path)
    save_camera_info(tmp_path / 'copy.yaml', first, ['a comment'])
    again = load_camera_info(tmp_path / 'copy.yaml')
    assert (again.name, first.name) == ('08144361026320a0',) * 2
    for key in ('rectification', 'projection'):
        np.testing.assert_array_equal(getattr(again, key), getattr(first, key))
    for key in ('matrix', 'distortion'):
        np.testing.assert_array_equal(
            getattr(again.intrinsics, key), getattr(first.intrinsics, key)
        )
    np.testing.assert_array_equal(first.intrinsics.matrix[0], [1168.68, 0, 295.015])
    assert first.intrinsics.distortion_model == 'plumb_bob'


@pytest.mark.parametrize('name', ['camera', '007', 'a: b', '#', 'null'])
@pytest.mark.parametrize('model', LENSES)
def test_every_model_and_name_round_trips(tmp_path, name, model):
    save_camera_info(tmp_path / 'c.yaml', from_intrinsics(name, lens(model)))
    again = load_camera_info(tmp_path / 'c.yaml')
    assert again.name == name
    np.testing.assert_array_equal(again.intrinsics.distortion, lens(model).distortion)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('image_width: 640\n', '', 'image_width is missing'),
        ('image_width: 640', 'image_width: wide', 'whole number of pixels'),
        ('camera_matrix', 'matrix', 'camera_matrix is missing'),
        ('500.0, 0.0, 310.0', '.nan, 0.0, 310.0', 'camera_matrix must be finite'),
        ('500.0, 0.0, 310.0', '-500.0, 0.0, 310.0', 'positive focal lengths'),
        ('500.0, 0.0, 310.0', '500.0, 310.0', 'holds 8 numbers'),
        ('plumb_bob', 'rational_polynomial', 'has 8 coefficients'),
        ('plumb_bob', 'magic', 'distortion_model must be one of'),
        ('-0.2, 0.05', '-0.2, x', 'must have rows, cols and data'),
        ('image_width', '%YAML:1.0\n---\nimage_width', 'YAML file of OpenCV'),
        ('image_width', '[', 'c.yaml'),
    ],
)
def test_a_damaged_camera_info_file_is_refused_by_key(tmp_path, old, new, words):
    path = tmp_path / 'c.yaml'
    save_camera_info(path, from_intrinsics('camera', lens('pinhole')))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf'c\.yaml: .*{words}|{words}'):
        load_camera_info(path)


def test_a_lens_of_another_kind_than_in_the_training_stops_with_a_sentence():
    with pytest.raises(CameraDisagrees, match='the one of the training see the same ray'):
        check_camera('front', CAMERA, (640, 480), CAMERA, lens('pinhole'))


@pytest.mark.parametrize('focal', [400.0, 450.0, 600.0])
@pytest.mark.parametrize('distortion', [(0, 0, 0, 0), (0.02, -0.005, 0, 0)])
def test_wide_lenses_are_compared_by_pixels_and_not_on_a_plane(focal, distortion):
    def lens(scale):
        matrix = np.array([[scale * focal, 0, 640], [0, scale * focal, 480], [0, 0, 1]])
        return CameraIntrinsics(1280, 960, matrix, 'equidistant', np.array(distortion, float))

    # The picture grows from its centre, by 0.8 px in the corners.
    assert 0.4 < measure_difference(lens(1.0), lens(1.001)) < 0.9
    assert measure_difference(lens(1.0), lens(1.0)) < 1e-3
    assert measure_difference(lens(1.0), lens(1.05)) > 20


def test_a_camera_that_agrees_passes():
    near = dataclasses.replace(CAMERA, matrix=CAMERA.matrix + np.diag([0.5, 0.5, 0]))
    check_camera('front', CAMERA, (640, 480), near, near)
    check_camera('front', None, (640, 480))


@pytest.mark.parametrize(
    ('published', 'calibrated', 'words'),
    [
        (
            dataclasses.replace(CAMERA, width=1280, height=720),
            None,
            'CameraInfo of camera .front. is for 1280x720',
        ),
        (CAMERA, dataclasses.replace(CAMERA, width=320), 'calibration file .*320x480'),
        (CAMERA, lens('pinhole'), 'same ray up to .* px apart'),
        (
            dataclasses.replace(lens('pinhole'), distortion_model='thin_prism'),
            lens('pinhole'),
            "distortion model 'thin_prism'",
        ),
    ],
)
def test_a_camera_that_disagrees_stops_with_a_sentence(published, calibrated, words):
    with pytest.raises(CameraDisagrees, match=words):
        check_camera('front', published, (640, 480), calibrated)
