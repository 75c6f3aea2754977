# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What was measured of a row is taken up again only for the same suite and weights."""

import pytest

from experiments.row_outcomes import load_outcomes


def test_outcomes_are_read_as_they_were_written(tmp_path):
    file = tmp_path / 'widened.json'
    known = load_outcomes(file, 'libero_90', 'aa')
    known.add(3, 'open the drawer', (True, False))
    known.add(7, 'open the drawer', (True, True, True))
    known.add(3, 'open the drawer', (True, False, False))
    known.save(file)
    again = load_outcomes(file, 'libero_90', 'aa')
    assert again == known
    assert [again.episodes(task) for task in (3, 7, 8)] == [3, 3, 0]
    assert again.outcomes == {
        'open the drawer': (True, False, False),
        'open the drawer (task 7)': (True, True, True),
    }


def test_outcomes_of_another_suite_or_other_weights_are_refused(tmp_path):
    file = tmp_path / 'widened.json'
    load_outcomes(file, 'libero_spatial', 'aa').save(file)
    for suite, weights, word in (
        ('libero_goal', 'aa', 'suite'),
        ('libero_spatial', 'b', 'sha256'),
    ):
        with pytest.raises(ValueError, match=f'{word}.*move the file away'):
            load_outcomes(file, suite, weights)
    file.write_text('{"tasks": {}, "outcomes": {}}')
    with pytest.raises(ValueError, match='suite None'):
        load_outcomes(file, 'libero_spatial', 'aa')
    file.write_text('{"suite": "libero_spatial", "weights_sha256": "aa", "outcomes": {}}')
    with pytest.raises(ValueError, match='which task has which number'):
        load_outcomes(file, 'libero_spatial', 'aa')
