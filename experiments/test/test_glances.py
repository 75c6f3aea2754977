# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What another sentence does to the points is measured in cells and drawn."""

import cv2
import numpy as np
import pytest

from experiments.glances import Glance, Glances

IMAGES = {'front': np.full((64, 96, 3), 90, np.uint8)}


def glance(*points):
    return Glance(IMAGES, {'front': np.array(points)})


def test_a_shift_is_the_mean_distance_between_the_same_points_under_two_sentences():
    glances = Glances((5, 7))
    assert glances.shift() == 0.0
    glances.add((0, 0), 'Lift it.', glance((0.0, 0.0), (1.0, 1.0)))
    assert glances.shift() == 0.0, 'one sentence has nothing to differ from'
    # Three of the six steps between the columns, four of the four between the rows.
    glances.add((0, 0), 'Push it.', glance((0.5, 1.0), (1.0, 1.0)))
    assert glances.shift() == pytest.approx((5.0 + 0.0) / 2)
    # Another state counts by itself and is not compared with the first.
    glances.add((1, 0), 'Lift it.', glance((0.2, 0.2), (0.2, 0.2)))
    glances.add((1, 0), 'Push it.', glance((0.2, 0.2), (0.2, 0.2)))
    assert glances.shift() == pytest.approx(5.0 / 4)


def test_the_picture_shows_the_first_state_under_every_sentence(tmp_path):
    glances = Glances((4, 6))
    with pytest.raises(ValueError, match='No episode was run'):
        glances.draw(tmp_path / 'none.png', 16)
    glances.add((0, 0), 'Lift it.', glance((0.0, 0.0)))
    glances.add((0, 0), 'Push it.', glance((1.0, 1.0)))
    glances.draw(tmp_path / 'two.png', 16)
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / 'two.png')), cv2.COLOR_BGR2RGB)
    yellow = (np.abs(picture.astype(int) - (255, 214, 0)) < 12).all(2)
    rows, columns = np.nonzero(yellow)
    left = columns < picture.shape[1] / 2
    assert left.any(), 'the first sentence has a point'
    assert (~left).any(), 'and so has the second'
    assert rows[left].mean() < rows[~left].mean(), 'which is farther down in the second'
