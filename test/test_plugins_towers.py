# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""GridS in other people's vision towers: same interface, fewer tokens, nothing lost."""

import copy

import pytest
import torch
from safetensors.torch import load_model, save_model

from ros2_gridsampler.policy.grid_sampler import GridSampler
from ros2_gridsampler.policy.point_locator import cell_centres
from ros2_gridsampler.vla.sequence_sampler import (
    SequenceSampler,
    read_at,
    sampler_for_trained_host,
)

transformers = pytest.importorskip(
    'transformers', reason="transformers is not installed; pip install '.[plugins]'"
)
from ros2_gridsampler.vla.lerobot import WindowAttachment, WindowSampler  # noqa: E402
from ros2_gridsampler.vla.vision_tower import SampledTower, TowerAttachment  # noqa: E402

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::FutureWarning')

CHANNELS, DEPTH, PATCH = 32, 3, 8
COMMON = {
    'hidden_size': CHANNELS,
    'num_hidden_layers': DEPTH,
    'num_attention_heads': 2,
    'patch_size': PATCH,
}


def tower(kind, attention='sdpa', width=48, height=48):
    torch.manual_seed(0)
    if kind == 'siglip':
        config = transformers.SiglipVisionConfig(
            **COMMON, intermediate_size=64, image_size=width, vision_use_head=False
        )
        model = transformers.SiglipVisionModel(config)
    elif kind == 'dinov2':
        config = transformers.Dinov2Config(**COMMON, image_size=width, mlp_ratio=2)
        model = transformers.Dinov2Model(config)
    elif kind == 'registers':
        config = transformers.Dinov2WithRegistersConfig(**COMMON, image_size=width, mlp_ratio=2)
        model = transformers.Dinov2WithRegistersModel(config)
    else:
        size = width if width == height else (height, width)
        config = transformers.ViTConfig(**COMMON, intermediate_size=64, image_size=size)
        model = transformers.ViTModel(config, add_pooling_layer=False)
    model.set_attn_implementation(attention)
    return model.eval()


PREFIX = {'siglip': 0, 'dinov2': 1, 'registers': 5, 'vit': 1}
KINDS = list(PREFIX)
PLACES = [None, 0, 1, DEPTH]


def pictures(batch=2, height=48, width=48):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('after', PLACES)
def test_reading_every_cell_is_the_dense_tower(kind, after):
    dense = tower(kind)
    expected = dense(pictures()).last_hidden_state
    sampler = sampler_for_trained_host(CHANNELS, 36)
    read_at(sampler, cell_centres(6, 6))
    attachment = TowerAttachment(dense, sampler, after)
    torch.testing.assert_close(dense(pictures()).last_hidden_state, expected)
    assert attachment.points.shape == (2, 36, 2)
    attachment.remove()
    assert torch.equal(dense(pictures()).last_hidden_state, expected)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('after', PLACES)
@pytest.mark.parametrize('attention', ['sdpa', 'eager'])
def test_few_tokens_come_out_and_the_loss_reaches_the_point_predictor(kind, after, attention):
    sampler = sampler_for_trained_host(CHANNELS, 4)
    sampled = SampledTower(tower(kind, attention), sampler, after)
    tokens, points = sampled(pictures())
    assert tokens.shape == (2, PREFIX[kind] + 4, CHANNELS)
    assert points.shape == (2, 4, 2)
    tokens[:, PREFIX[kind] :].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in sampler.predict.parameters())


@pytest.mark.parametrize('after', [None, 1])
def test_a_picture_that_is_not_square_is_read_in_its_own_proportions(after):
    wide = tower('vit', width=64, height=32)
    expected = wide(pictures(height=32, width=64)).last_hidden_state
    sampler = sampler_for_trained_host(CHANNELS, 32)
    read_at(sampler, cell_centres(4, 8))
    TowerAttachment(wide, sampler, after)
    torch.testing.assert_close(wide(pictures(height=32, width=64)).last_hidden_state, expected)


@pytest.mark.parametrize('kind', KINDS)
def test_a_tower_in_bfloat16_stays_finite_and_in_bfloat16(kind):
    for cast_after in (False, True):
        host = tower(kind).bfloat16()
        sampler = sampler_for_trained_host(CHANNELS, 4)
        sampled = SampledTower(host, sampler, 1)
        if cast_after:
            sampled = sampled.bfloat16()
        tokens, points = sampled(pictures().bfloat16())
        assert tokens.dtype == torch.bfloat16
        assert points.dtype == torch.float32
        assert tokens.isfinite().all()
        tokens.float().square().sum().backward()
        assert all(p.grad.isfinite().all() for p in sampler.predict.parameters())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('after', [None, 1])
def test_an_attached_tower_is_exported_as_one_graph(kind, after):
    sampled = SampledTower(tower(kind), sampler_for_trained_host(CHANNELS, 4), after).eval()
    exported = torch.export.export(sampled, (pictures(),), strict=False)
    torch.testing.assert_close(exported.module()(pictures()), sampled(pictures()))


def test_weights_come_back_from_a_file_with_the_sampler(tmp_path):
    one = SampledTower(tower('dinov2'), GridSampler(CHANNELS, 4), 1)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_model(one, str(tmp_path / 'tower.safetensors'))
    other = SampledTower(tower('dinov2'), GridSampler(CHANNELS, 4), 1)
    load_model(other, tmp_path / 'tower.safetensors', strict=True)
    torch.testing.assert_close(other(pictures()), one(pictures()))


def test_a_copy_of_an_attached_tower_has_its_own_sampler():
    one = SampledTower(tower('siglip'), GridSampler(CHANNELS, 4), 1)
    other = copy.deepcopy(one)
    before = one(pictures())[0]
    with torch.no_grad():
        for parameter in other.tower.parameters():
            parameter.zero_()
    assert torch.equal(one(pictures())[0], before)
    assert not torch.equal(other(pictures())[0], before)


def test_what_cannot_be_attached_is_refused_with_a_sentence():
    host = tower('vit')
    with pytest.raises(ValueError, match='has 3 blocks'):
        TowerAttachment(host, GridSampler(CHANNELS, 4), 4)
    TowerAttachment(host, GridSampler(CHANNELS, 4), 1)
    with pytest.raises(ValueError, match='has a reducer already'):
        TowerAttachment(host, GridSampler(CHANNELS, 4), 1)
    with pytest.raises(ValueError, match='not a tower that is known'):
        TowerAttachment(torch.nn.Linear(2, 2), GridSampler(CHANNELS, 4))
    sequence = SequenceSampler(GridSampler(CHANNELS, 4), prefix=1)
    with pytest.raises(ValueError, match='26 tokens is not 1 tokens and a map of 6x6'):
        sequence(torch.zeros(1, 26, CHANNELS), (6, 6))


def test_a_class_token_passes_a_sequence_sampler_untouched():
    sequence = torch.randn(2, 1 + 24, CHANNELS)
    tokens, points = SequenceSampler(GridSampler(CHANNELS, 5), prefix=1)(sequence, (4, 6))
    assert tokens.shape == (2, 6, CHANNELS)
    assert points.shape == (2, 5, 2)
    assert torch.equal(tokens[:, 0], sequence[:, 0])


def smolvlm(attention='sdpa'):
    torch.manual_seed(0)
    text = {
        'model_type': 'llama',
        'hidden_size': 16,
        'intermediate_size': 32,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'vocab_size': 64,
    }
    vision = {**COMMON, 'intermediate_size': 64, 'image_size': 96}
    config = transformers.SmolVLMConfig(
        text_config=text, vision_config=vision, scale_factor=4, pad_token_id=0
    )
    model = transformers.SmolVLMModel(config).eval()
    model.vision_model.set_attn_implementation(attention)
    return model


def embed(model, images):
    return model.connector(model.vision_model(pixel_values=images).last_hidden_state)


@pytest.mark.parametrize('after', [0, 1, None])
@pytest.mark.parametrize('attention', ['sdpa', 'eager'])
def test_reading_every_window_is_the_dense_smolvlm(after, attention):
    model, images = smolvlm(attention), pictures(height=96, width=96)
    expected = embed(model, images)
    assert expected.shape == (2, 9, 16)
    sampler = sampler_for_trained_host(CHANNELS, 9)
    read_at(sampler, cell_centres(3, 3))
    attachment = WindowAttachment(model.vision_model, model.connector, sampler, after)
    torch.testing.assert_close(embed(model, images), expected)
    attachment.remove()
    torch.testing.assert_close(embed(model, images), expected)


def test_any_number_of_windows_passes_the_connector_and_learns():
    model, images = smolvlm(), pictures(height=96, width=96)
    sampler = sampler_for_trained_host(CHANNELS, 5)
    attachment = WindowAttachment(model.vision_model, model.connector, sampler, 1)
    tokens = embed(model, images)
    assert tokens.shape == (2, 5, 16)
    assert attachment.points.shape == (2, 5, 2)
    tokens.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in sampler.predict.parameters())


def test_a_window_between_the_cells_is_read_between_the_cells():
    # A map that holds its own coordinates: every cell read must give its own place.
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing='ij')
    feature_map = torch.stack([columns, rows] + 2 * [torch.zeros(8, 12)], -1)[None]
    sampler = sampler_for_trained_host(4, 1)
    read_at(sampler, torch.tensor([[0.3, 0.6]]))
    cells, points = WindowSampler(sampler, 4)(feature_map)
    torch.testing.assert_close(points, torch.tensor([[[0.3, 0.6]]]))
    corner = torch.tensor([0.3 * 8, 0.6 * 4])
    expected = [corner + torch.tensor([x, y]) for y in range(4) for x in range(4)]
    torch.testing.assert_close(cells[0, :, :2], torch.stack(expected))


def test_a_map_that_windows_do_not_tile_is_refused():
    with pytest.raises(ValueError, match='cannot be cut into windows of 4x4'):
        WindowSampler(GridSampler(4, 1), 4)(torch.zeros(1, 6, 8, 4))
