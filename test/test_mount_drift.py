# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A mount that moved is seen in any light; an arm or an object that moved is not taken for it."""

import re

import cv2
import numpy as np
import pytest
from board_scene import BOARD, CAMERA, centred, draw_board
from hypothesis import given, settings
from hypothesis import strategies as st
from test_camera_calibration import run

from experiments.drift_rates import change_light
from ros2_gridsampler.calibrating.mount_drift import (
    DriftLimits,
    MountDrift,
    NotComparable,
    measure_drift,
)
from ros2_gridsampler.calibrating.reference_views import (
    check_mounts,
    load_reference_views,
    save_reference_view,
    why_not_fixed,
)
from ros2_gridsampler.seeing.camera_record import CameraRecord

LIMITS = DriftLimits()
ROOM = 60


def wall(seed=0):
    """Blobs of all sizes, larger than the picture by ROOM on every side."""
    random = np.random.default_rng(seed)
    height, width = 240 + 2 * ROOM, 320 + 2 * ROOM
    total = np.zeros((height, width, 3))
    for size in (2, 5, 12, 30):
        coarse = random.normal(0, 1, (height // size + 2, width // size + 2, 3))
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((128 + 35 * total).clip(0, 255), np.uint8)


WALL = wall()


def view(dx=0.0, dy=0.0, degrees=0.0):
    """A camera's picture; the scene appears shifted [px] and turned anticlockwise."""
    height, width = WALL.shape[:2]
    motion = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    motion[:, 2] += (dx, dy)
    moved = cv2.warpAffine(WALL, motion, (width, height), flags=cv2.INTER_CUBIC)
    return moved[ROOM:-ROOM, ROOM:-ROOM].copy()


@settings(max_examples=12)
@given(st.floats(1, 40), st.floats(0, 2 * np.pi), st.integers(0, 99))
def test_a_shift_is_measured_to_half_a_pixel_in_another_light(shift, way, seed):
    live = view(shift * np.cos(way), shift * np.sin(way))
    live = change_light(live, np.random.default_rng(seed))
    found = measure_drift(view(), live, CAMERA)
    assert found.shift == pytest.approx(shift, abs=0.5)
    assert found.angle == pytest.approx(np.degrees(np.arctan(found.shift / 600)))
    assert abs(found.rotation) < 0.3


@pytest.mark.parametrize('degrees', [-3.0, 2.0])
def test_a_rotation_is_measured_with_its_direction(degrees):
    found = measure_drift(view(), view(degrees=degrees))
    assert found.rotation == pytest.approx(degrees, abs=0.1)
    assert 'rotated by' in found.complaint('wrist', LIMITS)


def test_the_same_view_in_another_light_is_no_complaint():
    for seed in range(4):
        live = change_light(view(), np.random.default_rng(seed))
        assert measure_drift(view(), live).complaint('front', LIMITS) == ''


def test_an_object_that_moved_is_not_taken_for_the_camera():
    reference, live = view(), view()
    thing = wall(1)[:110, :110]
    reference[60:170, 20:130] = thing
    live[90:200, 180:290] = thing
    assert measure_drift(reference, live).shift < 0.3
    moved = view(12, 0)
    moved[90:200, 180:290] = thing
    assert measure_drift(reference, moved).shift == pytest.approx(12, abs=0.5)


@pytest.mark.parametrize(
    ('live', 'words'),
    [
        (np.zeros_like(view()), 'covered, in the dark'),
        (wall(7)[ROOM:-ROOM, ROOM:-ROOM], 'another scene'),
    ],
)
def test_a_view_with_nothing_in_common_is_not_called_moved(live, words):
    with pytest.raises(NotComparable, match=words):
        measure_drift(view(), live)


def test_views_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match='reference view is 320x240, the live view 160x240'):
        measure_drift(view(), view()[:, :160])


def test_a_board_in_both_views_is_compared_alone():
    before = draw_board(centred((0.3, 0.2, 0), (0, 0, 0.5)))
    after = np.roll(before, (3, 4), axis=(0, 1))
    found = measure_drift(before, after, board=BOARD)
    assert found.by_board
    assert found.shift == pytest.approx(5, abs=0.05)
    assert found.matches == BOARD.columns * BOARD.rows


def test_the_complaint_gives_shift_angle_and_what_to_do():
    words = MountDrift(5.0, 0.1, 1.0, 0.5, 80, False).complaint('front', LIMITS)
    assert "'front' has moved" in words
    assert '5.0 px (0.50 deg of the camera)' in words
    assert 'Put the camera back' in words


def test_each_camera_is_compared_with_its_view_in_the_checkpoint(tmp_path):
    records = {
        camera: CameraRecord(save_reference_view(tmp_path, camera, view()))
        for camera in ('front', 'side', 'back')
    }
    records['wrist'] = CameraRecord(no_view_because='it rides on the arm')
    references = load_reference_views(tmp_path, records)
    live = {'front': view(), 'side': view(8, 0), 'back': 0 * view(), 'wrist': view()}
    found, problems = check_mounts(references, live, LIMITS, {'side': CAMERA})
    assert set(found) == {'front', 'side'}
    assert found['front'].shift == 0
    assert str(found['side']).startswith('shifted by 8.0 px (0.76 deg of the camera), rotated')
    assert len(problems) == 2
    assert problems[0].startswith("Camera 'side' has moved")
    assert problems[1].startswith("Camera 'back': ")


def test_a_reference_view_that_is_not_the_one_of_the_manifest_is_refused(tmp_path):
    records = {'front': CameraRecord(save_reference_view(tmp_path, 'front', view()))}
    np.testing.assert_array_equal(load_reference_views(tmp_path, records)['front'], view())
    save_reference_view(tmp_path, 'front', view(1, 0))
    with pytest.raises(ValueError, match='the manifest says .* copy it again'):
        load_reference_views(tmp_path, records)
    (tmp_path / 'reference_views/front.png').unlink()
    with pytest.raises(ValueError, match='Copy the whole folder'):
        load_reference_views(tmp_path, records)


@pytest.mark.parametrize(
    ('views', 'words'),
    [
        ([view(), view(0.3, 0), view()], ''),
        ([view(), view(), view(9, 4)], 'moves in the recordings .by 9.8 px'),
        ([view(), np.zeros_like(view())], 'too little in common'),
        ([view()], 'a single picture'),
    ],
)
def test_only_a_camera_that_stands_still_in_the_recordings_gets_a_view(views, words):
    found = why_not_fixed(views, LIMITS)
    assert bool(found) == bool(words)
    assert re.search(words, found)


def test_the_command_fails_on_a_camera_that_moved(tmp_path):
    for name, picture in (('reference', view()), ('same', view()), ('moved', view(9, 0))):
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture[..., ::-1])
    same = run('drift', tmp_path / 'reference.png', tmp_path / 'same.png')
    assert (same.returncode, same.stdout[:13]) == (0, 'Shift 0.00 px'), same.stderr
    moved = run('drift', tmp_path / 'reference.png', tmp_path / 'moved.png')
    assert moved.returncode == 1
    assert 'has moved' in moved.stderr
    assert 'Traceback' not in moved.stderr
