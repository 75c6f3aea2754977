# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A converted release reads what the release read, told by its rule written out in NumPy."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from ros2_gridsampler.vla.released_weights import (
    Release,
    convert,
    convert_file,
    load_released,
    pack,
)

CHANNELS, TOKENS = 12, 5
CONVENTIONS = ('align_corners', 'align_corners_layer_norm', 'half_pixel_zero_padding')


def weights(convention, seed=0, spread=1.0):
    """Arrays as a release names them; PyTorch's names for the half-pixel variant, else Flax's."""
    draw = np.random.default_rng(seed)
    flax = convention != 'half_pixel_zero_padding'
    arrays = {}
    for module, sizes in {
        'scout_mlp': (CHANNELS, 512, 2 * TOKENS),
        'coord_encoder': (2, 256, CHANNELS),
    }.items():
        for layer, (fan_in, fan_out) in zip((0, 2), itertools.pairwise(sizes), strict=True):
            kernel = draw.normal(size=(fan_in, fan_out)) * spread / np.sqrt(fan_in)
            bias = draw.normal(size=fan_out) * 0.1
            if flax:
                arrays[f'sampler/{module}/layers_{layer}/kernel'] = kernel
                arrays[f'sampler/{module}/layers_{layer}/bias'] = bias
            else:
                arrays[f'model.token_sampler.{module}.{layer}.weight'] = kernel.T
                arrays[f'model.token_sampler.{module}.{layer}.bias'] = bias
    if convention == 'align_corners_layer_norm':
        arrays['sampler/input_norm/scale'] = draw.uniform(0.5, 1.5, CHANNELS)
        arrays['sampler/input_norm/bias'] = draw.normal(size=CHANNELS)
    return {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}


def dense(arrays, module, layer, values):
    flax = f'sampler/{module}/layers_{layer}/'
    if flax + 'kernel' in arrays:
        return values @ arrays[flax + 'kernel'] + arrays[flax + 'bias']
    torch_name = f'model.token_sampler.{module}.{layer}.'
    return values @ arrays[torch_name + 'weight'].T + arrays[torch_name + 'bias']


def perceptron(arrays, module, values):
    return dense(arrays, module, 2, np.maximum(dense(arrays, module, 0, values), 0))


def released_tokens(arrays, convention, image):
    """One picture [rows, columns, channels], point by point, cell by cell."""
    rows, columns, _ = image.shape
    pooled = image.mean((0, 1))
    if convention == 'align_corners_layer_norm':
        normal = (pooled - pooled.mean()) / np.sqrt(pooled.var() + 1e-6)
        pooled = normal * arrays['sampler/input_norm/scale'] + arrays['sampler/input_norm/bias']
    coordinates = 1 / (1 + np.exp(-perceptron(arrays, 'scout_mlp', pooled)))
    coordinates = coordinates.reshape(TOKENS, 2)
    tokens = []
    for u, v in coordinates.astype(np.float64):
        token = np.zeros(CHANNELS)
        if convention == 'half_pixel_zero_padding':
            x, y = u * columns - 0.5, v * rows - 0.5
            for row in (int(np.floor(y)), int(np.floor(y)) + 1):
                for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= row < rows and 0 <= column < columns:
                        token += (1 - abs(x - column)) * (1 - abs(y - row)) * image[row, column]
        else:
            x, y = u * (columns - 1), v * (rows - 1)
            left, top = min(int(x), columns - 1), min(int(y), rows - 1)
            right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
            token += (right - x) * (bottom - y) * image[top, left]
            token += (right - x) * (y - top) * image[bottom, left]
            token += (x - left) * (bottom - y) * image[top, right]
            token += (x - left) * (y - top) * image[bottom, right]
        tokens.append(token)
    return np.array(tokens) + perceptron(arrays, 'coord_encoder', coordinates), coordinates


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize('border', ['corrected', 'as_released'])
@given(seed=st.integers(0, 10**6), side=st.integers(4, 9))
@settings(max_examples=15)
def test_tokens_are_those_of_the_release_on_interior_points(convention, border, seed, side):
    arrays = weights(convention, seed)
    image = np.random.default_rng(seed + 1).normal(size=(side, side, CHANNELS))
    expected, coordinates = released_tokens(arrays, convention, image)
    inside = ((coordinates > 0.51 / side) & (coordinates < 1 - 0.51 / side)).all(-1)
    sampler = convert(arrays, Release(convention, border))
    tokens, _ = sampler(torch.from_numpy(image).float()[None])
    np.testing.assert_allclose(
        tokens[0].detach().numpy()[inside], expected[inside], atol=2e-4, rtol=1e-3
    )


def to_the_border(convention, corner):
    """A release whose coordinates have run to 0 or 1, and whose embedding adds nothing."""
    arrays = weights(convention)
    for name, array in arrays.items():
        if 'coord_encoder' in name or 'scout_mlp' in name:
            array[:] = 0
        if 'scout_mlp' in name and name.endswith('bias') and array.size == 2 * TOKENS:
            array[:] = 40.0 if corner else -200.0
    return arrays


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize('corner', [False, True])
def test_a_map_of_ones_reads_one_at_the_border_unless_kept_as_released(convention, corner):
    arrays = to_the_border(convention, corner)
    ones = np.ones((6, 6, CHANNELS))
    corrected, _ = convert(arrays, Release(convention))(torch.ones(1, 6, 6, CHANNELS))
    torch.testing.assert_close(corrected, torch.ones_like(corrected))
    expected, _ = released_tokens(arrays, convention, ones)
    kept = convert(arrays, Release(convention, 'as_released'))(torch.ones(1, 6, 6, CHANNELS))[0]
    np.testing.assert_allclose(kept[0].detach().numpy(), expected, atol=1e-6)
    if convention == 'half_pixel_zero_padding':
        assert expected.max() == pytest.approx(0.25)
    elif corner:
        assert expected.max() == 0


def test_the_points_are_told_in_the_convention_of_this_package():
    arrays = weights('half_pixel_zero_padding')
    image = np.random.default_rng(3).normal(size=(8, 8, CHANNELS))
    _, coordinates = released_tokens(arrays, 'half_pixel_zero_padding', image)
    sampler = convert(arrays, Release('half_pixel_zero_padding'))
    _, points = sampler(torch.from_numpy(image).float()[None])
    expected = np.clip((coordinates * 8 - 0.5) / 7, 0, 1)
    np.testing.assert_allclose(points[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_a_file_carries_its_convention_and_comes_back(convention, tmp_path):
    source = tmp_path / 'released.safetensors'
    save_file({**weights(convention), 'model.other.weight': np.zeros(3, np.float32)}, source)
    target = tmp_path / 'sampler.safetensors'
    target.write_bytes(convert_file(source, convention, 'as_released'))
    sampler = load_released(target)
    assert sampler.release.convention == convention
    assert sampler.release.border == 'as_released'
    assert len(sampler.release.source_sha256) == 64
    feature_map = torch.randn(2, 5, 5, CHANNELS)
    direct = convert(weights(convention), Release(convention, 'as_released'))
    torch.testing.assert_close(sampler(feature_map), direct(feature_map))
    target.write_bytes(pack(sampler)[:-40])
    with pytest.raises(ValueError, match='not a whole safetensors file'):
        load_released(target)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_a_converted_sampler_takes_bfloat16_maps_and_exports(convention):
    sampler = convert(weights(convention), Release(convention))
    tokens, points = sampler(torch.randn(2, 5, 5, CHANNELS).bfloat16())
    assert tokens.dtype == torch.bfloat16
    assert points.dtype == torch.float32
    example = torch.randn(2, 5, 7, CHANNELS)
    exported = torch.export.export(sampler, (example,))
    torch.testing.assert_close(exported.module()(example), sampler(example))


def test_weights_that_contradict_the_named_convention_are_refused(tmp_path):
    with pytest.raises(ValueError, match='has no LayerNorm .* but the weights have one'):
        convert(weights('align_corners_layer_norm'), Release('align_corners'))
    with pytest.raises(ValueError, match='has a LayerNorm .* but the weights have none'):
        convert(weights('align_corners'), Release('align_corners_layer_norm'))
    with pytest.raises(ValueError, match="'nearest' is not known"):
        Release('nearest')
    with pytest.raises(ValueError, match='not a tensor of a published sampler'):
        convert({'conv.weight': np.zeros(3)}, Release('align_corners'))
    broken = weights('align_corners')
    del broken['sampler/coord_encoder/layers_2/bias']
    with pytest.raises(ValueError, match='not the weights of a GridS sampler'):
        convert(broken, Release('align_corners'))
    plain = tmp_path / 'plain.safetensors'
    save_file(weights('align_corners'), plain)
    with pytest.raises(ValueError, match='does not say which convention'):
        load_released(plain)
    (tmp_path / 'text').write_text('hello')
    with pytest.raises(ValueError, match='not a safetensors file'):
        convert_file(tmp_path / 'text', 'align_corners')


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_policy_in_sixteen_bits_gives_its_sampler(dtype, tmp_path):
    source = tmp_path / 'released.safetensors'
    kind = 'half_pixel_zero_padding'
    arrays = weights(kind)
    named = {name: torch.from_numpy(array).to(dtype) for name, array in arrays.items()}
    save_tensors({**named, 'model.other.weight': torch.zeros(3, dtype=dtype)}, source)
    target = tmp_path / 'sampler.safetensors'
    target.write_bytes(convert_file(source, kind))
    feature_map = torch.randn(2, 5, 5, CHANNELS)
    got = load_released(target)(feature_map)
    rounded = {name: tensor.float().numpy() for name, tensor in named.items()}
    wanted = convert(rounded, Release(kind))(feature_map)
    for each, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(each, other)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda a: a.reshape(-1), 'not the weights of a GridS sampler'),
        (lambda a: np.full_like(a, np.nan), 'not finite'),
        (lambda a: (10 * a).astype(np.int8), 'int8'),
    ],
)
def test_a_sampler_of_wrong_numbers_is_refused_in_a_sentence(change, words, tmp_path):
    arrays = weights('align_corners')
    name = next(name for name in arrays if 'scout_mlp' in name and 'kernel' in name)
    source = tmp_path / 'released.safetensors'
    save_file({**arrays, name: change(arrays[name])}, source)
    with pytest.raises(ValueError, match=words):
        convert_file(source, 'align_corners')
