# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler`: its table of contents, its help, what it prints and what it refuses."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.command_line import COMMANDS, contents, main
from ros2_gridsampler.command_line.arguments import json_argument
from ros2_gridsampler.command_line.outputs import where_to_look
from ros2_gridsampler.files import find

HEAVY = ('torch', 'rclpy', 'mujoco', 'cv2', 'rosbags', 'openvino', 'transformers')
ALL_HELP = f"""
import contextlib, io, sys
from ros2_gridsampler.command_line import COMMANDS, main
for name in COMMANDS:
    said = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
        main([*name.split(), '--help'])
    assert f'usage: gridsampler {{name}}' in said.getvalue(), said.getvalue()
print([name for name in {HEAVY} if name in sys.modules])
"""


def refusal(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    said = capsys.readouterr()
    assert (end.value.code, said.err.count('\n')) == (1, 1), said
    return said.err


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h']])
def test_without_a_command_every_command_is_listed_on_one_line_of_a_terminal(arguments, capsys):
    main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in COMMANDS:
        assert sum(line.startswith(f'  {name}  ') for line in lines) == 1, name


@pytest.mark.parametrize('word', ['encoders', 'calibrate', 'benchmark'])
def test_the_first_word_of_several_commands_lists_these_alone(word, capsys):
    main([word])
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith('  ')]
    assert listed == [line for line in contents().splitlines() if line.startswith(f'  {word} ')]


def test_help_of_any_command_loads_nothing_that_only_its_work_needs():
    done = subprocess.run(
        [sys.executable, '-c', ALL_HELP], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, '[]'), done.stderr


@given(st.sampled_from(sorted(COMMANDS)), st.integers(0, 30))
def test_a_command_that_lacks_a_letter_is_named_in_the_refusal(name, place):
    place %= len(name)
    typed = name[:place] + name[place + 1 :]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit):
        main(typed.split())
    assert f'`gridsampler {name}`' in said.getvalue().partition('did you mean')[2]


@pytest.mark.parametrize('group', ['schedule', 'ladder', 'streams'])
def test_the_help_of_a_flag_ends_with_the_unit_of_its_number(group, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '90')
    with pytest.raises(SystemExit):
        main(['evaluate', '--help'])
    said = re.sub(r'\x1b\[[\d;]*m|│', '', capsys.readouterr().out)
    (config,) = (f.default_factory for f in dataclasses.fields(LoopConfig) if f.name == group)
    numbers = [f for f in dataclasses.fields(config) if 'unit' in f.metadata]
    assert numbers
    for number in numbers:
        flag = f'--{group}.{number.name.replace("_", "-")} '
        told = said.partition(flag)[2].partition('(default')[0]
        assert told.rstrip().endswith(f'[{number.metadata["unit"]}]'), told


def test_the_version_is_that_of_package_xml(capsys):
    main(['--version'])
    known = ElementTree.parse(Path(__file__).parents[1] / 'package.xml').findtext('version')
    assert capsys.readouterr().out == f'ros2_gridsampler {known}\n'


def test_a_command_like_no_other_is_refused_without_a_guess(capsys):
    assert 'did you mean' not in refusal(['zzz'], capsys)


def test_json_on_standard_output_stands_there_alone(capsys):
    pytest.importorskip('torch')
    main(['flops', '--model', 'smolvla', '--json', '-'])
    said = capsys.readouterr()
    assert json.loads(said.out)['total'] > 0
    assert 'total' in said.err


def test_json_without_a_path_still_means_standard_output_and_says_so(capsys):
    assert json_argument(['--json', '--tokens', '4']) == ['--json', '-', '--tokens', '4']
    assert json_argument(['--json']) == ['--json', '-']
    assert capsys.readouterr().err.count('--json takes a path') == 2
    for untouched in ([], ['--json', '-'], ['--json', 'out.json', '--tokens', '4']):
        assert json_argument(untouched) == untouched
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        (ModuleNotFoundError('no', name='rclpy'), r'rclpy is not installed; .*\[ros\].*source'),
        (ModuleNotFoundError('no', name='lightning_fabric'), r"pip install '.*\[train\]'"),
        (ModuleNotFoundError('no', name='nobody.knows'), r"nobody is not installed; .*\[full\]'"),
        (ImportError('no OpenGL: sudo apt-get install libegl1'), 'sudo apt-get install libegl1'),
    ],
)
def test_what_is_not_installed_is_said_with_the_command_that_installs_it(
    error, words, monkeypatch, capsys
):
    def need():
        raise error

    monkeypatch.setitem(COMMANDS, 'check', need)
    assert re.search(words, refusal(['check'], capsys))


def test_an_extra_that_brings_nothing_into_this_python_is_not_named(monkeypatch, capsys):
    def need():
        raise ModuleNotFoundError('no', name='lerobot')

    def requires(name):
        return ['lerobot[smolvla]>=0.6; python_version >= "3.12" and extra == "lerobot"']

    monkeypatch.setitem(COMMANDS, 'check', need)
    monkeypatch.setattr('importlib.metadata.requires', requires)
    monkeypatch.setattr('sys.version_info', (3, 11, 9))
    said = refusal(['check'], capsys)
    assert 'lerobot is not installed, and needs Python >=3.12; this is 3.11' in said
    assert said.count('\n') <= 1
    monkeypatch.setattr('sys.version_info', (3, 12, 1))
    assert "pip install 'ros2_gridsampler[lerobot]'" in refusal(['check'], capsys)


DRAW = """
from ros2_gridsampler.command_line.running import answer
def draw():
    from ros2_gridsampler.simulation.rendering import Renderer, mujoco
    Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 64, simplified=False)
answer(draw)
"""


@pytest.mark.skipif(
    importlib.util.find_spec('mujoco') is None,
    reason='MuJoCo is not installed; pip install .[sim]',
)
@pytest.mark.parametrize('platform', ['glfw', 'osmesa'])
def test_where_nothing_can_be_drawn_a_sentence_says_what_to_run(platform):
    hidden = {'DISPLAY', 'WAYLAND_DISPLAY', 'PYOPENGL_PLATFORM'}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, '-c', DRAW],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, 'MUJOCO_GL': platform},
    )
    if done.returncode == 0:
        pytest.skip(f'this machine draws by {platform} without a display')
    assert f'MUJOCO_GL={platform}' in done.stderr
    assert '`unset MUJOCO_GL`' in done.stderr
    assert 'Traceback' not in done.stderr


def test_without_a_display_a_page_is_said_with_the_command_that_brings_it_to_one(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(sys, 'platform', 'linux')
    page = tmp_path / 'out' / 'index.html'
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    said = where_to_look(page)
    assert said.startswith(page.as_uri())
    assert re.search(rf'scp -r \S+:{page.parent} \. and open out/index.html$', said)
    monkeypatch.setenv('DISPLAY', ':0')
    assert where_to_look(page) == page.as_uri()


@pytest.mark.parametrize(
    ('folder', 'suffix', 'command'),
    [('models', '', 'gridsampler train'), ('calibration', '.yaml', 'gridsampler calibrate arm')],
)
def test_a_policy_or_arm_that_is_not_there_is_refused_with_what_makes_one(folder, suffix, command):
    with pytest.raises(FileNotFoundError, match=command):
        find(folder, 'nobody', suffix)


@pytest.mark.parametrize('tasks', ['a,b', '1;2', '', '1,,2'])
def test_numbers_that_are_none_are_refused_with_an_example(tasks, capsys, tmp_path):
    said = refusal(['record', '--out', str(tmp_path / 'out'), '--tasks', tasks], capsys)
    assert 'like 0,1,2' in said


@pytest.mark.parametrize('words', [['0,3,9'], ['0', '3', '9'], ['0,', '3,', '9'], ['0,3', '9']])
def test_numbers_are_separated_by_commas_or_spaces(words, monkeypatch):
    got = []

    def take(tasks: tuple[int, ...]) -> None:
        got.append(tasks)

    monkeypatch.setitem(COMMANDS, 'check', take)
    main(['check', '--tasks', *words])
    assert got == [(0, 3, 9)]
