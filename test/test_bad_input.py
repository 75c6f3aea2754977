# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What no command can use is refused in one sentence, before it works long or writes."""

import re
import shlex
import shutil
import sys

import pytest
from arm_recordings import ARM, arm_policy, write_arm
from policies import tiny_policy

from ros2_gridsampler.command_line import main
from ros2_gridsampler.command_line.encoder_commands import list_known
from ros2_gridsampler.policy.checkpoint import save_checkpoint

RECIPES = ARM.parents[1] / 'models/recipes'
EVALUATE = f'evaluate bag --policy policy --arm {ARM} --out out'
TRAIN = f'train {RECIPES}/g1_bottle.yaml bag --out out'
PRETRAIN = f'pretrain {RECIPES}/mi_mae_libero.yaml bag --out out'
RECORD = 'record --out out'
SUCCESS = 'success --policy hand'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a bag, two policies, a file, and nothing else."""
    folder = tmp_path_factory.mktemp('place')
    write_arm(folder / 'bag', 4)
    save_checkpoint(arm_policy(), folder / 'policy', training={}, results={})
    save_checkpoint(tiny_policy(), folder / 'hand', training={}, results={})
    (folder / 'file').write_text('nothing that anybody reads')
    (folder / 'empty').mkdir()
    (folder / 'unweighted').mkdir()
    shipped = RECIPES.parent / 'encoders/mi_mae_libero/manifest.json'
    shutil.copy(shipped, folder / 'unweighted')
    return folder


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        (f'{EVALUATE} --latency-ms -5', 'latency_ms is -5.0 ms, expected at least 0 ms'),
        (f'{EVALUATE} --latency-ms nan', 'latency_ms is nan ms'),
        (f'{EVALUATE} --injected-ms 60 inf', 'injected_ms is inf ms'),
        (
            f'{EVALUATE} --command-rate 0',
            'rate is 0.0 Hz, expected at least 1 Hz and at most',
        ),
        (f'{EVALUATE} --command-rate nan', 'rate is nan Hz'),
        (f'{EVALUATE} --jobs 0', "--jobs is a number of processes .* got '0'"),
        (f'{EVALUATE} --jobs many', "got 'many'"),
        (
            'evaluate bag --policy policy --out file/x',
            'cannot be a folder: .*file is a file; name another',
        ),
        (f'{EVALUATE} --intervals file', 'file is not a list of'),
        (f'{EVALUATE} --intervals nowhere', 'nowhere is not there; look at the name'),
        (f'{EVALUATE} --gate nowhere', 'nowhere is not there; look at the name'),
        (f'{EVALUATE} --topics nowhere', 'nowhere is not there; look at the name'),
        (f'{EVALUATE} --backend abacus', "'abacus'. are not known; use some of"),
        (f'{EVALUATE} --encoder empty', 'empty has no manifest.json'),
        (
            'evaluate nowhere --policy policy --arm so101 --out out',
            'No rosbag2 recording in nowhere',
        ),
        (f'{TRAIN} --change steps=0', 'steps is 0, expected at least 1'),
        (f'{TRAIN} --change batch=-1', 'batch is -1, expected at least 1'),
        (f'{TRAIN} --change save_every=0', 'save_every is 0, expected at least 1'),
        (f'{TRAIN} --change learning_rate=.nan', 'learning_rate is nan, expected more than 0'),
        (f'{TRAIN} --change held_out=2', 'held_out is 2.0, expected at least 0 and at most 1'),
        (f'{TRAIN} --cache file', 'file cannot be a folder'),
        ('train empty bag --out out', 'empty'),
        (f'{PRETRAIN} --change log_every=0', 'log_every is 0, expected at least 1'),
        (
            f'{PRETRAIN} --change steps=-1 --change views=0',
            'views is 0, .*; steps is -1, expected',
        ),
        (f'{PRETRAIN} --compute nan', '--compute is nan TFLOP; expected more than 0'),
        (f'{PRETRAIN} --compute -1', '--compute is -1 TFLOP'),
        (f'{PRETRAIN} --compute 1e300', 'last for ever; give less'),
        (f'train {RECIPES}/g1_bottle.yaml bag typo --out out', 'No rosbag2 recording in typo'),
        ('evaluate bag empty --policy policy --out out', 'No rosbag2 recording in empty'),
        ('calibrate drift bag bag --save x.xyz', '--save writes a PNG file, got x.xyz'),
        ('calibrate drift bag bag --save file/x.png', 'file cannot be a folder'),
        (f'{RECORD} --episodes 0', 'episodes is 0, expected at least 1'),
        (f'{RECORD} --noise inf', 'noise is inf m/s, expected at least 0 m/s and at most 5'),
        (f'{RECORD} --tasks 0,99', 'libero_spatial has no task 99; choose 0 to 9'),
        (f'{RECORD} --tasks ""', 'Whole numbers are separated by commas'),
        (f'{RECORD} --tasks 1,1', r'Tasks \[1, 1\] of libero_spatial name one twice'),
        (f'{RECORD} --suite libero_moon', "LIBERO has no suite 'libero_moon'; choose one of"),
        (
            f'{RECORD} --seed 3',
            'seed is 3, expected at least 1000 .smaller ones are',
        ),
        (
            f'{RECORD} --wander 0',
            'wander is 0 periods, expected at least 1 periods and at most 40 periods',
        ),
        ('record --out file', 'file cannot be a folder'),
        (f'{SUCCESS} --episodes 0', 'got 0 episodes, ask for 1 to that many'),
        (f'{SUCCESS} --tasks 0,10', 'libero_spatial has no task 10; choose 0 to 9'),
        (f'{SUCCESS} --suite moon', "LIBERO has no suite 'moon'"),
        (f'{SUCCESS} --json file/x.json', 'file cannot be a folder'),
        ('success --policy policy', 'policy commands joint_position .* trained on its recordings'),
        ('check libero_spatial --runs 0', '0 predictions cannot be timed'),
        ('check libero_spatial --threads 0', 'threads is 0, expected at least 1'),
        ('adapt policy empty bag --out out --batch 0', 'batch is 0, expected at least 1'),
        ('adapt policy empty bag --out out --steps -1', 'steps is -1, expected at least 0'),
        (
            'adapt policy empty bag --out out',
            "'empty' is neither the folder of an encoder nor one",
        ),
        ('adapt policy empty bag --out file', 'file cannot be a folder'),
        ('encoders serve nowhere', 'nowhere is no folder; name one that holds folders of'),
        ('encoders serve file', 'file is no folder'),
        ('encoders serve empty', 'empty holds no encoder'),
        ('encoders serve policy', 'policy is a checkpoint itself; name the folder that it lies'),
        ('encoders list --store nowhere', 'nowhere is no folder; name a store'),
        ('encoders show nowhere', "'nowhere' is neither the folder of an encoder nor one of"),
        ('encoders show empty', "'empty' is neither the folder of an encoder nor one of"),
        ('encoders verify nowhere', 'nowhere has no manifest.json'),
        ('encoders verify empty', 'empty has no manifest.json'),
        ('encoders verify file', 'file is a file; name the folder'),
        ('encoders verify policy', 'manifest.json does not describe encoder.safetensors'),
        ('encoders verify unweighted', 'unweighted has no encoder.safetensors; copy'),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(place, monkeypatch, capsys, command, words):
    if command.startswith(('record', 'success')):
        pytest.importorskip('libero', reason='LIBERO is not installed; pip install .[sim]')
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, 'argv', ['gridsampler', *shlex.split(command)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 1, said
    assert said.err.startswith('gridsampler: ')
    assert said.err.count('\n') == 1, said.err
    assert re.search(words, said.err), said.err
    assert not (place / 'out').exists(), 'refused, and yet something was written'


def test_a_store_without_encoders_is_said_to_be_one(place, capsys):
    list_known(store=place / 'empty')
    assert 'empty holds no encoder that was received' in capsys.readouterr().err
