# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk answers for the time that it covers and for nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionChunk, ActionSpace, OutsideChunk

STARTS = st.sampled_from([0.0, 1.0, 1.75e9 + 0.123456])


@given(STARTS, st.integers(1, 9), st.integers(0, 8))
def test_a_target_is_given_exactly_at_its_time(start, steps, index):
    targets = np.random.default_rng(0).normal(size=(steps, 3))
    chunk = ActionChunk(start, 0.05, targets)
    index = min(index, steps - 1)
    np.testing.assert_allclose(chunk.at(start + index * 0.05), targets[index], atol=1e-5)


@given(STARTS, st.floats(0, 1))
def test_between_two_targets_the_action_lies_between_them(start, fraction):
    chunk = ActionChunk(start, 0.1, np.array([[0.0], [1.0]]))
    assert chunk.at(start + fraction * 0.1)[0] == pytest.approx(fraction, abs=1e-5)


@pytest.mark.parametrize('offset', [-0.001, 0.201, np.nan])
def test_time_outside_the_chunk_is_refused(offset):
    chunk = ActionChunk(5.0, 0.1, np.zeros((3, 2)))
    with pytest.raises(OutsideChunk):
        chunk.at(5.0 + offset)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_refused_by_name(bad):
    targets = np.zeros((4, 3))
    targets[2, 1] = bad
    with pytest.raises(ValueError, match='action 1 at step 2'):
        ActionChunk(0.0, 0.1, targets)


def test_an_action_space_that_nobody_could_interpret_is_refused():
    with pytest.raises(ValueError, match='unique'):
        ActionSpace('joint_position', ('a', 'a'))
    with pytest.raises(ValueError, match='entries'):
        ActionSpace('end_effector_twist', ('a',), 'base')
    with pytest.raises(ValueError, match='is not known'):
        ActionSpace('torque', ('a',))


@pytest.mark.parametrize('shape', [(0, 3), (3, 0), (3,), (1, 2, 3)])
def test_a_chunk_without_steps_or_actions_is_refused(shape):
    with pytest.raises(ValueError, match='is .steps, actions., got shape'):
        ActionChunk(0.0, 0.1, np.zeros(shape))


@pytest.mark.parametrize(('start', 'period'), [(np.nan, 0.1), (0.0, 0.0), (0.0, -1.0)])
def test_a_chunk_whose_steps_have_no_times_is_refused(start, period):
    with pytest.raises(ValueError, match='finite start and a positive period'):
        ActionChunk(start, period, np.zeros((3, 2)))
