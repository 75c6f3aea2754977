# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""package.xml, setup.py, README and the folders say the same."""

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import ros2_gridsampler
from ros2_gridsampler.command_line.moved_commands import MOVED
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.command_line.simulation_commands import success

ROOT = Path(__file__).parents[1]


def setup_arguments():
    """Literal keyword arguments of setup(), with EXTRAS."""
    tree = ast.parse((ROOT / 'setup.py').read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'EXTRAS':
            found['extras'] = ast.literal_eval(node.value)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup':
            for keyword in node.keywords:
                if isinstance(keyword.value, ast.Constant):
                    found[keyword.arg] = ast.literal_eval(keyword.value)
    return found


def test_the_version_and_licence_stand_in_three_places_and_agree():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    arguments = setup_arguments()
    versions = {package.findtext('version'), arguments['version'], ros2_gridsampler.__version__}
    assert len(versions) == 1
    assert package.findtext('license') == arguments['license'] == 'Apache-2.0'
    assert package.find('maintainer').get('email') == arguments['maintainer_email']


def test_every_message_package_that_the_nodes_import_is_a_dependency():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {element.text for element in package.findall('exec_depend')}
    extras = setup_arguments()['extras']
    used = set()
    for path in (ROOT / 'ros2_gridsampler').rglob('*.py'):
        used |= set(re.findall(r'^from (\w+_(?:msgs|srvs|interfaces))\.', path.read_text(), re.M))
    assert used <= declared
    # These arrive with rclpy's own wheels.
    implied = {
        'std_msgs',
        'geometry_msgs',
        'rcl_interfaces',
        'rosgraph_msgs',
        'builtin_interfaces',
    }
    for distribution in ('ros', 'ros-kilted'):
        wheels = ' '.join(extras[distribution])
        assert all(name.replace('_', '-') in wheels for name in used - implied)


def test_every_python_file_says_whose_it_is_and_under_which_licence():
    for path in [*ROOT.glob('*.py'), *ROOT.glob('[delrt]*/**/*.py')]:
        if 'build' not in path.parts:
            assert 'SPDX-License-Identifier: Apache-2.0' in path.read_text()[:200], path


def test_the_readme_is_short_and_names_files_that_exist():
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 120
    for name in re.findall(
        r'`((?:acting|calibration|experiments|models|nodes|policy|ros2_gridsampler|seeing|training)'
        r'/[\w./*]+)`',
        text,
    ):
        places = [*ROOT.glob(name), *(ROOT / 'ros2_gridsampler').glob(name)]
        assert places, f'README names {name}'


@pytest.mark.parametrize('command', ['record', 'train', 'success', 'demo', 'evaluate', 'faults'])
def test_the_commands_of_the_readme_explain_themselves(command):
    readme = (ROOT / 'README.md').read_text()
    help_text = subprocess.run(
        [sys.executable, '-m', 'ros2_gridsampler.command_line', command, '--help'],
        capture_output=True,
        text=True,
        check=True,
        env={'COLUMNS': '200', 'HOME': '/tmp'},
    ).stdout
    for line in re.findall(rf'gridsampler {command} (.*)', readme):
        for option in re.findall(r'--[\w-]+', line):
            assert option in help_text


def test_the_make_targets_of_the_readme_exist():
    makefile = (ROOT / 'Makefile').read_text()
    for target in re.findall(r'^make (\w+)', (ROOT / 'README.md').read_text(), re.M):
        assert re.search(rf'^{target}:', makefile, re.M)


def test_make_alone_lists_targets_and_each_of_them_exists():
    makefile = (ROOT / 'Makefile').read_text()
    targets = re.findall(r'^([a-z][\w-]*):', makefile, re.M)
    listed = re.findall(r'^# make ([\w-]+) ', makefile, re.M)
    assert targets[0] == 'help'
    assert {'demo', 'test', 'docs'} <= set(listed) <= set(targets)
    done = subprocess.run(['make', '-s'], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == listed


def test_each_test_of_make_test_is_run_by_one_of_its_steps():
    done = subprocess.run(
        ['make', '--dry-run', 'test'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    apart = re.findall(r'--ignore=(\S+)', done.stdout)
    named = set(re.findall(r' ((?:experiments/)?test/test_\w+\.py)', done.stdout))
    assert len(apart) == len(set(apart))
    assert named <= set(apart)
    # That step is for x86-64 alone.
    assert set(apart) - named <= {'test/test_tensorrt_plan.py'}
    assert all((ROOT / each).is_file() for each in apart)


def test_the_coverage_has_a_floor_and_make_test_measures_it_with_branches():
    config = (ROOT / 'pyproject.toml').read_text().partition('[tool.coverage.run]')[2]
    for folder in ('acting', 'seeing'):
        assert f"'ros2_gridsampler/{folder}'" in config
    assert 'branch = true' in config
    floor = int(re.search(r'^fail_under = (\d+)$', config, re.M).group(1))
    declared = (ROOT / 'QUALITY_DECLARATION.md').read_text()
    assert f'at least {floor} %' in declared


def test_a_mistake_is_one_sentence_and_a_failure():
    result = subprocess.run(
        [sys.executable, '-m', 'ros2_gridsampler.command_line', 'success', '--policy', 'nobody'],
        capture_output=True,
        text=True,
        check=False,
        env={'HOME': '/tmp'},
    )
    assert result.returncode == 1
    assert result.stderr.startswith("gridsampler: 'nobody' is neither a path nor one of")
    assert 'Traceback' not in result.stderr


def test_a_long_measurement_does_not_begin_where_its_result_cannot_be_kept(tmp_path):
    with json_output(tmp_path / 'new' / 'out.json') as write:
        write({'a': 1})
    assert json.loads((tmp_path / 'new' / 'out.json').read_text()) == {'a': 1}
    with pytest.raises(OSError, match='name a file'):
        json_output(tmp_path).__enter__()
    with pytest.raises(OSError, match='name a file'):
        success(json=tmp_path)


def test_a_command_that_became_an_experiment_names_its_new_name_and_runs():
    for name in MOVED.values():
        assert (ROOT / 'experiments' / f'{name}.py').is_file()
    result = subprocess.run(
        [sys.executable, '-m', 'ros2_gridsampler.command_line', 'compare-success', '--help'],
        capture_output=True,
        text=True,
        check=False,
        env={'HOME': '/tmp', 'PYTHONPATH': str(ROOT)},
    )
    assert result.returncode == 0
    assert '`python -m experiments.paired_outcomes`' in result.stderr
    assert 'usage: python -m experiments.paired_outcomes' in result.stdout


def test_without_the_repository_a_moved_command_names_its_new_name_and_fails(tmp_path):
    place = tmp_path / 'site' / 'package' / 'command_line' / 'moved_commands.py'
    place.parent.mkdir(parents=True)
    place.write_text((ROOT / 'ros2_gridsampler/command_line/moved_commands.py').read_text())
    call = (
        f'import runpy; runpy.run_path({str(place)!r})["run_moved"](["benchmark", "step", "pi0"])'
    )
    result = subprocess.run(
        [sys.executable, '-c', call], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.count('\n')) == (1, 1)
    assert '`python -m experiments.lerobot_step_cost`' in result.stderr


def test_a_result_that_grows_is_in_its_file_at_once_and_goes_to_standard_output_once(
    tmp_path, capsys
):
    file = tmp_path / 'out.json'
    for path in (file, Path('-')):
        with json_output(path) as write:
            sys.stdout.write('working\n')
            write({'rows': 1})
            if path == file:
                assert json.loads(file.read_text()) == {'rows': 1}
            write({'rows': 2})
    assert json.loads(file.read_text()) == {'rows': 2}
    out, error = capsys.readouterr()
    assert json.loads(out.removeprefix('working\n')) == {'rows': 2}
    assert error == 'working\n'
