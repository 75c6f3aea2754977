# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Every network computes where it is told, and arrays go there and back in one place."""

import dataclasses

import numpy as np
import pytest
import torch
from elsewhere import META, PLACES, elsewhere, moved
from policies import tiny_policy

from ros2_gridsampler.benchmarks.rival_methods import MergingPolicy, PruningPolicy
from ros2_gridsampler.device import to_arrays, to_device, torch_device
from ros2_gridsampler.engines.eager import EagerSession
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.policy.shared_draws import Share
from ros2_gridsampler.policy.token_reducers import CONDITIONED, REDUCERS, make_reducer

HEADS = ('direct', 'continuing', 'flow')
BATCH = 3


def policy_of(reducer='grid_sampler', head='direct', **choices):
    """A tiny policy; with as many tokens as the reducer has to keep."""
    tokens = {'dense': 16, 'blind': 0, 'fixed_grid': 4}.get(reducer, 2)
    return tiny_policy(
        reducer=reducer, head=head, tokens=tokens, conditioned=reducer in CONDITIONED, **choices
    )


def batch(policy, device, count=BATCH):
    """The arguments of a policy, without a meaning."""
    specs = list(policy.interface.signature.inputs.values())[:3]
    kinds = {'uint8': torch.uint8, 'float32': torch.float32, 'int64': torch.int64}
    return [
        torch.zeros(count, *spec.shape[1:], dtype=kinds[spec.dtype], device=device)
        for spec in specs
    ]


def test_a_tensor_of_the_cpu_is_found_on_a_device_that_is_not_there():
    for place in PLACES:
        for compute in (torch.matmul, torch.add):
            with elsewhere(place) as device, pytest.raises(RuntimeError):
                compute(torch.zeros(3, 3, device=device), torch.zeros(3, 3))


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('reducer', REDUCERS)
def test_every_policy_computes_on_another_device(place, head, reducer):
    with elsewhere(place) as device:
        policy = moved(lambda: policy_of(reducer, head), device)
        for training in (True, False):
            policy.train(training)
            actions, points = policy(*batch(policy, device))
            assert actions.device == points.device == device
            assert actions.shape == (BATCH, 5, 7)
            assert points.shape[:2] == (BATCH, 2)


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('reducer', REDUCERS)
def test_every_loss_reaches_the_weights_on_another_device(head, reducer):
    # Losses that leave steps out depend on numbers, which the fake GPU does not have.
    with elsewhere(META) as device:
        policy = policy_of(reducer, head).to(device).train()
        images, body, words = batch(policy, device)
        queries, _ = policy.context(images, body, words)
        targets = torch.zeros(BATCH, 5, 7, device=device)
        loss = policy.action_head.loss(queries[:, :5], targets)
        loss.backward()
        assert loss.device == policy.trunk.queries.grad.device == device


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('kind', [MergingPolicy, PruningPolicy])
def test_what_others_do_computes_on_another_device(place, kind):
    with elsewhere(place) as device:
        config = policy_of('dense').config
        config = dataclasses.replace(config, trunk=dataclasses.replace(config.trunk, depth=2))
        policy = moved(lambda: kind(config, 4), device).eval()
        assert policy(*batch(policy, device))[0].device == device


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('stem', [(), (4, 8)])
def test_every_encoder_and_its_pretraining_compute_on_another_device(place, stem):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.information_bounds import (
        infonce,
        negative_log_likelihood,
        vclub,
    )
    from ros2_gridsampler.training.mi_mae import (
        MiMae,
        MiMaeConfig,
        make_likelihood,
        shown,
    )

    config = EncoderConfig(32, 32, 8, 16, 2, 2, stem, stem_within_patches=bool(stem))
    with elsewhere(place) as device:
        images = torch.zeros(BATCH, 32, 32, 3, dtype=torch.uint8, device=device)
        encoder = moved(lambda: Encoder(config), device)
        assert encoder(images).device == device
        assert encoder.late(encoder.early(images, 1).flatten(1, 2), 1).device == device
        settings = MiMaeConfig(config, decoder_width=16, likelihood_width=8, projection=8)
        model = moved(lambda: MiMae(settings), device)
        likelihood = moved(lambda: make_likelihood(settings), device)
        places = torch.zeros(BATCH, 4, 4, dtype=torch.int64, device=device)
        views = model(images, places)
        moments, latents = likelihood(shown(settings, images, places)), views.latents.flatten(0, 1)
        losses = [
            views.reconstruction,
            negative_log_likelihood(moments, latents),
            vclub(moments, latents, latents),
        ]
        if place == META:
            losses.append(infonce(views.projected, views.projected, 0, 0.07))
        assert {loss.device for loss in losses} == {device}


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('border', ['corrected', 'as_released'])
@pytest.mark.parametrize(
    'convention', ['align_corners', 'align_corners_layer_norm', 'half_pixel_zero_padding']
)
def test_every_published_sampler_computes_on_another_device(place, convention, border):
    from ros2_gridsampler.vla.released_weights import Release, ReleasedSampler

    with elsewhere(place) as device:
        release = Release(convention, border)
        sampler = moved(lambda: ReleasedSampler(8, 2, release), device)
        tokens, points = sampler(torch.zeros(BATCH, 4, 4, 8, device=device))
        assert tokens.device == points.device == device


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('after', [None, 1])
@pytest.mark.parametrize('kind', ['siglip', 'dinov2', 'registers', 'vit'])
def test_every_tower_with_a_sampler_computes_on_another_device(place, after, kind):
    pytest.importorskip('transformers')
    from test_plugins_towers import CHANNELS, tower

    from ros2_gridsampler.vla.sequence_sampler import sampler_for_trained_host
    from ros2_gridsampler.vla.vision_tower import SampledTower

    with elsewhere(place) as device:
        sampled = moved(
            lambda: SampledTower(tower(kind), sampler_for_trained_host(CHANNELS, 2), after), device
        )
        hidden, points = sampled(torch.zeros(1, 3, 48, 48, device=device))
        assert hidden.device == points.device == device


def copies_back(compute):
    """Runs something on 'meta', whose results cannot be read: all else must have worked."""
    with pytest.raises(NotImplementedError, match='Cannot copy out of meta') as caught:
        compute()
    assert any(entry.name == 'to_arrays' for entry in caught.traceback)


@pytest.mark.parametrize('head', HEADS)
def test_the_eager_engine_and_the_policy_itself_copy_there_and_back_once(head):
    policy = policy_of(head=head)
    golden = golden_observation(policy.config)
    arrays = policy.interface.arrays(golden)
    meta = torch.device('meta')
    network = policy.network('fp32').to(meta)
    copies_back(lambda: EagerSession(network, policy.signature, meta).run(arrays))
    copies_back(lambda: policy.predict(golden))


def test_arrays_go_to_the_cpu_and_come_back_without_being_copied():
    array = np.arange(6, dtype=np.float32)
    (tensor,) = to_device((array,), torch.device('cpu'))
    (back,) = to_arrays([tensor])
    assert np.shares_memory(array, back)
    (whole,) = to_arrays([tensor.bfloat16()])
    assert whole.dtype == np.float32


@pytest.mark.parametrize('reducer', sorted({*REDUCERS} - {'dense', 'blind'}))
def test_where_a_picture_is_read_is_exact_in_mixed_precision(reducer):
    torch.manual_seed(0)
    sampler = make_reducer(reducer, 16, 4, context=0).eval()
    feature_map = torch.randn(2, 8, 8, 16)
    _, exact = sampler(feature_map)
    with torch.autocast('cpu', torch.bfloat16):
        tokens, points = sampler(feature_map)
    assert points.dtype == torch.float32
    if reducer in ('top_k', 'token_merging', 'learned_queries'):
        # They choose among cells by their features, which are rounded.
        assert points.shape == exact.shape
    else:
        torch.testing.assert_close(points, exact, atol=1e-6, rtol=0)
    assert torch.isfinite(tokens.float()).all()


@pytest.mark.parametrize('processes', [2, 3])
@pytest.mark.parametrize(
    ('head', 'reducer'),
    [('direct', 'random_points'), ('continuing', 'grid_sampler'), ('flow', 'random_points')],
)
def test_the_mean_of_what_processes_lose_is_what_one_loses(head, reducer, processes):
    policy = policy_of(reducer, head).train()
    # The norms of a stem measure their own rows, unless they are shared (on GPUs).
    policy.encoder.eval()
    draw = np.random.default_rng(0)
    rows = 2 * processes
    _, body, words = batch(policy, torch.device('cpu'), rows)
    images = torch.from_numpy(draw.integers(0, 255, (rows, 2, 64, 64, 3), dtype=np.uint8))
    actions = torch.from_numpy(draw.normal(size=(rows, 5, 7)).astype(np.float32))

    def lost(share):
        torch.manual_seed(3)
        with share.drawing():
            queries, _ = policy.context(share.of(images), share.of(body), share.of(words))
            return policy.action_head.loss(queries[:, :5], share.of(actions)).item()

    shared = [lost(Share(rank, processes)) for rank in range(processes)]
    assert np.mean(shared) == pytest.approx(lost(Share()), rel=1e-5)


def missing():
    """The name of a GPU that is not here."""
    count = torch.cuda.device_count()
    return f'cuda:{count}'


def refused(call):
    """A device that is not there is one sentence, before anything is read."""
    with pytest.raises(ValueError, match=rf"Device '{missing()}' was asked .* use .*'cpu'\.$"):
        call()


def test_a_device_that_is_not_there_is_refused_before_any_work(tmp_path, request):
    pytest.importorskip('lightning_fabric')
    from test_pretraining import CONFIG as PRETRAIN
    from test_training import CONFIG as TRAIN

    from ros2_gridsampler.engines.engine import Settings
    from ros2_gridsampler.evaluating.contestants import load_contestant
    from ros2_gridsampler.evaluating.encoder_comparison import compare_encoder
    from ros2_gridsampler.evaluating.evaluation_config import PolicyChoice
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.adapt_encoder import adapt
    from ros2_gridsampler.training.fine_tune import FineTuneConfig, fine_tune
    from ros2_gridsampler.training.pretrain_encoder import pretrain
    from ros2_gridsampler.training.train_policy import train
    from ros2_gridsampler.vla.deployed_policy import load_policy

    device, nowhere = missing(), tmp_path / 'nowhere'
    rest = ([nowhere], tmp_path / 'run', tmp_path / 'cache')
    episodes = TRAIN.episodes
    refused(lambda: train(dataclasses.replace(TRAIN, device=device), *rest))
    refused(lambda: pretrain(dataclasses.replace(PRETRAIN, device=device), *rest))
    refused(lambda: adapt(nowhere, tmp_path / 'other', *rest, AdaptConfig(device=device)))
    tuned = FineTuneConfig(episodes.topics, episodes.labels, device=device)
    refused(lambda: fine_tune(nowhere, tuned, *rest))
    refused(lambda: load_contestant(PolicyChoice(nowhere, device=device)))
    refused(lambda: compare_encoder(nowhere, 'x', [nowhere], episodes.topics, 1, device))
    (tmp_path / 'config.json').write_text('{"type": "act", "input_features": {}}')
    refused(lambda: load_policy(tmp_path, 'automatic', None, Settings(device=device)))
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['gpu', 'cuda:', 'CUDA', 'cuda:1,2', 'mps', ''])
def test_a_device_of_an_unknown_name_is_refused_by_every_recipe(name):
    from test_training import CONFIG

    for make in (torch_device, lambda device: dataclasses.replace(CONFIG, device=device)):
        with pytest.raises(ValueError, match=r"is not known; use 'auto', 'cpu', 'cuda' or"):
            make(name)


def test_processes_of_torchrun_take_a_gpu_each_and_no_named_one(tmp_path, monkeypatch):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.compute import Compute
    from ros2_gridsampler.training.processes import joined_processes

    for name, value in {'LOCAL_WORLD_SIZE': '2', 'WORLD_SIZE': '2'}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(ValueError, match=r"2 processes .* device is 'cuda:1'; each takes a GPU"),
        joined_processes(Compute(device='cuda:1')),
    ):
        pass
