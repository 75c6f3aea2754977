# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Published and foreign encoders become ones that a policy can use, or are refused by name."""

import argparse
import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camera_bags import write_bag
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy
from safetensors.torch import save_file
from test_encoder_swap import keep_encoder

from ros2_gridsampler.command_line.encoder_commands import list_known, show, verify
from ros2_gridsampler.command_line.training_commands import import_encoder as import_command
from ros2_gridsampler.encoders.compatibility import PolicyNeeds
from ros2_gridsampler.encoders.encoder_checkpoint import (
    ENCODER_WEIGHTS,
    load_encoder,
    load_encoder_manifest,
)
from ros2_gridsampler.encoders.probe_scores import Score, read_scores, score_table
from ros2_gridsampler.encoders.published_encoders import (
    NotAnEncoder,
    import_encoder,
    read_tensors,
    resize_positions,
)
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.manifest import load_manifest
from ros2_gridsampler.policy.policy_config import EncoderConfig

SIZES = {'S': (384, 12, 6), 'B': (768, 12, 12), 'L': (1024, 24, 16)}


def published(width=192, depth=2, *, timm=False, side=14):
    """A state dict as facebookresearch/mae (with its decoder) or timm (with a head) names it."""
    torch.manual_seed(0)
    config = EncoderConfig(16 * side, 16 * side, 16, width, depth, 3, ())
    tensors = {
        name: torch.randn_like(tensor)
        for name, tensor in Encoder(config).state_dict().items()
        if 'num_batches' not in name
    }
    extra = {'head.weight': torch.zeros(10, width), 'head.bias': torch.zeros(10)}
    if not timm:
        extra = {
            'mask_token': torch.zeros(1, 1, 512),
            'decoder_embed.weight': torch.zeros(512, width),
            'decoder_blocks.0.norm1.weight': torch.zeros(512),
        }
    return tensors | extra


@pytest.mark.parametrize('size', SIZES)
def test_the_shapes_of_a_vit_tell_its_architecture(size):
    width, depth, heads = SIZES[size]
    with torch.device('meta'):
        config = EncoderConfig(224, 224, 16, width, depth, heads, ())
        shapes = {name: tensor.shape for name, tensor in Encoder(config).state_dict().items()}
    tensors = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    assert import_encoder(tensors, 224, 224).encoder.config == config


@pytest.mark.parametrize('timm', [False, True], ids=['facebookresearch', 'timm'])
@pytest.mark.parametrize('ending', ['.safetensors', '.pth'])
def test_published_weights_become_an_encoder_that_computes_the_same(timm, ending, tmp_path):
    tensors = published(timm=timm)
    path = tmp_path / f'weights{ending}'
    if ending == '.pth':
        torch.save({'model': tensors, 'epoch': 3}, path)
    else:
        save_file(tensors, path)
    out = tmp_path / 'out'
    import_command(path, out, height=224, width=224, source='a test')
    encoder, manifest = load_encoder(out)
    assert encoder.config == EncoderConfig(224, 224, 16, 192, 2, 3, ())
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, tensors[name].half().float()), name
    assert manifest.training['source'] == 'a test'
    verify(out)


def test_positions_of_another_grid_are_interpolated_and_the_class_token_stays():
    grid = torch.linspace(0, 1, 14)
    ramp = torch.cat([torch.full((1,), 9.0), grid.repeat(14)])[None, :, None].expand(1, 197, 4)
    resized = resize_positions(ramp, (8, 8))
    assert resized.shape == (1, 65, 4)
    assert (resized[:, 0] == 9.0).all()
    rows = resized[0, 1:, 0].view(8, 8)
    assert torch.allclose(rows[0], rows[-1], atol=1e-5), 'no change across rows'
    assert (rows[0].diff() > 0).all(), 'columns still rise'
    wide = import_encoder(published(), 128, 192).encoder
    assert wide.config.grid == (8, 12)
    assert wide(torch.zeros(1, 128, 192, 3, dtype=torch.uint8)).isfinite().all()


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda t: t.pop('pos_embed'), 'pos_embed is missing'),
        (lambda t: t.pop('norm.weight'), "lacks \\['norm.weight'\\]"),
        (lambda t: t.update({'blocks.0.ls1.gamma': torch.ones(1)}), 'blocks.0.ls1.gamma'),
        (lambda t: t.update(pos_embed=torch.zeros(1, 100, 192)), 'side \\* side'),
        (lambda t: t['norm.weight'].fill_(torch.nan), 'not finite'),
        (lambda t: t.update({'norm.weight': t['norm.weight'].to(torch.int8)}), 'torch.int8'),
        (lambda t: t.update({'norm.weight': torch.ones(5)}), 'has shape \\(5,\\)'),
    ],
)
def test_what_is_no_plain_vit_is_refused_with_the_tensor(change, reason):
    tensors = published()
    change(tensors)
    with pytest.raises(NotAnEncoder, match=reason):
        import_encoder(tensors, 224, 224)


def transformers_names(name):
    """MAE's name -> that of transformers before its version 5, as on the hub."""
    for ours, theirs in (
        ('patch_embed.proj.', 'embeddings.patch_embeddings.projection.'),
        ('pos_embed', 'embeddings.position_embeddings'),
        ('cls_token', 'embeddings.cls_token'),
        ('blocks.', 'encoder.layer.'),
        ('.norm1.', '.layernorm_before.'),
        ('.norm2.', '.layernorm_after.'),
        ('.attn.proj.', '.attention.output.dense.'),
        ('.mlp.fc1.', '.intermediate.dense.'),
        ('.mlp.fc2.', '.output.dense.'),
    ):
        name = name.replace(ours, theirs)
    return f'vit.{"layernorm." + name[5:] if name.startswith("norm.") else name}'


def test_weights_by_the_names_of_transformers_are_the_same_encoder(tmp_path):
    tensors = {n: t for n, t in published().items() if not n.startswith(('decoder', 'mask'))}
    theirs = {
        'decoder.mask_token': torch.zeros(1, 1, 8),
        'decoder.decoder_norm.bias': torch.ones(8),
    }
    for name, tensor in tensors.items():
        renamed = transformers_names(name)
        if '.attn.qkv.' in name:
            for part, third in zip(('query', 'key', 'value'), tensor.chunk(3), strict=True):
                it = renamed.replace('.attn.qkv.', f'.attention.attention.{part}.')
                theirs[it] = third.contiguous()
        else:
            theirs[renamed] = tensor
    save_file(theirs, tmp_path / 'model.safetensors')
    found = import_encoder(read_tensors(tmp_path / 'model.safetensors'), 224, 224).encoder
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    del theirs['vit.encoder.layer.1.attention.attention.key.bias']
    save_file(theirs, tmp_path / 'model.safetensors')
    with pytest.raises(NotAnEncoder, match=r'lacks .*attn\.key\.bias'):
        read_tensors(tmp_path / 'model.safetensors')


def test_a_vitmae_of_transformers_gives_the_features_that_it_gives_there(tmp_path):
    transformers = pytest.importorskip('transformers')
    sizes = {'hidden_size': 192, 'num_hidden_layers': 2, 'num_attention_heads': 3}
    config = transformers.ViTMAEConfig(**sizes, intermediate_size=768, mask_ratio=0.0)
    torch.manual_seed(0)
    model = transformers.ViTMAEForPreTraining(config).eval()
    model.save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / 'model.safetensors')
    encoder = import_encoder(tensors, 224, 224).encoder
    picture = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)
    pixels = (picture.permute(0, 3, 1, 2) / 255 - encoder._mean) / encoder._deviation
    # In this order the patches stay, because its shuffle sorts this noise.
    noise = torch.linspace(0, 1, 196)[None]
    with torch.no_grad():
        expected = model.vit(pixels, noise=noise).last_hidden_state[:, 1:]
        found = encoder(picture).flatten(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_fine_tuned_mae_normalises_by_its_fc_norm_and_says_so(tmp_path, capsys):
    tensors = published(timm=True)
    plain = import_encoder(dict(tensors), 224, 224)
    for part in ('weight', 'bias'):
        tensors[f'fc_norm.{part}'] = tensors[f'norm.{part}'] + 1
    both = import_encoder(dict(tensors), 224, 224)
    assert both.last_norm == 'norm'
    assert torch.equal(both.encoder.norm.bias, plain.encoder.norm.bias)
    del tensors['norm.weight'], tensors['norm.bias']
    found = import_encoder(tensors, 224, 224)
    assert found.last_norm == 'fc_norm'
    assert torch.equal(found.encoder.norm.weight, tensors['fc_norm.weight'])
    picture = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)
    ours, theirs = (each.encoder.early(picture, 1) for each in (found, plain))
    assert torch.equal(ours, theirs), 'the tower is the same but for its last norm'
    save_file(tensors, tmp_path / 'weights.safetensors')
    import_command(tmp_path / 'weights.safetensors', tmp_path / 'out')
    assert 'fc_norm' in capsys.readouterr().out
    assert load_encoder(tmp_path / 'out')[1].training['last norm'] == 'fc_norm'


def test_a_run_of_ones_own_says_the_command_that_makes_it_loadable(tmp_path):
    path, tensors = tmp_path / 'checkpoint-799.pth', published()
    settings = argparse.Namespace(output_dir=Path('runs'), lr=1e-3)
    torch.save({'model': tensors, 'epoch': 799, 'args': settings}, path)
    with pytest.raises(NotAnEncoder, match=r'argparse\.Namespace') as refusal:
        read_tensors(path)
    command = str(refusal.value).partition('alone: ')[2].partition('; then import ')[0]
    words = shlex.split(command)
    subprocess.run([sys.executable, *words[1:]], check=True)
    found = read_tensors(tmp_path / 'checkpoint-799_tensors.pth')
    assert torch.equal(found['norm.weight'], tensors['norm.weight'])


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    mark, path = tmp_path / 'mark', tmp_path / 'evil.pth'
    torch.save({'model': Payload(mark)}, path)
    with pytest.raises(NotAnEncoder, match='tensors only') as refusal:
        read_tensors(path)
    assert 'weights_only' not in str(refusal.value)
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(NotAnEncoder):
        read_tensors(path)
    assert not mark.exists()
    for content in (b'', b'hello', b'\x80\x05garbage', bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(NotAnEncoder, match='tensors only') as refusal:
            read_tensors(path)
        assert 'weights_only' not in str(refusal.value)


def test_verify_says_what_is_wrong(tmp_path):
    folder = tmp_path / 'encoder'
    keep_encoder(Encoder(EncoderConfig(32, 32, 16, 16, 1, 2, ())), folder)
    verify(folder)
    weights = folder / ENCODER_WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-10] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match='the file was changed or cut'):
        verify(folder)
    weights.write_bytes(data[:-100])
    with pytest.raises(ValueError, match='no safetensors file'):
        verify(folder)


def test_the_list_says_what_keeps_an_encoder_from_a_policy(tmp_path, capsys):
    save_checkpoint(tiny_policy(), tmp_path / 'policy', training={}, results={})
    list_known(str(tmp_path / 'policy'), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert any('mi_mae_libero' in line and 'width is 128 instead of 32' in line for line in lines)
    list_known('libero_spatial', tmp_path)
    assert 'fits in shape, never measured' in capsys.readouterr().out
    show('mi_mae_libero')
    assert '"method": "mi_mae"' in capsys.readouterr().out


def test_one_table_says_what_each_encoder_is_good_for(tmp_path, capsys):
    list_known(store=tmp_path)
    found = capsys.readouterr().out
    table = found[found.index('read linearly') :].splitlines()
    assert table[0].split()[-4:] == ['mae_libero', 'mi_mae_libero', 'no', 'picture']
    (row,) = [line for line in table if line.startswith('gripper from the map')]
    for name in ('mae_libero', 'mi_mae_libero'):
        (score,) = [
            score
            for score in read_scores(load_encoder_manifest(find('models/encoders', name)))
            if (score.probe, score.features) == ('gripper', 'map')
        ]
        assert f'{score.value:.2f} ({score.interval[0]:.2f} to' in row
    assert 'gripper from the map [cm], 64 of libero_spatial' in row


SCORES = st.lists(
    st.builds(
        Score,
        probe=st.sampled_from(['object', 'goal']),
        features=st.sampled_from(['mean', 'map', 'none']),
        value=st.floats(0, 100),
        unit=st.just('cm'),
        interval=st.tuples(st.floats(0, 100), st.floats(0, 100)),
        samples=st.integers(1, 100),
        data=st.sampled_from(['', 'a place', 'another']),
    ),
    max_size=8,
)


@given(st.dictionaries(st.sampled_from(['one', 'two', 'three']), SCORES))
def test_a_row_compares_only_what_was_asked_of_the_same_data(encoders):
    heads, *rows = score_table(encoders).splitlines()
    probed = [name for name, scores in encoders.items() if scores]
    assert heads.split()[-len(probed) - 2 :] == [*probed, 'no', 'picture']
    everything = [score for scores in encoders.values() for score in scores]
    seen = [score for score in everything if score.features != 'none']
    asked = {(s.probe, s.features, s.samples, s.data) for s in seen}
    assert len(rows) == len(asked)
    for score in seen:
        assert any(score.probe in row and f'the {score.features} ' in row for row in rows)


@pytest.mark.parametrize(
    'probes',
    ['many', [{'probe': 'object'}], [{'probe': '\x1b[2J', 'features': 'map', 'value': 1.0}]],
)
def test_scores_that_cannot_be_read_are_told_and_do_not_hide_the_encoder(tmp_path, capsys, probes):
    policy = tiny_policy()
    keep_encoder(policy.encoder, tmp_path / 'received', {'probes': probes})
    sha256 = load_encoder(tmp_path / 'received')[1].weights_sha256
    (tmp_path / 'received').rename(tmp_path / sha256)
    (tmp_path / 'names.json').write_text(json.dumps({'theirs': sha256}))
    list_known(store=tmp_path)
    said = capsys.readouterr()
    assert 'theirs: ' in said.out
    assert 'The scores of theirs cannot be read' in said.err
    assert '\x1b' not in said.err + said.out


@pytest.mark.parametrize('sample_after', [3, 0], ids=['after the tower', 'before it'])
def test_an_encoder_learns_the_features_that_a_policy_knows(tmp_path, sample_after):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.adapt_encoder import adapt

    policy = tiny_policy(sample_after=sample_after)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    torch.manual_seed(5)
    keep_encoder(Encoder(policy.config.encoder), tmp_path / 'stranger')
    bags = [write_bag(tmp_path / f'bag{number}', number) for number in range(3)]
    config = AdaptConfig(steps=60, batch=8, every=1, check_every=20)
    folders = (tmp_path / 'policy', tmp_path / 'stranger')
    found = adapt(*folders, bags, tmp_path / 'out', tmp_path / 'c', config)
    assert found.measured['features after'] < 0.7 * found.measured['features before']
    alignment = found.fits['alignment']
    assert found.measured['features after'] == pytest.approx(min(alignment.errors), abs=1e-5)
    adapted, manifest = load_encoder(tmp_path / 'out')
    assert adapted.config == policy.config.encoder
    needs = PolicyNeeds.of(load_manifest(tmp_path / 'policy'), 'policy')
    assert needs.is_validated(manifest)
    training = manifest.training
    assert [training[key] for key in ('adapted on', 'chosen on', 'measured on')] == [
        ['bag0', 'bag1'],
        ['bag2'],
        ['bag2'],
    ]
    assert training['fits']['alignment']['kept'] == alignment.kept
    needs.check(manifest, 'out', allow_unvalidated=False, known=())
    for taken in folders:
        with pytest.raises(ValueError, match=f'{taken.name} is what is to be adapted'):
            adapt(*folders, bags, taken, tmp_path / 'c', config)
    with pytest.raises(ValueError, match='give a recipe'):
        cloning = AdaptConfig(steps=1, cloning_steps=1)
        adapt(*folders, bags, tmp_path / 'out', tmp_path / 'c', cloning)
    with pytest.raises(ValueError, match=r'another recipe \(batch differ\)'):
        adapt(*folders, bags, tmp_path / 'out', tmp_path / 'c', replace(config, batch=4))


def test_an_adaptation_that_was_stopped_goes_on_to_the_same_encoder(tmp_path):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.adapt_encoder import adapt

    policy = tiny_policy()
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    torch.manual_seed(5)
    keep_encoder(Encoder(policy.config.encoder), tmp_path / 'stranger')
    bags = [write_bag(tmp_path / f'bag{number}', number) for number in range(4)]
    config = AdaptConfig(steps=100, batch=8, every=1, check_every=10, held_out=0.5)

    def run(name):
        folders = (tmp_path / 'policy', tmp_path / 'stranger')
        return adapt(*folders, bags, tmp_path / name, tmp_path / 'c', config)

    whole = run('whole')
    log = tmp_path / 'stopped' / 'alignment' / 'log.jsonl'

    def stop():
        while not log.exists() or not log.read_text():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(InterruptedError, match='the same command goes on'):
            run('stopped')
        stopper.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (tmp_path / 'stopped' / ENCODER_WEIGHTS).exists()
    assert run('stopped') == whole
    files = [tmp_path / name / ENCODER_WEIGHTS for name in ('whole', 'stopped')]
    assert files[0].read_bytes() == files[1].read_bytes()
    training = load_encoder(tmp_path / 'whole')[1].training
    assert [training[key] for key in ('chosen on', 'measured on')] == [['bag1'], ['bag3']]


def test_an_encoder_that_gives_the_features_already_stays_as_it_is(tmp_path):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.adapt_encoder import adapt

    policy = tiny_policy()
    keep_encoder(policy.encoder, tmp_path / 'own')
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    bags = [write_bag(tmp_path / f'bag{number}', number) for number in range(2)]
    config = AdaptConfig(steps=1000, batch=4, every=1, check_every=5, patience=2)
    folders = (tmp_path / 'policy', tmp_path / 'own')
    fit = adapt(*folders, bags, tmp_path / 'out', tmp_path / 'c', config).fits['alignment']
    # Two looks in vain, and the way down.
    assert (fit.made, fit.kept) == (15, 0)
    assert 'step 0 is kept' in str(fit)
    one, other = (load_encoder(tmp_path / name)[1].encoder_sha256 for name in ('own', 'out'))
    assert one == other
