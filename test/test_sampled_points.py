# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A point is drawn where it was read."""

import numpy as np
import pytest

from ros2_gridsampler.policy.sampled_points import draw_points

PATCH, SCALE = 16, 3


@pytest.mark.parametrize('column', [0, 3])
@pytest.mark.parametrize('row', [0, 1, 2])
def test_a_point_at_a_cell_is_drawn_at_the_centre_of_its_patch(column, row):
    black = np.zeros((48, 64, 3), np.uint8)
    point = np.array([[column / 3, row / 2]])
    drawn = draw_points({'front': black}, {'front': point}, patch=PATCH, scale=SCALE)
    assert drawn.shape == (SCALE * 48, SCALE * 64, 3)
    y, x = np.argwhere(drawn.any(-1)).mean(0)
    assert x == pytest.approx(SCALE * PATCH * (column + 0.5), abs=1.5)
    assert y == pytest.approx(SCALE * PATCH * (row + 0.5), abs=1.5)


def test_cameras_stand_side_by_side():
    white = np.full((48, 64, 3), 255, np.uint8)
    black = np.zeros((48, 64, 3), np.uint8)
    nothing = np.empty((0, 2))
    drawn = draw_points(
        {'front': white, 'wrist': black}, {'front': nothing, 'wrist': nothing}, patch=16, scale=2
    )
    assert (drawn[:, :128] == 255).all()
    assert not drawn[:, 128:].any()


def test_cameras_of_other_sizes_stand_side_by_side_too():
    pictures = {
        'front': np.full((48, 64, 3), 255, np.uint8),
        'wrist': np.full((32, 32, 3), 255, np.uint8),
    }
    nothing = dict.fromkeys(pictures, np.empty((0, 2)))
    drawn = draw_points(pictures, nothing, patch=16, scale=2)
    assert drawn.shape == (96, 192, 3)
    assert (drawn[:64, 128:] == 255).all()
    assert not drawn[64:, 128:].any()
