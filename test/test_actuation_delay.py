# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The delay of an arm is found from what was commanded and measured, or said not to be there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.calibrating.delay_estimate import estimate_delay
from ros2_gridsampler.simulation.kinematic_arm import KinematicArm

TIMES = np.arange(0, 8, 0.01)


def follow(commanded, delay, lag):
    arm = KinematicArm(commanded[:1], np.zeros(3), lag=lag, delay=delay)
    measured = []
    for time, position in zip(TIMES, commanded, strict=True):
        arm.command('joints', np.array([position]), time)
        arm.step(time, 0.01)
        measured.append(arm.joints[0])
    return np.array(measured)


@settings(deadline=None, max_examples=15)
@given(delay=st.floats(0, 0.5), lag=st.floats(0.001, 0.1), offset=st.floats(-0.5, 0.5))
def test_the_delay_of_an_arm_is_found_whatever_its_lag_and_offset(delay, lag, offset):
    commanded = 0.1 * np.clip(4 * np.sin(2 * TIMES), -1, 1)
    measured = follow(commanded, delay, lag) + offset
    found = estimate_delay(TIMES, commanded, TIMES, measured)
    assert delay - 0.015 <= found.seconds <= delay + lag + 0.025


def test_an_arm_that_does_not_follow_is_told():
    commanded = np.sin(TIMES)
    with pytest.raises(ValueError, match='does not follow'):
        estimate_delay(TIMES, commanded, TIMES, np.random.default_rng(0).normal(size=TIMES.size))
    with pytest.raises(ValueError, match='did not move'):
        estimate_delay(TIMES, np.zeros_like(TIMES), TIMES, TIMES)
    with pytest.raises(ValueError, match='is the controller running'):
        estimate_delay(TIMES, commanded, TIMES[:3], TIMES[:3])
