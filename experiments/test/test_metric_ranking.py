# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A metric that orders policies as success does is found, and chance is not taken for it."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from arm_recordings import ARM, arm_policy, write_arm
from hypothesis import given
from hypothesis import strategies as some
from policies import tiny_policy
from scipy import stats

from experiments.measured_policies import held_out_bags, read_policies
from experiments.metric_ranking import Metric, main, permutation_p, rank, value_at
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import Statistics

ERROR, MET = Metric('error', 'error'), Metric('met', 'met', 1)


def write_policy(folder, outcomes, policy=None, *, bags=50, held_out=0.04, name='official'):
    save_checkpoint(
        policy or tiny_policy(),
        folder,
        training={'bags': bags},
        results={'validation': {'action': 0.5}},
    )
    (folder / 'config.json').write_text(json.dumps({'held_out': held_out}))
    solved = {task: [bool(x) for x in states] for task, states in outcomes.items()}
    (folder / f'{name}.json').write_text(json.dumps({'tasks': {}, 'outcomes': solved}))
    return folder


def test_where_all_policies_but_one_are_alike_the_interval_reaches_to_no_relation():
    found = rank(MET, [1, 1, 1, 1, 1, 2], np.arange(6.0))
    low, high = found.interval
    assert low == 0.0
    assert low < found.correlation < high


def test_a_metric_counts_for_as_much_as_it_orders_by_success():
    success = np.array([0.1, 0.3, 0.5, 0.9])
    assert rank(ERROR, [4.0, 3.0, 2.0, 1.0], success).correlation == pytest.approx(1)
    assert rank(MET, [4.0, 3.0, 2.0, 1.0], success).correlation == pytest.approx(-1)
    assert rank(ERROR, [4.0, 3.0, 2.0, None], success).correlation is None
    assert rank(ERROR, [2.0] * 4, success).correlation is None
    # Two of 24 orders are as strict, this one and its reverse.
    assert rank(ERROR, [4.0, 3.0, 2.0, 1.0], success).p == pytest.approx(2 / 24)


@given(
    some.lists(some.integers(0, 3), min_size=5, max_size=5).filter(lambda v: len(set(v)) > 1),
    some.permutations(range(5)),
)
def test_the_p_value_is_the_share_of_orders_that_correlate_as_much(values, success):
    values, success = np.array(values, float), np.array(success, float)
    found = abs(stats.spearmanr(values, success).statistic)
    others = [
        abs(stats.spearmanr(values[list(order)], success).statistic)
        for order in itertools.permutations(range(5))
    ]
    expected = np.mean(np.array(others) >= found - 1e-9)
    assert permutation_p(values, success) == pytest.approx(expected)


def test_with_many_policies_random_orders_give_the_p_value_of_theory():
    generator = np.random.default_rng(3)
    values = generator.normal(size=30)
    success = values + 3 * generator.normal(size=30)
    expected = stats.spearmanr(values, success).pvalue
    assert permutation_p(values, success) == pytest.approx(expected, rel=0.2)
    low, high = rank(MET, list(values), success).interval
    assert low < stats.spearmanr(values, success).statistic < high < 1


def test_numbers_are_found_by_their_path_and_what_was_not_measured_is_none():
    report = {'a': {'b': [1, 2.5]}, 'none': None}
    assert value_at(report, 'a.b.-1') == 2.5
    assert value_at(report, 'none.inside') is None


def test_policies_that_are_not_measured_on_every_task_are_left_out(tmp_path):
    for name, solved in (('bad', [0, 0, 0, 1]), ('good', [1, 1, 1, 1]), ('middle', [1, 0, 1, 0])):
        write_policy(tmp_path / name, {'a': solved[:1], 'b': solved[1:]})
    write_policy(tmp_path / 'underway', {'a': [1]})
    save_checkpoint(tiny_policy(), tmp_path / 'base', training={}, results={})
    policies, left_out = read_policies(tmp_path)
    assert [policy.folder.name for policy in policies] == ['bad', 'good', 'middle']
    # Every task counts the same, however many episodes it has.
    assert [policy.success for policy in policies] == pytest.approx([1 / 6, 1, 2 / 3])
    assert set(left_out) == {'underway', 'base'}
    assert left_out['underway'] == 'success is known of 1 of 2 tasks'
    with pytest.raises(ValueError, match='at least 3 are needed'):
        read_policies(tmp_path, ['widened'])


def test_bags_are_held_out_only_where_every_training_did(tmp_path):
    for name in 'abc':
        write_policy(tmp_path / name, {'task': [1]})
    policies, _ = read_policies(tmp_path)
    bags = [tmp_path / f'{number:02d}' for number in range(50)]
    assert [bag.name for bag in held_out_bags(bags, policies)] == ['24', '49']
    with pytest.raises(ValueError, match='trained on 50 bags, here are 49'):
        held_out_bags(bags[1:], policies)
    own = tmp_path / 'b' / 'bags.json'
    own.write_text(json.dumps([bag.name for bag in bags]))
    assert held_out_bags(bags, read_policies(tmp_path)[0])
    own.write_text(json.dumps([bag.name for bag in reversed(bags)]))
    with pytest.raises(ValueError, match='not those of b in their order'):
        held_out_bags(bags, read_policies(tmp_path)[0])
    own.unlink()
    write_policy(tmp_path / 'd', {'task': [1]}, held_out=0.1)
    with pytest.raises(ValueError, match='name bags that none of them has seen'):
        held_out_bags(bags, read_policies(tmp_path)[0])


def test_the_command_evaluates_every_policy_on_the_bags_and_ranks_the_metrics(tmp_path, capsys):
    config = arm_policy().config
    for off, solved in ((0.05, [1, 1, 1, 1]), (0.2, [1, 1, 0, 0]), (0.4, [0, 0, 0, 0])):
        mean = np.array(config.action_statistics.mean) + off
        policy = Policy(
            dataclasses.replace(config, action_statistics=Statistics(tuple(mean), (1e-3,) * 3))
        )
        write_policy(tmp_path / f'runs/off_{off}', {'task': solved}, policy.eval())
    write_policy(tmp_path / 'runs/underway', {'other': [1], 'task': [1]}, name='widened')
    bags = [write_arm(tmp_path / 'bags/first', 25), write_arm(tmp_path / 'bags/second', 25)]
    arguments = {'bags': (tmp_path / 'bags',), 'measured': ('official',), 'arm': str(ARM)}
    main(tmp_path / 'runs', tmp_path / 'out', **arguments)
    told = capsys.readouterr()
    assert '3 policies with 0 to 100% success' in told.out
    assert '| mean absolute error | +1.00 |' in told.out
    assert "| loss on the training's validation | says nothing |" in told.out
    assert 'underway is left out' in told.err
    content = json.loads((tmp_path / 'out/ranking.json').read_text())
    assert content['bags'] == [bag.name for bag in bags]
    assert content['frames'] == 50
    errors = next(m for m in content['metrics'] if m['metric'] == 'mean absolute error')['values']
    assert errors == sorted(errors)
    assert (tmp_path / 'out/ranking.png').stat().st_size > 0
    with pytest.raises(ValueError, match='Name bags with --bags'):
        main(tmp_path / 'runs', tmp_path / 'out', arm=str(ARM), measured=('official',))
