# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Masks tile, and the two information bounds bound what they are said to bound."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.training.information_bounds import (
    LatentBank,
    Likelihood,
    infonce,
    negative_log_likelihood,
    vclub,
)
from ros2_gridsampler.training.mi_mae import (
    METHODS,
    LossWeights,
    MiMae,
    MiMaeConfig,
    draw_masks,
    make_likelihood,
    patch_pixels,
    shown,
)
from ros2_gridsampler.training.pretrain_encoder import join_patches

PLAIN = EncoderConfig(32, 48, patch=8, width=16, depth=2, heads=2, stem=())
STEM = dataclasses.replace(PLAIN, stem=(4, 8), stem_within_patches=True)
CORRELATION = 0.9
INFORMATION = -0.5 * math.log(1 - CORRELATION**2)


def pictures(count, seed=0):
    """Random pictures."""
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.integers(0, 256, (count, 32, 48, 3), dtype=np.uint8))


def masks(count, config, seed=0):
    """Random masks."""
    return torch.from_numpy(draw_masks(count, config, np.random.default_rng(seed)))


def gaussians(count, generator, channels=1):
    """Pairs of standard Gaussians, each pair of channels with the correlation above."""
    x = torch.randn(count, channels, generator=generator)
    noise = torch.randn(count, channels, generator=generator)
    return x, CORRELATION * x + math.sqrt(1 - CORRELATION**2) * noise


@given(parts=st.sampled_from([2, 3, 4, 6, 8]), seed=st.integers(0, 1000))
def test_the_visible_parts_of_all_masks_tile_the_picture_exactly(parts, seed):
    config = MiMaeConfig(PLAIN, parts=parts, masks=parts)
    drawn = masks(3, config, seed)
    assert drawn.shape == (3, parts, 24 // parts)
    for places in drawn:
        assert sorted(places.flatten().tolist()) == list(range(24))


def test_masks_differ_between_pictures_and_steps():
    config = MiMaeConfig(PLAIN)
    assert not torch.equal(masks(2, config)[0], masks(2, config)[1])
    assert not torch.equal(masks(2, config, 0), masks(2, config, 1))


@pytest.mark.parametrize('encoder', [PLAIN, STEM], ids=['plain', 'stem'])
def test_nothing_of_a_masked_patch_reaches_the_latents(encoder):
    config = MiMaeConfig(encoder, weights=LossWeights(infonce=0, vclub=0))
    torch.manual_seed(0)
    model = MiMae(config).eval()
    images, places = pictures(2), masks(2, config)[:, :1]
    before = model(images, places).latents
    hidden = torch.ones(2, 24, dtype=torch.bool).scatter(1, places[:, 0], False)
    patches = (patch_pixels(images, 8) * 255).round()
    patches[hidden] = 255 - patches[hidden]
    changed = join_patches(patches, 4, 6, 8).to(torch.uint8)
    assert torch.equal(model(changed, places).latents, before)
    seen = (255 - images.int()).to(torch.uint8)
    assert not torch.allclose(model(seen, places).latents, before, atol=1e-3)


@pytest.mark.parametrize('config', [PLAIN, STEM], ids=['plain', 'stem'])
def test_a_picture_of_which_nothing_is_masked_has_the_features_that_it_has_in_use(config):
    torch.manual_seed(0)
    encoder = MiMae(MiMaeConfig(config)).encoder.eval()
    everything = torch.arange(24).expand(2, -1)
    tokens = encoder.sparse(pictures(2), everything)[:, 1:]
    in_use = encoder(pictures(2))
    torch.testing.assert_close(tokens.unflatten(1, (4, 6)), in_use, atol=1e-5, rtol=1e-5)
    assert in_use.std() > 0.1


def test_a_stem_that_sees_its_neighbours_in_use_is_not_pretrained_without_them():
    with pytest.raises(ValueError, match='set stem_within_patches: true, or stem'):
        MiMaeConfig(dataclasses.replace(STEM, stem_within_patches=False))


def test_patches_are_put_together_where_they_were_cut():
    images = pictures(2)
    patches = patch_pixels(images, 8)
    torch.testing.assert_close(patches[0, 7], images[0, 8:16, 8:16].flatten().float() / 255)
    assert torch.equal((join_patches(patches, 4, 6, 8) * 255).round().to(torch.uint8), images)


def test_the_reconstruction_is_judged_on_masked_patches_alone():
    config = MiMaeConfig(PLAIN, weights=LossWeights(infonce=0, vclub=0))
    model = MiMae(config)
    images, places = pictures(2), masks(2, config)
    target = patch_pixels(images, 8)
    deviation, mean = torch.std_mean(target, -1, keepdim=True)
    perfect = ((target - mean) / deviation)[:, None].repeat(1, 4, 1, 1)
    assert model.reconstruction_loss(images, places, perfect.flatten(0, 1)) < 1e-4
    index = places[..., None].expand(-1, -1, -1, 192)
    wrong_where_seen = perfect.scatter(2, index, 100.0).flatten(0, 1)
    assert model.reconstruction_loss(images, places, wrong_where_seen) < 1e-4
    nothing = torch.zeros_like(wrong_where_seen)
    assert 0.9 < model.reconstruction_loss(images, places, nothing) < 1.1


@pytest.mark.parametrize('method', METHODS)
def test_a_loss_that_is_off_is_not_even_built(method):
    config = MiMaeConfig(PLAIN).as_method(method)
    assert config.method == method
    model = MiMae(config)
    views = model(pictures(4), masks(4, config))
    assert hasattr(model, 'projection') == (method in ('infonce_only', 'mi_mae'))
    assert views.latents.shape == (4, 1 if method == 'mae' else 4, 16)
    assert views.projected.shape[-1] == (64 if hasattr(model, 'projection') else 0)
    no_pictures = dataclasses.replace(config.weights, reconstruction=0.0, vclub=0.1)
    assert not hasattr(MiMae(dataclasses.replace(config, weights=no_pictures)), 'decoder')


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.01, 2.0))
def test_the_infonce_estimate_is_never_above_the_logarithm_of_the_batch(seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(6, 3, 5, generator=generator)
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    assert math.log(6) - infonce(vectors, vectors, 0, temperature).item() <= math.log(6)
    same = vectors[:, :1].expand(-1, 3, -1)
    assert infonce(same, same, 0, temperature) >= 0


def test_infonce_finds_the_known_information_of_correlated_gaussians():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    readers = torch.nn.ModuleList(
        torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
        for _ in range(2)
    )
    optimiser = torch.optim.Adam(readers.parameters(), lr=5e-3)

    def estimate(count):
        values = gaussians(count, generator)
        read = [reader(value) for reader, value in zip(readers, values, strict=True)]
        vectors = torch.nn.functional.normalize(torch.stack(read, 1), dim=-1)
        return math.log(count) - infonce(vectors, vectors, 0, 0.07)

    for _ in range(500):
        optimiser.zero_grad()
        (-estimate(128)).backward()
        optimiser.step()
    with torch.no_grad():
        found = np.mean([estimate(128).item() for _ in range(40)])
    assert 0.85 * INFORMATION < found < 1.05 * INFORMATION


def fitted_likelihood(generator, channels):
    """q after it has learned z from x."""
    torch.manual_seed(0)
    likelihood = Likelihood(channels, channels, 64)
    optimiser = torch.optim.Adam(likelihood.parameters(), lr=1e-2)
    for _ in range(500):
        x, z = gaussians(256, generator, channels)
        optimiser.zero_grad()
        negative_log_likelihood(likelihood(x), z).backward()
        optimiser.step()
    return likelihood


def test_a_bank_of_latents_shows_more_information_than_a_small_batch_can():
    generator = torch.Generator().manual_seed(0)
    correlation = 0.999
    information = -0.5 * math.log(1 - correlation**2)
    # However well it is told apart, a batch of 8 shows log(8) at the most.
    assert information > math.log(8) + 1
    # On an arc, cosines fall as the logarithm of the true likelihood does.
    arc = 0.8
    temperature = arc**2 * (1 - correlation**2)
    bank = LatentBank(1024, 2)
    shown = {'batch': [], 'bank': []}
    for _ in range(200):
        x, noise = torch.randn(2, 8, generator=generator)
        pair = torch.stack([x, correlation * x + math.sqrt(1 - correlation**2) * noise], 1)
        vectors = torch.stack([(arc * pair).cos(), (arc * pair).sin()], -1)
        others = bank.entries()
        for name, further in (('batch', None), ('bank', others)):
            candidates = 8 + (len(others) if name == 'bank' else 0)
            loss = infonce(vectors, vectors, 0, temperature, further).item()
            shown[name].append(math.log(candidates) - loss)
        bank.keep(vectors.flatten(0, 1))
    assert len(bank.entries()) == 1024
    assert max(shown['batch']) <= math.log(8)
    assert 0.9 * information < np.mean(shown['bank'][64:]) < 1.05 * information


def test_a_bank_keeps_the_newest_latents():
    bank = LatentBank(5, 1)
    assert len(bank.entries()) == 0
    bank.keep(torch.arange(3.0)[:, None])
    assert sorted(bank.entries().flatten().tolist()) == [0, 1, 2]
    bank.keep(torch.arange(3.0, 7.0)[:, None])
    assert sorted(bank.entries().flatten().tolist()) == [2, 3, 4, 5, 6]
    bank.keep(torch.arange(10.0, 22.0)[:, None])
    assert sorted(bank.entries().flatten().tolist()) == [17, 18, 19, 20, 21]


def test_q_is_given_what_the_view_shows_and_nothing_of_what_it_hides():
    config = MiMaeConfig(PLAIN)
    images, places = pictures(2), masks(2, config)
    views = shown(config, images, places)
    assert views.shape == (8, 24 * 13)
    patches = views.unflatten(0, (2, 4)).unflatten(2, (24, 13))
    seen = torch.zeros(2, 4, 24).scatter(2, places, 1.0)
    assert torch.equal(patches[..., 12], seen)
    assert torch.equal(patches[seen == 0], torch.zeros(144, 13))
    # A quarter of a patch of 8 px, the first channel first.
    number = int(places[1, 2, 0])
    corner = images[1, 8 * (number // 6) :, 8 * (number % 6) :][:4, :4, 0].float()
    assert patches[1, 2, number, 0].item() == pytest.approx(corner.mean().item() / 127.5 - 1)


def test_vclub_bounds_the_known_information_from_above_once_q_is_fitted():
    generator = torch.Generator().manual_seed(0)
    likelihood = fitted_likelihood(generator, 2)
    x, z = gaussians(4000, generator, 2)
    with torch.no_grad():
        bound = vclub(likelihood(x), z, z).item()
        surprise = negative_log_likelihood(likelihood(x), z).item()
    # The bound of two Gaussians under their true conditional is r^2 / (1 - r^2) per channel.
    expected = 2 * CORRELATION**2 / (1 - CORRELATION**2)
    assert bound >= 2 * INFORMATION
    assert bound == pytest.approx(expected, rel=0.2)
    entropy = math.log(2 * math.pi * math.e * (1 - CORRELATION**2))
    assert surprise == pytest.approx(entropy, abs=0.1)
    # Of latents that have nothing to do with the input there is nothing to bound.
    other = z[torch.randperm(4000, generator=generator)]
    assert abs(vclub(likelihood(x), other, other).item()) < 0.3 * bound


def test_vclub_is_the_difference_of_the_two_mean_likelihoods():
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(2, 5, 3, generator=generator)
    latents = torch.randn(5, 3, generator=generator)
    total = 0.0
    for view in range(5):
        own = torch.distributions.Normal(moments[0, view], (0.5 * moments[1, view]).exp())
        likely = own.log_prob(latents).sum(-1)
        total += (likely[view] - likely.mean()).item()
    assert vclub(moments, latents, latents).item() == pytest.approx(total / 5, rel=1e-4)


def test_each_side_is_trained_by_its_own_loss_alone():
    config = MiMaeConfig(PLAIN)
    torch.manual_seed(0)
    model, likelihood = MiMae(config), make_likelihood(config)
    inputs = shown(config, pictures(4), masks(4, config))
    latents = model(pictures(4), masks(4, config)).latents.flatten(0, 1)
    vclub(likelihood(inputs), latents, latents).backward()
    assert all(parameter.grad is None for parameter in likelihood.parameters())
    assert model.encoder.blocks[0].mlp.fc1.weight.grad.abs().sum() > 0

    model.zero_grad()
    latents = model(pictures(4), masks(4, config)).latents.flatten(0, 1)
    negative_log_likelihood(likelihood(inputs), latents).backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in likelihood.parameters())


def test_settings_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match='24 patches cannot be dealt into 5'):
        MiMaeConfig(PLAIN, parts=5)
    for change, words in (
        ({'parts': 0}, 'parts is 0, expected at least 1'),
        ({'temperature': 0.0}, 'temperature is 0.0, expected more than 0'),
        ({'temperature': float('nan')}, 'temperature is nan'),
        ({'projection': 0}, 'projection is 0'),
        ({'likelihood_side': 0}, 'likelihood_side is 0'),
        ({'likelihood_side': 3}, 'A patch of 8 px cannot be averaged to likelihood_side = 3'),
        ({'bank': -1}, 'bank is -1'),
        ({'decoder_depth': -1}, 'decoder_depth is -1'),
        ({'decoder_heads': 0}, 'decoder_heads is 0'),
        ({'decoder_width': 62}, 'Decoder width 62'),
    ):
        with pytest.raises(ValueError, match=words):
            MiMaeConfig(PLAIN, **change)
    with pytest.raises(ValueError, match='5 masks were asked for; 1 to 4 fit'):
        MiMaeConfig(PLAIN, masks=5)
    with pytest.raises(ValueError, match='at least 2 masks'):
        MiMaeConfig(PLAIN, masks=1)
    with pytest.raises(ValueError, match='Every loss has weight 0'):
        LossWeights(0, 0, 0)
