# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A comparison is counted, paired and drawn from what was measured, and from nothing else."""

import json
import shutil

import pytest
import yaml
from policies import tiny_policy

from experiments.comparison import (
    BASE,
    check_comparison,
    load_comparison,
    run_row,
    train_base,
)
from experiments.comparison_table import step_flops, write_comparison
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.training.recipe import load_recipe

ROWS = {
    'dense': {'reducer': 'dense', 'tokens': 16},
    'grids_2': {'reducer': 'grid_sampler', 'tokens': 2},
    'queries_2': {'reducer': 'learned_queries', 'tokens': 2},
    'early_2': {'reducer': 'grid_sampler', 'tokens': 2, 'sample_after': 0},
}


@pytest.fixture
def comparison(request):
    return request.config.rootpath / 'models/recipes/comparison.yaml'


def test_every_row_of_the_published_comparison_is_a_recipe_that_can_be_trained(comparison):
    config = load_comparison(comparison)
    recipe = comparison.parent / config.recipe
    for name, row in config.rows.items():
        changes = {**config.row, **row}
        found = load_recipe(recipe, [f'{key}={json.dumps(v)}' for key, v in changes.items()])
        assert found.tokens <= 64, name
        assert found.steps == config.row['steps'], 'every row gets the same steps'
    assert {'dense', 'blind', 'mean', 'fixed_2x2', 'grids_4'} <= set(config.main_rows)


@pytest.mark.parametrize('name', ['comparison', 'frozen', 'longer', 'recovery', 'reducers'])
def test_the_rows_of_a_published_comparison_can_be_run(name, comparison):
    path = comparison.with_name(f'{name}.yaml')
    config = load_comparison(path)
    check_comparison(path, [*([BASE] if config.base else []), *config.rows])


def test_rows_without_a_base_start_where_they_say(tmp_path, comparison):
    content = yaml.safe_load(comparison.with_name('longer.yaml').read_text())
    content['recipe'] = str(comparison.parent / content['recipe'])
    file = tmp_path / 'a.yaml'
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match='every row has its own start'):
        train_base(file, [], tmp_path / 'out', tmp_path / 'cache')
    del content['rows']['grids_4']['start']
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"no base, so its rows \['grids_4'\] need a start"):
        load_comparison(file)


def test_a_table_holds_rates_pairs_and_costs_of_the_rows_that_were_measured(tmp_path, comparison):
    config = load_comparison(comparison)
    config.rows.clear()
    config.rows.update(ROWS | {'never_trained': {}})
    outcomes = {'dense': [1, 1, 1, 0], 'grids_2': [1, 1, 0, 0], 'early_2': [1, 1, 1, 1]}
    outcomes['queries_2'] = [0, 0, 0, 0]
    for name, changes in ROWS.items():
        save_checkpoint(
            tiny_policy(conditioned=False, **{'sample_after': 3, **changes}),
            tmp_path / name,
            training={},
            results={},
        )
        states = {'a': [bool(x) for x in outcomes[name][:2]]}
        states['b'] = [bool(x) for x in outcomes[name][2:]]
        content = json.dumps({'tasks': {}, 'outcomes': states})
        (tmp_path / name / 'widened.json').write_text(content)
        if name in ('dense', 'grids_2'):
            (tmp_path / name / 'official.json').write_text(content)
    text = write_comparison(config, tmp_path)
    assert '3/4 = 75%' in text
    assert '-25.0 (' in text
    assert 'never_trained' not in text
    assert text.count('not measured') == 2
    both = text.splitlines()[0].split(' | ').index('official and widened, against dense')
    cells = [line.split(' | ')[both] for line in text.splitlines()[2:]]
    assert [cell[:5] for cell in cells] == ['', '-25.0', '', '']
    assert cells[1].endswith('8 states')
    again = write_comparison(config, tmp_path, 'grids_2').splitlines()
    assert '+25.0' in again[2]
    assert '+25.0' not in again[3]
    kept = {row['name']: row for row in json.loads((tmp_path / 'comparison.json').read_text())}
    # After the tower, so small a trunk saves no more than the sampler costs.
    assert kept['early_2']['flops'] < min(kept['grids_2']['flops'], kept['dense']['flops'])
    assert (tmp_path / 'comparison.png').read_bytes()[:4] == b'\x89PNG'

    measured = tmp_path / 'grids_2' / 'widened.json'
    before = measured.read_text()
    for key, value in (('weights_sha256', 'aa'), ('encoder', 'x'), ('perturbation', 'light')):
        measured.write_text(json.dumps({key: value, **json.loads(before)}))
        with pytest.raises(ValueError, match=rf'widened\.json was measured with another {key}'):
            write_comparison(config, tmp_path)
    measured.write_text(before)

    shutil.rmtree(tmp_path / 'dense')
    with pytest.raises(ValueError, match="no trained row 'dense'"):
        write_comparison(config, tmp_path)


def test_flops_are_those_of_the_layers():
    """Counted by hand for the products of the tower of one picture."""
    policy = tiny_policy(reducer='dense', tokens=16, conditioned=False, sample_after=3)
    width, tokens, cameras, blocks = 32, 17, 2, 3
    linear = 2 * tokens * 12 * width * width
    attention = 4 * tokens * tokens * width
    stem = 2 * 16 * 16 * (7 * 7 * 3 * 8) + 2 * 16 * (4 * 4 * 8 * width)
    expected = cameras * (blocks * (linear + attention) + stem)
    assert step_flops(policy)[1] == expected


def test_a_comparison_that_cannot_be_run_says_why(tmp_path, comparison):
    content = yaml.safe_load(comparison.read_text())
    (tmp_path / 'bad.yaml').write_text(yaml.safe_dump(content | {'main_rows': ['best']}))
    with pytest.raises(ValueError, match=r"no rows \['best'\]"):
        load_comparison(tmp_path / 'bad.yaml')
    (tmp_path / 'bad.yaml').write_text(yaml.safe_dump(content | {'colour': 'red'}))
    with pytest.raises(ValueError, match='colour'):
        load_comparison(tmp_path / 'bad.yaml')
    with pytest.raises(ValueError, match='no row'):
        run_row(comparison, 'best', [], tmp_path, tmp_path)
    with pytest.raises(ValueError, match='not trained yet'):
        run_row(comparison, 'dense', [], tmp_path, tmp_path)
