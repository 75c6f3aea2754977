# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Rotations in a foreign dataset are named, and joints are not taken for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros2_gridsampler.datasets.lerobot_import import name_rotations


def turns(seed, rows=20):
    return Rotation.random(rows, np.random.default_rng(seed))


@given(st.integers(0, 5), st.integers(0, 4), st.integers(0, 1000))
def test_a_quaternion_and_a_matrix_are_found_wherever_they_stand(before, between, seed):
    generator = np.random.default_rng(seed)
    rotation = turns(seed)
    parts = [
        generator.uniform(-2, 2, (20, before)),
        rotation.as_quat(),
        generator.uniform(-2, 2, (20, between)),
        rotation.as_matrix()[:, :, :2].transpose(0, 2, 1).reshape(20, 6),
    ]
    values = np.hstack(parts)
    names = [f'state_{i}' for i in range(values.shape[1])]
    first, second = name_rotations(names, values)
    assert first.startswith(f'Entries {before} to {before + 3} (')
    assert 'a quaternion (order unknown), no joints' in first
    start = before + 4 + between
    assert second.startswith(f'Entries {start} to {start + 5} (')
    assert 'a 6-D rotation' in second


@pytest.mark.parametrize(
    ('names', 'order'),
    [
        (('qx', 'qy', 'qz', 'qw'), 'x, y, z, w'),
        (('ee_quat_w', 'ee_quat_x', 'ee_quat_y', 'ee_quat_z'), 'w, x, y, z'),
        (('quat_0', 'quat_1', 'quat_2', 'quat_3'), 'order unknown'),
    ],
)
def test_the_order_is_that_of_the_names_even_of_a_hand_that_never_turns(names, order):
    still = np.tile(turns(1, 1).as_quat(), (10, 1))
    (sentence,) = name_rotations(['x', 'y', 'z', *names], np.hstack([np.zeros((10, 3)), still]))
    assert f'are a quaternion ({order})' in sentence


@given(st.integers(0, 1000), st.integers(1, 14))
def test_joints_are_not_taken_for_a_rotation(seed, count):
    values = np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (30, count)), 0)
    assert name_rotations([f'joint_{i}' for i in range(count)], values) == []
