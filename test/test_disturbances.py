# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is executed instead of the demonstrator's command."""

import numpy as np

from ros2_gridsampler.simulation.demonstrations import (
    CARRIED,
    LET_GO,
    SPEED,
    UNNOTICED,
    ExecutionNoise,
    Slip,
)

TWIST = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
TO_GOAL = np.array([0.3, -0.4, 0.2])
OPEN = 0.08


def executed(slip, carrying, periods=CARRIED + LET_GO + UNNOTICED[1]):
    return [slip(carrying, TWIST, 0.0, TO_GOAL, OPEN) for _ in range(periods)]


def test_the_hand_opens_once_then_goes_on_closed_and_empty_and_then_obeys_again():
    for seed in range(20):
        commands = executed(Slip(1.0, np.random.default_rng(seed)), carrying=True)
        openings = np.array([gripper for _, gripper in commands])
        first = int(np.argmax(openings))
        assert first < CARRIED
        assert (openings > 0).sum() == LET_GO
        assert (openings[first : first + LET_GO] == OPEN).all()
        own = np.array([np.array_equal(twist, TWIST) for twist, _ in commands])
        gone_on = np.flatnonzero(~own)
        assert gone_on[0] == first
        assert len(gone_on) == gone_on[-1] - gone_on[0] + 1
        assert UNNOTICED[0] <= len(gone_on) - LET_GO < UNNOTICED[1]
        twist = commands[first][0]
        np.testing.assert_allclose(twist[:2], SPEED * TO_GOAL[:2] / 0.5)
        np.testing.assert_array_equal(twist[2:], TWIST[2:])


def test_nothing_is_let_go_that_is_not_carried_nor_in_the_other_episodes():
    for slip, carrying in (
        (Slip(1.0, np.random.default_rng(0)), False),
        (Slip(0.0, np.random.default_rng(0)), True),
    ):
        assert all(g == 0.0 and np.array_equal(t, TWIST) for t, g in executed(slip, carrying))


def test_a_share_of_the_episodes_has_it():
    generators = map(np.random.default_rng, range(400))
    slipped = [any(g > 0 for _, g in executed(Slip(0.3, each), True)) for each in generators]
    assert 0.22 < np.mean(slipped) < 0.38


def test_noise_comes_in_bursts_and_is_none_at_zero_deviation():
    noise = ExecutionNoise(0.25, np.random.default_rng(0))
    pushes = np.array([noise() for _ in range(2000)])
    still = np.abs(pushes).max(1) < 1e-3
    assert 0.1 < still.mean() < 0.9
    assert pushes[:, 3:].std() < pushes[:, :3].std()
    quiet = ExecutionNoise(0.0, np.random.default_rng(0))
    assert not any(quiet().any() for _ in range(100))
