# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the documentation is run or says why not, and every link leads somewhere."""

import contextlib
import importlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from doc_pages import ROOT, blocks, command_blocks, pages
from test_package import setup_arguments

from docs.pages import REFERENCE, without_dead_ends, written
from docs.reference import MEANING, PAGES, channels, launch_page, parameters_page
from ros2_gridsampler.command_line import COMMANDS, main
from ros2_gridsampler.command_line.running import parse
from ros2_gridsampler.seeing.stream_health import LADDER, Rung

LANGUAGES = {'bash', 'python', 'yaml', 'json', 'text'}
# What a line of a block may begin with besides, and no test can know.
OTHERS = {'python3', 'pip', 'ros2', 'colcon', 'source', '.venv/bin/python'}
LINK = re.compile(r'\[[^\]\[]*\]\((?!\w+:)([^)\s#]*)#?([^)\s]*)\)')
BLOCKS = command_blocks()
HAS_LIBERO = importlib.util.find_spec('libero') is not None


def names(block):
    return f'{block.page}:{block.line}'


@pytest.mark.parametrize('block', BLOCKS, ids=names)
def test_a_block_of_commands_is_run_by_a_test_or_says_why_not(block):
    assert bool(block.run_by) != bool(block.not_run), f'{names(block)} has no mark before it'
    if block.run_by:
        text = (ROOT / block.run_by).read_text()
        assert os.path.basename(block.page) in text
        assert 'blocks(' in text
    for test in re.findall(r'test_\w+\.py', block.not_run):
        assert (ROOT / 'test' / test).is_file()


@pytest.mark.parametrize('page', pages())
def test_a_fenced_block_says_what_it_is(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, names(block)
        if block.language != 'bash':
            assert not re.search(r'^(gridsampler|ros2|make|python) ', block.text, re.M), names(
                block
            )


@pytest.mark.parametrize('block', BLOCKS, ids=names)
def test_a_command_of_a_page_is_one_that_would_be_understood(block):
    assert block.commands
    for words in block.commands:
        understand(words)


def understand(words):
    """Fails where a command, an option, a parameter, a file or a target does not exist."""
    if '=' in words[0]:
        words = words[1:]
    if not words:
        return
    words = [word.strip('[]') if re.match(r'\[-|\w+\]$', word) else word for word in words]
    program, rest = words[0], words[1:]
    if program == 'gridsampler':
        understand_gridsampler(rest)
    elif program == 'torchrun':
        understand_gridsampler(rest[rest.index('ros2_gridsampler.command_line') + 1 :])
    elif words[:2] == ['python', '-m'] and words[2].startswith('experiments.'):
        understand_experiment(words[2], words[3:])
    elif 'pytest' in program or 'pytest' in rest[:2]:
        for path in re.findall(r'[\w/]+\.py\b', ' '.join(rest)):
            assert (ROOT / path).is_file()
    elif program == 'make':
        makefile = (ROOT / 'Makefile').read_text()
        assert re.search(rf'^{rest[0]}:', makefile, re.M), rest[0]
    elif words[:2] == ['ros2', 'launch']:
        section = launch_page().partition(f'## {words[3]}\n')[2].partition('\n## ')[0]
        for given in (word for word in words[4:] if word != '...'):
            assert f'| `{given.partition(":=")[0]}` |' in section, given
    elif words[:3] == ['ros2', 'param', 'set'] or program == 'policy_node':
        chosen = [words[4]] if program == 'ros2' else re.findall(r'-p (\S+?):=', ' '.join(rest))
        assert chosen
        for name in chosen:
            assert f'| `{name}` |' in parameters_page()
    elif program == 'pip' or 'pip' in rest:
        wanted = re.search(r'\.\[([\w,]+)\]', ' '.join(rest))
        assert set(wanted[1].split(',')) <= setup_arguments()['extras'].keys()
    else:
        assert program in OTHERS, words


def options(words):
    return {word for word in words if word.startswith('--')}


def understand_gridsampler(words):
    name = next(n for n in (' '.join(words[:2]), words[0]) if n in COMMANDS)
    rest = words[len(name.split()) :]
    if '...' in rest:
        said = io.StringIO()
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
            main([*name.split(), '--help'])
        assert all(option in said.getvalue() for option in options(rest))
        return
    # What reads the arguments reads them wholly, and nothing is done yet.
    try:
        parse(COMMANDS[name], name, rest)
    except ValueError as error:
        pytest.fail(f'gridsampler {" ".join(words)}: {error}')


def understand_experiment(module, words):
    source = (ROOT / f'{module.replace(".", "/")}.py').read_text()
    (function,) = re.findall(r'import (\w+) as command', source)
    pytest.importorskip('torch')
    # What the shell puts in is not known here.
    words = ['BAG' if word.startswith('$(') else word for word in words]
    try:
        parse(getattr(importlib.import_module(module), function), module, words)
    except (ValueError, SystemExit) as error:
        pytest.fail(f'python -m {module} {" ".join(words)}: {error}')


@pytest.mark.parametrize('page', [*pages(), 'experiments/README.md'])
def test_a_command_in_a_sentence_has_the_options_that_the_sentence_gives_it(page):
    text = re.sub(r'^```.*?^```', '', (ROOT / page).read_text(), flags=re.M | re.S)
    for code in re.findall(r'`(gridsampler [^`]+)`', text):
        words = shlex.split(' '.join(code.split()), comments=True)[1:]
        if words[0].isupper() or words[0] == '...':
            continue
        found = [n for n in (' '.join(words[:2]), words[0]) if n in COMMANDS]
        below = [n for n in COMMANDS if n.startswith(f'{words[0]} ')]
        assert found or (len(words) == 1 and below), f'{page}: {code}'
        if options(words):
            understand_gridsampler([*found[0].split(), '...', *options(words)])
    for code in re.findall(r'`(python -m experiments\.[^`]+)`', text):
        words = shlex.split(' '.join(code.split()), comments=True)
        # A sentence may name an experiment without its arguments.
        if options(words) - {'--help'}:
            understand_experiment(words[2], words[3:])


@pytest.mark.parametrize('page', [str(path) for path in written()])
def test_a_link_of_a_page_leads_to_a_file_and_to_a_heading_that_are_there(page):
    text = re.sub(r'^```.*?^```', '', (ROOT / page).read_text('utf-8'), flags=re.M | re.S)
    text = re.sub(r'`[^`]*`', '', text)
    for target, anchor in LINK.findall(text):
        place = (ROOT / page).parent / target if target else ROOT / page
        place = place.resolve()
        if place.parent == (ROOT / REFERENCE).resolve():
            assert place.name in PAGES, f'{page}: {target}'
            continue
        assert place.exists(), f'{page}: {target}'
        if anchor:
            headings = re.findall(r'^#+ (.*)$', place.read_text('utf-8'), re.M)
            slugs = {
                re.sub(r'[^\w\s-]', '', h).strip().lower().replace(' ', '-') for h in headings
            }
            assert anchor in slugs, f'{page}: {target}#{anchor}'


def test_a_link_to_a_file_that_is_no_page_becomes_text_and_a_dead_one_stays():
    page = written()[0]
    known = {page}
    text = f'[code](setup.py) [gone](nowhere.md) [self]({page}) ![picture](resource/demo.jpg)'
    seen = without_dead_ends(text, page, known)
    assert seen == f'code [gone](nowhere.md) [self]({page}) ![picture](resource/demo.jpg)'


def test_the_navigation_names_every_page_once_and_no_other():
    def leaves(node):
        if isinstance(node, str):
            return [node]
        return [
            leaf
            for each in (node.values() if isinstance(node, dict) else node)
            for leaf in leaves(each)
        ]

    named = leaves(yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav'])
    known = {str(path) for path in written()} | {str(REFERENCE / name) for name in PAGES}
    assert len(named) == len(set(named))
    assert set(named) <= known
    # Pages of arms are listed by the page of all arms.
    assert {path for path in known - set(named) if not path.startswith('docs/arms/')} == set()


def test_the_reference_says_what_every_topic_and_service_of_the_nodes_is_for():
    opened = {channel.name for channel in channels()}
    assert opened == MEANING.keys()
    assert {'~/stop', '~/action_chunk', '~/twist_command', '/diagnostics'} <= opened


@pytest.mark.parametrize(
    'name', ['parameters.md', 'recipes.md', 'manifest.md', 'report.md', 'launch.md']
)
def test_the_reference_says_what_every_field_means(name):
    rows = re.findall(r'^\| `(\S+)` \|(?:.*\|)? (.*) \|$', PAGES[name](), re.M)
    assert len(rows) > 20
    assert [field for field, meaning in rows if len(meaning) < 5] == []


def test_the_reference_has_the_help_of_every_command():
    text = PAGES['commands.md']()
    for command in COMMANDS:
        assert f'### gridsampler {command}\n' in text
        assert f'usage: gridsampler {command} ' in text


def parameters():
    """Name of each parameter of the policy node -> its default, as the reference has it."""
    section = parameters_page().partition('## policy_node')[2].partition('\n## ')[0]
    return dict(re.findall(r'^\| `(\S+)` \| .*? \| `?(.*?)`? \| ', section, re.M))


def test_the_page_about_safety_has_the_ladder_of_the_code():
    page = (ROOT / 'docs/explanation/safety.md').read_text()
    section = page.partition('## The ladder')[2].partition('\n## ')[0]
    rungs = re.findall(r'^\| ([A-Z]+) \| .+ \|$', section, re.M)
    assert rungs == [rung.name for rung in Rung]
    rows = re.findall(r'^\| (.+?) \| ([A-Z]+) \| .*\|$', section, re.M)
    assert rows == [(fault.value, rung.name) for fault, rung in LADDER.items()]
    told = re.findall(r'`([a-z_.]+)`', section)
    assert len(told) > 10
    assert set(told) <= parameters().keys()


def test_a_default_that_a_page_names_beside_a_parameter_is_that_of_the_code():
    known, seen = parameters(), 0
    for page in pages():
        said = ' '.join((ROOT / page).read_text().split())
        for name, number, unit in re.findall(r'`([a-z_.]+)` \(([\d.]+) ?(\w*)\b', said):
            if name in known:
                scale = 1e-3 if unit == 'ms' else 1.0
                default = float(number) * scale
                assert float(known[name]) == pytest.approx(default), f'{page}: {name}'
                seen += 1
    assert seen > 10


@pytest.mark.parametrize('block', BLOCKS, ids=names)
def test_what_a_block_trains_is_used_from_where_the_training_writes_it(block):
    written_to = [
        words[words.index('--out') + 1]
        for words in block.commands
        if words[:2] == ['gridsampler', 'train'] and '--base' not in words
    ]
    for words in block.commands:
        for out in written_to:
            assert not [word for word in words if word.startswith(f'{out}/')], words


def test_the_page_about_reducers_names_a_reducer_that_exists():
    pytest.importorskip('torch')
    from ros2_gridsampler.policy.token_reducers import REDUCERS

    (train,) = [b for b in blocks('docs/howto/add_a_reducer.md') if 'gridsampler train' in b.text]
    (chosen,) = re.findall(r'reducer=(\w+)', train.text)
    assert chosen in REDUCERS


def run(block, places=()):
    """Runs the commands of a block, with folders in place of its words in capitals."""
    places = dict(places)
    said = ''
    for words in block.commands:
        program = [sys.executable, '-m', 'ros2_gridsampler.command_line']
        if words[0] == 'python':
            program = [sys.executable]
        done = subprocess.run(
            [*program, *(str(places.get(word, word)) for word in words[1:])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'LP_NUM_THREADS': '1'},
        )
        assert done.returncode == 0, f'{words}: {done.stderr}'
        said += done.stdout
    return said


def run_by_this_file(page):
    return [block for block in blocks(page) if block.run_by == 'test/test_docs.py']


def test_the_first_demo_checks_the_policy_and_counts_its_arithmetic():
    check, flops = run_by_this_file('docs/tutorials/first_demo.md')
    assert 'golden' in run(check)
    assert '89' in run(flops)


@pytest.mark.skipif(not HAS_LIBERO, reason='LIBERO is not installed; pip install .[sim]')
@pytest.mark.timeout(1800)
def test_the_tutorial_records_trains_checks_and_measures_on_the_simulated_arm(tmp_path):
    (block,) = run_by_this_file('docs/tutorials/simulated_arm.md')
    said = run(block, {'DEMOS': tmp_path / 'demos', 'RUN': tmp_path / 'run'})
    assert len(list((tmp_path / 'demos').glob('libero*'))) == 2
    assert (tmp_path / 'run' / 'manifest.json').is_file()
    assert 'of 1' in said


def test_what_the_page_of_the_models_says_of_two_policies_is_what_its_command_says():
    (block,) = run_by_this_file('models/README.md')
    figures = re.search(r'([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\)', run(block))
    row = re.search(
        r'points found before the first block \(ours\).*', (ROOT / block.page).read_text()
    )
    assert figures
    assert figures[0] in row[0]
