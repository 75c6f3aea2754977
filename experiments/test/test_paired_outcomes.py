# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Two policies are compared on the states that both tried, and on no others."""

import json

import pytest

from experiments.paired_outcomes import UNCHANGED, compare_outcomes
from experiments.row_outcomes import RowOutcomes
from ros2_gridsampler.evaluating.success_rate import paired_difference

OPEN, LIFT = 'open the drawer', 'lift the bowl'


@pytest.fixture
def write(tmp_path):
    def write(name, outcomes, **said):
        path = tmp_path / f'{name}.json'
        path.write_text(json.dumps({'outcomes': outcomes, **said}))
        return path

    return write


def test_only_states_that_both_tried_are_paired(write):
    one = write('one', {OPEN: [True, False, True], LIFT: [True]})
    other = write('other', {OPEN: [False, False], 'close it': [True]})
    result = compare_outcomes([one], [other])
    assert result.pairs == [(True, False), (False, False)]
    assert result.difference == paired_difference([(True, False), (False, False)])
    assert '1 of 2 = 50%' in str(result)


def test_several_files_are_counted_together_each_with_its_partner(tmp_path):
    files = {}
    for name, solved in (('a_widened', True), ('b_widened', False), ('c_official', True)):
        files[name] = tmp_path / f'{name}.json'
        outcomes = RowOutcomes('libero_spatial', 'aa')
        outcomes.add(0, OPEN, (solved, True))
        outcomes.save(files[name])
    a, b, c = files.values()
    result = compare_outcomes([a, c], [b, c]).to_json()
    assert result['episodes'] == 4
    assert result['successes'] == [4, 3]
    assert (result['only_first'], result['only_second']) == (1, 0)
    for sides in (([a, b], [c, c]), ([a, a], [b, c])):
        with pytest.raises(ValueError, match='A file stands twice on one side'):
            compare_outcomes(*sides)
    with pytest.raises(ValueError, match=r'c_official.*placements.*a_widened'):
        compare_outcomes([c], [a])


@pytest.mark.parametrize('what', ['suite', 'placements', 'rendering', 'perturbation'])
def test_files_of_other_states_are_refused_where_they_say_so(write, what):
    one, other = (write(name, {OPEN: [True]}, **{what: name}) for name in ('one', 'other'))
    silent = write('silent', {OPEN: [True]})
    with pytest.raises(ValueError, match=f"has the {what} 'one'.*'other'"):
        compare_outcomes([one], [other])
    if what in UNCHANGED:
        # A file that says nothing was measured in the scene as it is.
        usual = write('usual', {OPEN: [True]}, **{what: UNCHANGED[what]})
        assert compare_outcomes([usual], [silent]).pairs == [(True, True)]
        with pytest.raises(ValueError, match=f'has the {what}'):
            compare_outcomes([silent], [one])
    else:
        assert compare_outcomes([one], [silent]).pairs == [(True, True)]
        assert compare_outcomes([silent], [one]).pairs == [(True, True)]


@pytest.mark.parametrize(
    'text',
    ['', '[]', '5', '{}', '{"outcomes": [true]}', '{"outcomes": {"a": ["true"]}}', '[' * 100_000],
)
def test_a_file_without_outcomes_is_named(tmp_path, text, write):
    path = tmp_path / 'broken.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'broken\.json has no outcomes.*success --json'):
        compare_outcomes([path], [write('other', {OPEN: [True]})])


def test_files_without_partner_or_common_state_are_refused(write):
    one, other = write('one', {OPEN: [True]}), write('other', {LIFT: [True]})
    with pytest.raises(ValueError, match=r'2 files of the first policy and 1 of the second'):
        compare_outcomes([one, one], [other])
    with pytest.raises(ValueError, match='no state of any task in common'):
        compare_outcomes([one], [other])
