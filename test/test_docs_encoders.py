# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the tutorial new_site.md do what it says; encoders.md says what a swap is."""

import importlib.util
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from camera_bags import write_bag
from doc_pages import ROOT, blocks
from policies import tiny_policy
from test_encoder_swap import keep_encoder

from ros2_gridsampler.command_line import main
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder_manifest
from ros2_gridsampler.encoders.probe_scores import read_scores
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.simulation.demonstrations import tries_log

PAGE = ' '.join((ROOT / 'docs' / 'howto' / 'encoders.md').read_text().split())


def tutorial(number=0):
    """The commands of a block of the tutorial, split into words."""
    mine = 'test/test_docs_encoders.py'
    run = [block for block in blocks('docs/tutorials/new_site.md') if block.run_by == mine]
    return run[number].commands


def test_the_tutorial_adapts_verifies_and_lists_an_encoder(tmp_path, capsys):
    pytest.importorskip('lightning_fabric')
    policy = tiny_policy(sample_after=3)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    torch.manual_seed(5)
    keep_encoder(Encoder(policy.config.encoder), tmp_path / 'encoder')
    for number in range(2):
        write_bag(tmp_path / 'bags' / f'bag{number}', number)
    names = {
        'POLICY': str(tmp_path / 'policy'),
        'ENCODER': str(tmp_path / 'encoder'),
        'BAGS': str(tmp_path / 'bags'),
        'ENCODERS': str(tmp_path / 'encoders'),
        'ENCODERS/site_b': str(tmp_path / 'encoders' / 'site_b'),
    }
    commands = [[names.get(word, word) for word in words] for words in tutorial(1)]
    commands[0] += ['--steps', '3']
    assert [words[1] for words in commands] == ['adapt', 'encoders', 'encoders', 'encoders']
    # The last one serves until it is stopped; test_encoder_server has it.
    for words in commands[:-1]:
        assert words[0] == 'gridsampler'
        main(words[1:])
    said = capsys.readouterr().out
    assert 'features after' in said
    assert 'all checks passed' in said
    assert 'mi_mae_libero' in said


def test_the_table_of_a_card_is_what_the_manifest_beside_it_holds():
    folders = [path.parent for path in sorted(ROOT.glob('models/encoders/*/manifest.json'))]
    assert folders
    for folder in folders:
        scores = read_scores(load_encoder_manifest(folder))
        rows = [line for line in (folder / 'README.md').read_text().splitlines() if ' to ' in line]
        assert [row for row in rows if row.startswith('| ')] == [
            f'| {score.probe}, {score.features} | {score.value:.2f} {score.unit} | '
            f'{score.interval[0]:.2f} to {score.interval[1]:.2f} | {score.samples} |'
            for score in scores
        ]


def test_the_command_of_the_cards_shows_both_encoders_in_one_table(capsys):
    mine = 'test/test_docs_encoders.py'
    (block,) = [block for block in blocks('models/encoders/README.md') if block.run_by == mine]
    ((program, *words),) = block.commands
    assert program == 'gridsampler'
    main(words)
    said = capsys.readouterr().out
    assert ' mae_libero ' in said.partition('read linearly')[2]
    assert ' mi_mae_libero ' in said.partition('read linearly')[2]


@pytest.fixture
def near_own(tmp_path):
    """An encoder that is hardly another than that of `libero`."""
    policy, _ = load_checkpoint(find('models', 'libero'))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.encoder.parameters():
            parameter.mul_(1 + 1e-4 * torch.randn_like(parameter))
    keep_encoder(policy.encoder, tmp_path / 'near_own')
    return tmp_path / 'near_own'


def started(words, **options):
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, '-m', 'ros2_gridsampler.command_line', *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def modified(folder):
    """When each file of a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


@pytest.mark.skipif(
    importlib.util.find_spec('libero') is None,
    reason='LIBERO is not installed; pip install .[sim]',
)
@pytest.mark.timeout(1800)
def test_the_tutorial_stops_goes_on_and_swaps_an_encoder_into_the_running_policy(
    near_own, tmp_path, capsys
):
    pytest.importorskip('lightning_fabric')
    ((program, *words),) = tutorial()
    assert (program, *words) == ('gridsampler', 'tutorial', 'new-site')
    out = tmp_path / 'site'
    # The machine of a test is busy, and may be slow for a while.
    words += ['--small', '--out', str(out), '--max-latency-ratio', '1000', '--encoder']
    words.append(str(near_own))
    tries = tries_log(out / 'recordings', 'libero_spatial', 0)
    with started(words) as first:
        while not (tries.exists() and tries.read_text()):
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        first.send_signal(signal.SIGINT)
        said = first.communicate()[1]
    assert first.returncode == 130
    assert 'the same command goes on' in said.splitlines()[-1]
    recorded = tries.read_text()
    with started(words) as second:
        said = second.communicate()
    assert second.returncode == 0, said
    assert tries.read_text().startswith(recorded)

    result = json.loads((out / 'result.json').read_text())
    served = load_encoder_manifest(out / 'encoders' / 'site').weights_sha256
    swap = result['swap']
    # Whether the trial is passed is up to how often the safety filter has to intervene.
    assert [state for state, _ in swap['states']][-3:] == ['shadow', 'trial', swap['outcome']], (
        swap
    )
    assert swap['outcome'] in ('accepted', 'rolled back')
    assert swap['before'] != served == result['encoder sha256']
    in_use = served if swap['outcome'] == 'accepted' else swap['before']
    assert swap['after'] == in_use
    for when in ('before', 'after'):
        assert result['rates'][when]['episodes'] == 1
    page = (out / 'index.html').read_text()
    assert f'<code id="in-use">{in_use}</code>' in page
    for film in ('before', 'shadow', 'after'):
        assert f'src="live/{film}.mp4"' in page
        assert (out / 'live' / f'{film}.mp4').stat().st_size > 1000

    # What is done is not done again, and a refusal is on the page with its reason.
    swap = {**swap, 'outcome': 'refused', 'reason': 'It says <other> things.'}
    (out / 'live' / 'swap.json').write_text(json.dumps(swap))
    stages = ('recordings', 'encoders', 'before', 'after', 'live')
    before = {stage: modified(out / stage) for stage in stages}
    main(words)
    assert before == {stage: modified(out / stage) for stage in stages}
    page = (out / 'index.html').read_text()
    assert 'The encoder was refused' in page
    assert 'It says &lt;other&gt; things.' in page
    with pytest.raises(SystemExit):
        main([*words, '--episodes', '2'])
    assert 'holds a run with other settings' in capsys.readouterr().err


def test_the_page_names_the_defaults_of_an_adaptation_as_they_are():
    from ros2_gridsampler.training.adapt_config import AdaptConfig

    config = AdaptConfig()
    for name in ('held_out', 'check_every', 'patience', 'steps', 'cloning_steps'):
        assert f'`--{name.replace("_", "-")}` ({getattr(config, name):g})' in PAGE, name


def test_the_page_names_the_thresholds_as_they_are():
    from ros2_gridsampler.encoders.swap_config import SwapConfig

    config = SwapConfig()
    for name in (
        'shadow_observations',
        'min_cosine',
        'max_deviation',
        'max_latency_ratio',
        'max_latency',
        'trial_time',
        'trial_commands',
        'max_more_interventions',
    ):
        place = PAGE.partition(f'`swap.{name}`')[2]
        assert place, f'{name} is not on the page'
        assert place.startswith(f' ({getattr(config, name):g}'), name
