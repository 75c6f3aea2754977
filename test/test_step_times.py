# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of engines compares a policy with itself, whatever it keeps and wherever."""

from pathlib import Path

import numpy as np
import pytest
from policies import tiny_policy

from ros2_gridsampler.benchmarks.step_times import DENSE, measure, variants
from ros2_gridsampler.policy.manifest import golden_observation, load_manifest
from ros2_gridsampler.policy.policy import Policy

MODELS = sorted((Path(__file__).parents[1] / 'models').glob('*/manifest.json'))


def measured(policy, **changes):
    """Once, by PyTorch."""
    options = {
        'backends': ('eager',),
        'early': (),
        'threads': 1,
        'precision': 'fp32',
        'rounds': 1,
        'progress': lambda text: None,
    }
    return measure(policy, **(options | changes))


def test_a_policy_that_locates_before_the_first_block_is_compared_with_all_others():
    policy = tiny_policy(reducer='point_locator', sample_after=0, tokens=4)
    times, refused = measured(policy, early=(1, 0))
    assert [row.variant for row in times] == [
        DENSE,
        'point_locator 4, after the tower',
        'point_locator 4, after block 0',
        'point_locator 4, after block 1',
        'average pooling 16',
        'ToMe 16',
    ]
    assert list(refused) == ['FastV 16']
    assert 'two trunk blocks' in refused['FastV 16']


def test_its_own_place_is_measured_with_its_own_weights():
    policy = tiny_policy(reducer='point_locator', sample_after=0, tokens=4)
    own = variants(policy, ())['point_locator 4, after block 0']()
    observation = golden_observation(policy.config)
    wanted, got = (model.predict(observation).chunk.targets for model in (policy, own))
    assert (got == wanted).all()


@pytest.mark.parametrize('manifest', MODELS, ids=lambda path: path.parent.name)
def test_every_variant_of_a_published_policy_predicts(manifest):
    policy = Policy(load_manifest(manifest.parent).policy).eval()
    example = golden_observation(policy.config)
    wanted = policy.predict(example).chunk.targets.shape
    for make in variants(policy, (0,)).values():
        targets = make().predict(example).chunk.targets
        assert targets.shape == wanted
        assert np.isfinite(targets).all()


@pytest.mark.parametrize(
    ('changes', 'words'),
    [({'backends': ('tensorrt',)}, 'TensorRT'), ({'rounds': 0}, 'at least one round')],
)
def test_nothing_measured_is_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words):
        measured(tiny_policy(), **changes)


def test_a_block_that_there_is_not_is_told_and_the_rest_measured():
    times, refused = measured(tiny_policy(), early=(9,))
    assert 'the encoder has 3 blocks' in refused['grid_sampler 2, after block 9']
    assert len(times) > 3
